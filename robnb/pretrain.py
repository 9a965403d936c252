"""Upstream training: a backbone learns to classify, by one of the recipes in `robnb.augment`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from mmengine.dist import is_main_process
from torch.utils.data import Dataset, default_collate
from torchvision.transforms import v2

from robnb import launch
from robnb.augment import recipe_named
from robnb.augment.regular import Recipe
from robnb.data.sources import TaskData
from robnb.models.architectures import Architecture, architecture_named
from robnb.models.classifier import Classifier
from robnb.recipes.optimization import short_training
from robnb.seeding import generator
from robnb.store import Spec, Store
from robnb.training import Budget, fit, initialise, state_of


@dataclass(frozen=True)
class PretrainSpec(Spec):
    """One upstream training; everything its weights depend on.

    Attributes:
        architecture: a name in `robnb.models.architectures`, or timm's.
        recipe: a name in `robnb.augment.RECIPES`.
        data: fingerprint of the upstream training set.
        image_size: side in pixels of the square training crops.
        processes: how many train together, on one GPU each. They share each batch evenly and average their gradients,
            but each normalises by the BatchNorm statistics of its own share, so the weights depend on their number.

    Raises:
        UserError: the processes cannot share a batch evenly.
    """

    kind: ClassVar[str] = "pretrain"
    architecture: str
    recipe: str
    data: str
    image_size: int
    budget: Budget
    seed: int
    processes: int = 1

    def __post_init__(self) -> None:
        launch.share(self.budget.batch_size, self.processes)


class TrainingCrops(Dataset):
    """Labelled images as training batches want them: a random resized crop, then the recipe's views.

    Gives ``{"inputs": (V, 3, size, size) uint8, "labels": int}``. Draws come from numpy's and torch's global
    generators, which `robnb.training.KeyedBatches` sets for every position.

    Args:
        area, ratio: least and greatest share of the image's area, and ratio of the sides, of a crop.
    """

    def __init__(
        self,
        images: Dataset,
        recipe: Recipe,
        size: int,
        flip: bool,
        area: tuple[float, float] = (0.8, 1.0),
        ratio: tuple[float, float] = (0.9, 1.11),
    ) -> None:
        self.images, self.recipe = images, recipe
        steps = [v2.RandomResizedCrop(size, scale=area, ratio=ratio, antialias=True)]
        self.crop = v2.Compose([*steps, *([v2.RandomHorizontalFlip()] if flip else [])])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        sample = self.images[index]
        pixels = self.crop(torch.from_numpy(sample.image).permute(2, 0, 1))
        rng = generator("views", int(np.random.randint(2**31)))
        views = self.recipe.views(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), rng)
        return {"inputs": torch.from_numpy(views).permute(0, 3, 1, 2), "labels": sample.target}


def pretrain(spec: PretrainSpec, data: TaskData, store: Store, workers: int = 0) -> Path:
    """Train a classifier from scratch and keep its weights; returns the file.

    The file is a flat state dict with ``backbone.*`` and ``head.*``; `load_backbone` takes it as it takes a
    published one.
    """
    with store.work(spec) as folder:
        if folder is not None:
            given = {"spec": spec, "data": data, "folder": folder, "workers": workers}
            launch.together(train, given, spec.processes, folder / "scratch")
    return store.folder(spec) / "weights.pth"


def train(spec: PretrainSpec, data: TaskData, folder: Path, workers: int) -> None:
    """Train in this process, or as one of several, and write ``folder``/weights.pth."""
    recipe = recipe_named(spec.recipe)
    images = data.open("train")
    architecture = architecture_named(spec.architecture)
    build = partial(Classifier, architecture, len(images.classes), view_loss=recipe.loss)
    model = fit(
        initialise(build, spec.seed),
        TrainingCrops(images, recipe, spec.image_size, data.flip),
        default_collate,
        spec.budget,
        **short_training(architecture.family, spec.budget),
        scope="mmengine",
        seed=spec.seed,
        folder=folder / "scratch",
        label=f"pretrain {spec.architecture}.{spec.recipe}",
        workers=workers,
        unused_parameters=has_unused_parameters(architecture),
    )
    if is_main_process():
        torch.save(state_of(model), folder / "weights.pth")


def has_unused_parameters(architecture: Architecture) -> bool:
    """Whether a classifier trains parameters without gradient: mmdet's Swin norms all maps; only the last is read."""
    return architecture.family == "swin" and not architecture.timm
