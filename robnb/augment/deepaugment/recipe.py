"""DeepAugment (Hendrycks et al., ICCV 2021, arXiv:2006.16241): images by distorted image-to-image networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from robnb.augment.augmix import AugMix
from robnb.augment.deepaugment.draws import Draws
from robnb.augment.deepaugment.networks import Distorter, load_network
from robnb.augment.prime.pixels import unit
from robnb.augment.recipe import Augmenter, Learner, Recipe, Setting, Stateless, drawn_generator
from robnb.errors import UserError


@dataclass(frozen=True)
class DeepAugment(Recipe):
    """A third of the images as they are, a third through a distorted EDSR, a third through a distorted CAE.

    The published way makes one distorted copy of the whole training set with each network beforehand and trains on the
    three sets joined, shuffled. Here images are distorted on the device as they are needed: the same distribution of an
    image, drawn anew every time, and no two more copies of ImageNet on disk. Three more differences: the published
    copies share weights in runs that go on for 20 images on average, here a batch ends a run; they were made of larger
    images before cropping; and they are JPEG files.

    Attributes:
        redraw: odds that an image gets other distorted weights than the one before it.
        as_released: keep two slips of the release, see `robnb.augment.deepaugment.edsr_features`.

    Raises:
        UserError: ``redraw`` is not within 0 and 1.
    """

    networks: ClassVar[tuple[str, ...]] = ("edsr", "cae")
    name: str = "deepaug"
    parent: str = "regular"
    redraw: float = 0.05
    as_released: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.redraw <= 1:
            raise UserError(f"DeepAugment's redraw is {self.redraw}: give odds from 0 to 1.")

    def augmenter(self, learner: Learner, setting: Setting) -> Augmenter:
        """The recipe with its trained networks.

        Raises:
            UserError: a network was not given, is not of this name, or does not fit the images.
        """
        for name in self.networks:
            if name not in setting.networks:
                raise UserError(f"{self.name} needs the helper network {name}: train it and give its file.")
        paths = setting.networks
        loaded = {name: load_network(name, paths[name], setting.image_size) for name in self.networks}
        return AtWork(self, {name: Distorter(net, self.redraw, self.as_released) for name, net in loaded.items()})

    def of_distorted(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The views of images that have been distorted: themselves, (N, 3, H, W) -> (1, N, 3, H, W)."""
        return images[None]


@dataclass(frozen=True)
class DeepAugmentAugMix(DeepAugment):
    """DeepAugment's images, then AugMix of them with its Jensen-Shannon loss.

    How the published model of this name was trained is not in its release: neither for how long, nor whether with that
    loss. `AugMix` with consistency 0 is without.
    """

    name: str = "deepaug_augmix"
    augmix: AugMix = field(default_factory=AugMix)

    @property
    def passes(self) -> float:
        """Three, as AugMix; the helper networks are not counted."""
        return self.augmix.passes

    def of_distorted(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The distorted images and two mixtures of each: (N, 3, H, W) -> (3, N, 3, H, W)."""
        return self.augmix.views(images, generator)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """AugMix's."""
        return self.augmix.loss(logits, labels)


@dataclass(frozen=True)
class AtWork(Stateless):
    """`DeepAugment` with its networks; it learns nothing."""

    recipe: DeepAugment
    distorters: Mapping[str, Distorter]

    @torch.no_grad()
    def views(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """uint8, or float in [0, 1], RGB (N, 3, H, W) -> (V, N, 3, H, W) float32 in [0, 1]."""
        generator = drawn_generator(images.device)
        distorted = self.distorted(images, Draws.of(generator))
        return self.recipe.of_distorted(distorted, generator)

    def distorted(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Each image as it is, or by one of the networks, with even odds: (N, 3, H, W) float32 in [0, 1]."""
        made = unit(images).clone()
        source = draws.rng.integers(1 + len(self.distorters), size=len(images))
        for number, distorter in enumerate(self.distorters.values(), start=1):
            rows = (source == number).nonzero()[0].tolist()
            if rows:
                made[rows] = distorter(made[rows], draws)
        return made
