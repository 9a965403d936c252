"""Every score of an evaluation on every resample of its test images; kept in the store where one is given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from robnb import progress
from robnb.corruptions import Condition
from robnb.errors import UserError
from robnb.statistics.metric_draws import METRIC_DRAWS
from robnb.statistics.resampling import image_weights
from robnb.store import Spec, Store


@dataclass(frozen=True)
class BootstrapSpec(Spec):
    """One metric of one model under one condition and replicate, on every resample.

    Attributes:
        results: key of the per-image results, and what they are.
        data, images: fingerprint and size of the test set.
        resamples, seed: of the bootstrap.
    """

    kind: ClassVar[str] = "bootstrap"
    results: str
    metric: str
    data: str
    images: int
    resamples: int
    seed: int


class Evaluated(Protocol):
    """What is needed of `robnb.evaluation`'s Evaluation: the scores of models of one task, and what they came from."""

    models: Sequence[Any]
    conditions: Sequence[Condition]
    classes: Sequence[str]
    scores: pd.DataFrame
    fingerprint: str

    def per_image(
        self, model: Any, condition: Condition, replicate: int = 0, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """One row per image."""
        ...

    def key_of(self, model: Any, condition: Condition, replicate: int = 0) -> str:
        """Identifies those rows, by their content too."""
        ...


def draws_of(evaluation: Evaluated, resamples: int, seed: int, store: Store | None = None) -> np.ndarray:
    """The scores of an evaluation on each resample: float32 (rows of ``evaluation.scores``, resamples), percent.

    Tables are read one at a time, and of each only the columns needed. Rows of fewer than two images are NaN: there is
    nothing to draw from.

    Raises:
        UserError: per-image results that are not of as many images as the scores.
    """
    scores = evaluation.scores.reset_index(drop=True)
    models = {_identity(model): model for model in evaluation.models}
    conditions = {(condition.corruption, condition.severity): condition for condition in evaluation.conditions}
    draws = np.full((len(scores), resamples), np.nan, np.float32)
    panels = scores.groupby([*_IDENTITY, "corruption", "severity", "replicate"], sort=False)
    with progress.bar(panels.ngroups, "resample the test images", delay=1.0) as shown:
        for (*identity, corruption, severity, replicate), rows in panels:
            model, condition = models[tuple(identity)], conditions[corruption, severity]
            source = _Source(evaluation, model, condition, int(replicate), int(rows["n_images"].iloc[0]))
            if source.images > 1:
                vectors = source.draws(list(rows["metric"]), resamples, seed, store)
                draws[rows.index] = [vectors[metric] for metric in rows["metric"]]
            shown.update()
    return draws


def under(evaluation: Evaluated, conditions: Collection[tuple[str, int]]) -> Evaluated:
    """The evaluation as if it were of some of its (corruption, severity) alone; draws that a store keeps stay valid.

    A sweep of these conditions would not do: the key of a panel's results has all conditions of the panel.
    """
    scores = evaluation.scores
    chosen = [pair in conditions for pair in zip(scores["corruption"], scores["severity"], strict=True)]
    part = copy(evaluation)
    part.scores = scores[chosen]
    return part


_IDENTITY = ["backbone", "weights", "task", "regime", "seed"]


def _identity(model: Any) -> tuple[str, str, str, str, int]:
    return model.backbone.architecture, model.backbone.weights, model.task, model.regime, model.seed


@dataclass(frozen=True)
class _Source:
    """The per-image results of one model under one condition and replicate."""

    evaluation: Evaluated
    model: Any
    condition: Condition
    replicate: int
    images: int

    def draws(self, metrics: list[str], resamples: int, seed: int, store: Store | None) -> dict[str, np.ndarray]:
        """Metric to float32 (resamples,): from the store where it is there, computed and kept otherwise."""
        if store is None:
            return self._computed(metrics, resamples, seed)
        data = self.evaluation.fingerprint
        results = self.evaluation.key_of(self.model, self.condition, self.replicate)
        specs = {metric: BootstrapSpec(results, metric, data, self.images, resamples, seed) for metric in metrics}
        missing = [metric for metric, spec in specs.items() if not store.has(spec)]
        for metric, vector in self._computed(missing, resamples, seed).items():
            with store.work(specs[metric]) as folder:
                if folder is not None:
                    np.save(folder / "draws.npy", vector)
        return {metric: _kept(store, spec) for metric, spec in specs.items()}

    def _computed(self, metrics: list[str], resamples: int, seed: int) -> dict[str, np.ndarray]:
        if not metrics:
            return {}
        columns = sorted({column for metric in metrics for column in METRIC_DRAWS[metric].columns})
        table = self.evaluation.per_image(self.model, self.condition, self.replicate, columns=columns)
        if table.num_rows != self.images:
            raise UserError(
                f"{'/'.join(map(str, _identity(self.model)))}, {self.condition.corruption} {self.condition.severity}: "
                f"{table.num_rows} images have results and {self.images} a score; evaluate the model again."
            )
        weights = image_weights(self.images, resamples, seed, self.evaluation.fingerprint)
        classes = len(self.evaluation.classes)
        return {metric: METRIC_DRAWS[metric].of(table, weights, classes).astype(np.float32) for metric in metrics}


def _kept(store: Store, spec: BootstrapSpec) -> np.ndarray:
    path = store.folder(spec) / "draws.npy"
    try:
        return np.load(path, allow_pickle=False).reshape(spec.resamples)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged; delete the folder {path.parent} and run again.") from error
