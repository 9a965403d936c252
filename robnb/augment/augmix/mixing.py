"""AugMix (Hendrycks et al., ICLR 2020, arXiv:1912.02781): mixed chains of operations and a consistency loss.

A chain applies one to three operations; each is chosen uniformly for each image and chain, at a level
l ~ U(0.1, severity) of its own. Chains stay bytes from step to step, as in the release, and mixtures are not rounded:
the release mixes normalised floats, and to normalise after the mixing is the same, because the weights sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn.functional import cross_entropy, log_softmax

from robnb.augment.augmix.operations import OPERATIONS, TOP
from robnb.augment.mixture import drawn_weights, mixed
from robnb.augment.recipe import Recipe
from robnb.errors import UserError

#: The least level that is drawn.
LEAST = 0.1
#: Values that the chains of one pass hold; larger batches go through in several passes.
_PASS = 2**26


@dataclass(frozen=True)
class Draw:
    """Everything random in one mixture of each of B images; row ``b * width + i`` is chain i of image b.

    Attributes:
        weights: (B, width) float32, of the chains.
        share: (B,) float32, of the mixture; the image keeps the rest.
        depths: (B * width,) int64 on the CPU.
        choices: (depth, B * width) int64 on the CPU, the operation of each step.
        levels: (depth, B * width) float64; the sign is the direction.
    """

    weights: torch.Tensor
    share: torch.Tensor
    depths: torch.Tensor
    choices: torch.Tensor
    levels: torch.Tensor

    def of(self, images: slice, width: int) -> Draw:
        """The part for some of the images."""
        rows = slice(images.start * width, images.stop * width)
        return replace(
            self,
            weights=self.weights[images],
            share=self.share[images],
            depths=self.depths[rows],
            choices=self.choices[:, rows],
            levels=self.levels[:, rows],
        )


@dataclass(frozen=True)
class AugMix(Recipe):
    """AugMix with the Jensen-Shannon consistency loss.

    Attributes:
        width: chains that are mixed.
        depth: most operations in a chain; each chain draws from 1 to this.
        severity: upper end of an operation's level (1 on ImageNet, 3 on CIFAR; pictures here are CIFAR's size).
        consistency: weight of the Jensen-Shannon term.

    Raises:
        UserError: width, depth, severity or consistency is out of range.
    """

    name: str = "augmix"
    width: int = 3
    depth: int = 3
    severity: float = 3.0
    consistency: float = 12.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1:
            raise UserError(f"AugMix's width is {self.width} and its depth {self.depth}: give 1 or more for both.")
        if not LEAST <= self.severity <= TOP:
            raise UserError(f"AugMix's severity is {self.severity}: give a number from {LEAST} to {TOP:g}.")
        if self.consistency < 0:
            raise UserError(f"AugMix's consistency is {self.consistency}: give 0 (no such term) or a positive weight.")

    @property
    def passes(self) -> float:
        """Three: the image and two mixtures."""
        return 3.0

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """All random choices for ``count`` images; tensors stay on the generator's device unless `Draw` says CPU."""
        device, rows = generator.device, count * self.width
        given = {"generator": generator, "device": device}
        weights, share = drawn_weights(count, self.width, generator)
        # One uniform number in (-1, 1) is both a level and a direction.
        signed = 2 * torch.rand((self.depth, rows), dtype=torch.float64, **given) - 1
        return Draw(
            weights=weights,
            share=share,
            depths=torch.randint(1, self.depth + 1, (rows,), **given).cpu(),
            choices=torch.randint(len(OPERATIONS), (self.depth, rows), **given).cpu(),
            levels=torch.where(signed < 0, -LEAST, LEAST) + signed * (self.severity - LEAST),
        )

    @torch.no_grad()
    def apply(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        """The mixtures that a draw makes: uint8 (B, 3, H, W) -> float32 in [0, 1], up to rounding.

        An image's mixture depends on no other image: the same row of a draw gives the same values in any batch.
        """
        size = max(1, _PASS // (self.width * images[0].numel()))
        parts = [slice(first, min(first + size, len(images))) for first in range(0, len(images), size)]
        return torch.cat([self._mixed(images[part], draw.of(part, self.width)) for part in parts])

    def views(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The images and two mixtures of each.

        Args:
            images: (N, 3, H, W) RGB, uint8 or float in [0, 1]; float is rounded to bytes first.
            generator: source of every random choice; may be on another device than the images.

        Returns:
            (3, N, 3, H, W) float32 in [0, 1], up to rounding.
        """
        if images.dtype != torch.uint8:
            images = (images.detach() * 255).round().clamp(0, 255).to(torch.uint8)
        twice = self.apply(images.repeat(2, 1, 1, 1), self.draw(2 * len(images), generator))
        return torch.stack([images / 255, *twice.chunk(2)])

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the clean view plus ``consistency`` times the JS divergence of the three."""
        log_p = log_softmax(logits, dim=-1)
        log_mean = log_p.exp().mean(dim=0).clamp(1e-7, 1).log()
        divergence = (log_p.exp() * (log_p - log_mean)).sum(dim=-1).mean(dim=1).mean()
        return cross_entropy(logits[0], labels) + self.consistency * divergence

    def _mixed(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        chains = self._chains(images, draw).unflatten(0, (len(images), self.width))
        return mixed(images.float(), chains, draw.weights, draw.share).div_(255)

    def _chains(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        """(B, 3, H, W) -> (B * width, 3, H, W), both uint8."""
        chains, levels = images.repeat_interleave(self.width, dim=0), draw.levels.to(images.device)
        for step, choices in enumerate(draw.choices):
            for choice, operation in enumerate(OPERATIONS):
                chosen = ((choices == choice) & (draw.depths > step)).nonzero()[:, 0].to(images.device)
                if len(chosen):
                    chains[chosen] = operation(chains[chosen], levels[step, chosen])
        return chains
