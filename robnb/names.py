"""The field's vocabulary: every id that appears in a params file, a table or a store, written once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from robnb.errors import UserError

#: The four categories of ImageNet-C (Hendrycks & Dietterich 2019; the paper's section 3.1).
CATEGORIES: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
#: The 15 benchmark corruptions, in the order of ImageNet-C.
CORRUPTIONS: tuple[str, ...] = tuple(name for members in CATEGORIES.values() for name in members)
#: The four held-out corruptions of ImageNet-C.
VALIDATION_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
#: Corruptions that are not ImageNet-C's. CONTRIBUTING.md says how one is added; none is a part of any published number.
FURTHER_CORRUPTIONS: tuple[str, ...] = ()
#: Whatever can be asked for.
KNOWN_CORRUPTIONS = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS, *FURTHER_CORRUPTIONS)
SEVERITIES = (1, 2, 3, 4, 5)
#: How an uncorrupted condition is written in the results table; its severity is 0.
CLEAN = "clean"

#: The metrics of each task, all in percent, higher is better. "upstream" is the classification the backbone
#: was pretrained for (ImageNet in the paper); the other three are downstream.
METRICS: dict[str, tuple[str, ...]] = {
    "upstream": ("top1",),
    "detection": ("box_AP", "mask_AP"),
    "segmentation": ("mIoU",),
    "classification": ("top1",),
}
TASKS = tuple(METRICS)
#: How a backbone reaches a task: only the new head learns, or every weight does. A backbone scored on the
#: task it was pretrained for has not been transferred: its regime is "pretrained".
REGIMES = ("fixed_feature", "full_network")
PRETRAINED = "pretrained"


def choose(name: str, options: Iterable[str], what: str) -> str:
    """Return ``name`` if it is one of ``options``; otherwise say what is wrong and what was probably meant.

    Raises:
        UserError: ``unknown corruption 'gausian_noise': did you mean 'gaussian_noise'? Choose from ...``
    """
    options = list(options)
    if name in options:
        return name
    close = difflib.get_close_matches(str(name), options, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"unknown {what} {name!r}: {hint}Choose from {', '.join(options)}.")


def category_of(corruption: str) -> str:
    """The ImageNet-C category ("noise", "blur", "weather", "digital") of one of the 15 corruptions."""
    choose(corruption, CORRUPTIONS, "corruption")
    return next(category for category, members in CATEGORIES.items() if corruption in members)
