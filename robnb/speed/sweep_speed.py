"""How long a sweep takes from the files to the scores: ours beside the peer's, and what it grows with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from robnb.corruptions import Condition
from robnb.data.sources import TaskData
from robnb.evaluation.sweep import sweep
from robnb.evaluation.trained import TrainedModel
from robnb.models.execution import Execution
from robnb.speed.engines import OURS
from robnb.speed.peer_sweep import PEER, PeerSweep
from robnb.store import Store

#: One row for each engine and round: seconds of wall time for so many images under so many conditions each.
RACE_COLUMNS = ["case", "engine", "round", "images", "conditions", "seconds"]
#: One row for each change of the work or of the place: see `growth`.
GROWTH_COLUMNS = ["what", "images", "conditions", "processes", "seconds"]
#: One row for each option, task metric and condition.
OPTION_COLUMNS = ["option", "metric", "corruption", "severity", "value", "seconds", "reason"]
#: How the models of the study are run, and what else could be chosen.
OPTIONS = {
    "float32": Execution(),
    "bfloat16": Execution(precision="bfloat16"),
    "float16": Execution(precision="float16"),
    "channels_last": Execution(channels_last=True),
    "torch.compile": Execution(compile=True),
}


@dataclass(frozen=True)
class Case:
    """What is swept: a detector over test images under conditions.

    Attributes:
        images: how many of the test images, from the first.
    """

    title: str
    model: TrainedModel
    data: TaskData
    conditions: tuple[Condition, ...]
    images: int

    def first(self, images: int | None = None, conditions: int | None = None) -> Case:
        """The same with the first images or conditions only."""
        return replace(self, images=images or self.images, conditions=self.conditions[:conditions])


class Sweeps:
    """Our sweeps, each into a new store, which is deleted: nothing is read from an earlier one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, model: TrainedModel, data: TaskData, conditions: Sequence[Condition], images: int, **how: object
    ) -> tuple[float, pd.DataFrame]:
        """Seconds until the scores are there, and the scores (`robnb.metrics.COLUMNS`)."""
        shutil.rmtree(self.folder, ignore_errors=True)
        start = time.perf_counter()
        evaluation = sweep([model], data, conditions, Store(self.folder), limit=images, **how)
        scores = evaluation.scores
        taken = time.perf_counter() - start
        shutil.rmtree(self.folder)
        return taken, scores


def race(
    case: Case, folder: Path, *, rounds: int, workers: int, sizes: Sequence[int] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Time both engines on a case, in turns, after one image untimed each, which compiles and loads the weights.

    Two numbers of images tell what each image costs from what each condition costs: the peer builds its data set and
    starts its loader for every condition. The peer computes on one thread or on all, whichever is faster: where its
    loader processes want the same cores, all can be much slower.

    Args:
        folder: for what they write.
        workers: the peer's loader processes.
        sizes: numbers of images, rising; half of the case's and all unless given.

    Returns:
        `RACE_COLUMNS`, and the scores of each engine's last round: engine, metric, corruption, severity, value. On
        clean images they are equal, but for mmdet's rounding to a tenth; the corruptions are drawn differently.
    """
    ours = Sweeps(folder / "store")
    sizes = sizes or sorted({max(1, case.images // 2), case.images})
    peers = {images: PeerSweep(case.model, case.data, images, workers, folder / f"peer{images}") for images in sizes}
    threads = _faster_threads(PeerSweep(case.model, case.data, 1, workers, folder / "warm_up"), case.conditions[:1])
    ours(case.model, case.data, case.conditions, 1)
    rows = []
    for number in range(rounds):
        for images, peer in peers.items():
            _ = peer.runner  # built, and its model loaded, before the clock starts: ours has its model already
            seconds, scores = ours(case.model, case.data, case.conditions, images)
            found, theirs = _timed(peer, case.conditions, threads)
            for engine, taken in ((OURS, seconds), (PEER, theirs)):
                rows.append((case.title, engine, number, images, len(case.conditions), taken))
    rounded = [
        {"metric": metric, "corruption": condition.corruption, "severity": condition.severity, "value": value}
        for condition, metrics in found.items()
        for metric, value in metrics.items()
    ]
    both = pd.concat([scores.assign(engine=OURS), pd.DataFrame(rounded).assign(engine=PEER)])
    columns = ["engine", "metric", "corruption", "severity", "value"]
    return pd.DataFrame(rows, columns=RACE_COLUMNS), both[columns].reset_index(drop=True)


def _faster_threads(peer: PeerSweep, conditions: Sequence[Condition], tries: int = 3) -> int:
    """Whether the peer's network computes faster on one thread or on all, beside its loader processes."""
    taken = {
        threads: min(_timed(peer, conditions, threads)[1] for _ in range(tries))
        for threads in sorted({1, torch.get_num_threads()})
    }
    return min(taken, key=taken.__getitem__)


def _timed(
    peer: PeerSweep, conditions: Sequence[Condition], threads: int
) -> tuple[dict[Condition, dict[str, float]], float]:
    """What the peer finds, and its seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        start = time.perf_counter()
        return peer.run(conditions), time.perf_counter() - start
    finally:
        torch.set_num_threads(before)


def growth(case: Case, folder: Path, processes: Sequence[int] = (1, 2)) -> pd.DataFrame:
    """How the cost of our sweep grows: half the images and conditions, twice as many of each, then worker processes.

    The conditions after the first (clean) are halved, so that there is a clean one each time. Worker processes
    (``scheduler="local"``) sweep the whole case; starting them and loading the model in each is part of their time.

    Returns:
        `GROWTH_COLUMNS`; processes is 0 for a sweep in this process.
    """
    run = Sweeps(folder)
    half = case.first(images=max(1, case.images // 2), conditions=1 + len(case.conditions[1:]) // 2)
    steps = {
        "half of both": (half, {}),
        "all images": (replace(half, images=case.images), {}),
        "all conditions": (replace(half, conditions=case.conditions), {}),
        "all of both": (case, {}),
    }
    shard = max(1, case.images // (2 * max(processes, default=1)))  # a shard is a job: each process gets at least two
    for count in processes:
        steps[f"all of both, {count} process{'es' * (count > 1)}"] = (
            case,
            {"scheduler": "local", "workers": count, "shard": shard},
        )
    run(case.model, case.data, case.conditions, 1)
    rows = []
    for what, (part, how) in steps.items():
        seconds, _ = run(part.model, part.data, part.conditions, part.images, **how)
        rows.append((what, part.images, len(part.conditions), how.get("workers", 0), seconds))
    return pd.DataFrame(rows, columns=GROWTH_COLUMNS)


def options(
    models: Sequence[tuple[TrainedModel, TaskData]],
    conditions: Sequence[Condition],
    images: int,
    folder: Path,
    inferences: dict[str, Execution],
) -> pd.DataFrame:
    """Scores and time of every way to run the models: `OPTION_COLUMNS`.

    Each is run twice on the same images and the second time counts, because the first compiles. An option that cannot
    be had here has one row, whose ``reason`` says why. ``seconds`` are of the row's whole sweep.

    Args:
        models: a model of a task with the task's data.
        inferences: some of `OPTIONS`; the first is what the others are compared with.
    """
    rows = []
    for option, inference in inferences.items():
        try:
            rows += _option(option, inference, models, conditions, images, Sweeps(folder))
        except Exception as error:  # a missing compiler, an operation without a kernel for the type: all kinds
            if inference == Execution():
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            rows.append({"option": option, "value": float("nan"), "seconds": float("nan"), "reason": reason})
    return pd.DataFrame(rows, columns=OPTION_COLUMNS)


def _option(
    option: str,
    inference: Execution,
    models: Sequence[tuple[TrainedModel, TaskData]],
    conditions: Sequence[Condition],
    images: int,
    run: Callable[..., tuple[float, pd.DataFrame]],
) -> list[dict[str, object]]:
    if inference.precision == "float16" and not torch.cuda.is_available():
        raise NotImplementedError("only worth its while on a GPU, and there is none here")
    rows: list[dict[str, object]] = []
    for model, data in models:
        run(model, data, conditions, images, inference=inference)
        seconds, scores = run(model, data, conditions, images, inference=inference)
        for row in scores.itertuples():
            where = {"metric": row.metric, "corruption": row.corruption, "severity": row.severity}
            rows.append({"option": option, **where, "value": row.value, "seconds": seconds, "reason": ""})
    return rows
