"""PRIME's colour primitive: a smooth random curve for each channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from robnb.augment.prime.pixels import blocks, unit


def sine_sum(x: torch.Tensor, first: int, coefficients: torch.Tensor) -> torch.Tensor:
    """sum_j c_j sin((first + j) pi x), by Clenshaw's recurrence: four sines and cosines instead of one per term.

    The recurrence runs over the offsets j alone: run over the frequencies themselves, it loses another digit where x is
    close to 0 or 1.

    Args:
        x: (P, N) float32, any real numbers.
        coefficients: (P, K) float32, K >= 1.

    Returns:
        (P, N) float32, exact to about 1e-7 times the highest frequency, which is what float32 pixels allow.
    """
    angle = torch.remainder(x, 2).mul_(math.pi)
    cosine = torch.cos(angle)
    twice = 2 * cosine
    above, above_that = torch.zeros_like(x), torch.zeros_like(x)
    for j in range(coefficients.shape[1] - 1, 0, -1):
        torch.sub(coefficients[:, j, None], above_that, out=above_that).addcmul_(twice, above)
        above, above_that = above_that, above
    even = cosine.mul_(above).sub_(above_that).add_(coefficients[:, 0, None])
    odd = torch.sin(angle).mul_(above)
    carrier = torch.remainder(first * x, 2).mul_(math.pi)
    return torch.sin(carrier).mul_(even).addcmul_(torch.cos(carrier), odd)


@dataclass(frozen=True)
class ColourMaps:
    """One curve for each channel of each row: x -> clamp(x + sum_j c_j sin((first + j) pi x), 0, 1).

    Attributes:
        first: the lowest frequency.
        coefficients: (R, 3, K) float.
    """

    first: int
    coefficients: torch.Tensor

    def of(self, rows: torch.Tensor) -> ColourMaps:
        """Those of some rows (int64 indices on the CPU)."""
        return ColourMaps(self.first, self.coefficients[rows.to(self.coefficients.device)])

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Map (R, 3, H, W). uint8 images go through a table of their 256 values, which is exact and fastest."""
        coefficients = self.coefficients.to(images.device).flatten(0, 1)
        planes = images.flatten(0, 1).flatten(1)
        mapped = torch.empty(planes.shape, device=images.device)
        table = self._table(coefficients) if images.dtype == torch.uint8 else None
        for rows, columns in blocks(planes):
            part = planes[rows, columns]
            if table is not None:
                mapped[rows, columns] = table[rows].gather(1, part.long())
            else:
                values = unit(part)
                mapped[rows, columns] = sine_sum(values, self.first, coefficients[rows]).add_(values).clamp_(0, 1)
        return mapped.view(images.shape)

    def _table(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(P, K) -> (P, 256) float32: each curve at the bytes."""
        frequencies = self.first + torch.arange(coefficients.shape[1], device=coefficients.device)
        steps = torch.arange(256, device=coefficients.device)
        # The phase is reduced among whole numbers, so that it is exact.
        sines = torch.sin(torch.remainder(frequencies[:, None] * steps, 510).double() * (math.pi / 255))
        return (steps / 255 + coefficients.double() @ sines).clamp(0, 1).float()


@dataclass(frozen=True)
class SmoothColour:
    """c_k ~ N(0, t) for k in [first, first + bandwidth), no k above the cut (PRIME, and its release's ImageNet values).

    Once per call: cut' ~ U{1..cut}, t ~ U(0, temperature), first ~ U{1..cut'}. For each row and channel: c_k.
    CIFAR's values in the release are cut 100, temperature 0.01 and all frequencies up to the cut (bandwidth None).

    Attributes:
        temperature: the highest variance of a coefficient.
    """

    cut: int = 500
    temperature: float = 0.05
    bandwidth: int | None = 20

    def draw(self, rows: int, generator: torch.Generator) -> ColourMaps:
        """Curves for ``rows`` rows, on the generator's device."""
        device = generator.device
        cut = int(torch.randint(1, self.cut + 1, (), generator=generator, device=device))
        temperature = self.temperature * torch.rand((), generator=generator, device=device)
        first, last = 1, cut
        if self.bandwidth is not None:
            first = int(torch.randint(1, cut + 1, (), generator=generator, device=device))
            last = min(first + self.bandwidth - 1, cut)
        noise = torch.randn((rows, 3, last - first + 1), generator=generator, device=device)
        return ColourMaps(first, temperature.sqrt() * noise)
