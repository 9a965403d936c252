"""PRIME (Modas et al., ECCV 2022, arXiv:2112.13547): chains of random primitives, mixed with the image.

A chain applies one to three primitives; each is chosen uniformly for each image and chain, and chains are mixed as
`robnb.augment.mixture` says. What the primitives draw once per call is shared by all images and chains of that step, as
in the release.

Normalisation does not appear: it is affine and the weights sum to one, so it may come before the mixing, as in the
release, or after it, as here.

All randomness is in a `Draw`, which knows nothing of the images' size or device, so images of several sizes can share
one. The same call gives the same pictures. Another grouping of the images, or float instead of uint8, changes their
last digits, and a steep colour curve later in a chain amplifies that, up to a thousandfold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from robnb.augment.augmix import AugMix
from robnb.augment.mixture import drawn_weights, mixed
from robnb.augment.prime.colour import SmoothColour
from robnb.augment.prime.diffeomorphism import Diffeomorphism
from robnb.augment.prime.filters import RandomFilter
from robnb.augment.prime.pixels import unit
from robnb.augment.recipe import Recipe, cross_entropy
from robnb.errors import UserError

#: The longest chain when depth is random.
MAX_DEPTH = 3
#: Values (64 MiB of float32) that the chains of one pass hold; larger batches go through in several passes.
_PASS = 2**24


class Transform(Protocol):
    """A primitive with its draws: what it does to (R, 3, H, W), uint8 or float32 in [0, 1]."""

    def of(self, rows: torch.Tensor) -> Transform:
        """The part for some rows (int64 indices on the CPU)."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """float32 in [0, 1], of the same shape."""
        ...


class Primitive(Protocol):
    """A family of transforms."""

    def draw(self, rows: int, generator: torch.Generator) -> Transform:
        """A transform for ``rows`` rows, with every random choice from ``generator``."""
        ...


@dataclass(frozen=True)
class Draw:
    """Everything random in one call of `Prime` on B images; row ``b * width + i`` is chain i of image b.

    Attributes:
        weights: (B, width) float, of the chains.
        share: (B,) float, of the mixture; the image keeps the rest.
        depths: (B * width,) int64 on the CPU.
        choices: (steps, B * width) int64 on the CPU, the primitive of each step.
        transforms: for each step, one of each primitive.
    """

    weights: torch.Tensor
    share: torch.Tensor
    depths: torch.Tensor
    choices: torch.Tensor
    transforms: tuple[tuple[Transform, ...], ...]


@dataclass(frozen=True)
class Prime(Recipe):
    """PRIME with the release's ImageNet values.

    Attributes:
        primitives: what a chain chooses from.
        width: chains that are mixed.
        depth: primitives in a chain, or -1 for 1 to 3, uniform for each image and chain.
        consistency: weight of the Jensen-Shannon term. 0, as on ImageNet in the release, trains on the mixed image
            alone; 12 is its value with JSD.

    Raises:
        UserError: width, depth, consistency or the set of primitives is out of range.
    """

    name: str = "prime"
    parent: str = "regular"
    primitives: tuple[Primitive, ...] = (Diffeomorphism(), SmoothColour(), RandomFilter())
    width: int = 3
    depth: int = -1
    consistency: float = 0.0

    def __post_init__(self) -> None:
        if not self.primitives:
            raise UserError("PRIME without primitives changes nothing: give at least one.")
        if self.width < 1:
            raise UserError(f"PRIME's width is {self.width}: give the number of chains to mix, 1 or more.")
        if self.depth != -1 and self.depth < 1:
            raise UserError(f"PRIME's depth is {self.depth}: give 1 or more, or -1 for 1 to {MAX_DEPTH} at random.")
        if self.consistency < 0:
            raise UserError(f"PRIME's consistency is {self.consistency}: give 0 (no such term) or a positive weight.")

    @property
    def passes(self) -> float:
        """One, or three with JSD."""
        return 3.0 if self.consistency else 1.0

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """All random choices for ``count`` images; tensors stay on the generator's device unless `Draw` says CPU."""
        device, rows = generator.device, count * self.width
        weights, share = drawn_weights(count, self.width, generator)
        steps = MAX_DEPTH if self.depth == -1 else self.depth
        shallowest = 1 if self.depth == -1 else self.depth
        return Draw(
            weights=weights,
            share=share,
            depths=torch.randint(shallowest, steps + 1, (rows,), generator=generator, device=device).cpu(),
            choices=torch.randint(len(self.primitives), (steps, rows), generator=generator, device=device).cpu(),
            transforms=tuple(
                tuple(primitive.draw(rows, generator) for primitive in self.primitives) for _ in range(steps)
            ),
        )

    @torch.no_grad()
    def apply(self, images: torch.Tensor, draw: Draw, first: int = 0) -> torch.Tensor:
        """The mixed images that a draw makes.

        Args:
            images: (B, 3, H, W) RGB, uint8 or float in [0, 1]. uint8 is faster by about a third.
            first: which image of the draw the first of these is.

        Returns:
            (B, 3, H, W) float32 in [0, 1], up to rounding.

        Raises:
            UserError: the images are of another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
            raise UserError(f"PRIME was given images of shape {tuple(images.shape)}: give it (B, 3, H, W).")
        size = max(1, _PASS // (self.width * images[0].numel()))
        parts = images.split(size)
        return torch.cat([self._mixed(part, draw, first + size * i) for i, part in enumerate(parts)])

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`apply` with a draw from ``generator``, which may be on another device than the images."""
        return self.apply(images, self.draw(len(images), generator))

    def views(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """What a training step sees: (V, B, 3, H, W) float32, the mixed images, or images and two mixtures with JSD."""
        if not self.consistency:
            return self(images, generator)[None]
        return torch.stack([unit(images), self(images, generator), self(images, generator)])

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the one view, or AugMix's loss on the three, from logits (V, N, C) and labels (N,)."""
        if not self.consistency:
            return cross_entropy(logits, labels)
        return AugMix(consistency=self.consistency).loss(logits, labels)

    def _mixed(self, images: torch.Tensor, draw: Draw, first: int) -> torch.Tensor:
        chains = self._chains(images, draw, first * self.width).unflatten(0, (len(images), self.width))
        of_these = slice(first, first + len(images))
        return mixed(unit(images), chains, draw.weights[of_these], draw.share[of_these])

    def _chains(self, images: torch.Tensor, draw: Draw, first: int) -> torch.Tensor:
        """(B, 3, H, W) -> (B * width, 3, H, W) float32; ``first`` is the first row of the draw that is meant."""
        rows = len(images) * self.width
        chains = torch.empty((rows, *images.shape[1:]), device=images.device)
        depths, choices = (drawn[..., first : first + rows] for drawn in (draw.depths, draw.choices))
        for step, transforms in enumerate(draw.transforms):
            for choice, transform in enumerate(transforms):
                chosen = ((choices[step] == choice) & (depths > step)).nonzero()[:, 0]
                if len(chosen) == 0:
                    continue
                here = chosen.to(images.device)
                # The first step reads the images themselves: bytes, if they are bytes.
                source = images[here // self.width] if step == 0 else chains[here]
                chains[here] = transform.of(chosen + first)(source)
        return chains


#: Upstream training as in the release's ImageNet configuration, without and with JSD.
PRIME = Prime()
PRIME_JSD = Prime(name="prime_jsd", consistency=12.0)
#: During transfer the primitive that moves pixels is left out, so that boxes and masks stay true (but for the pixel by
#: which the released filters move the picture).
PRIME_TRANSFER = Prime(name="prime_transfer", primitives=(SmoothColour(), RandomFilter()))
