"""PRIME's spectral primitive: a random 3x3 filter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from robnb.augment.prime.pixels import unit
from robnb.names import choose

#: Row and column of a kernel's identity part. PRIME's paper means the centre; its released code has ceil(3 / 2) = 2,
#: the bottom right, so that a filter also moves the picture one pixel up and to the left.
PLACES = {"corner": 2, "centre": 1}


@dataclass(frozen=True)
class Filters:
    """One kernel for each row of a batch.

    Attributes:
        kernels: (R, 3, 3) float.
    """

    kernels: torch.Tensor

    def of(self, rows: torch.Tensor) -> Filters:
        """Those of some rows (int64 indices on the CPU)."""
        return Filters(self.kernels[rows.to(self.kernels.device)])

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Correlate each image (R, 3, H, W) with its kernel, zeros outside, and clamp to [0, 1].

        The release also turns NaN into 1, because half precision made some; this is float32, which makes none.
        """
        images = unit(images)
        kernels = self.kernels.to(images.device)[:, :, :, None, None, None]
        height, width = images.shape[-2:]
        padded = pad(images, (1, 1, 1, 1))
        # Nine shifted sums: on a CPU, ten times as fast as a grouped convolution of large images.
        filtered = padded[..., :height, :width] * kernels[:, 0, 0]
        for y, x in [(y, x) for y in range(3) for x in range(3)][1:]:
            filtered.addcmul_(padded[..., y : y + height, x : x + width], kernels[:, y, x])
        return filtered.clamp_(0, 1)


@dataclass(frozen=True)
class RandomFilter:
    """kernel = s N(0, 1) + delta with s ~ U(0, sigma): s is drawn once per call, the kernel for each row.

    The three channels of an image share its kernel (PRIME, Modas et al., ECCV 2022, and its release).

    Attributes:
        delta: "corner", as released, which is what the published PRIME weights were trained with and so the default,
            or "centre", as in the paper.
    """

    sigma: float = 4.0
    delta: str = "corner"

    def __post_init__(self) -> None:
        choose(self.delta, PLACES, "place of a PRIME filter's delta")

    def draw(self, rows: int, generator: torch.Generator) -> Filters:
        """Kernels for ``rows`` rows, on the generator's device."""
        device = generator.device
        sigma = self.sigma * torch.rand((), generator=generator, device=device)
        kernels = sigma * torch.randn((rows, 3, 3), generator=generator, device=device)
        kernels[:, PLACES[self.delta], PLACES[self.delta]] += 1
        return Filters(kernels)
