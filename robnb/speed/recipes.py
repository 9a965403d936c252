"""What upstream training costs: a step by every recipe, and the ways to run the network while it learns.

A step is timed from a batch on the device to the new weights: the recipe makes its views, the network learns from
them. All learners take turns on the same batches, each in a whole training that is as long as there are steps to time.
So what a recipe does now and then (ANT's fresh generators) comes at its share of the steps. Weights are random, those
of helper networks too: that does not change the time of a step.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.utils.data import default_collate

from robnb.augment import recipe_named
from robnb.augment.deepaugment import network_for
from robnb.augment.recipe import REGULAR, Augmenter, Setting, Stateless
from robnb.data.crops import TrainingCrops
from robnb.data.sources import TaskData
from robnb.distributed import device
from robnb.models.architectures import architecture_named
from robnb.models.execution import Execution
from robnb.pretrain import PretrainSpec
from robnb.pretrain.networks import Reconstruction
from robnb.pretrain.train import learner
from robnb.recipes.optimization import short_optimizer
from robnb.seeding import seed_everything
from robnb.speed.timing import wait
from robnb.training import KeyedBatches, initialise, state_of

FLOAT32 = "float32"
#: In place of a way, for the training of a helper network.
HELPER = "helper network"
#: How the network can be run while it learns, from parts that are named as in `robnb.speed.sweep_speed.OPTIONS`.
#: float16 is not among them: its gradients vanish unless the loss is scaled, which upstream training does not do.
WAYS = {
    FLOAT32: Execution(),
    "channels_last": Execution(channels_last=True),
    "bfloat16": Execution(precision="bfloat16"),
    "bfloat16 + channels_last": Execution(precision="bfloat16", channels_last=True),
    "torch.compile": Execution(compile=True),
}
#: One row for each recipe, way and step, in seconds; ``views`` is the part of ``seconds`` in which the recipe makes
#: what the network learns from. A way that cannot be had has one row, whose ``reason`` says why.
COLUMNS = ["recipe", "way", "step", "images", "passes", "seconds", "views", "loss", "reason"]
#: Steps before the training that is timed: the first compiles, and torch.compile does so again when a size changes.
WARM_UP = 2
#: Helper networks learn by the optimizer of this family, see `robnb.pretrain.networks`.
NETWORKS_FAMILY = "swin"
#: Small enough for random weights without a warm-up.
_LR = 1e-3


def ways(options: Collection[str]) -> list[str]:
    """The names in `WAYS` of float32, and of all whose parts are among the options."""
    return [name for name in WAYS if name == FLOAT32 or set(name.split(" + ")) <= set(options)]


class Timed:
    """An `Augmenter` that adds up how long its views take."""

    def __init__(self, augmenter: Augmenter, where: str) -> None:
        self._augmenter, self._where, self.seconds = augmenter, where, 0.0

    def views(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The augmenter's."""
        start = time.perf_counter()
        made = self._augmenter.views(images, labels)
        wait(self._where)
        self.seconds += time.perf_counter() - start
        return made


class Learning:
    """A network in training, one step at a time."""

    def __init__(self, model: nn.Module, family: str, seed: int) -> None:
        self.model, self._seed, self._where = model.to(device()).train(), seed, str(device())
        self._wrapper = build_optim_wrapper(self.model, short_optimizer(family, _LR))
        self._timed = Timed(Stateless(REGULAR), self._where)

    def begin(self, augmenter: Augmenter) -> None:
        """From now on a classifier learns from this augmenter's views."""
        self.model.augmenter = self._timed = Timed(augmenter, self._where)

    def step(self, batch: dict[str, torch.Tensor], number: int) -> dict[str, float]:
        """Train on a batch on the device, with the draws of step ``number``: its seconds, those of views, its loss."""
        seed_everything("train", self._seed, number)
        self._timed.seconds = 0.0
        wait(self._where)
        start = time.perf_counter()
        losses = self.model.train_step(batch, self._wrapper)
        wait(self._where)
        taken = time.perf_counter() - start
        return {"seconds": taken, "views": self._timed.seconds, "loss": losses["loss"].item()}


def compare(spec: PretrainSpec, data: TaskData, tried: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Train by recipes, run in ways, in turns on the same batches.

    Args:
        spec: what the trainings have in common: architecture, crops, batch size, and as iterations the steps to time.
        tried: (recipe, name of a way in `WAYS`).

    Returns:
        `COLUMNS`.
    """
    # One training has batches of one size; without this, those of the others would have it compiled for all sizes.
    with torch._dynamo.config.patch(automatic_dynamic_shapes=False):
        return pd.DataFrame(_in_turns(spec, data, tried), columns=COLUMNS)


def _in_turns(spec: PretrainSpec, data: TaskData, tried: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    learning: dict[tuple[str, str], Learning] = {}
    batches = _batches(spec, data)
    for recipe, way in tried:
        try:
            learning[recipe, way] = _warm(_of(spec, recipe, way), data, batches[0])
        except Exception as error:  # a missing compiler, an operation without a kernel for the type: all kinds
            if way == FLOAT32:
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            rows.append({"recipe": recipe, "way": way, "reason": reason})
    for number, batch in enumerate(batches):
        for (recipe, way), one in learning.items():
            about = {"recipe": recipe, "way": way, "step": number, "reason": ""}
            about |= {"images": len(batch["labels"]), "passes": recipe_named(recipe).passes}
            rows.append(about | one.step(batch, number))
    return rows


def _warm(spec: PretrainSpec, data: TaskData, batch: dict[str, torch.Tensor]) -> Learning:
    """A classifier after some steps, with its recipe at the beginning."""
    with TemporaryDirectory() as folder:
        networks = random_networks(spec, Path(folder))
        model = learner(spec, len(data.classes), networks)
        one = Learning(model, architecture_named(spec.architecture).family, spec.seed)
        one.begin(model.augmenter)
        for number in range(WARM_UP):
            one.step(batch, number)
        setting = Setting(spec.budget.iterations, spec.image_size, networks)
        one.begin(model.recipe.augmenter(model, setting))
    return one


def _of(common: PretrainSpec, recipe: str, way: str) -> PretrainSpec:
    return replace(common, recipe=recipe, execution=WAYS[way], parent=None, networks=())


def _batches(spec: PretrainSpec, data: TaskData) -> list[dict[str, torch.Tensor]]:
    """Those of the training of this spec, on the device."""
    size, count = spec.budget.batch_size, spec.budget.iterations
    crops = TrainingCrops(data.open("train"), spec.image_size, data.flip, spec.crop)
    keyed = KeyedBatches(crops, spec.seed, count * size)
    batches = [default_collate([keyed[number * size + place] for place in range(size)]) for number in range(count)]
    return [{name: tensor.to(device()) for name, tensor in batch.items()} for batch in batches]


def helpers(spec: PretrainSpec, data: TaskData, recipes: Sequence[str]) -> pd.DataFrame:
    """Train the recipes' helper networks on the same batches: `COLUMNS`, with the network's name as the recipe.

    Args:
        spec: as in `compare`.
    """
    rows: list[dict[str, Any]] = []
    batches = _batches(spec, data)
    for name in dict.fromkeys(name for recipe in recipes for name in recipe_named(recipe).networks):
        one = Learning(reconstruction(name, spec.image_size, spec.seed), NETWORKS_FAMILY, spec.seed)
        for number in range(WARM_UP):
            one.step(batches[0], number)
        for number, batch in enumerate(batches):
            about = {"recipe": name, "way": HELPER, "step": number, "images": len(batch["labels"]), "reason": ""}
            rows.append(about | one.step(batch, number))
    return pd.DataFrame(rows, columns=COLUMNS)


def reconstruction(network: str, image_size: int, seed: int) -> Reconstruction:
    """A helper network with random weights, as it is trained."""
    return initialise(lambda: Reconstruction(network_for(network, image_size)), seed)


def random_networks(spec: PretrainSpec, folder: Path) -> dict[str, Path]:
    """Files with random weights for the helper networks that a recipe wants, by name."""
    files = {name: folder / f"{name}.pth" for name in recipe_named(spec.recipe).networks}
    for name, path in files.items():
        torch.save(state_of(reconstruction(name, spec.image_size, spec.seed).network), path)
    return files
