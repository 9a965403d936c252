"""What PRIME takes for pixels, and how much of them it works on at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

#: Values (about 256 KiB of float32) that a CPU core works on at a time, so that they stay in its cache.
_BLOCK = 2**16


def unit(images: torch.Tensor) -> torch.Tensor:
    """float32 pixels: uint8 is divided by 255, anything else is taken as it is."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def blocks(planes: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut (P, N) planes into blocks that fit a core's cache; on other devices, into one."""
    count, size = planes.shape
    if planes.device.type != "cpu":
        yield slice(None), slice(None)
        return
    high = max(1, _BLOCK // size)
    for top in range(0, count, high):
        for left in range(0, size, _BLOCK):
            yield slice(top, top + high), slice(left, left + _BLOCK)
