"""PRIME's spatial primitive: one smooth displacement of all pixels (Petrini et al., NeurIPS 2021, arXiv:2105.02468)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from robnb.augment.prime.pixels import unit


def temperatures(side: int, cut: int) -> tuple[float, float]:
    """The coldest and hottest temperature for an image of ``side`` pixels and frequencies up to ``cut``.

    The coldest moves pixels by about half a pixel, the hottest is the last that folds nothing over; the second is at
    least the first.
    """
    nudged = cut + 1e-6
    coldest = 1 / (math.pi * side**2 * math.log(nudged))
    return coldest, max(coldest, 4 / (math.pi**3 * nudged**2 * math.log(nudged)))


def field(coefficients: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """u(y, x) = sum_ij c_ij / r sin(i pi x) sin(j pi y) over r = sqrt(i^2 + j^2) < cut + 1/2, with x and y in [0, 1].

    Args:
        coefficients: (cut, cut) float; the first index is i, of the frequency along x.

    Returns:
        (height, width) float, zero on the border of the image.
    """
    cut, device = len(coefficients), coefficients.device
    # float64, because autocast would take the products of float32 matrices in half precision: whole pixels off.
    k = torch.arange(1, cut + 1, dtype=torch.float64, device=device)
    radius = torch.hypot(k[:, None], k)
    amplitudes = coefficients * (radius < cut + 0.5) / radius
    across, down = (
        torch.sin(math.pi * torch.linspace(0, 1, pixels, dtype=k.dtype, device=device)[:, None] * k)
        for pixels in (width, height)
    )
    return (down @ (across @ amplitudes).T).float()


def warp(images: torch.Tensor, dx: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
    """Sample (R, C, H, W) bilinearly at (x - dx, y - dy), clamped to the border; dx and dy (H, W) in pixels."""
    height, width = images.shape[-2:]
    x = (torch.arange(width, device=images.device) - dx).clamp(0, width - 1)
    y = (torch.arange(height, device=images.device)[:, None] - dy).clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    to_right, down = x - left, y - top
    x, y = left.long(), top.long()
    right, below = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    pixels = images.flatten(2)

    def at(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return pixels[..., (rows * width + columns).flatten()].view(images.shape)

    upper = torch.lerp(at(y, x), at(y, right), to_right)
    return torch.lerp(upper, torch.lerp(at(below, x), at(below, right), to_right), down)


@dataclass(frozen=True)
class Displacement:
    """One displacement field, for every row of a batch and images of any size.

    Attributes:
        heat: where the temperature lies between the coldest and the hottest, in [0, 1].
        across, down: (cut, cut) float, the coefficients of the two fields.
    """

    heat: float
    across: torch.Tensor
    down: torch.Tensor

    def of(self, rows: torch.Tensor) -> Displacement:
        """The same for all rows."""
        return self

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Displace (R, 3, H, W).

        The release takes square images. Here each axis is displaced in proportion to its own length, as if a square
        were stretched, and the temperatures are those of the shorter side: so the least displacement is still about
        half a pixel along both.
        """
        images = unit(images)
        height, width = images.shape[-2:]
        coldest, hottest = temperatures(min(height, width), len(self.across))
        scale = math.sqrt(coldest + self.heat * (hottest - coldest))
        dx = width * scale * field(self.across.to(images.device), height, width)
        dy = height * scale * field(self.down.to(images.device), height, width)
        return warp(images, dx, dy)


@dataclass(frozen=True)
class Diffeomorphism:
    """Everything is drawn once per call: cut, temperature and both fields, as in PRIME's release.

    cut' ~ U{cut_min + 1..cut_max}; cut = int(b (cut' + 1 - cut_min) + cut_min) and T = b' (hottest - coldest) + coldest
    with b, b' ~ Beta(1/2, 1/2). CIFAR's cut_max in the release is 100.
    """

    cut_min: int = 2
    cut_max: int = 500

    def draw(self, rows: int, generator: torch.Generator) -> Displacement:
        """A field for any number of rows, on the generator's device."""
        device = generator.device
        highest = int(torch.randint(self.cut_min + 1, self.cut_max + 1, (), generator=generator, device=device))
        # sin^2(pi u / 2) is Beta(1/2, 1/2) for u ~ U(0, 1): the arcsine distribution.
        share, heat = (torch.rand(2, generator=generator, device=device) * (math.pi / 2)).sin().square().tolist()
        cut = min(int(share * (highest + 1 - self.cut_min) + self.cut_min), highest)
        across, down = torch.randn((2, cut, cut), generator=generator, device=device)
        return Displacement(heat, across, down)
