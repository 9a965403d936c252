"""The interface of the imagecorruptions package on robnb's engine.

Replace ``from imagecorruptions import corrupt, get_corruption_names`` by the same names from here. That interface
has no image ids: like the package, it follows numpy's global generator, so ``np.random.seed`` makes a sequence of
calls repeat. Where every image has an id, ``robnb.corruptions.corrupt`` does not depend on the order of calls.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np

from robnb import corruptions
from robnb.errors import UserError
from robnb.names import CATEGORIES, CORRUPTIONS, VALIDATION_CORRUPTIONS, choose

_ALL = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
_SUBSETS = {"common": CORRUPTIONS, "validation": VALIDATION_CORRUPTIONS, "all": _ALL, **CATEGORIES}


def corrupt(
    image: np.ndarray,
    severity: SupportsIndex = 1,
    corruption_name: str | None = None,
    corruption_number: SupportsIndex = -1,
) -> np.ndarray:
    """Corrupt one image; every call draws one number from numpy's global generator.

    Args:
        image: uint8, (H, W, 3) RGB, or (H, W) or (H, W, 1) grey; both sides at least 32 pixels. It is not changed.
        severity: 1 (mild) to 5.
        corruption_name: one of ``get_corruption_names("all")``; goes before the number.
        corruption_number: the position of the name in that list, 0 to 18.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        UserError: neither name nor number, one that there is not, a severity outside 1..5, an image of another kind
            or size.
    """
    name = _name(corruption_name, corruption_number)
    severity = _integer(severity, "severity")
    draw = int(np.random.randint(2**32, dtype=np.uint64))
    return corruptions.corrupt(image, name, severity, image_id=str(draw))


def get_corruption_names(subset: str = "common") -> list[str]:
    """The names in "common" (the 15 of the benchmark), "validation" (4), "all", or one of the benchmark's categories.

    Raises:
        UserError: unknown subset.
    """
    return list(_SUBSETS[choose(subset, _SUBSETS, "subset of the corruptions")])


def _name(name: str | None, number: SupportsIndex) -> str:
    if name is not None:
        return choose(name, _ALL, "corruption")
    number = _integer(number, "corruption_number")
    if number == -1:
        raise UserError("neither corruption_name nor corruption_number was given: give one of them.")
    if not 0 <= number < len(_ALL):
        raise UserError(f"corruption_number must be an integer from 0 to {len(_ALL) - 1}, got {number}.")
    return _ALL[number]


def _integer(value: SupportsIndex, what: str) -> int:
    """numpy's integers are integers here, as in the package."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise UserError(f"{what} must be an integer, got {value!r}.") from error
