"""The work on one shard: decode, corrupt, predict, keep. It needs no other shard, so it can be done anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robnb.data.sample import Sample
from robnb.data.sources import Reader
from robnb.distributed import device
from robnb.errors import UserError
from robnb.evaluation import records, shards
from robnb.evaluation.panels import Panel, ahead, batches
from robnb.evaluation.predict import PREDICTORS, Predictor
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import ResidentModels, TrainedModel
from robnb.threads import one_core_free

#: Images at once, conditions counted, before memory says otherwise.
BATCH_SIZE = {"cpu": 16, "cuda": 64}
_resident = ResidentModels()


@dataclass(frozen=True)
class Target:
    """Where a model's results under a panel go.

    Attributes:
        sha256: of the model's file when its sweep began.
        folder: for the shard's file.
    """

    model: TrainedModel
    sha256: str
    panel: Panel
    folder: Path


@dataclass(frozen=True)
class ShardJob:
    """One shard of a sweep and what is missing of it.

    Attributes:
        number: of the shard.
    """

    asked: Sweep
    number: int
    targets: tuple[Target, ...]

    @property
    def conditions(self) -> int:
        """How many conditions are computed, counted for each model."""
        return sum(len(target.panel.conditions) for target in self.targets)


def compute(job: ShardJob) -> ShardJob:
    """Do the work and leave a file for every target; returns the job.

    Raises:
        UserError: an image or a model's file is not what it was.
        OSError: a file cannot be written.
    """
    asked, reader, where, task = job.asked, job.asked.reader, device(), job.asked.data.task
    indices = range(job.number * asked.shard, min((job.number + 1) * asked.shard, len(reader)))
    samples: list[Sample] = []
    wanted = list(dict.fromkeys(target.panel for target in job.targets))
    found: dict[Target, dict[tuple[int, int], records.Record]] = {target: {} for target in job.targets}
    made = batches(
        _kept(reader, indices, samples),
        wanted,
        asked.pixels,
        asked.batch_size or BATCH_SIZE[where.type],
        PREDICTORS[task].mixes_shapes,
    )
    with one_core_free():
        for batch in ahead(made):
            for target in job.targets:
                if target.panel == wanted[batch.panel]:
                    predictor = _resident.predictor(target.model, where, asked.inference, target.sha256)
                    for (index, column), one in zip(batch.rows, predicted(predictor, batch.blocks), strict=True):
                        found[target][index, column] = records.record(task, samples[index], one)
    for target in job.targets:
        _write(job, target, samples, found[target])
    return job


def _kept(reader: Reader, indices: range, samples: list[Sample]) -> Iterator[Sample]:
    """The shard's samples, which are also added to ``samples`` without their pixels."""
    for index in indices:
        sample = reader[index]
        samples.append(replace(sample, image=np.broadcast_to(np.uint8(0), sample.image.shape)))
        yield sample


def predicted(predictor: Predictor, blocks: Sequence[torch.Tensor]) -> list[Any]:
    """A prediction for every image; where the device's memory does not suffice, in two halves, and so on.

    How many images it sufficed for is remembered, so that no later batch tries more.

    Raises:
        UserError: there is not enough for one image.
    """
    images = sum(len(block) for block in blocks)
    if images <= predictor.most_images:
        try:
            return predictor(blocks)
        except torch.OutOfMemoryError as error:
            if images == 1:
                raise UserError(
                    f"the device has too little memory for one image ({str(error).splitlines()[0]}): free some, or use "
                    "a larger device; finished work is kept."
                ) from error
            predictor.most_images = images // 2
            torch.cuda.empty_cache()
    return [one for half in _halves(blocks, images // 2) for one in predicted(predictor, half)]


def _halves(blocks: Sequence[torch.Tensor], first: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The first so many images, and the rest."""
    ends = list(itertools.accumulate(len(block) for block in blocks))
    left = [block[: max(0, first - end + len(block))] for block, end in zip(blocks, ends, strict=True)]
    right = [block[max(0, first - end + len(block)) :] for block, end in zip(blocks, ends, strict=True)]
    return [block for block in left if len(block)], [block for block in right if len(block)]


def _write(job: ShardJob, target: Target, samples: list[Sample], found: dict[tuple[int, int], records.Record]) -> None:
    ids = [sample.image_id for sample in samples]
    tables = []
    for column, condition in enumerate(target.panel.conditions):
        rows = [found[index, column] for index in range(len(ids))]
        tables.append(records.table(job.asked.data.task, ids, rows, condition, target.panel.replicate))
    shards.write(target.folder, job.number, tables)
