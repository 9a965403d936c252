"""The interface of an upstream recipe, and the plainest one: the image itself and cross entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean cross entropy over the views; logits (V, N, C), labels (N,) int64."""
    return functional.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))


class Recipe(Protocol):
    """What an upstream recipe does to an image and to the loss."""

    name: str

    def views(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 RGB (H, W, 3) -> uint8 (V, H, W, 3); every random choice comes from ``rng``."""
        ...

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits (V, N, C) and labels (N,) -> scalar."""
        ...


@dataclass(frozen=True)
class Regular:
    """Standard training: one view, cross entropy."""

    name: str = "regular"

    def views(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The image alone, as (1, H, W, 3)."""
        return image[None]

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy."""
        return cross_entropy(logits, labels)
