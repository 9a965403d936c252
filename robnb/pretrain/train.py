"""Training a classifier by a recipe, with whatever the recipe needs to be there first."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from torch.utils.data import default_collate

from robnb import launch
from robnb.augment import recipe_named
from robnb.augment.recipe import Setting
from robnb.data.crops import TrainingCrops
from robnb.data.sources import TaskData
from robnb.models.architectures import Architecture, architecture_named
from robnb.models.classifier import Classifier, load_published
from robnb.pretrain.networks import train_network
from robnb.pretrain.spec import PretrainSpec
from robnb.recipes.optimization import short_training
from robnb.store import Store
from robnb.training import fit, initialise, load_trained, state_of


def pretrain(spec: PretrainSpec, data: TaskData, store: Store, workers: int = 0, start: Path | None = None) -> Path:
    """Train a classifier and keep its weights; returns the file.

    What it begins with and what its recipe needs is trained first, unless the store has it. The file is a flat state
    dict with ``backbone.*`` and ``head.*``; `load_backbone` takes it as it takes a published one.

    Args:
        start: the published file whose key is ``spec.start``.
    """
    parent, networks = None, {}
    if not store.has(spec):  # outside of its own work, whose time the store keeps
        parent = pretrain(spec.parent, data, store, workers) if spec.parent else None
        networks = {one.network: train_network(one, data, store, workers) for one in spec.networks}
    with store.work(spec) as folder:
        if folder is not None:
            given = {"spec": spec, "data": data, "folder": folder, "workers": workers}
            given |= {"parent": parent, "start": start, "networks": networks}
            launch.together(train, given, spec.processes, folder / "scratch")
    return store.folder(spec) / "weights.pth"


def train(
    spec: PretrainSpec,
    data: TaskData,
    folder: Path,
    workers: int,
    parent: Path | None,
    start: Path | None,
    networks: dict[str, Path],
) -> None:
    """Train in this process, or as one of several, and write ``folder``/weights.pth.

    Args:
        parent: weights to begin with that robnb trained.
        start: weights to begin with that are published.
        networks: weights of the recipe's helper networks.
    """
    images = data.open("train")
    model, architecture = learner(spec, len(images.classes), networks), architecture_named(spec.architecture)
    if parent is not None:
        load_trained(model, parent)
    elif start is not None:
        load_published(model, start)
    fit(
        model,
        TrainingCrops(images, spec.image_size, data.flip, spec.crop),
        default_collate,
        spec.budget,
        **short_training(architecture.family, spec.budget),
        scope="mmengine",
        seed=spec.seed,
        folder=folder / "scratch",
        label=f"pretrain {spec.architecture}.{spec.recipe}",
        workers=workers,
        unused_parameters=has_unused_parameters(architecture),
        beside=model.augmenter,
    )
    if is_main_process():
        torch.save(state_of(model), folder / "weights.pth")


def learner(spec: PretrainSpec, classes: int, networks: dict[str, Path]) -> Classifier:
    """The classifier with random weights, ready to learn by the recipe."""
    recipe = recipe_named(spec.recipe)
    model = initialise(partial(Classifier, architecture_named(spec.architecture), classes), spec.seed)
    setting = Setting(spec.budget.iterations, spec.image_size, networks)
    return model.learn_by(recipe, recipe.augmenter(model, setting), spec.execution)


def has_unused_parameters(architecture: Architecture) -> bool:
    """Whether a classifier trains parameters without gradient: mmdet's Swin norms all maps; only the last is read."""
    return architecture.family == "swin" and not architecture.timm
