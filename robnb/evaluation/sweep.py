"""The sweep: the models of a task on every test image under every condition, each image decoded and corrupted once.

What the models say of each image is kept in the store, a folder for each model and panel of conditions. A sweep that
was killed goes on at the next shard; one that is finished is read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from robnb import progress
from robnb.corruptions import Condition
from robnb.data.sources import TaskData
from robnb.distributed import done
from robnb.evaluation import shards
from robnb.evaluation.compute import ShardJob, Target, compute
from robnb.evaluation.panels import Panel
from robnb.evaluation.results import Evaluation
from robnb.evaluation.scoring import score
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel, changed
from robnb.store import Store, write_json


def sweep(
    models: Sequence[TrainedModel],
    data: TaskData,
    conditions: Sequence[Condition],
    store: Store,
    *,
    scheduler: str | None = None,
    workers: int = 1,
    **how: object,
) -> Evaluation:
    """Score models of one task under every condition; finished work is read from the store.

    Args:
        scheduler, workers: where, see `robnb.distributed.done`; no result depends on it.
        how: the other fields of `Sweep`.

    Raises:
        UserError: an image, a model's file or the scheduler is not what it should be; the disk is full.
    """
    return run(Sweep(tuple(models), data, tuple(conditions), **how), store, scheduler, workers)


def run(asked: Sweep, store: Store, scheduler: str | None = None, workers: int = 1) -> Evaluation:
    """`sweep`, of what is asked for."""
    sha256 = {model: model.sha256() for model in asked.models}
    for model, panel in asked.pairs:
        _check_finished(store, asked, model, panel, sha256[model])
    with ExitStack() as stack:
        # In the order of the keys, so that two processes that want the same work never wait for each other.
        pending = sorted(asked.missing(store), key=lambda pair: asked.spec(*pair).key)
        folders = {pair: stack.enter_context(store.work(asked.spec(*pair))) for pair in pending}
        if pending:
            asked.check_copies()
        targets = [
            Target(model, sha256[model], panel, _begun(folder, model, sha256[model]))
            for (model, panel), folder in folders.items()
            if folder is not None  # another process finished it meanwhile
        ]
        _compute(asked, targets, scheduler, workers)
        _finish(asked, targets, scheduler, workers)
    return Evaluation(asked, store)


def _check_finished(store: Store, asked: Sweep, model: TrainedModel, panel: Panel, sha256: str) -> None:
    """A finished folder with a damaged shard is opened again; one of other weights is refused."""
    spec = asked.spec(model, panel)
    if store.has(spec):
        if store.read(spec, "model.json")["sha256"] != sha256:
            raise changed(model)
        if len(shards.whole(store.folder(spec))) < asked.shards:
            store.reopen(spec)


def _begun(folder: Path, model: TrainedModel, sha256: str) -> Path:
    """Note which weights a sweep is of, or see that they are still the same."""
    noted = folder / "model.json"
    if not noted.exists():
        write_json(noted, {"sha256": sha256})
    elif json.loads(noted.read_text())["sha256"] != sha256:
        raise changed(model)
    return folder


def _compute(asked: Sweep, targets: list[Target], scheduler: str | None, workers: int) -> None:
    there = {target: shards.whole(target.folder) for target in targets}
    jobs = [
        ShardJob(asked, number, lacking)
        for number in range(asked.shards)
        if (lacking := tuple(target for target in targets if number not in there[target]))
    ]
    total = sum(len(panel.conditions) for _, panel in asked.pairs) * len(asked.reader)
    todo = sum(_images(asked, job) for job in jobs)
    started = time.monotonic()
    with (
        progress.bar(total, f"score {asked.data.task}", total - todo, unit="img") as shown,
        closing(done(compute, jobs, scheduler, workers)) as finished,
    ):
        for job in finished:
            shown.update(_images(asked, job))
    speed = {"seconds": time.monotonic() - started, "images": todo}
    for target in targets:
        write_json(target.folder / "speed.json", speed)


def _images(asked: Sweep, job: ShardJob) -> int:
    """How many images a shard's work is, conditions and models counted."""
    return job.conditions * min(asked.shard, len(asked.reader) - job.number * asked.shard)


@dataclass(frozen=True)
class _Scoring:
    """One condition of a target whose shards are all there."""

    asked: Sweep
    target: Target
    condition: int


def _score(job: _Scoring) -> tuple[tuple[Path, int], dict[str, float]]:
    table = shards.read(job.target.folder, job.condition)
    return (job.target.folder, job.condition), score(job.asked.data.task, table, job.asked.reader)


def _finish(asked: Sweep, targets: list[Target], scheduler: str | None, workers: int) -> None:
    """Score what is complete now, a condition at a time."""
    jobs = [_Scoring(asked, target, number) for target in targets for number in range(len(target.panel.conditions))]
    scored = dict(done(_score, jobs, scheduler, workers))
    for target in targets:
        metrics = [scored[target.folder, number] for number in range(len(target.panel.conditions))]
        write_json(target.folder / "result.json", {"metrics": metrics, "n_images": len(asked.reader)})
