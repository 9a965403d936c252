"""A study that only looks: the same models, data and sweeps as when it is run, with nothing trained or scored."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from robnb import assets
from robnb.assets import Asset, DataSet
from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.data.sources import Reader, TaskData
from robnb.errors import UserError
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel
from robnb.names import choose
from robnb.pretrain import PretrainSpec
from robnb.published import Shelf, file_key
from robnb.study import Study
from robnb.transfer import TransferSpec


class Transfer(NamedTuple):
    """A transfer that a notebook makes; with ``rates``, one for each of the task's learning rates."""

    regime: str
    task: str
    primes: tuple[bool, ...] = (False,)
    rates: bool = False


_FROZEN = (Transfer("fixed_feature", "detection"), Transfer("fixed_feature", "segmentation"))
_BOTH = (Transfer("full_network", "detection"), Transfer("full_network", "segmentation"))
#: The transfers of each notebook, in its order. Every one also scores its backbones upstream.
STEPS: dict[str, tuple[Transfer, ...]] = {
    "01_fixed_feature": _FROZEN,
    "02_full_network": (*_BOTH, Transfer("full_network", "classification")),
    "03_model_size": _BOTH,
    "04_adversarial_priors": _BOTH,
    "05_finetuning_lr": tuple(step._replace(rates=True) for step in _BOTH),
    "06_prime": tuple(step._replace(primes=(False, True)) for step in _BOTH),
    "08_your_backbone": (*_FROZEN, *_BOTH, Transfer("full_network", "classification")),
    "authors_models": (),
    "00_pretrain": (),
}
#: The notebook that also trains and scores Regular for as long as each recipe costs.
WITH_CONTROLS = "00_pretrain"
#: (test images, classes) of the paper's data sets.
PAPER_SIZES = {
    "upstream": (50_000, 1000), "detection": (5000, 80), "segmentation": (2000, 150), "classification": (10_000, 10),
}  # fmt: skip
_MINIWORLD_CLASSES = {"upstream": 10, "detection": 10, "segmentation": 13, "classification": 10}


@dataclass(frozen=True)
class AbsentData(TaskData):
    """The data of a task that are not there (yet), as far as they are known.

    Attributes:
        images, labels: how many the test split has.
    """

    images: int = 0
    labels: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """As many as there are, without their names."""
        return tuple(map(str, range(self.labels)))

    def open(self, split: str, limit: int | None = None) -> Reader:
        """What stands in for a reader: it has a length and classes, and no image."""
        return AbsentImages(self.classes, range(self.images)[:limit])


@dataclass(frozen=True)
class AbsentImages:
    """A reader without images."""

    classes: tuple[str, ...]
    places: range

    def __len__(self) -> int:
        return len(self.places)


class Outlook(Study):
    """A study whose steps tell what they would do. It writes nothing; see `robnb.study.Study` for the parameters."""

    @classmethod
    def from_notebook(cls, notebook: str, namespace: dict[str, Any], others: Collection[str] = ()) -> Outlook:
        """As for a study. Raises a UserError too for a notebook that keeps no work in the store."""
        choose(notebook, STEPS, "notebook with stored work")
        return super().from_notebook(notebook, namespace, others)

    @cached_property
    def tasks(self) -> dict[str, TaskData]:
        """The data of each task where they are there, and what is known of them where they are not.

        Raises:
            UserError: a miniworld that is there is damaged.
        """
        return self._paper() if self.data == "paper" else self._miniworld(MiniworldSpec(**self._miniworld_counts()))

    def _miniworld(self, spec: MiniworldSpec) -> dict[str, TaskData]:
        below = self.folder.parent / "data"
        root = below / spec.folder_name
        if root.is_dir():
            make_miniworld(spec, below)  # it is there, so this only verifies it
            return sources.miniworld(root, fingerprint(root))
        counts = {task: (getattr(spec, f"{task}_val"), classes) for task, classes in _MINIWORLD_CLASSES.items()}
        return {
            task: _absent(data, *counts[task])
            for task, data in sources.miniworld(root, f"{root.name}, not made yet").items()
        }

    def _paper(self) -> dict[str, TaskData]:
        absent = {task for asset, _ in self.missing if isinstance(asset, DataSet) for task in asset.tasks}
        return {
            task: _absent(data, *PAPER_SIZES[task]) if task in absent else data
            for task, data in self._paper_tasks().items()
        }

    @cached_property
    def missing(self) -> list[tuple[Asset, list[str]]]:
        """The published assets that are not there, and the paths that they lack, below the data root if they may be."""
        lacking = [(asset, self._lacks(asset)) for asset in self.needed_assets]
        return [(asset, paths) for asset, paths in lacking if paths]

    def _lacks(self, asset: Asset) -> list[str]:
        below = self.places.data_root.absolute()
        absent = [path for name in asset.paths if not (path := self.places.path(asset, name)).exists()]
        return [str(path.relative_to(below) if path.is_relative_to(below) else path) for path in absent]

    @cached_property
    def shelf(self) -> Shelf:
        """The published models; one whose file is not there has a key that says so."""
        return replace(super().shelf, key_of=lambda path: file_key(path) if path.is_file() else f"missing {path.name}")

    @cached_property
    def trainings(self) -> dict[str, PretrainSpec | TransferSpec]:
        """The training behind each model that was asked for, by the model's key; published weights have none."""
        return {}

    def _trained_upstream(self, spec: PretrainSpec, data: TaskData, start: Path | None) -> Path:
        self.trainings[spec.key] = spec
        return self._weights_of(spec)

    def _trained_here(self, upstream: TrainedModel, spec: TransferSpec) -> Path:
        self.trainings[spec.key] = spec.trained
        return self._weights_of(spec.trained)

    def _weights_of(self, spec: PretrainSpec | TransferSpec) -> Path:
        return self.store_root / spec.kind / spec.key / "weights.pth"

    def sweeps(self) -> list[Sweep]:
        """Everything that the notebook scores, upstream first."""
        backbones = self.pretrain() if "upstream" in self.budgets else []
        if self.notebook == WITH_CONTROLS:
            backbones = backbones + self.controls()[0]
        models = [backbones, *(self._transfers(backbones, step) for step in STEPS[self.notebook])]
        if self.trained and not STEPS[self.notebook]:
            models += [self.released(task) for task in self.budgets]
        return [self.sweep_of(of_a_task) for of_a_task in models if of_a_task]

    def _transfers(self, backbones: list[TrainedModel], step: Transfer) -> list[TrainedModel]:
        rates = self.learning_rates.get(step.task, []) if step.rates else [None]
        return [
            model
            for lr in rates
            for prime in step.primes
            for model in self.transfer(backbones, step.regime, step.task, lr=lr, prime=prime)
        ]

    def finished_sweeps(self) -> list[Sweep]:
        """All of `sweeps`, which must be finished.

        Raises:
            UserError: names what is missing.
        """
        if self.missing:
            assets.require(self.needed_assets, self.places)
        sweeps = self.sweeps()
        left = [str(model) for sweep in sweeps for model in sweep.models if not self.is_scored(sweep, model)]
        if left:
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            raise UserError(
                f"{', '.join(left[:3])}{more}: not scored yet under all conditions with these parameters; "
                f"run it first: robnb run {self.notebook} --profile {self.profile}."
            )
        return sweeps

    def is_scored(self, sweep: Sweep, model: TrainedModel) -> bool:
        """Whether a model's sweep is finished under every panel."""
        specs = [sweep.spec(model, panel) for panel in sweep.panels]
        return all((self.store_root / spec.kind / spec.key).is_dir() for spec in specs)


def _absent(data: TaskData, images: int, classes: int) -> AbsentData:
    return AbsentData(**vars(data), images=images, labels=classes)
