"""A study: what a notebook's parameters ask for, done step by step.

A notebook's setup cell is ``study = Study.from_notebook(globals())``. It checks every parameter; after it, each
step of the paper's method is one call: `pretrain`, `transfer`, `evaluate`. Whatever is finished is read from the
store.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from robnb import assets, parameters, provenance, tables
from robnb.augment import recipe_named
from robnb.corruptions import ENGINES, Condition, conditions
from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.errors import UserError
from robnb.evaluation.predict import load_trained
from robnb.evaluation.sweep import TrainedModel, sweep
from robnb.metrics import COLUMNS
from robnb.models.backbones import ARCHITECTURES, Architecture, BackboneName
from robnb.models.classifier import Classifier, load_published
from robnb.names import METRICS, PRETRAINED, REGIMES, choose
from robnb.pretrain import PretrainSpec, pretrain
from robnb.store import Store, write_json
from robnb.training import Budget
from robnb.transfer import TransferSpec, build_model, transfer

#: Where the data of a study come from.
WORLDS = ("miniworld", "paper")
#: Training settings: a budget for each family of backbones ("resnet", "swin"), or for a backbone by its full name.
Budgets = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A notebook's parameters, checked; what each means stands beside it in the notebook.

    A task whose budgets are None is not part of the study.

    Raises:
        UserError: a name or value that cannot be meant, before anything is computed.
    """

    notebook: str
    profile: str
    outputs: str
    data: str
    data_root: str
    miniworld: dict[str, int]
    backbones: list[str]
    corruptions: list[str]
    severities: list[int]
    engine: str
    test_images: int | None
    seed: int
    workers: int
    scales: dict[str, list[int]]
    upstream: Budgets | None = None
    detection: Budgets | None = None
    segmentation: Budgets | None = None
    classification: Budgets | None = None

    @classmethod
    def from_notebook(cls, notebook: str, namespace: dict[str, Any]) -> Study:
        """Take the parameters from a notebook's globals; a misspelt one that papermill injected is an error."""
        names = {field.name for field in fields(cls)} - {"notebook"}
        return cls(notebook=notebook, **parameters.taken_from(namespace, names))

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in given.items() if value is not None or name not in METRICS}
        parameters.check_parameters(given, _EXAMPLES, "parameters")
        choose(self.data, WORLDS, "data")
        choose(self.engine, ENGINES, "engine")
        if not self.backbones:
            raise UserError("no backbone was given: name at least one, such as resnet_mini.regular.")
        for task in self.budgets:
            if task != "upstream" or self.data != "paper":  # published weights are not trained
                self._check_budgets(task)
        if self.data == "miniworld":
            for name in self.backbones:
                recipe_named(BackboneName.parse(name).weights)
        _ = self.conditions, self.started

    def _check_budgets(self, task: str) -> None:
        """Every entry is of a known family or backbone and whole, and every backbone of the study has one."""
        for whom, settings in self.budgets[task].items():
            if "." in whom:
                BackboneName.parse(whom)
            else:
                choose(whom, ("resnet", "swin"), f"family of backbones in {task}")
            Budget.from_settings(settings, f"{task}.{whom}")
        for name in self.backbones:
            self._budget(task, name)

    @property
    def budgets(self) -> dict[str, Budgets]:
        """Training settings of the tasks that this study has."""
        return {task: getattr(self, task) for task in METRICS if getattr(self, task) is not None}

    @staticmethod
    def architecture(backbone: str) -> Architecture:
        """The architecture of ``architecture.weights``."""
        return ARCHITECTURES[BackboneName.parse(backbone).architecture]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Clean, then every corruption at every severity."""
        return conditions(self.corruptions, self.severities)

    @cached_property
    def started(self) -> float:
        """When this study was set up, in seconds since the epoch."""
        return time.time()

    @cached_property
    def folder(self) -> Path:
        """Where this notebook's tables and figures go: outputs/<profile>/<notebook>."""
        return parameters.products_folder(self.outputs, self.profile, self.notebook)

    @cached_property
    def store(self) -> Store:
        """The store that all notebooks of a profile share."""
        return Store(self.folder.parent / "store")

    @cached_property
    def tasks(self) -> dict[str, sources.TaskData]:
        """The data of each task: made (miniworld) or found (paper).

        Raises:
            UserError: lists every missing file of the paper's assets.
        """
        if self.data == "paper":
            root = Path(self.data_root) if self.data_root else parameters.REPOSITORY / "data"
            assets.require(root, self.backbones, self.budgets)
            return sources.paper(root)
        store_root = self.store.root  # checks that the output folder can be written, before any work
        root = make_miniworld(MiniworldSpec(**self._miniworld_counts()), store_root.parent / "data", self.workers or 1)
        return sources.miniworld(root, fingerprint(root))

    def _miniworld_counts(self) -> dict[str, int]:
        known = [field.name for field in fields(MiniworldSpec) if field.name != "seed"]
        for name in self.miniworld:
            choose(name, known, "split of miniworld")
        return {**self.miniworld, "seed": self.seed}

    def pretrain(self) -> dict[str, TrainedModel]:
        """The upstream classifier of every backbone: trained here, or published."""
        return {name: self._upstream(name) for name in self.backbones}

    def _upstream(self, name: str) -> TrainedModel:
        backbone, data = BackboneName.parse(name), self.tasks["upstream"]
        scale = self.scales["upstream"]
        load = load_trained
        if self.data == "paper":
            load = load_published
            path = data.root.parent / assets.weights_asset(name).paths[0]
            key = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        else:
            budget = self._budget("upstream", name)
            spec = PretrainSpec(backbone.architecture, backbone.weights, data.fingerprint, scale[-1], budget, self.seed)
            path, key = pretrain(spec, data, self.store, self.workers), spec.key
        build = partial(Classifier, self.architecture(name), len(data.open("test").classes))
        return TrainedModel(backbone, "upstream", PRETRAINED, key, self.seed, tuple(scale), path, build, load)

    def transfer(self, backbones: dict[str, TrainedModel], regime: str, task: str) -> list[TrainedModel]:
        """Transfer every backbone to a task, with itself frozen or trained along."""
        choose(regime, REGIMES, "regime")
        return [self._transferred(name, upstream, regime, task) for name, upstream in backbones.items()]

    def _transferred(self, name: str, upstream: TrainedModel, regime: str, task: str) -> TrainedModel:
        data = self.tasks[task]
        spec = TransferSpec(
            backbone=name,
            weights=upstream.key,
            task=task,
            regime=regime,
            data=data.fingerprint,
            classes=len(data.open("train").classes),
            scale=tuple(self.scales[task]),
            budget=self._budget(task, name),
            seed=self.seed,
        )
        path = transfer(spec, upstream.path, data, self.store, self.workers)
        return TrainedModel(
            upstream.backbone, task, regime, spec.key, self.seed, spec.scale, path, partial(build_model, spec)
        )

    def _budget(self, task: str, backbone: str) -> Budget:
        """The settings for this very backbone if there are some, or those of its family."""
        family, budgets = self.architecture(backbone).family, self.budgets[task]
        for whom in (backbone, family):
            if whom in budgets:
                return Budget.from_settings(budgets[whom], f"{task}.{whom}")
        raise UserError(f"{task} has no settings for {family} backbones, but {backbone} is one: add {task}.{family}.")

    def evaluate(self, models: list[TrainedModel]) -> pd.DataFrame:
        """Score models of one task under every condition: the long results table (`robnb.metrics.COLUMNS`)."""
        rows = sweep(
            models,
            self.tasks[models[0].task],
            self.conditions,
            self.store,
            seed=self.seed,
            engine=self.engine,
            limit=self.test_images,
            workers=self.workers,
        )
        return pd.DataFrame(rows, columns=COLUMNS)

    def finish(self, scores: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
        """Write this notebook's tables and provenance; returns the overview that ``robnb run`` prints.

        scores.csv is the long results table, drops.csv has P, mPC, rPC and drop per category, summary.csv one row
        per model and metric; each row carries the profile, so that a smoke number cannot pass for a paper number.
        """
        overview = tables.overview(summary)
        for name, frame in {"scores": scores, "drops": summary, "summary": overview}.items():
            tables.save(frame.assign(profile=self.profile), self.folder, name)
        parameters_used = {field.name: getattr(self, field.name) for field in fields(self)}
        stamp = provenance.stamp(seconds=time.time() - self.started)
        write_json(self.folder / "provenance.json", {"parameters": parameters_used, **stamp})
        return overview


_BUDGETS = {"": {"iterations": 0, "batch_size": 0, "lr": 0.0}}
#: One value of the right type for each parameter, for `check_parameters`; None where several types will do.
_EXAMPLES: dict[str, Any] = {
    "notebook": "", "profile": "", "outputs": "", "data": "", "data_root": "",
    "miniworld": {"": 0}, "backbones": [""], "corruptions": [""], "severities": [0], "engine": "", "test_images": None,
    "seed": 0, "workers": 0, "scales": {"": [0]},
    "upstream": _BUDGETS, "detection": _BUDGETS, "segmentation": _BUDGETS, "classification": _BUDGETS,
}  # fmt: skip
