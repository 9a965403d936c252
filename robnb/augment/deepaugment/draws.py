"""Where DeepAugment's random choices come from, and how published numbers fit networks of other sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

#: A network's parameters by name. Distortions put new tensors into such a dict and change none in place.
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Draws:
    """The sources of one batch's random choices.

    Attributes:
        rng: of every choice, and of noise on weights; the same on every device.
        generator: of noise as large as the images' features, on their device.
    """

    rng: np.random.Generator
    generator: torch.Generator

    @classmethod
    def of(cls, generator: torch.Generator) -> Draws:
        """Both from one: a draw of ``generator`` seeds the other."""
        seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
        return cls(np.random.default_rng(int(seed)), generator)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Noise in [0, 1) on the features' device."""
        return torch.rand(shape, generator=self.generator, device=self.generator.device)


def share(count: int, size: int, published: int) -> int:
    """How many of ``size`` stand for ``count`` of the ``published`` network's: the same share, at least one."""
    return max(1, round(count * size / published))


def noise(rng: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    """float32 noise in [0, 1), of a weight's shape."""
    return torch.from_numpy(rng.random(tuple(like.shape), dtype=np.float32))


def coins(rng: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    """0 or 1 with equal odds, of a weight's shape."""
    return noise(rng, like).round()
