"""What a sweep is asked for, and the keys of what it finds."""

from __future__ import annotations

import functools
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

from robnb import corruptions
from robnb.corruptions import VERSION, Condition
from robnb.data.corrupted import PublishedCopies
from robnb.data.sources import Reader, TaskData
from robnb.distributed import device
from robnb.errors import UserError
from robnb.evaluation.panels import PUBLISHED, Panel, Pixels, panels
from robnb.evaluation.trained import TrainedModel
from robnb.models.execution import Execution
from robnb.names import CLEAN, choose
from robnb.store import Spec, Store

#: Images in a shard: what a kill loses at most, and what a worker is given at a time.
SHARD = 32
#: What makes the pixels of a condition: a corruption engine, or nothing where published copies are read.
ENGINES = (*corruptions.ENGINES, PUBLISHED)


@dataclass(frozen=True)
class SweepSpec(Spec):
    """One model under one panel of conditions; everything its per-image results depend on.

    Attributes:
        model: store key of the trained model, or hash of its file.
        data: fingerprint of the test set.
        images: how many of its images, from the first.
        conditions: (corruption, severity) of each.
        replicate, seed: of the corruptions' draws.
        engine: what made the pixels: "fast" with its version, "reference", "published" with the name of the release, or
            "clean" where nothing did.
        shard: images in a file.
        channels, jpeg: see `robnb.evaluation.panels.Pixels`.
        interpolation: how a classifier's images are resized.
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
    inference: Execution
    shard: int
    channels: str = "rgb"
    jpeg: int | None = None
    interpolation: str = "bilinear"

    def described(self) -> dict[str, Any]:
        """As `Spec.described`, without the fields that have their default: they came later, and older keys stay."""
        usual = {field.name: field.default for field in fields(self) if field.default is not MISSING}
        return {name: value for name, value in super().described().items() if usual.get(name, MISSING) != value}


@functools.lru_cache(maxsize=8)
def open_reader(data: TaskData, images: int | None) -> Reader:
    """The test images, the first so many or all; a process reads their annotations once."""
    return data.open("test", images)


@functools.lru_cache(maxsize=8)
def open_copies(data: TaskData) -> PublishedCopies:
    """The published copies of the test images; a process opens their files once."""
    return data.open_copies()


@dataclass(frozen=True)
class Sweep:
    """What is asked for: models of one task, test images, conditions, and how.

    Attributes:
        seed, engine, channels, jpeg: of the corruptions, see `robnb.evaluation.panels.Pixels`.
        replicates: draws of every corruption.
        limit: the first so many test images; None for all.
        batch_size: images at once, conditions counted; None leaves it to the device.

    Raises:
        UserError: unknown engine or channels, a JPEG quality that there is not, or published copies that are asked for
            what they do not have.
    """

    models: tuple[TrainedModel, ...]
    data: TaskData
    conditions: tuple[Condition, ...]
    seed: int = 0
    engine: str = "fast"
    channels: str = "rgb"
    jpeg: int | None = None
    replicates: int = 1
    limit: int | None = None
    inference: Execution = field(default_factory=Execution)
    batch_size: int | None = None
    shard: int = SHARD

    def __post_init__(self) -> None:
        choose(self.engine, ENGINES, "engine")
        choose(self.channels, ("rgb", "bgr"), "order of the channels")
        if self.jpeg is not None and (type(self.jpeg) is not int or not 1 <= self.jpeg <= 100):
            raise UserError(f"the JPEG quality is {self.jpeg!r}: give an integer from 1 to 100, or None.")
        if self.engine == PUBLISHED:
            if (self.channels, self.jpeg, self.replicates) != ("rgb", None, 1):
                raise UserError(
                    "published copies are drawn once and finished: leave channels rgb, jpeg unset and replicates 1, or "
                    "corrupt the images with the engine fast."
                )
            self.data.open_copies()

    @property
    def reader(self) -> Reader:
        """The test images."""
        return open_reader(self.data, self.limit)

    @property
    def pixels(self) -> Pixels:
        """How every condition's pixels are made, on this process's device."""
        copies = open_copies(self.data) if self.engine == PUBLISHED else None
        return Pixels(self.seed, self.engine, device(), self.channels, self.jpeg, copies)

    def check_copies(self) -> None:
        """Raises a UserError where published copies are asked for and lack an image or a condition."""
        if self.engine == PUBLISHED:
            pairs = [(c.corruption, c.severity) for c in self.conditions if c.corruption != CLEAN]
            if pairs:
                open_copies(self.data).check(pairs, self.reader)

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
        made = self._making(panel)
        return SweepSpec(
            model=model.key,
            task=model.task,
            data=self.data.test_fingerprint,
            images=len(self.reader),
            scale=tuple(model.scale),
            conditions=tuple((condition.corruption, condition.severity) for condition in panel.conditions),
            replicate=panel.replicate,
            inference=self.inference,
            shard=self.shard,
            interpolation=model.interpolation,
            **made,
        )

    def _making(self, panel: Panel) -> dict[str, Any]:
        """The fields of a key that say how a panel's pixels are made, and no more than they depend on."""
        if panel.conditions[0].corruption == CLEAN:
            return {"seed": 0, "engine": CLEAN}
        if self.engine == PUBLISHED:
            return {"seed": 0, "engine": f"{PUBLISHED} {open_copies(self.data).name}"}
        engine = {"fast": f"fast {VERSION}"}.get(self.engine, self.engine)
        return {"seed": self.seed, "engine": engine, "channels": self.channels, "jpeg": self.jpeg}

    def missing(self, store: Store) -> list[tuple[TrainedModel, Panel]]:
        """What is not finished."""
        return [(model, panel) for model, panel in self.pairs if not store.has(self.spec(model, panel))]
