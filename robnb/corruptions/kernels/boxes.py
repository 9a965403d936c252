"""Pillow's BOX reduction followed by its NEAREST enlargement, to the bit, in batched tensors on any device.

Source: Pillow's Resample.c (coefficients, the 8-bit path) and Geometry.c (the nearest path of an axis-aligned affine).
"""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu

_BITS = 22  # fraction bits of Pillow's coefficients for 8-bit samples: 32 less 8 for the sample less 2 for headroom


def pixelate(images: torch.Tensor, factor: float) -> torch.Tensor:
    """The images shrunk to ``int(size * factor)`` with BOX and enlarged again with NEAREST: the very pixels of Pillow.

    ``images``: uint8 (N, H, W, 3) on any device. ``factor``: above 0 and at most 1, and such that neither side becomes
    0. Returns a new uint8 tensor of the same shape and device.
    """
    height, width = images.shape[1:3]
    small_height, small_width = int(height * factor), int(width * factor)
    # The first pass is rounded to 8 bits, so the order shows. Since version 13 Pillow takes the rows first where the
    # height loses more than twice what the width loses; older ones never do.
    if height - small_height > 2 * (width - small_width):
        small = _shrink(_shrink(images, small_height, axis=1), small_width, axis=2)
    else:
        small = _shrink(_shrink(images, small_width, axis=2), small_height, axis=1)
    return _enlarge(small, _nearest(small_height, height), _nearest(small_width, width))


def _shrink_numba(images: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    index, weights = _taps_numba(images.shape[axis], size, 1 if axis == 1 else 3)
    count, height, width, _ = images.shape
    shape = (count, size, width, 3) if axis == 1 else (count, height, size, 3)
    out = torch.empty(shape, dtype=torch.uint8)
    shrink = _mean_rows if axis == 1 else _mean_columns
    for image, small in zip(images.contiguous().numpy(), out.numpy(), strict=True):
        shrink(image.reshape(height, -1), index, weights, small.reshape(len(small), -1))
    return out


@lru_cache(maxsize=64)
def _taps_numba(size: int, small: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """`_taps` for the loops: positions in values, unsigned, because numba looks whether any other index is negative."""
    index, weights = _taps(size, small)
    return (stride * index).numpy().astype(np.uint64), weights.numpy()


@on_cpu(_shrink_numba)
def _shrink(images: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    """One pass of BOX resampling: uint8 (N, H, W, 3) with ``axis`` (1 or 2) brought to ``size``, rounded to uint8."""
    index, weights = (table.to(images.device) for table in _taps(images.shape[axis], size))
    # Along a row the weights are written out per channel: broadcasting over runs of three is slow.
    weights = weights[:, :, None, None] if axis == 1 else weights[:, :, None].repeat(1, 1, images.shape[3])
    # 255 times weights that sum to 2**22 stays below 2**31, so int32 is enough.
    total = images.index_select(axis, index[0]) * weights[0]
    for tap, weight in zip(index[1:], weights[1:], strict=True):
        total.add_(images.index_select(axis, tap) * weight)
    return total.add_(1 << (_BITS - 1)).bitwise_right_shift_(_BITS).to(torch.uint8)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean_rows(image, index, weights, out):
    total = np.empty(image.shape[1], np.int32)
    for y in range(len(out)):
        for j in range(len(total)):
            total[j] = 1 << (_BITS - 1)
        for t in range(len(index)):
            source, weight = image[index[t, y]], weights[t, y]
            for j in range(len(total)):
                total[j] += np.int32(source[j]) * weight
        small = out[y]
        for j in range(len(total)):
            small[j] = total[j] >> _BITS


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean_columns(image, index, weights, out):
    for y in range(len(image)):
        source, small = image[y], out[y]
        for x in range(index.shape[1]):
            red = green = blue = np.int64(1 << (_BITS - 1))
            for t in range(len(index)):
                at, weight = index[t, x], weights[t, x]
                red += source[at] * weight
                green += source[at + np.uint64(1)] * weight
                blue += source[at + np.uint64(2)] * weight
            small[3 * x], small[3 * x + 1], small[3 * x + 2] = red >> _BITS, green >> _BITS, blue >> _BITS


def _enlarge_numba(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    values = (columns.numpy()[:, None] * 3 + np.arange(3)).ravel().astype(np.uint64)
    out = torch.empty((len(images), len(rows), len(columns), 3), dtype=torch.uint8)
    for image, large in zip(images.numpy(), out.numpy(), strict=True):
        _repeat(image.reshape(len(image), -1), rows.numpy(), values, large.reshape(len(rows), -1))
    return out


@on_cpu(_enlarge_numba)
def _enlarge(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The images read at these rows and columns, int64 on the CPU."""
    return images.index_select(2, columns.to(images.device)).index_select(1, rows.to(images.device))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _repeat(small, rows, values, out):
    for y in range(len(rows)):
        line = out[y]
        if y > 0 and rows[y] == rows[y - 1]:
            above = out[y - 1]
            for j in range(len(values)):
                line[j] = above[j]
        else:
            source = small[rows[y]]
            for j in range(len(values)):
                line[j] = source[values[j]]


@lru_cache(maxsize=64)
def _taps(size: int, small: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which samples make up each output, int32 (taps, small), and their weights in units of 2**-22, int32 likewise."""
    scale = size / small
    centre = (np.arange(small) + 0.5) * scale
    first = np.maximum((centre - 0.5 * scale + 0.5).astype(int), 0)
    end = np.minimum((centre + 0.5 * scale + 0.5).astype(int), size)
    index = first + np.arange((end - first).max())[:, None]
    # Pillow asks its box filter about every sample of the window again: the box is open on the left.
    offset = (index - centre + 0.5) * (1 / scale)
    inside = (index < end) & (offset > -0.5) & (offset <= 0.5)
    weights = (inside / inside.sum(axis=0) * (1 << _BITS) + 0.5).astype(np.int32)
    return torch.from_numpy(np.minimum(index, size - 1).astype(np.int32)), torch.from_numpy(weights)


@lru_cache(maxsize=64)
def _nearest(size: int, large: int) -> torch.Tensor:
    """The source of each of ``large`` outputs among ``size`` samples, int64 (large,)."""
    # Pillow adds the step up, output by output, and so must we: k * step differs from that sum in the last bits.
    step = size / large
    position = np.add.accumulate(np.concatenate(([step * 0.5], np.full(large - 1, step))))
    return torch.from_numpy(position.astype(np.int64))
