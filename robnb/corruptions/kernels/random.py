"""Random numbers as a function of a key and a position: Philox 4x32-10 (Salmon et al. 2011).

Nothing is carried from one number to the next, so a batch is drawn in one go on any device, and an image's numbers
are the same alone and in any company. Every function here takes ``keys``, int64 (N, 4): four 32-bit words for each
image, of which two are Philox's key and two the upper half of its counter. The lower half is the position and
``stream``, which separates the draws of one corruption.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu

_MASK = 0xFFFFFFFF
_MULTIPLY = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def _words_numba(keys: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    blocks = -(-count // 4)
    out = torch.empty((len(keys), 4 * blocks), dtype=torch.int32)
    for row, key in zip(out.numpy(), keys.numpy().astype(np.uint64), strict=True):
        _philox(key, np.uint64(stream), row.view(np.uint32))
    return out[:, :count]


@on_cpu(_words_numba)
def words(keys: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    """Random bits: int32 (N, count), all 2**32 values alike.

    With B = ceil(count / 4), number i is word ``i // B`` of Philox's block ``i % B``.
    """
    blocks = -(-count // 4)
    x0 = torch.arange(blocks, device=keys.device).repeat(len(keys), 1)
    x1 = torch.full_like(x0, stream)
    k0, k1, x2, x3 = keys.split(1, 1)
    x2, x3 = x2.expand_as(x0), x3.expand_as(x0)
    for _ in range(_ROUNDS):
        # The product of two 32-bit numbers wraps to a negative int64, whose bits are right all the same.
        first, second = x0 * _MULTIPLY[0], x2 * _MULTIPLY[1]
        x0 = (second >> 32).bitwise_xor_(x1).bitwise_xor_(k0).bitwise_and_(_MASK)
        x2 = (first >> 32).bitwise_xor_(x3).bitwise_xor_(k1).bitwise_and_(_MASK)
        x1, x3 = second.bitwise_and_(_MASK), first.bitwise_and_(_MASK)
        k0, k1 = k0 + _WEYL[0] & _MASK, k1 + _WEYL[1] & _MASK
    return torch.cat([x.to(torch.int32) for x in (x0, x1, x2, x3)], 1)[:, :count]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _philox(key, stream, out):
    mask, half = np.uint64(_MASK), np.uint64(32)
    m0, m1 = np.uint64(_MULTIPLY[0]), np.uint64(_MULTIPLY[1])
    w0, w1 = np.uint64(_WEYL[0]), np.uint64(_WEYL[1])
    blocks = len(out) // 4
    for i in range(blocks):
        x0, x1, x2, x3 = np.uint64(i), stream, key[2], key[3]
        k0, k1 = key[0], key[1]
        for _ in range(_ROUNDS):
            first, second = x0 * m0, x2 * m1
            x0, x1 = (second >> half) ^ x1 ^ k0, second & mask
            x2, x3 = (first >> half) ^ x3 ^ k1, first & mask
            k0, k1 = (k0 + w0) & mask, (k1 + w1) & mask
        out[i] = x0
        out[blocks + i] = x1
        out[2 * blocks + i] = x2
        out[3 * blocks + i] = x3


def uniform(keys: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    """float32 (N, count), uniform on the 2**24 multiples of 2**-23 in [-1, 1)."""
    return (words(keys, stream, count) >> 8) * 2.0**-23


def _integers_numba(keys: torch.Tensor, stream: int, count: int, bound: int) -> torch.Tensor:
    out = torch.empty((len(keys), count), dtype=torch.uint8)
    _scale(_words_numba(keys, stream, count).numpy().view(np.uint32), bound, out.numpy())
    return out


@on_cpu(_integers_numba)
def integers(keys: torch.Tensor, stream: int, count: int, bound: int) -> torch.Tensor:
    """uint8 (N, count) in 0..bound - 1, all alike to within 2**-32."""
    return ((words(keys, stream, count).to(torch.int64) & _MASK) * bound >> 32).to(torch.uint8)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _scale(bits, bound, out):
    for n in range(bits.shape[0]):
        for i in range(bits.shape[1]):
            out[n, i] = (np.uint64(bits[n, i]) * np.uint64(bound)) >> np.uint64(32)


def _normal_numba(keys: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    bits = _words_numba(keys, stream, -(-count // 4) * 4)
    out = torch.empty(bits.shape, dtype=torch.float32)
    for row, normals in zip(bits.numpy(), out.numpy(), strict=True):
        _box_muller(row, normals)
    return out[:, :count]


@on_cpu(_normal_numba)
def normal(keys: torch.Tensor, stream: int, count: int) -> torch.Tensor:
    """float32 (N, count), normal with mean 0 and deviation 1, by Box and Muller's transform; at most 6.77 from 0."""
    bits = words(keys, stream, -(-count // 4) * 4).view(len(keys), 2, 2, -1)
    first, second = bits[:, :, 0].to(torch.int64) & _MASK, bits[:, :, 1]
    radius = torch.sqrt(-2 * torch.log((first.to(torch.float32) + 0.5) * 2.0**-32))
    angle = second.to(torch.float32) * (2 * math.pi * 2.0**-32)
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 2).flatten(1)[:, :count]


_F = np.float32


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _box_muller(bits, out):
    quarter = len(bits) // 4
    for pair in range(2):
        start = 2 * pair * quarter
        for i in range(start, start + quarter):
            u = (_F(np.uint32(bits[i])) + _F(0.5)) * _F(2.0**-32)
            cosine, sine = _circle(bits[i + quarter])
            radius = np.sqrt(_F(-2) * _log(u))
            out[i] = radius * cosine
            out[i + quarter] = radius * sine


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _log(x):
    """Natural logarithm of a float32 in (0, 1] to about 1e-7, by the series of atanh."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23)  # of the mantissa in [0.707, 1.414)
    mantissa = np.int32(bits - (exponent << np.int32(23))).view(np.float32)
    s = (mantissa - _F(1)) / (mantissa + _F(1))
    z = s * s
    series = _F(2 / 9) * z + _F(2 / 7)
    series = series * z + _F(2 / 5)
    series = series * z + _F(2 / 3)
    return _F(exponent) * _F(math.log(2)) + (s * z * series + _F(2) * s)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _circle(turn):
    """Cosine and sine of ``turn`` * 2 pi / 2**32 for an int32, to about 1e-7, by Taylor series within 1/8 turn."""
    quadrant = np.int32(turn + np.int32(1 << 29)) >> np.int32(30)
    x = _F(np.int32(turn << np.int32(2))) * _F(math.pi / 2 * 2.0**-32)
    z = x * x
    sine = x + x * z * (_F(-1 / 6) + z * (_F(1 / 120) + z * _F(-1 / 5040)))
    cosine = _F(1) + z * (_F(-1 / 2) + z * (_F(1 / 24) + z * (_F(-1 / 720) + z * _F(1 / 40320))))
    swap = (quadrant & np.int32(1)) != 0
    first, second = (sine, cosine) if swap else (cosine, sine)
    first = -first if ((quadrant + np.int32(1)) & np.int32(2)) != 0 else first
    second = -second if (quadrant & np.int32(2)) != 0 else second
    return first, second


class Quantiles(NamedTuple):
    """Discrete distributions on the same values, for `pick`.

    Attributes:
        thresholds: int32 (256, K), each row rising and ending in 2**31 - 1; K a power of two.
        values: uint8 (K,).
        begin: int32 (256, 256), how many of the row's thresholds lie below all draws with these upper 8 bits.
    """

    thresholds: torch.Tensor
    values: torch.Tensor
    begin: torch.Tensor

    @classmethod
    def of(cls, cumulative: np.ndarray, values: np.ndarray) -> Quantiles:
        """From the distribution functions, float64 (256, K) in 0..1, at the values, uint8 (K,)."""
        thresholds = np.minimum(np.floor(cumulative * 2.0**32) - 2**31, 2**31 - 1).astype(np.int32)
        thresholds[:, -1] = 2**31 - 1
        lowest = np.arange(-128, 128, dtype=np.int64) << 24
        begin = np.stack([np.searchsorted(row, lowest, "right") for row in thresholds]).astype(np.int32)
        return cls(*map(torch.from_numpy, (thresholds, values, begin)))


def _pick_numba(bits: torch.Tensor, rows: torch.Tensor, table: Quantiles) -> torch.Tensor:
    out = torch.empty(bits.shape, dtype=torch.uint8)
    _pick(*(each.reshape(-1).numpy() for each in (bits, rows)), *(each.numpy() for each in table), out.view(-1).numpy())
    return out


@on_cpu(_pick_numba)
def pick(bits: torch.Tensor, rows: torch.Tensor, table: Quantiles) -> torch.Tensor:
    """Draw from discrete distributions by their inverse: ``values[number of the row's thresholds that are <= bits]``.

    Args:
        bits: int32, any shape: random words.
        rows: uint8, the same shape: the row of the table that each is drawn with.

    Returns:
        uint8, the same shape.
    """
    flat, size = table.thresholds.view(-1), table.thresholds.shape[1]
    first = rows.to(torch.int32) * size
    at, step = first.clone(), size // 2
    while step:
        at += (flat[at + (step - 1)] <= bits).to(torch.int32).mul_(step)
        step //= 2
    return table.values[at.sub_(first)]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _pick(bits, rows, thresholds, values, begin, out):
    last = thresholds.shape[1] - 1
    for i in range(len(bits)):
        row = rows[i]
        k = begin[row, (bits[i] >> 24) + 128]
        while k < last and thresholds[row, k] <= bits[i]:
            k += 1
        out[i] = values[k]
