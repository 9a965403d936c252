"""Where a sweep's time goes: the same images through our steps and through the peer's, one step after the other.

Nothing overlaps here, so that each step is measured alone; `robnb.speed.sweep_speed` measures the whole, where loader
processes (the peer) or a thread (ours) work ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope

from robnb.data.sample import Sample
from robnb.distributed import device
from robnb.evaluation import records, shards
from robnb.evaluation.compute import BATCH_SIZE
from robnb.evaluation.panels import Pixels, batches, panels
from robnb.evaluation.scoring import score
from robnb.models.execution import Execution
from robnb.speed.peer_sweep import PEER, PeerSweep, quiet_and_repaired
from robnb.speed.sweep_speed import OURS, Case
from robnb.speed.timing import wait
from robnb.threads import one_thread

#: In the order in which an image goes through them.
#:
#:     set up    the peer's only: data set and index of the annotations, anew for every condition
#:     decode    the file to pixels
#:     corrupt
#:     prepare   the peer's only: resizing, annotations, packing (ours resizes within forward)
#:     forward   the network, non-maximum suppression, masks pasted into the image
#:     encode    masks to run lengths
#:     score     ours: matching, and accumulating; the peer's: results to JSON and back, COCOeval
#:     write     ours only: the per-image results
STAGES = ("set up", "decode", "corrupt", "prepare", "forward", "encode", "score", "write")
#: seconds: of a stage, over all images and conditions of a case.
COLUMNS = ["case", "engine", "stage", "images", "conditions", "seconds"]
#: Which stage a step of mmdet's pipeline belongs to; the others prepare.
_STAGE_OF = {"LoadImageFromFile": "decode", "Corrupt": "corrupt"}


class Watch:
    """Adds up the seconds spent in each stage; a stage inside another is not counted twice."""

    def __init__(self, where: torch.device) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._where, self._inner = str(where), [0.0]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._inner.append(0.0)
        start = time.perf_counter()
        yield
        wait(self._where)
        taken = time.perf_counter() - start
        self.seconds[stage] += taken - self._inner.pop()
        self._inner[-1] += taken

    def around(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The function with its time added to a stage."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self(stage):
                return function(*args, **kwargs)

        return timed


def stages(case: Case, folder: Path) -> pd.DataFrame:
    """Both engines' stages on a case, on one thread of the CPU, after one clean image untimed: `COLUMNS`.

    Our corruptions compile at their first call: have them called before (`robnb.speed.sweep_speed.race` does).
    """
    for part in (case.first(images=1, conditions=1), case):
        peer = PeerSweep(part.model, part.data, part.images, 0, folder / f"peer{part.images}")
        with one_thread():
            found = {OURS: our_stages(part, folder / "ours"), PEER: peer_stages(part, peer)}
    work = case.images, len(case.conditions)
    rows = [(case.title, engine, stage, *work, taken[stage]) for engine, taken in found.items() for stage in STAGES]
    return pd.DataFrame(rows, columns=COLUMNS)


def our_stages(case: Case, folder: Path) -> dict[str, float]:
    """Seconds of each stage of our sweep (`robnb.evaluation.compute`), all in this thread.

    Args:
        folder: for the shards that are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = device()
    watch = Watch(where)
    predictor = case.model.predictor(where, Execution(), case.model.sha256())
    predictor.prediction = watch.around(predictor.prediction, "encode")
    reader = case.data.open("test", case.images)
    samples: list[Sample] = []

    def decoded() -> Iterator[Sample]:
        for index in range(len(reader)):
            with watch("decode"):
                samples.append(reader[index])
            yield samples[-1]

    wanted = panels(case.conditions, 1)
    found: list[dict[tuple[int, int], records.Record]] = [{} for _ in wanted]
    made = batches(decoded(), wanted, Pixels(0, "fast", where), BATCH_SIZE[where.type], predictor.mixes_shapes)
    while True:
        with watch("corrupt"):
            batch = next(made, None)
        if batch is None:
            break
        with watch("forward"):
            predictions = predictor(batch.blocks)
        with watch("score"):
            for (index, column), one in zip(batch.rows, predictions, strict=True):
                found[batch.panel][index, column] = records.record(case.data.task, samples[index], one)
    ids = [sample.image_id for sample in samples]
    for panel, results in zip(wanted, found, strict=True):
        with watch("score"):
            tables = [
                records.table(case.data.task, ids, [results[i, column] for i in range(len(ids))], condition)
                for column, condition in enumerate(panel.conditions)
            ]
            for table in tables:
                score(case.data.task, table, reader)
        with watch("write"):
            shards.write(folder, 0, tables)
    return watch.seconds


def peer_stages(case: Case, peer: PeerSweep) -> dict[str, float]:
    """Seconds of each stage of the peer's loop, all in this process."""
    watch, runner = Watch(device()), peer.runner
    with quiet_and_repaired(), DefaultScope.overwrite_default_scope("mmdet"), torch.no_grad():
        model, evaluator = runner.model.eval(), runner.test_loop.evaluator
        for condition in case.conditions:
            with watch("set up"):
                dataset = DATASETS.build(peer.loader(condition)["dataset"])
            for index in range(len(dataset)):
                results = dataset.get_data_info(index)
                for transform in dataset.pipeline.transforms:
                    with watch(_STAGE_OF.get(type(transform).__name__, "prepare")):
                        results = transform(results)
                batch = pseudo_collate([results])
                with watch("forward"):
                    outputs = model.test_step(batch)
                with watch("encode"):
                    evaluator.process(data_samples=outputs, data_batch=batch)
            with watch("score"):
                evaluator.evaluate(len(dataset))
    return watch.seconds
