"""The corruptions of ImageNet-C: 15 in the benchmark and 4 held out, each at five severities.

Corruption acts on the uint8 RGB image at its original size, before any resize. The pixels are a function of the
image and the key (seed, image_id, corruption, severity, replicate) and of nothing else: not of the order of
calls, the batch, the worker or the shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robnb.corruptions import reference
from robnb.errors import UserError
from robnb.names import CATEGORIES, CLEAN, CORRUPTIONS, SEVERITIES, VALIDATION_CORRUPTIONS, choose

#: The name of the 15 benchmark corruptions together, wherever a set of corruptions is chosen.
BENCHMARK = "benchmark"
#: Both sides of an image, in pixels, have to reach this (the package's own limit).
MIN_SIDE = 32


@dataclass(frozen=True)
class Condition:
    """What the test images are put through: one corruption at one severity (1 to 5), or ``("clean", 0)``.

    Raises:
        UserError: unknown corruption, or a severity that is not one of its own.
    """

    corruption: str
    severity: int

    def __post_init__(self) -> None:
        if self.corruption != CLEAN:
            choose(self.corruption, (*CORRUPTIONS, *VALIDATION_CORRUPTIONS), "corruption")
            _check_severity(self.severity)
        elif type(self.severity) is not int or self.severity != 0:
            raise UserError(f"the severity of {CLEAN!r} is 0, not {self.severity!r}.")


def conditions(corruptions: Sequence[str], severities: Sequence[int]) -> tuple[Condition, ...]:
    """The grid of an evaluation: clean first, then every corruption at every severity, in the order given.

    Args:
        corruptions: ids of corruptions, or of sets of them: ``"benchmark"`` (the 15) or a category (``"noise"``,
            ``"blur"``, ``"weather"``, ``"digital"``); an empty sequence leaves clean alone.
        severities: distinct integers in 1..5.

    Raises:
        UserError: unknown or repeated corruption, severity outside 1..5 or repeated, or no severity.
    """
    sets = {BENCHMARK: CORRUPTIONS, **CATEGORIES}
    known = (*sets, *CORRUPTIONS, *VALIDATION_CORRUPTIONS)
    corruptions = [
        name for given in corruptions for name in sets.get(choose(given, known, "corruption or set of them"), (given,))
    ]
    if corruptions and not severities:
        raise UserError("no severity was given: name at least one of 1, 2, 3, 4, 5.")
    grid = [Condition(corruption, severity) for corruption in corruptions for severity in severities]
    for values, what in ((corruptions, "corruption"), (severities, "severity")):
        repeated = {value for value in values if list(values).count(value) > 1}
        if repeated:
            raise UserError(f"{what} {repeated.pop()!r} is named more than once: name each only once.")
    return (Condition(CLEAN, 0), *grid)


def corrupt(
    image: np.ndarray, name: str, severity: int, *, image_id: str, seed: int = 0, replicate: int = 0
) -> np.ndarray:
    """Corrupt one image with the imagecorruptions package.

    Args:
        image: (H, W, 3) uint8 RGB, both sides at least 32 pixels. It is not changed.
        name: one of the 15 benchmark or 4 validation corruptions.
        severity: 1 (mild) to 5.
        image_id: the image's id in its data set; images that share an id share their noise.
        seed: of the whole evaluation.
        replicate: counts repeated draws for the same image, corruption and severity.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        UserError: unknown corruption, severity outside 1..5, an image of another kind or size, no image_id,
            a seed or replicate that is not an int.
    """
    choose(name, (*CORRUPTIONS, *VALIDATION_CORRUPTIONS), "corruption")
    _check_severity(severity)
    _check_image(image)
    if not isinstance(image_id, str) or not image_id:
        raise UserError(f"image_id must be a text that is not empty, got {image_id!r}: pass the image's id as text.")
    for value, what in ((seed, "seed"), (replicate, "replicate")):
        if type(value) is not int:
            raise UserError(f"{what} must be an int, got {value!r}.")
    return reference.corrupt(image, name, severity, key=("corrupt", seed, image_id, name, severity, replicate))


def _check_severity(severity: int) -> None:
    if type(severity) is not int or severity not in SEVERITIES:
        raise UserError(f"severity must be an integer from 1 to 5, got {severity!r}.")


def _check_image(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image must be a uint8 RGB array of shape (height, width, 3), got {got}: convert it first.")
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise UserError(
            f"an image must be at least {MIN_SIDE} x {MIN_SIDE} pixels, got {height} x {width} (height x width): "
            "leave it out or enlarge it first."
        )
