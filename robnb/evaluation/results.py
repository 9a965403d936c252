"""What a sweep found: scores, and what each model said of each image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd
import pyarrow as pa

from robnb.corruptions import Condition
from robnb.evaluation import shards
from robnb.evaluation.panels import Panel
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel
from robnb.names import METRICS
from robnb.seeding import digest
from robnb.store import Store


class Evaluation:
    """The results of a sweep: scores, and what each model said of each image.

    Attributes:
        models: of one task.
        conditions: in the order of the grid.
        replicates: draws of every corruption.
    """

    def __init__(self, asked: Sweep, store: Store) -> None:
        self.asked, self.store = asked, store
        self.models, self.conditions, self.replicates = asked.models, asked.conditions, asked.replicates

    @property
    def task(self) -> str:
        """What the models do."""
        return self.asked.data.task

    @property
    def classes(self) -> tuple[str, ...]:
        """The data set's classes, in the order of the labels."""
        return self.asked.reader.classes

    @property
    def fingerprint(self) -> str:
        """Of the test images: equal for equal images."""
        return digest(self.asked.data.task, self.asked.data.test_fingerprint, len(self.asked.reader)).hex()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The long results table (`robnb.metrics.COLUMNS`): by model, condition, replicate, metric."""
        rows = []
        for model in self.models:
            for condition in self.conditions:
                for panel in self._panels_with(condition):
                    result = self.store.read(self.asked.spec(model, panel))
                    values = result["metrics"][panel.conditions.index(condition)]
                    rows += [
                        {
                            "backbone": model.backbone.architecture,
                            "weights": model.backbone.weights,
                            "task": model.task,
                            "regime": model.regime,
                            "metric": metric,
                            "seed": model.seed,
                            "corruption": condition.corruption,
                            "severity": condition.severity,
                            "replicate": panel.replicate,
                            "value": values[metric],
                            "n_images": result["n_images"],
                        }
                        for metric in METRICS[model.task]
                    ]
        return pd.DataFrame(rows)

    def key_of(self, model: TrainedModel, condition: Condition, replicate: int = 0) -> str:
        """Identifies a model's per-image results under a condition, by their content too.

        A model that was trained again goes under its old key, and its images may be scored again under theirs.
        """
        spec = self.asked.spec(model, self._panel(condition, replicate))
        return f"{spec.key} {shards.digest(self.store.folder(spec))} {condition.corruption} {condition.severity}"

    def sha256(self, model: TrainedModel, condition: Condition, replicate: int = 0) -> str:
        """Of the file of the weights that a model was scored with."""
        return self.store.read(self.asked.spec(model, self._panel(condition, replicate)), "model.json")["sha256"]

    def per_image(
        self,
        model: TrainedModel,
        condition: Condition,
        replicate: int = 0,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """What a model said of each image, in the reader's order; `robnb.evaluation.records` lists the columns.

        Raises:
            UserError: a file is damaged or gone.
        """
        panel = self._panel(condition, replicate)
        folder = self.store.folder(self.asked.spec(model, panel))
        return shards.read(folder, panel.conditions.index(condition), columns)

    def _panels_with(self, condition: Condition) -> list[Panel]:
        return [panel for panel in self.asked.panels if condition in panel.conditions]

    def _panel(self, condition: Condition, replicate: int) -> Panel:
        return next(panel for panel in self._panels_with(condition) if panel.replicate == replicate)
