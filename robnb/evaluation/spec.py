"""What a sweep is asked for, and the keys of what it finds."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from robnb.corruptions import VERSION, Condition
from robnb.data.sources import Reader, TaskData
from robnb.evaluation.panels import Panel, panels
from robnb.evaluation.predict import Inference
from robnb.evaluation.trained import TrainedModel
from robnb.names import CLEAN
from robnb.store import Spec, Store

#: Images in a shard: what a kill loses at most, and what a worker is given at a time.
SHARD = 32


@dataclass(frozen=True)
class SweepSpec(Spec):
    """One model under one panel of conditions; everything its per-image results depend on.

    Attributes:
        model: store key of the trained model, or hash of its file.
        data: fingerprint of the test set.
        images: how many of its images, from the first.
        conditions: (corruption, severity) of each.
        replicate, seed: of the corruptions' draws.
        engine: what made the pixels: "fast" with its version, "reference", or "clean" where nothing did.
        shard: images in a file.
    """

    kind: ClassVar[str] = "sweep"
    model: str
    task: str
    data: str
    images: int
    scale: tuple[int, int]
    conditions: tuple[tuple[str, int], ...]
    replicate: int
    seed: int
    engine: str
    inference: Inference
    shard: int


@functools.lru_cache(maxsize=4)
def open_reader(data: TaskData, images: int | None) -> Reader:
    """The test images, the first so many or all; a process reads their annotations once."""
    return data.open("test", images)


@dataclass(frozen=True)
class Sweep:
    """What is asked for: models of one task, test images, conditions, and how.

    Attributes:
        seed, engine: of the corruptions, see `robnb.corruptions.corrupt`.
        replicates: draws of every corruption.
        limit: the first so many test images; None for all.
        batch_size: images at once, conditions counted; None leaves it to the device.
    """

    models: tuple[TrainedModel, ...]
    data: TaskData
    conditions: tuple[Condition, ...]
    seed: int = 0
    engine: str = "fast"
    replicates: int = 1
    limit: int | None = None
    inference: Inference = field(default_factory=Inference)
    batch_size: int | None = None
    shard: int = SHARD

    @cached_property
    def reader(self) -> Reader:
        """The test images."""
        return open_reader(self.data, self.limit)

    @cached_property
    def panels(self) -> list[Panel]:
        """What is computed and kept together."""
        return panels(self.conditions, self.replicates)

    @property
    def pairs(self) -> list[tuple[TrainedModel, Panel]]:
        """Every piece of work that has a folder of its own."""
        return [(model, panel) for model in self.models for panel in self.panels]

    @property
    def shards(self) -> int:
        """How many shards the images make."""
        return -(-len(self.reader) // self.shard)

    def spec(self, model: TrainedModel, panel: Panel) -> SweepSpec:
        """The key of a model's results under a panel."""
        clean = panel.conditions[0].corruption == CLEAN
        return SweepSpec(
            model=model.key,
            task=model.task,
            data=self.data.fingerprint,
            images=len(self.reader),
            scale=tuple(model.scale),
            conditions=tuple((condition.corruption, condition.severity) for condition in panel.conditions),
            replicate=panel.replicate,
            seed=0 if clean else self.seed,
            engine=CLEAN if clean else {"fast": f"fast {VERSION}"}.get(self.engine, self.engine),
            inference=self.inference,
            shard=self.shard,
        )

    def missing(self, store: Store) -> list[tuple[TrainedModel, Panel]]:
        """What is not finished."""
        return [(model, panel) for model, panel in self.pairs if not store.has(self.spec(model, panel))]
