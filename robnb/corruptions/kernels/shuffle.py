"""glass_blur's shuffle: every pixel takes the colour of a near one, one after the other."""

from __future__ import annotations

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu


def _shuffle_numba(images: torch.Tensor, codes: torch.Tensor, delta: int) -> torch.Tensor:
    out = images.clone(memory_format=torch.contiguous_format)
    for image, code in zip(out.numpy(), codes.numpy(), strict=True):
        for once in code:
            _scan(image, once, delta)
    return out


@on_cpu(_shuffle_numba)
def shuffle(images: torch.Tensor, codes: torch.Tensor, delta: int) -> torch.Tensor:
    """Copy from pixel to pixel, from the bottom right to the top left, as imagecorruptions does.

    What the package writes as a swap copies, because the two sides are views of one array: ``x[p] <- x[p + d(p)]``.
    A pixel that was already passed gives its new colour. So p's colour comes from where the offsets lead while they
    lead to passed pixels, and following all of them at once, two steps, four, eight, gives the same as the scan.

    Args:
        images: uint8 (N, H, W, 3).
        codes: uint8 (N, passes, H - 2 delta, W - 2 delta) in 0..4 delta**2 - 1, for the pixels from delta + 1 to
            H - delta and W - delta: ``2 delta * (dx + delta) + (dy + delta)``.
        delta: the reach; dx and dy are in -delta..delta - 1.

    Returns:
        uint8 (N, H, W, 3).
    """
    count, height, width, channels = images.shape
    inside = slice(delta + 1, height - delta + 1), slice(delta + 1, width - delta + 1)
    here = torch.arange(height * width, device=images.device).view(height, width)
    passed = torch.zeros((height, width), dtype=torch.bool, device=images.device)
    passed[inside] = True
    out = images.reshape(count, height * width, channels)
    for once in codes.unbind(1):
        dx = once.to(torch.int64) // (2 * delta) - delta
        dy = once.to(torch.int64) % (2 * delta) - delta
        source = here.repeat(count, 1, 1)
        source[:, *inside] += dy * width + dx
        follow = ((source > here) & passed.view(-1)[source]).flatten(1)
        source = source.flatten(1)
        pointer = torch.where(follow, source, here.view(1, -1))
        while not torch.equal(further := pointer.gather(1, pointer), pointer):
            pointer = further
        source = source.gather(1, pointer)
        out = out.gather(1, source[..., None].expand(-1, -1, channels))
    return out.view(images.shape)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _scan(image, codes, delta):
    rows, columns = codes.shape
    span = 2 * delta
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            code = np.int64(codes[i, j])
            across = code // span
            y, x = np.uint64(i + delta + 1), np.uint64(j + delta + 1)
            # Unsigned, because numba looks whether any other index is negative.
            y_from, x_from = np.uint64(i + 1 + code - across * span), np.uint64(j + 1 + across)
            for c in range(3):
                image[y, x, c] = image[y_from, x_from, c]
