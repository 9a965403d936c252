"""fog's height map: a plasma fractal by the diamond-square algorithm."""

from __future__ import annotations

import numba
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
    size = len(field)
    field[0, 0] = 0
    step, amplitude = size, 100.0
    while step >= 2:
        half, scale = step // 2, numba.float32(amplitude * amplitude)
        quarter = numba.float32(0.25)
        for y in range(0, size, step):
            below = (y + step) % size
            for x in range(0, size, step):
                right = (x + step) % size
                around = (field[y, x] + field[below, x]) + (field[y, right] + field[below, right])
                field[y + half, x + half] = around * quarter + scale * field[y + half, x + half]
        for y in range(0, size, step):
            above, below = (y - half) % size, (y + step) % size
            for x in range(0, size, step):
                left, right = (x - half) % size, (x + step) % size
                corner, centre = field[y, x], field[y + half, x + half]
                side = (centre + field[above, x + half]) + (corner + field[y, right])
                field[y, x + half] = side * quarter + scale * field[y, x + half]
                side = (centre + field[y + half, left]) + (corner + field[below, x])
                field[y + half, x] = side * quarter + scale * field[y + half, x]
        step, amplitude = half, amplitude / decay
