"""One worker's share of a copy: an image under all its conditions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robnb.copies.files import pixel_hash, write_whole
from robnb.copies.record import Made, Settings
from robnb.copies.source import SourceImage
from robnb.corruptions import Condition, corrupt
from robnb.data.images import read_pixels
from robnb.errors import UserError


@dataclass(frozen=True)
class Job:
    """An image and the conditions in which it is not finished.

    Attributes:
        path: of the source image.
        folder: of the copy.
        source_hash: what the source's pixels were when the image was last read; None if it never was.
    """

    path: Path
    image: SourceImage
    folder: Path
    conditions: tuple[Condition, ...]
    settings: Settings
    source_hash: str | None


def make(job: Job) -> Made:
    """Write the image's file in every condition's folder.

    Raises:
        UserError: the image cannot be decoded, is too small, or is not the one it was.
    """
    pixels = read_source(job)
    hashes = {}
    for condition in job.conditions:
        key = f"{condition.corruption}/{condition.severity}"
        hashes[key] = _write(job, condition, pixels, job.folder / key / job.image.target)
    return Made(job.image.file, job.image.target, pixel_hash(pixels), hashes)


def read_source(job: Job) -> np.ndarray:
    """The image's pixels, checked against its hash where that is known."""
    pixels = read_pixels(job.path)
    if job.source_hash not in (None, pixel_hash(pixels)):
        raise UserError(
            f"{job.path} has other pixels than the image that {job.folder} was made from: give the same source, or "
            "choose another folder."
        )
    return pixels


def _write(job: Job, condition: Condition, pixels: np.ndarray, path: Path) -> str:
    """Write one file and return the hash of the pixels that it decodes to."""
    settings = job.settings
    try:
        corrupted = corrupt(
            pixels,
            condition.corruption,
            condition.severity,
            image_id=job.image.image_id,
            seed=settings.seed,
            replicate=settings.replicate,
            engine=settings.engine,
        )
    except UserError as error:  # it knows the pixels, not their file
        raise UserError(f"{job.path}: {error}") from error
    content = settings.file_format.encode(corrupted)
    write_whole(path, content)
    return pixel_hash(settings.file_format.decoded(content, corrupted))
