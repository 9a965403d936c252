"""A study: what a notebook's parameters ask for, done step by step.

A notebook's setup cell is ``study = Study.from_notebook(globals())``. It checks every parameter; after it, each
step of the paper's method is one call: `pretrain`, `transfer`, `evaluate`. Whatever is finished is read from the
store.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from robnb import assets, parameters, provenance, tables
from robnb.corruption_error import corruption_error
from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.evaluation.predict import load_trained
from robnb.evaluation.results import Evaluation
from robnb.evaluation.spec import Sweep
from robnb.evaluation.sweep import run
from robnb.evaluation.trained import TrainedModel
from robnb.models.backbones import BackboneName
from robnb.models.classifier import Classifier, load_published
from robnb.names import PRETRAINED, REGIMES, choose
from robnb.pretrain import PretrainSpec, pretrain
from robnb.settings import Settings
from robnb.statistics import Results
from robnb.store import Store, write_json
from robnb.transfer import TransferSpec, build_model, transfer


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """A notebook's steps, on what its parameters say."""

    @classmethod
    def from_notebook(cls, notebook: str, namespace: dict[str, Any]) -> Study:
        """Take the parameters from a notebook's globals; a misspelt one that papermill injected is an error."""
        names = {field.name for field in fields(cls)} - {"notebook"}
        return cls(notebook=notebook, **parameters.taken_from(namespace, names))

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.started

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
        return Store(self.store_root)

    @property
    def store_root(self) -> Path:
        """Where the store is, or will be."""
        return self.folder.parent / "store"

    @property
    def _paper_root(self) -> Path:
        """Below it lie the paper's data sets and weights."""
        return Path(self.data_root) if self.data_root else parameters.REPOSITORY / "data"

    @cached_property
    def tasks(self) -> dict[str, sources.TaskData]:
        """The data of each task: made (miniworld) or found (paper).

        Raises:
            UserError: lists every missing file of the paper's assets.
        """
        if self.data == "paper":
            assets.require(self._paper_root, self.backbones, self.budgets)
            return sources.paper(self._paper_root)
        store_root = self.store.root  # checks that the output folder can be written, before any work
        root = make_miniworld(MiniworldSpec(**self._miniworld_counts()), store_root.parent / "data", self.workers or 1)
        return sources.miniworld(root, fingerprint(root))

    def _miniworld_counts(self) -> dict[str, int]:
        known = [field.name for field in fields(MiniworldSpec) if field.name != "seed"]
        for name in self.miniworld:
            choose(name, known, "split of miniworld")
        return {**self.miniworld, "seed": self.seed}

    def pretrain(self) -> list[TrainedModel]:
        """The upstream classifier of every backbone and training seed: trained here, or published."""
        if self.data == "paper":
            return [self._published(name) for name in self.backbones]
        return [self._pretrained(name, seed) for seed in self.training_seeds for name in self.backbones]

    def _published(self, name: str) -> TrainedModel:
        path = self._paper_root / assets.weights_asset(name).paths[0]
        with path.open("rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return self._upstream(name, key, self.training_seeds[0], path, load_published)

    def _pretrained(self, name: str, seed: int) -> TrainedModel:
        spec = self.pretrain_spec(name, seed)
        path = pretrain(spec, self.tasks["upstream"], self.store, self.workers)
        return self._upstream(name, spec.key, seed, path, load_trained)

    def pretrain_spec(self, name: str, seed: int) -> PretrainSpec:
        """The key of a backbone's upstream training."""
        backbone, data = BackboneName.parse(name), self.tasks["upstream"]
        return PretrainSpec(
            architecture=backbone.architecture,
            recipe=backbone.weights,
            data=data.fingerprint,
            image_size=self.scales["upstream"][-1],
            budget=self.budget("upstream", name),
            seed=seed,
            processes=self.processes,
        )

    def _upstream(self, name: str, key: str, seed: int, path: Path, load: Callable) -> TrainedModel:
        classes = len(self.tasks["upstream"].open("test").classes)
        build = partial(Classifier, self.architecture(name), classes)
        scale = tuple(self.scales["upstream"])
        return TrainedModel(BackboneName.parse(name), "upstream", PRETRAINED, key, seed, scale, path, build, load)

    def transfer(self, backbones: list[TrainedModel], regime: str, task: str) -> list[TrainedModel]:
        """Transfer every backbone to a task, with itself frozen or trained along."""
        choose(regime, REGIMES, "regime")
        if self.data == "paper":  # one published backbone, several transfers
            backbones = [replace(model, seed=seed) for seed in self.training_seeds for model in backbones]
        return [self._transferred(upstream, regime, task) for upstream in backbones]

    def _transferred(self, upstream: TrainedModel, regime: str, task: str) -> TrainedModel:
        data, spec = self.tasks[task], self.transfer_spec(upstream, regime, task)
        return self._downstream(upstream, spec, transfer(spec, upstream.path, data, self.store, self.workers))

    @staticmethod
    def _downstream(upstream: TrainedModel, spec: TransferSpec, path: Path) -> TrainedModel:
        build = partial(build_model, spec)
        return TrainedModel(upstream.backbone, spec.task, spec.regime, spec.key, spec.seed, spec.scale, path, build)

    def transfer_spec(self, upstream: TrainedModel, regime: str, task: str) -> TransferSpec:
        """The key of a backbone's transfer to a task."""
        data, name = self.tasks[task], str(upstream.backbone)
        return TransferSpec(
            backbone=name,
            weights=upstream.key,
            task=task,
            regime=regime,
            data=data.fingerprint,
            classes=len(data.open("train").classes),
            scale=tuple(self.scales[task]),
            budget=self.budget(task, name),
            seed=upstream.seed,
            processes=self.processes,
        )

    def evaluate(self, models: list[TrainedModel]) -> Evaluation:
        """Score models of one task on every test image under every condition."""
        return run(self.sweep_of(models), self.store, self.scheduler, self.workers)

    def sweep_of(self, models: list[TrainedModel]) -> Sweep:
        """What scoring models of one task asks for."""
        return Sweep(
            models=tuple(models),
            data=self.tasks[models[0].task],
            conditions=self.conditions,
            seed=self.seed,
            engine=self.engine,
            replicates=self.replicates,
            limit=self.test_images,
            inference=self.inference_options,
        )

    def results(self, evaluations: list[Evaluation]) -> Results:
        """All scores with their intervals, P, mPC, rPC and drop, and what can be compared."""
        grid = [(condition.corruption, condition.severity) for condition in self.conditions]
        return Results.of(evaluations, grid, resamples=self.resamples, seed=self.seed, store=self.store)

    def finish(self, results: Results) -> pd.DataFrame:
        """Write this notebook's tables and provenance; returns the overview that ``robnb run`` prints.

        scores.csv is the long results table, drops.csv has P, mPC, rPC and drop per category, differences.csv each
        backbone against the first, agreement.csv the rank agreement with the upstream task, variance.csv where the
        scores' variance comes from, corruption_error.csv ImageNet-C's mCE of the classifiers with the first backbone as
        baseline, summary.csv one row per model and metric. Intervals are columns ``_low`` and ``_high``. Each row
        carries the profile, so that a smoke number cannot pass for a paper number.
        """
        overview = tables.overview(results.summary)
        frames = {
            "scores": results.scores,
            "drops": results.summary,
            "differences": results.differences(self.baseline),
            "agreement": results.agreement(),
            "variance": results.variance(),
            "summary": overview,
        }
        if (results.scores["metric"] == "top1").any():
            frames["corruption_error"] = corruption_error(results.scores, self.baseline)
        for name, frame in frames.items():
            tables.save(frame.assign(profile=self.profile), self.folder, name)
        parameters_used = {field.name: getattr(self, field.name) for field in fields(self)}
        stamp = provenance.stamp(seconds=time.time() - self.started)
        write_json(self.folder / "provenance.json", {"parameters": parameters_used, **stamp})
        return overview
