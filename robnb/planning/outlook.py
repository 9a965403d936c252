"""A study that only looks: the same models, data and sweeps as when it is run, with nothing trained or scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robnb import assets
from robnb.assets import Asset
from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.data.sources import Reader, TaskData
from robnb.errors import UserError
from robnb.evaluation.predict import load_trained
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel
from robnb.models.classifier import load_published
from robnb.names import choose
from robnb.pretrain import PretrainSpec
from robnb.study import Study
from robnb.transfer import TransferSpec

#: (regime, task) of each transfer that a notebook makes, in its order. Every notebook also has the upstream task.
STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "01_fixed_feature": (("fixed_feature", "detection"), ("fixed_feature", "segmentation")),
    "02_full_network": (
        ("full_network", "detection"),
        ("full_network", "segmentation"),
        ("full_network", "classification"),
    ),
}
#: (test images, classes) of the paper's data sets.
PAPER_SIZES = {
    "upstream": (50_000, 1000), "detection": (5000, 80), "segmentation": (2000, 150), "classification": (10_000, 10),
}  # fmt: skip
_MINIWORLD_CLASSES = {"upstream": 10, "detection": 10, "segmentation": 13, "classification": 10}


@dataclass(frozen=True)
class AbsentData(TaskData):
    """The data of a task that are not there (yet), as far as they are known.

    Attributes:
        images: in the test split.
    """

    images: int = 0
    classes: int = 0

    def open(self, split: str, limit: int | None = None) -> Reader:
        """What stands in for a reader: it has a length and classes, and no image."""
        return AbsentImages(tuple(map(str, range(self.classes))), range(self.images)[:limit])


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
    def from_notebook(cls, notebook: str, namespace: dict[str, Any]) -> Outlook:
        """As for a study. Raises a UserError too for a notebook that keeps no work in the store."""
        choose(notebook, STEPS, "notebook with stored work")
        return super().from_notebook(notebook, namespace)

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """(regime, task) of every transfer."""
        return STEPS[self.notebook]

    @cached_property
    def tasks(self) -> dict[str, TaskData]:
        """The data of each task where they are there, and what is known of them where they are not.

        Raises:
            UserError: a miniworld that is there is damaged.
        """
        return self._paper() if self.data == "paper" else self._miniworld()

    def _miniworld(self) -> dict[str, TaskData]:
        spec = MiniworldSpec(**self._miniworld_counts())
        below = self.folder.parent / "data"
        root = below / spec.folder_name
        if root.is_dir():
            make_miniworld(spec, below)  # it is there, so this only verifies it
            return sources.miniworld(root, fingerprint(root))
        counts = {task: (getattr(spec, f"{task}_val"), classes) for task, classes in _MINIWORLD_CLASSES.items()}
        return {task: _absent(data, *counts[task]) for task, data in sources.miniworld(root, "not made yet").items()}

    def _paper(self) -> dict[str, TaskData]:
        root = self._paper_root
        return {
            task: _absent(data, *PAPER_SIZES[task]) if _lacks(root, assets.DATA_SETS[task]) else data
            for task, data in sources.paper(root).items()
        }

    @property
    def missing(self) -> list[tuple[Asset, list[str]]]:
        """The paper's assets that are not there, with the paths that they lack below the data root."""
        if self.data != "paper":
            return []
        needed = [assets.weights_asset(name) for name in self.backbones]
        needed += [assets.DATA_SETS[task] for task in self.budgets]
        return [(asset, lacking) for asset in needed if (lacking := _lacks(self._paper_root, asset))]

    def _published(self, name: str) -> TrainedModel:
        path = self._paper_root / assets.weights_asset(name).paths[0]
        if path.is_file():
            return super()._published(name)
        return self._upstream(name, f"missing {name}", self.training_seeds[0], path, load_published)

    @cached_property
    def trainings(self) -> dict[str, PretrainSpec | TransferSpec]:
        """The training behind each model that was asked for, by the model's key; published weights have none."""
        return {}

    def _pretrained(self, name: str, seed: int) -> TrainedModel:
        spec = self.pretrain_spec(name, seed)
        self.trainings[spec.key] = spec
        return self._upstream(name, spec.key, seed, self._weights_of(spec.kind, spec.key), load_trained)

    def _transferred(self, upstream: TrainedModel, regime: str, task: str) -> TrainedModel:
        spec = self.transfer_spec(upstream, regime, task)
        self.trainings[spec.key] = spec
        return self._downstream(upstream, spec, self._weights_of(spec.kind, spec.key))

    def _weights_of(self, kind: str, key: str) -> Path:
        return self.store_root / kind / key / "weights.pth"

    def sweeps(self) -> list[Sweep]:
        """Everything that the notebook scores, upstream first."""
        backbones = self.pretrain()
        models = [backbones, *(self.transfer(backbones, regime, task) for regime, task in self.steps)]
        return [self.sweep_of(of_a_task) for of_a_task in models]

    def finished_sweeps(self) -> list[Sweep]:
        """All of `sweeps`, which must be finished.

        Raises:
            UserError: names what is missing.
        """
        if self.missing:
            assets.require(self._paper_root, self.backbones, self.budgets)
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
    return AbsentData(**vars(data), images=images, classes=classes)


def _lacks(root: Path, asset: Asset) -> list[str]:
    return [path for path in asset.paths if not (root / path).exists()]
