"""What an upstream recipe is: what it does to a batch, and to the loss.

A recipe is a frozen dataclass whose fields are its published defaults. Most are a pure function of a batch and of a
generator. What also needs the network that is being trained, or learns something beside it, gives an `Augmenter` of
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch.nn import functional


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean cross entropy over the views; logits (V, N, C), labels (N,) int64."""
    return functional.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))


class Learner(Protocol):
    """What a recipe may ask of the classifier that it trains; `robnb.models.classifier.Classifier` is one."""

    training: bool

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB, uint8 or float in [0, 1] -> (N, C) float32; differentiable in float images."""
        ...

    def train(self, mode: bool = True) -> Learner:
        """As in torch."""
        ...


@dataclass(frozen=True)
class Setting:
    """In what a recipe is at work.

    Attributes:
        iterations: of the training.
        image_size: side of the square training images, in pixels.
        networks: files of the helper networks that the recipe names, by name.
    """

    iterations: int
    image_size: int
    networks: Mapping[str, Path] = field(default_factory=dict)


class Augmenter(Protocol):
    """A recipe at work in one training. Its draws come from torch's global generator, keyed by the iteration.

    Its state is kept in the training's checkpoints: plain tensors, numbers and containers of them.
    """

    def views(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What the classifier is to learn from: uint8 RGB (N, 3, H, W) -> (V, N, 3, H, W), uint8 or float in [0, 1]."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it has learned so far."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        ...


def drawn_generator(device: torch.device) -> torch.Generator:
    """A generator on a device. One draw of torch's global generator decides all of its own."""
    return torch.Generator(device).manual_seed(int(torch.randint(2**63 - 1, ())))


@contextmanager
def attacking(learner: Learner) -> Iterator[None]:
    """A block in which the network is in eval mode, so that looking for what harms it moves no BatchNorm statistics."""
    before = learner.training
    learner.train(False)
    try:
        yield
    finally:
        learner.train(before)


@dataclass(frozen=True)
class Recipe:
    """Base of the recipes, and the plainest one: the image itself and cross entropy.

    Attributes:
        name: as in ``architecture.weights``.
        parent: the recipe whose trained weights the training begins with; "" begins with random ones.
        networks: helper networks that have to be trained first, see `robnb.pretrain.networks`.
    """

    name: str = "regular"
    parent: str = ""
    networks: ClassVar[tuple[str, ...]] = ()

    @property
    def passes(self) -> float:
        """What a training image costs the network, in forward and backward passes of a plain training.

        Counted with a backward pass as two forward passes, or one where it is to the pixels alone.
        """
        return 1.0

    def views(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(N, 3, H, W) -> (V, N, 3, H, W); every random choice comes from ``generator``, on the images' device."""
        return images[None]

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits (V, N, C) of the views and labels (N,) -> scalar."""
        return cross_entropy(logits, labels)

    def augmenter(self, learner: Learner, setting: Setting) -> Augmenter:
        """The recipe at work on a classifier."""
        return Stateless(self)


@dataclass(frozen=True)
class Stateless:
    """The `Augmenter` of a recipe that needs nothing but its images."""

    recipe: Recipe

    def views(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The recipe's, drawn anew."""
        return self.recipe.views(images, drawn_generator(images.device))

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to go on from."""


#: Standard training.
REGULAR = Recipe()
