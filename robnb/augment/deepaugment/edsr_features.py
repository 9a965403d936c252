"""The distortions of EDSR's features, as DeepAugment's release draws them (EDSR_distort_imagenet.py).

Every image has one of four behind the network's head and one of five in its body, each with even odds. Numbers of
channels and blocks are shares of the published 64 and 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from robnb.augment.deepaugment.draws import Draws, share
from robnb.augment.deepaugment.edsr_weights import PUBLISHED_BLOCKS

HEAD = ("swap", "zeros", "signs", "none")
BODY = ("negate", "activate", "flip", "skip", "none")


def swap_channels(features: torch.Tensor, draws: Draws, as_released: bool = True) -> torch.Tensor:
    """Five of 64 pairs of channels, one after the other, in (C, H, W).

    The release exchanges views of one tensor, so that both end as the second channel was; ``as_released`` keeps this.
    """
    changed = features.clone()
    for one, other in draws.rng.integers(len(changed), size=(share(5, len(changed), 64), 2)).tolist():
        if as_released:
            changed[one] = changed[other]
        else:
            changed[[one, other]] = changed[[other, one]]
    return changed


def zeros(features: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Every value is zeroed with odds of 0.05."""
    return features * (draws.uniform(features.shape) >= 0.05)


def signs(features: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Every value is negated with odds of 0.025."""
    return torch.where(draws.uniform(features.shape) >= 0.025, features, -features)


def activate(features: torch.Tensor, draws: Draws) -> torch.Tensor:
    """ReLU, or GELU with odds of two thirds."""
    return functional.relu(features) if draws.rng.integers(3) == 0 else functional.gelu(features)


def flip(features: torch.Tensor, draws: Draws) -> torch.Tensor:
    """(C, H, W) with its channels in reverse order and upside down, or mirrored with odds of two thirds."""
    return features.flip(0, 1) if draws.rng.integers(3) == 0 else features.flip(0, 2)


def skip_blocks(body: nn.Sequential, features: torch.Tensor, draws: Draws, as_released: bool = True) -> torch.Tensor:
    """The body of (N, C, H, W) without three of its 16 blocks, drawn with replacement from the third on.

    The last convolution is drawn from too. In the release every block that is kept reads ``features``, so that the last
    one that is kept is all that counts; ``as_released`` keeps this.
    """
    blocks = len(body) - 1
    places = draws.rng.integers(2, PUBLISHED_BLOCKS + 1, size=share(3, blocks, PUBLISHED_BLOCKS))
    skipped = set((places * blocks // PUBLISHED_BLOCKS).tolist())
    kept = [module for i, module in enumerate(body) if i not in skipped]
    residual = features
    for module in kept[-1:] if as_released else kept:
        residual = module(residual)
    return residual


@dataclass(frozen=True)
class EDSRFeatures:
    """What happens to the features of each image of a batch.

    Attributes:
        head, body: indices into `HEAD` and `BODY`, for each image.
        as_released: see `swap_channels` and `skip_blocks`.
    """

    head: np.ndarray
    body: np.ndarray
    draws: Draws
    as_released: bool = True

    @classmethod
    def drawn(cls, count: int, draws: Draws, as_released: bool) -> EDSRFeatures:
        """For ``count`` images."""
        head, body = (draws.rng.integers(len(options), size=count) for options in (HEAD, BODY))
        return cls(head, body, draws, as_released)

    def behind_head(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return torch.stack([self._of_head(HEAD[option], one) for option, one in zip(self.head, features, strict=True)])

    def through(self, body: nn.Sequential, features: torch.Tensor) -> torch.Tensor:
        """The body's output. It is distorted behind the first five of 16 blocks, unless blocks are skipped."""
        names = [BODY[option] for option in self.body]
        cut = share(5, len(body) - 1, PUBLISHED_BLOCKS)
        middle = body[:cut](features)
        middle = torch.stack([self._of_body(name, one) for name, one in zip(names, middle, strict=True)])
        residual = body[cut:](middle)
        for i in (i for i, name in enumerate(names) if name == "skip"):
            residual[i] = skip_blocks(body, features[i : i + 1], self.draws, self.as_released)[0]
        return residual

    def _of_head(self, name: str, features: torch.Tensor) -> torch.Tensor:
        if name == "swap":
            return swap_channels(features, self.draws, self.as_released)
        if name == "zeros":
            return zeros(features, self.draws)
        return signs(features, self.draws) if name == "signs" else features

    def _of_body(self, name: str, features: torch.Tensor) -> torch.Tensor:
        if name == "negate":
            return -features
        if name == "activate":
            return activate(features, self.draws)
        return flip(features, self.draws) if name == "flip" else features
