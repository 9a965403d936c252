"""fog's height map: a plasma fractal by the diamond-square algorithm."""

from __future__ import annotations

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu


def _plasma_numba(noise: torch.Tensor, decay: float) -> torch.Tensor:
    maps = noise.clone(memory_format=torch.contiguous_format)
    for one in maps.numpy():
        _grow(one, decay)
    return maps


@on_cpu(_plasma_numba)
def plasma(noise: torch.Tensor, decay: float) -> torch.Tensor:
    """Grow a map from one corner, halving the step and adding less noise each time; the map wraps around.

    Args:
        noise: float32 (N, M, M) in [-1, 1), M a power of two: what each point adds, before scaling.
        decay: what the noise's amplitude is divided by at each halving; its variance falls by decay**4, because
            the original multiplies the amplitude into a draw that has it already.

    Returns:
        float32 (N, M, M), not normalised.
    """
    maps = torch.zeros_like(noise)
    step, amplitude = noise.shape[1], 100.0
    while step >= 2:
        half, scale = step // 2, amplitude * amplitude
        corners = maps[:, ::step, ::step]
        around = corners + corners.roll(-1, 1)
        around = around + around.roll(-1, 2)
        centres = around / 4 + scale * noise[:, half::step, half::step]
        maps[:, half::step, half::step] = centres
        side = (centres + centres.roll(1, 1)) + (corners + corners.roll(-1, 2))
        maps[:, ::step, half::step] = side / 4 + scale * noise[:, ::step, half::step]
        side = (centres + centres.roll(1, 2)) + (corners + corners.roll(-1, 1))
        maps[:, half::step, ::step] = side / 4 + scale * noise[:, half::step, ::step]
        step, amplitude = half, amplitude / decay
    return maps


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _grow(field, decay):
    # Unsigned, because numba looks whether any other index is negative.
    size, one = np.uint64(len(field)), np.uint64(1)
    last, quarter = size - one, np.float32(0.25)
    field[0, 0] = 0
    step, amplitude = size, 100.0
    while step > one:
        half, scale = step >> one, np.float32(amplitude * amplitude)
        for i in range(size // step):
            y = np.uint64(i) * step
            top, bottom, middle = field[y], field[(y + step) & last], field[y + half]
            for j in range(size // step):
                x = np.uint64(j) * step
                right = (x + step) & last
                around = (top[x] + bottom[x]) + (top[right] + bottom[right])
                middle[x + half] = around * quarter + scale * middle[x + half]
        for i in range(size // step):
            y = np.uint64(i) * step
            top, bottom, middle = field[y], field[(y + step) & last], field[y + half]
            above = field[(y - half) & last]
            for j in range(size // step):
                x = np.uint64(j) * step
                left, right = (x - half) & last, (x + step) & last
                corner, centre = top[x], middle[x + half]
                side = (centre + above[x + half]) + (corner + top[right])
                top[x + half] = side * quarter + scale * top[x + half]
                side = (centre + middle[left]) + (corner + bottom[x])
                middle[x] = side * quarter + scale * middle[x]
        step, amplitude = half, amplitude / decay
