"""An image's conditions as batches: decoded once, corrupted on the device, together through the models.

A *panel* is a set of conditions that are computed and kept together: the clean one, or all corruptions at one severity
in one draw. Which images and conditions share a batch follows from the panel, the shard and the batch size alone, so
that a sweep that was killed goes on with the same batches and ends with the same bytes.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image

from robnb.corruptions import Condition, corrupt, corrupt_batch
from robnb.data.corrupted import PublishedCopies, check_size
from robnb.data.sample import Sample
from robnb.names import CLEAN

Item = TypeVar("Item")
_END = object()
#: The engine that takes published corrupted copies.
PUBLISHED = "published"


@dataclass(frozen=True)
class Panel:
    """Conditions of one severity in one draw, or the clean one.

    Attributes:
        conditions: in the order of the grid.
        replicate: counts the draws; 0 for clean.
    """

    conditions: tuple[Condition, ...]
    replicate: int = 0


def panels(conditions: Sequence[Condition], replicates: int) -> list[Panel]:
    """The panels of a grid: clean first, then a panel for each severity and draw."""
    by_severity = sorted(conditions, key=lambda condition: condition.severity)
    groups = [tuple(group) for _, group in groupby(by_severity, key=lambda condition: condition.severity)]
    return [
        Panel(group, replicate)
        for group in groups
        for replicate in range(1 if group[0].corruption == CLEAN else replicates)
    ]


@dataclass(frozen=True)
class Batch:
    """Images of a panel, ready for a model.

    Attributes:
        panel: its index among those that were asked for.
        rows: (sample's index in the shard, condition's index in the panel) of every image.
        blocks: uint8 (N, H, W, 3) on the device, together one image for each row.
    """

    panel: int
    rows: list[tuple[int, int]]
    blocks: list[torch.Tensor]


class Held(NamedTuple):
    """A sample, and its image on the device: uint8 (H, W, 3)."""

    sample: Sample
    pixels: torch.Tensor


@dataclass(frozen=True)
class Pixels:
    """How a condition's pixels are made.

    Attributes:
        seed: of the corruptions' draws.
        engine: "fast" or "reference", see `robnb.corruptions.corrupt`; "published" takes them from ``copies``.
        channels: "rgb", or "bgr" to corrupt the image with its channels turned round, as tools do that corrupt what
            OpenCV has read. It matters for snow, frost and JPEG; the noises are other draws.
        jpeg: quality of a JPEG that each corrupted image is saved as and read from again; None leaves it as it is.
        copies: for the engine "published".
    """

    seed: int
    engine: str
    device: torch.device
    channels: str = "rgb"
    jpeg: int | None = None
    copies: PublishedCopies | None = None

    def held(self, sample: Sample) -> Held:
        """An image that waits for its batch, on the device: it is moved there once, whatever it is put through."""
        return Held(sample, torch.from_numpy(sample.image).to(self.device))

    def block(self, images: Sequence[Held], condition: Condition, replicate: int) -> torch.Tensor:
        """Images of one size under a condition: uint8 (N, H, W, 3) on the device.

        Raises:
            UserError: a published copy cannot be read or has not the size of the clean image.
        """
        if condition.corruption == CLEAN:
            return torch.stack([image.pixels for image in images])
        if self.engine == PUBLISHED:
            return self._published(images, condition)
        made = (self._fast if self.engine == "fast" else self._one_by_one)(images, condition, replicate)
        return made if self.jpeg is None else self._saved(made, self.jpeg)

    def _fast(self, images: Sequence[Held], condition: Condition, replicate: int) -> torch.Tensor:
        key = {"image_ids": [image.sample.image_id for image in images], "seed": self.seed, "replicate": replicate}
        clean = torch.stack([image.pixels for image in images])
        if self.channels == "rgb":
            return corrupt_batch(clean, condition.corruption, condition.severity, **key)
        return corrupt_batch(clean.flip(-1), condition.corruption, condition.severity, **key).flip(-1)

    def _one_by_one(self, images: Sequence[Held], condition: Condition, replicate: int) -> torch.Tensor:
        step = 1 if self.channels == "rgb" else -1
        key = {"seed": self.seed, "replicate": replicate, "engine": self.engine}
        corrupted = []
        for sample, _ in images:
            image = np.ascontiguousarray(sample.image[..., ::step])
            made = corrupt(image, condition.corruption, condition.severity, image_id=sample.image_id, **key)
            corrupted.append(torch.from_numpy(np.ascontiguousarray(made[..., ::step])))
        return torch.stack(corrupted).to(self.device)

    def _saved(self, images: torch.Tensor, quality: int) -> torch.Tensor:
        saved = [torch.from_numpy(through_jpeg(image, quality)) for image in images.cpu().numpy()]
        return torch.stack(saved).to(self.device)

    def _published(self, images: Sequence[Held], condition: Condition) -> torch.Tensor:
        copies = []
        for sample, _ in images:
            copy = self.copies.pixels(condition.corruption, condition.severity, sample.image_id)
            check_size(self.copies, copy, sample.image)
            copies.append(torch.from_numpy(copy))
        return torch.stack(copies).to(self.device)


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """An image saved as JPEG and read again, with Pillow's chroma subsampling: uint8 (H, W, 3) in and out."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def batches(
    samples: Iterator[Sample], wanted: Sequence[Panel], pixels: Pixels, batch_size: int, mixes_shapes: bool
) -> Iterator[Batch]:
    """Every sample under every condition of the panels, each image decoded once.

    Args:
        samples: in the shard's order; read as they are needed.
        batch_size: at most so many images at once, but an image's conditions are not spread over more batches than
            they have to be.
        mixes_shapes: whether images of different sizes may share a batch.
    """
    waiting: list[list[tuple[int, Held]]] = [[] for _ in wanted]

    def flushed(which: int) -> Iterator[Batch]:
        yield from _panel_batches(which, wanted[which], waiting[which], pixels, batch_size)
        waiting[which] = []

    for index, sample in enumerate(samples):
        image = pixels.held(sample)
        for which, panel in enumerate(wanted):
            held = waiting[which]
            together = max(1, batch_size // len(panel.conditions))
            other_shape = held and not mixes_shapes and held[0][1].pixels.shape != image.pixels.shape
            if len(held) == together or other_shape:
                yield from flushed(which)
            waiting[which].append((index, image))
    for which in range(len(wanted)):
        yield from flushed(which)


def _panel_batches(
    which: int, panel: Panel, held: list[tuple[int, Held]], pixels: Pixels, batch_size: int
) -> Iterator[Batch]:
    runs = [list(run) for _, run in groupby(held, key=lambda item: item[1].pixels.shape)]
    for start in range(0, len(panel.conditions) if held else 0, batch_size):
        rows, blocks = [], []
        for column in range(start, min(start + batch_size, len(panel.conditions))):
            for run in runs:
                rows += [(index, column) for index, _ in run]
                blocks.append(pixels.block([image for _, image in run], panel.conditions[column], panel.replicate))
        yield Batch(which, rows, blocks)


def ahead(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """The same items, made in a thread while the caller works: decoding and corrupting overlap the model.

    What is raised while an item is made is raised where the item was wanted.
    """
    with ThreadPoolExecutor(1) as pool:
        made = deque(pool.submit(next, items, _END) for _ in range(depth))
        while (item := made.popleft().result()) is not _END:
            made.append(pool.submit(next, items, _END))
            yield item
