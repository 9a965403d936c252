"""What comes before any transfer in a study: its data, its store, its backbones."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from robnb import assets, parameters, published
from robnb.assets import Asset
from robnb.augment import recipe_named
from robnb.augment.adversarial import adversarial_named
from robnb.augment.recipe import REGULAR
from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.errors import UserError
from robnb.evaluation.trained import TrainedModel
from robnb.models.architectures import BackboneName, architecture_named
from robnb.models.backbones import millions
from robnb.models.classifier import Classifier
from robnb.names import PRETRAINED, TASKS, choose
from robnb.pretrain import NetworkSpec, PretrainSpec, pretrain
from robnb.published import Shelf, Start
from robnb.recipes.switches import CORRECTED
from robnb.settings import LARGER_SET, Settings, upstream_set
from robnb.store import Store
from robnb.tables import ARM

#: What a control has as much of as a recipe: forward and backward passes (compute), or steps, whatever they cost.
CONTROLS = ("passes", "steps")
#: The helper networks' own seed: backbones of all seeds share them, as DeepAugment's published ones are shared.
_NETWORKS_SEED = 0


def pretrain_spec(settings: Settings, name: str, seed: int, data: str) -> PretrainSpec:
    """The training of ``architecture.weights``, with those that have to come before it.

    Args:
        data: fingerprint of the upstream training set.
    """
    backbone = BackboneName.parse(name)
    weights, _ = upstream_set(backbone.weights)
    recipe, size = recipe_named(weights), settings.scales["upstream"][-1]
    parent = f"{backbone.architecture}.{recipe.parent}"
    crop = "mild_crop" if settings.data == "miniworld" else "full_crop"  # a digit's crop may lack the digit
    return PretrainSpec(
        architecture=backbone.architecture,
        recipe=recipe.name,
        data=data,
        image_size=size,
        budget=settings.budget("upstream", name),
        seed=seed,
        processes=settings.processes,
        crop=crop,
        execution=settings.pretraining_options,
        parent=pretrain_spec(settings, parent, seed, data) if recipe.parent else None,
        networks=tuple(
            NetworkSpec(network, data, size, settings.network_budget, _NETWORKS_SEED, crop)
            for network in recipe.networks
        ),
    )


def control_spec(settings: Settings, spec: PretrainSpec, same: str) -> PretrainSpec | None:
    """Regular training of the same network that is at least as long; None for Regular itself.

    Args:
        same: one of `CONTROLS`. As many passes are rounded up by a tenth of Regular's own length at most, so that
            recipes of like cost share a control.
    """
    if spec.recipe == REGULAR.name:
        return None
    regular = pretrain_spec(settings, f"{spec.architecture}.{REGULAR.name}", spec.seed, spec.data)
    rounded = max(1, regular.budget.iterations // 10)
    as_costly = math.ceil(spec.passes / regular.budget.batch_size / rounded) * rounded
    iterations = as_costly if same == "passes" else spec.steps
    return replace(regular, budget=replace(regular.budget, iterations=max(iterations, regular.budget.iterations)))


def seconds(spec: PretrainSpec, store: Store) -> float:
    """How long a finished training took, with its parents and helper networks, as the store tells.

    A training that was interrupted has kept only the time since it was last begun.
    """
    return sum(_seconds_of(one, store) for one in _with_those_before(spec))


def _with_those_before(spec: PretrainSpec) -> Iterator[PretrainSpec | NetworkSpec]:
    yield spec
    yield from spec.networks
    if spec.parent is not None:
        yield from _with_those_before(spec.parent)


def _seconds_of(spec: PretrainSpec | NetworkSpec, store: Store) -> float:
    return float(json.loads((store.folder(spec) / "provenance.json").read_text())["seconds"])


@dataclass(frozen=True, kw_only=True)
class Upstream(Settings):
    """The part of a study that comes before any transfer: its data, its store, its backbones."""

    @cached_property
    def folder(self) -> Path:
        """Where this notebook's tables and figures go: outputs/<profile>/<notebook>, or <notebook>@<variation>."""
        return parameters.products_folder(self.outputs, self.profile, self.notebook, self.variation)

    @cached_property
    def store(self) -> Store:
        """The store that all notebooks of a profile share."""
        return Store(self.store_root)

    @property
    def store_root(self) -> Path:
        """Where the store is, or will be."""
        return self.folder.parent / "store"

    @cached_property
    def needed_assets(self) -> tuple[Asset, ...]:
        """The published weights and data sets that this study reads."""
        return published.needed_assets(self)

    @cached_property
    def tasks(self) -> dict[str, sources.TaskData]:
        """The data of each task: made (miniworld) or found (paper).

        Raises:
            UserError: lists every missing file of the paper's assets.
        """
        if self.data == "paper":
            assets.require(self.needed_assets, self.places)
            return self._paper_tasks()
        return self._miniworld(MiniworldSpec(**self._miniworld_counts()))

    def _miniworld(self, spec: MiniworldSpec) -> dict[str, sources.TaskData]:
        """The four data sets of a miniworld, which is made if it is not there."""
        store_root = self.store.root  # checks that the output folder can be written, before any work
        root = make_miniworld(spec, store_root.parent / "data", self.workers or 1)
        return sources.miniworld(root, fingerprint(root))

    @cached_property
    def larger_upstream(self) -> sources.TaskData:
        """Miniworld's larger upstream set: the usual one's training images and more, and the same test images."""
        counts = {"upstream_train": self.miniworld[LARGER_SET]}
        if "upstream_val" in self.miniworld:
            counts["upstream_val"] = self.miniworld["upstream_val"]
        others = [f"{task}_{part}" for task in TASKS if task != "upstream" for part in ("train", "val")]
        least = dict.fromkeys(others, 10)
        return self._miniworld(MiniworldSpec(**counts, **least, seed=self.seed))["upstream"]

    def _paper_tasks(self) -> dict[str, sources.TaskData]:
        copies = self.classifier_images == "published"
        crops = {
            "upstream": self.classifier_images != "own_size",
            "classification": self.protocol["cifar_size"] == CORRECTED and not copies,
        }
        wanted = [task for task, crop in crops.items() if crop and task in self.budgets]
        prepare = {task: (*self.scales[task], "bilinear") for task in wanted}
        folders = {key: self.places.folder(key) for key in assets.DEFAULTS}
        found = sources.paper(folders, copies=copies, prepare=prepare)
        return {task: self._as_accepted(data) for task, data in found.items()}

    def _as_accepted(self, data: sources.TaskData) -> sources.TaskData:
        """A subset, or what else was accepted in a data set's place, is other data than the release."""
        content = assets.accepted_content(assets.data_of_task(data.task), self.places)
        return replace(data, fingerprint=f"{data.fingerprint}, accepted {content}") if content else data

    def _miniworld_counts(self) -> dict[str, int]:
        known = [field.name for field in fields(MiniworldSpec) if field.name != "seed"]
        for name in self.miniworld:
            choose(name, [*known, LARGER_SET], "split of miniworld")
        return {**{name: count for name, count in self.miniworld.items() if name != LARGER_SET}, "seed": self.seed}

    def pretrain(self) -> list[TrainedModel]:
        """The upstream classifier of every backbone and training seed: trained here, or published."""
        if self.data == "paper":
            seed = self.training_seeds[0]  # what is published has one seed
            return [
                self._pretrained(name, seed) if self.made_here(name) else self._published(name)
                for name in self.backbones
            ]
        return [self._pretrained(name, seed) for seed in self.training_seeds for name in self.backbones]

    def _published(self, name: str) -> TrainedModel:
        return self.shelf.classifier(name, self.tasks["upstream"], tuple(self.scales["upstream"]))

    @cached_property
    def shelf(self) -> Shelf:
        """The published models."""
        trained = published.trained_assets(self.trained)
        return Shelf(self.places, self.protocol, tuple(trained), self.training_seeds[0])

    def _pretrained(self, name: str, seed: int) -> TrainedModel:
        spec, start = self.pretrain_spec(name, seed), self._published_parent(name)
        return self._upstream(BackboneName.parse(name), spec, self._upstream_data(name), start and start.path)

    def _upstream(
        self, named: BackboneName, spec: PretrainSpec, data: sources.TaskData, start: Path | None = None
    ) -> TrainedModel:
        """A classifier that is trained here, under the name that tables give it."""
        build = partial(Classifier, architecture_named(spec.architecture), len(data.classes))
        short, side = self.scales["upstream"]
        scale, path = (short if data.prepare is None else side, side), self._trained_upstream(spec, data, start)
        return TrainedModel(named, "upstream", PRETRAINED, spec.key, spec.seed, scale, path, build)

    def _trained_upstream(self, spec: PretrainSpec, data: sources.TaskData, start: Path | None) -> Path:
        return pretrain(spec, data, self.store, self.workers, start)

    def _published_parent(self, name: str) -> Start | None:
        """What the recipe of a backbone begins with, where that is published."""
        parent = published.parent_of(name) if self.data == "paper" else None
        return self.shelf.start(parent, "upstream") if parent else None

    def pretrain_spec(self, name: str, seed: int) -> PretrainSpec:
        """The key of a backbone's upstream training."""
        spec = pretrain_spec(self, name, seed, self._upstream_data(name).fingerprint)
        start = self._published_parent(name)
        return spec if start is None else replace(spec, parent=None, start=start.key)

    def _upstream_data(self, name: str) -> sources.TaskData:
        _, larger = upstream_set(BackboneName.parse(name).weights)
        return self.larger_upstream if larger else self.tasks["upstream"]

    def controls(self) -> tuple[list[TrainedModel], dict[str, dict[tuple[str, str], tuple[str, str]]]]:
        """Regular trainings as long as the other recipes, in passes and in steps, for every training seed.

        Returns:
            the classifiers, each once, and for each of `CONTROLS` the one that a backbone that is not Regular's has
            to be compared with: (architecture, weights) to (architecture, weights).
        """
        models, compared = {}, {same: {} for same in CONTROLS}
        for same in CONTROLS:
            for name, _, control in self._with_controls(same):
                if control is None:
                    continue
                backbone, called = BackboneName.parse(name), self._control_name(control)
                compared[same][backbone.architecture, backbone.weights] = called.architecture, called.weights
                if str(called) not in self.backbones and control.key not in models:
                    models[control.key] = self._upstream(called, control, self._upstream_data(name))
        return list(models.values()), compared

    def _with_controls(self, same: str) -> Iterator[tuple[str, PretrainSpec, PretrainSpec | None]]:
        """Every backbone with every training seed: its name, its training and that of its control."""
        for seed, name in itertools.product(self.training_seeds, self.backbones):
            spec = self.pretrain_spec(name, seed)
            yield name, spec, control_spec(self, spec, same)

    def _control_name(self, control: PretrainSpec) -> BackboneName:
        """Plain Regular, or Regular of so many iterations."""
        regular = f"{control.architecture}.{REGULAR.name}"
        usual = self.budget("upstream", regular).iterations == control.budget.iterations
        longer = "" if usual else f"{ARM}{control.budget.iterations:,} iterations"
        return BackboneName(control.architecture, REGULAR.name + longer)

    def costs(self) -> pd.DataFrame:
        """What each finished training, and the control of as many passes, has cost, with parents and helper networks.

        Returns:
            backbone, weights, seed, passes (see `PretrainSpec.passes`), seconds (of wall time, on this or another
            machine); a row for each backbone, control and seed.
        """
        rows: dict[tuple, dict[str, Any]] = {}
        for name, spec, control in self._with_controls("passes"):
            named = [(BackboneName.parse(name), spec)]
            named += [] if control is None else [(self._control_name(control), control)]
            for called, training in named:
                key = {"backbone": called.architecture, "weights": called.weights, "seed": training.seed}
                rows[tuple(key.values())] = key | {"passes": training.passes, "seconds": seconds(training, self.store)}
        return pd.DataFrame(rows.values())

    def radii(self) -> dict[tuple[str, str], float]:
        """The L2 radius that every backbone was trained adversarially within, by (architecture, weights).

        Raises:
            UserError: a backbone was not.
        """
        found = {}
        for name in self.backbones:
            backbone = BackboneName.parse(name)
            recipe = adversarial_named(backbone.weights)
            if recipe is None:
                raise UserError(
                    f"{name} has no radius: name adversarial trainings alone, such as resnet_mini.l2_eps0.5."
                )
            found[backbone.architecture, backbone.weights] = recipe.eps
        return found

    def million_parameters(self) -> dict[tuple[str, str], float]:
        """The size of every backbone without any head, in millions, by (architecture, weights)."""
        names = [BackboneName.parse(name) for name in self.backbones]
        return {(name.architecture, name.weights): millions(architecture_named(name.architecture)) for name in names}
