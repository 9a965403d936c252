"""Finished sweeps without a model: predictions of known imperfection, kept in a store as a sweep keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imperfect
import numpy as np

from robnb.corruptions import Condition
from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.data.sample import Sample
from robnb.data.sources import TaskData
from robnb.evaluation import shards
from robnb.evaluation.results import Evaluation
from robnb.evaluation.scoring import score
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel
from robnb.models.architectures import BackboneName
from robnb.seeding import generator
from robnb.store import Store, write_json

#: (sample, draws) -> what a predictor of the task gives.
Predicted = Callable[[Sample, np.random.Generator], Any]


def small_world(folder: Path) -> dict[str, TaskData]:
    """The data of every task of `imperfect`'s miniworld."""
    root = make_miniworld(MiniworldSpec(**imperfect.COUNTS), folder)
    return sources.miniworld(root, fingerprint(root))


def swept(
    data: TaskData,
    store: Store,
    grid: Sequence[tuple[str, int]],
    predicted: Predicted | None = None,
    weights: Sequence[str] = ("regular", "augmix"),
    replicates: int = 1,
) -> Evaluation:
    """Models of one task, swept over the test images in shards of three."""
    predicted = predicted or imperfect.PREDICTIONS[data.task]
    regime = "pretrained" if data.task == "upstream" else "full_network"
    models = tuple(
        TrainedModel(
            BackboneName("resnet_nano", name), data.task, regime, f"{name} {data.task}", 0, (64, 64), Path(), Path
        )
        for name in weights
    )
    conditions = tuple(Condition(*pair) for pair in grid)
    asked = Sweep(models, data, conditions, replicates=replicates, shard=3)
    samples = list(asked.reader)
    for model, panel in asked.pairs:
        with store.work(asked.spec(model, panel)) as folder:
            tables = []
            for condition in panel.conditions:
                draws = generator("imperfect", model.key, condition.corruption, condition.severity, panel.replicate)
                said = [predicted(sample, draws) for sample in samples]
                tables.append(imperfect.table(data.task, samples, said, condition, panel.replicate))
            for number in range(asked.shards):
                shards.write(folder, number, [table.slice(3 * number, 3) for table in tables])
            metrics = [score(data.task, table, asked.reader) for table in tables]
            write_json(folder / "result.json", {"metrics": metrics, "n_images": len(samples)})
    return Evaluation(asked, store)
