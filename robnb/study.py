"""A study: what a notebook's parameters ask for, done step by step.

A notebook's setup cell is ``study = Study.from_notebook(globals())``. It checks every parameter; after it, each
step of the paper's method is one call: `pretrain`, `transfer`, `evaluate`. Whatever is finished is read from the
store.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from robnb import parameters, provenance, published, tables
from robnb.assets import Trained
from robnb.corruption_error import corruption_error
from robnb.errors import UserError
from robnb.evaluation.panels import PUBLISHED
from robnb.evaluation.results import Evaluation
from robnb.evaluation.spec import Sweep
from robnb.evaluation.sweep import run
from robnb.evaluation.trained import TrainedModel
from robnb.models.architectures import BackboneName
from robnb.models.backbones import MEAN, STD
from robnb.names import REGIMES, choose
from robnb.published import PRIME_ARM, Start
from robnb.recipes.switches import AS_RELEASED
from robnb.recipes.transfer import budget_lr
from robnb.statistics import Results
from robnb.store import write_json
from robnb.transfer import TransferSpec, build_model, transfer
from robnb.upstream import Upstream

#: Of the JPEG files that ImageNet-C consists of.
IMAGENET_C_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Study(Upstream):
    """A notebook's steps, on what its parameters say."""

    @classmethod
    def from_notebook(cls, notebook: str, namespace: dict[str, Any], others: Collection[str] = ()) -> Study:
        """Take the parameters from a notebook's globals; a misspelt one that papermill injected is an error.

        Args:
            others: parameters that the notebook reads itself.

        Raises:
            UserError: a parameter without which there is no study is not among the notebook's; or as `Settings` does.
        """
        each = [field for field in fields(cls) if field.name != "notebook"]
        taken = parameters.taken_from(namespace, {field.name for field in each}, others)
        for field in each:
            if field.name not in taken and field.default is field.default_factory is MISSING:
                raise UserError(f"the notebook has no parameter {field.name}: add it to the cell tagged parameters.")
        return cls(notebook=notebook, **taken)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.started, self.folder  # a folder that cannot be meant is said now

    @cached_property
    def started(self) -> float:
        """When this study was set up, in seconds since the epoch."""
        return time.time()

    def transfer(
        self, backbones: list[TrainedModel], regime: str, task: str, *, lr: float | None = None, prime: bool = False
    ) -> list[TrainedModel]:
        """Transfer every backbone to a task, with itself frozen or trained along.

        A model that the parameter ``trained`` names is not trained but taken as published.

        Args:
            lr: peak learning rate, in place of the task's.
            prime: mix PRIME's images into the training.

        Both become part of what the weights are called: ``prime, lr 0.01``.
        """
        choose(regime, REGIMES, "regime")
        if self.data == "paper":  # one published backbone, several transfers
            backbones = [replace(model, seed=seed) for seed in self.training_seeds for model in backbones]
        models = [self._transferred(upstream, regime, task, lr, prime) for upstream in backbones]
        return list({(model.key, model.seed): model for model in models}.values())  # what is published has one seed

    def _transferred(
        self, upstream: TrainedModel, regime: str, task: str, lr: float | None, prime: bool
    ) -> TrainedModel:
        there = self.shelf.same_transfer(str(upstream.backbone), regime, task, prime) if lr is None else None
        if there is not None:
            return self._released(there)
        spec = self.transfer_spec(upstream, regime, task, lr, prime)
        return self._downstream(upstream, spec, self._trained_here(upstream, spec), lr)

    def _trained_here(self, upstream: TrainedModel, spec: TransferSpec) -> Path:
        start = self._start(upstream, spec.task)
        return transfer(spec, start.path, self.tasks[spec.task], self.store, self.workers)

    def _released(self, asset: Trained) -> TrainedModel:
        return self.shelf.released(asset, self.tasks[asset.task], tuple(self.scales[asset.task]))

    def released(self, task: str) -> list[TrainedModel]:
        """Every published model of a task that ``trained`` names.

        Raises:
            UserError: two of them would be called the same in a table.
        """
        models = [self._released(asset) for asset in self.shelf.trained if asset.task == task]
        published.check_told_apart(models)
        return models

    def _start(self, upstream: TrainedModel, task: str) -> Start:
        """What a transfer starts from: the upstream model trained here, or a published file."""
        if not self.made_here(self._named(upstream)):
            return self.shelf.start(self._named(upstream), task)
        return Start(upstream.path, upstream.key, (MEAN, STD))

    def _named(self, upstream: TrainedModel) -> str:
        """The backbone as the parameter names it."""
        return next(name for name in self.backbones if BackboneName.parse(name) == upstream.backbone)

    def _downstream(self, upstream: TrainedModel, spec: TransferSpec, path: Path, lr: float | None) -> TrainedModel:
        arms = ([] if lr is None else [f"lr {lr:g}"]) + [PRIME_ARM] * spec.prime
        named = replace(upstream.backbone, weights=tables.ARM.join([upstream.backbone.weights, *arms]))
        crops = self.tasks[spec.task].prepare is not None
        scale = (spec.scale[1], spec.scale[1]) if crops else spec.scale
        return TrainedModel(named, spec.task, spec.regime, spec.key, spec.seed, scale, path, partial(build_model, spec))

    def transfer_spec(
        self, upstream: TrainedModel, regime: str, task: str, lr: float | None = None, prime: bool = False
    ) -> TransferSpec:
        """The key of a backbone's transfer to a task."""
        data, name = self.tasks[task], self._named(upstream)
        start, budget = self._start(upstream, task), self.budget(task, name)
        if lr is None and name not in self.budgets[task]:  # the rate of its family
            lr = budget_lr(budget.lr, str(upstream.backbone), task, regime, self.protocol)
        about = {"task": task, "regime": regime, "prime": prime}
        mean, std = start.normalisation
        return TransferSpec(
            backbone=str(upstream.backbone),
            weights=start.key,
            data=data.fingerprint,
            classes=len(data.classes),
            scale=tuple(self.scales[task]),
            budget=budget if lr is None else replace(budget, lr=lr),
            seed=upstream.seed,
            processes=self.processes,
            recipe=self.recipe,
            released=self.protocol.of_transfer(family=self.architecture(name).family, **about),
            mean=mean,
            std=std,
            **about,
        )

    def evaluate(self, models: list[TrainedModel]) -> Evaluation:
        """Score models of one task on every test image under every condition."""
        return run(self.sweep_of(models), self.store, self.scheduler, self.workers)

    def sweep_of(self, models: list[TrainedModel]) -> Sweep:
        """What scoring models of one task asks for."""
        data = self.tasks[models[0].task]
        return Sweep(
            models=tuple(models),
            data=data,
            conditions=self.conditions,
            seed=self.seed,
            engine=self.engine if data.copies is None else PUBLISHED,
            channels="bgr" if self.protocol["channel_order"] == AS_RELEASED and data.copies is None else "rgb",
            jpeg=IMAGENET_C_QUALITY if self._saved_as_jpeg(data.task) else None,
            replicates=self.replicates,
            limit=self.test_images,
            inference=self.inference_options,
        )

    def _saved_as_jpeg(self, task: str) -> bool:
        return task == "upstream" and self.classifier_images == "crops_jpeg"

    @property
    def baseline(self) -> tuple[str, str]:
        """(architecture, weights) of the first model, which the others are compared with."""
        name = BackboneName.parse(self.backbones[0]) if self.backbones else published.paper_name(self.shelf.trained[0])
        return name.architecture, name.weights

    def results(self, evaluations: list[Evaluation]) -> Results:
        """All scores with their intervals, P, mPC, rPC and drop, and what can be compared."""
        grid = [(condition.corruption, condition.severity) for condition in self.conditions]
        return Results.of(evaluations, grid, resamples=self.resamples, seed=self.seed, store=self.store)

    def finish(self, results: Results, differences: pd.DataFrame | None = None) -> pd.DataFrame:
        """Write this notebook's tables and provenance; returns the overview that ``robnb run`` prints.

        scores.csv is the long results table, drops.csv has P, mPC, rPC and drop per category, differences.csv each
        backbone against the first, agreement.csv the rank agreement with the upstream task, variance.csv where the
        scores' variance comes from, corruption_error.csv ImageNet-C's mCE of the classifiers with the first backbone as
        baseline, summary.csv one row per model and metric. Intervals are columns ``_low`` and ``_high``. Each row
        carries the profile, so that a smoke number cannot pass for a paper number.

        Args:
            differences: what differences.csv has; None for each backbone against the first.
        """
        overview = tables.overview(results.summary)
        frames = {
            "scores": results.scores,
            "drops": results.summary,
            "differences": results.differences(self.baseline) if differences is None else differences,
            "agreement": results.agreement(),
            "variance": results.variance(),
            "summary": overview,
        }
        if (results.scores["metric"] == "top1").any():
            frames["corruption_error"] = corruption_error(results.scores, self.baseline)
        for name, frame in frames.items():
            tables.save(frame.assign(profile=self.profile), self.folder, name)
        self.note_provenance()
        return overview

    def note_provenance(self) -> None:
        """Write provenance.json: parameters, versions, device, time. `finish` does it too."""
        parameters_used = {field.name: getattr(self, field.name) for field in fields(self)}
        stamp = provenance.stamp(seconds=time.time() - self.started)
        write_json(self.folder / "provenance.json", {"parameters": parameters_used, **stamp})
