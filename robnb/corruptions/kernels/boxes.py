"""Pillow's BOX reduction followed by its NEAREST enlargement, to the bit, in batched tensors on any device.

Source: Pillow's Resample.c (coefficients, the 8-bit path) and Geometry.c (the nearest path of an axis-aligned affine).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

_BITS = 22  # fraction bits of Pillow's coefficients for 8-bit samples: 32 less 8 for the sample less 2 for headroom


def pixelate(images: torch.Tensor, factor: float) -> torch.Tensor:
    """The images shrunk to ``int(size * factor)`` with BOX and enlarged again with NEAREST: the very pixels of Pillow.

    ``images``: uint8 (N, H, W, C) on any device. ``factor``: above 0 and at most 1, and such that neither side becomes
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
    columns, rows = _nearest(small_width, width), _nearest(small_height, height)
    return small.index_select(2, columns.to(images.device)).index_select(1, rows.to(images.device))


def _shrink(images: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    """One pass of BOX resampling: uint8 (N, H, W, C) with ``axis`` (1 or 2) brought to ``size``, rounded to uint8."""
    index, weights = (table.to(images.device) for table in _taps(images.shape[axis], size))
    # Along a row the weights are written out per channel: broadcasting over runs of three is slow.
    weights = weights[:, :, None, None] if axis == 1 else weights[:, :, None].repeat(1, 1, images.shape[3])
    # 255 times weights that sum to 2**22 stays below 2**31, so int32 is enough.
    total = images.index_select(axis, index[0]) * weights[0]
    for tap, weight in zip(index[1:], weights[1:], strict=True):
        total.add_(images.index_select(axis, tap) * weight)
    return total.add_(1 << (_BITS - 1)).bitwise_right_shift_(_BITS).to(torch.uint8)


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
