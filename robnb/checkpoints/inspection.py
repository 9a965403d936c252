"""What a weights file is, and what robnb would do with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from robnb.checkpoints.convert import complete, sha256_of, told
from robnb.checkpoints.layouts import Layout, layout
from robnb.checkpoints.plain import Checkpoint, read
from robnb.errors import UserError


@dataclass(frozen=True)
class Inspection:
    """A file, described.

    Attributes:
        bytes: its size.
        architecture: what it was held to; None if it does not tell.
        parameters: numbers in the network's tensors, buffers included.
        dtypes: how many tensors of each.
        not_finite: floating-point tensors with a NaN or an infinity.
        verdict: what robnb does with it, or why it refuses, in one sentence.
        usable: whether it does anything.
    """

    checkpoint: Checkpoint
    layout: Layout
    bytes: int
    sha256: str
    architecture: str | None
    parameters: int
    dtypes: dict[str, int]
    not_finite: tuple[str, ...]
    verdict: str
    usable: bool


def inspect(src: Path, architecture: str | None = None) -> Inspection:
    """Describe a weights file without running anything in it.

    Args:
        architecture: to hold it to; told from the shapes if not given.

    Raises:
        UserError: it cannot be read at all (see `read`).
    """
    checkpoint = read(src)
    tensors = checkpoint.tensors
    found = layout(tensors)
    not_finite = tuple(n for n, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all())
    named, verdict, usable = _verdict(checkpoint, found, architecture)
    if usable and not_finite:
        verdict, usable = f"{len(not_finite)} tensors hold values that are not finite; fetch it again.", False
    return Inspection(
        checkpoint=checkpoint,
        layout=found,
        bytes=checkpoint.path.stat().st_size,
        sha256=sha256_of(checkpoint.path),
        architecture=named,
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        dtypes=dict(Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())),
        not_finite=not_finite,
        verdict=verdict,
        usable=usable,
    )


def _verdict(checkpoint: Checkpoint, found: Layout, architecture: str | None) -> tuple[str | None, str, bool]:
    try:
        named = told(checkpoint, found, architecture)
        _, report = complete(checkpoint, found, named)
    except UserError as error:
        return architecture or found.architecture, str(error), False
    if found.family in ("detector", "segmentor"):
        return named, f"complete as a whole {found.family}'s backbone {named}: {report}.", True
    without = "" if found.classes else "; it has no classifier, so it can be transferred but not scored upstream"
    return named, f"complete as {named}: {report}{without}.", True
