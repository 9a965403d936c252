"""Grey levels: from numbers to uint8, and functions of uint8 as tables."""

from __future__ import annotations

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu

#: Added before fractions are cut off, in grey levels: rounding in float32 must not take a level from an even area.
_GUARD = 2.0**-12


def _truncate_numba(values: torch.Tensor) -> torch.Tensor:
    values = values.contiguous()
    out = torch.empty(values.shape, dtype=torch.uint8)
    flat = values.view(-1).numpy()
    _truncate(
        flat, np.array([_GUARD if values.dtype == torch.float32 else 0, 0, 255], flat.dtype), out.view(-1).numpy()
    )
    return out


@on_cpu(_truncate_numba)
def truncate(values: torch.Tensor) -> torch.Tensor:
    """float32 or float64 -> uint8 in 0..255, fractions cut off; float64 is taken as exact. May overwrite ``values``."""
    if values.dtype == torch.float32:
        values += _GUARD
    return values.clamp_(0, 255).to(torch.uint8)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _truncate(values, limits, out):
    guard, low, high = limits[0], limits[1], limits[2]
    for i in range(len(values)):
        out[i] = np.uint8(np.int32(min(max(values[i] + guard, low), high)))


def _look_up_numba(images: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(images)
    for image, table, looked_up in zip(images.numpy(), tables.numpy(), out.numpy(), strict=True):
        _look_up(image, table, looked_up)
    return out


@on_cpu(_look_up_numba)
def look_up(images: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """``tables[n, c, value]`` for each value: uint8 (N, H, W, C) and (N, C, 256) -> (N, H, W, C)."""
    count, channels, _ = tables.shape
    first = torch.arange(count * channels, device=images.device).view(count, 1, 1, channels) * 256
    return tables.view(-1)[first + images]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look_up(image, table, out):
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(image.shape[2]):
                out[y, x, c] = table[c, image[y, x, c]]


def _look_up_by_peak_numba(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(images)
    _look_up_by_peak(images.view(-1, 3).numpy(), table.numpy(), out.view(-1, 3).numpy())
    return out


@on_cpu(_look_up_by_peak_numba)
def look_up_by_peak(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """``table[peak, value]``, peak the pixel's largest value: uint8 (N, H, W, 3) and (256, 256) -> (N, H, W, 3)."""
    peak = images.amax(3, keepdim=True).to(torch.int32) * 256
    return table.view(-1)[peak + images]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look_up_by_peak(pixels, table, out):
    for i in range(len(pixels)):
        peak = max(pixels[i, 0], pixels[i, 1], pixels[i, 2])
        for c in range(3):
            out[i, c] = table[peak, pixels[i, c]]
