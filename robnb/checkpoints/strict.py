"""Loading that is complete or does nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from robnb.checkpoints.swin import window_of
from robnb.errors import UserError

#: What nothing computes with, or what modules compute from their sizes: BatchNorm's batch counters, which old files do
#: not have, and Swin's indices and masks.
COMPUTED = re.compile(r"(.*\.)?(num_batches_tracked|relative_position_index|attn_mask)")

#: What a file may lack, or hold beside what the module has: those, and mm's norms of Swin's three shallower maps, which
#: serve downstream heads only.
OPTIONAL = re.compile(rf"{COMPUTED.pattern}|(backbone\.)?norm[012]\.(weight|bias)")


@dataclass(frozen=True)
class Report:
    """How a state dict fits a module, by name.

    Attributes:
        matched: in both, of the same shape.
        missing: only in the module.
        unexpected: only in the file.
        reshaped: in both, of another shape: (name, shape in the file, shape in the module).
        total: how many tensors the module has.
        absent: optional ones of the module that the file lacks; they stay as they are.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, torch.Size, torch.Size], ...]
    total: int
    absent: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Nothing missing, unexpected or of another shape."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        """One line of counts, and examples of what does not fit."""
        counts = (
            f"{len(self.matched)} of {self.total} tensors match, {len(self.missing)} are missing, "
            f"{len(self.reshaped)} are of another shape, {len(self.unexpected)} are unexpected"
        )
        shapes = [f"{name} {tuple(file)} for {tuple(module)}" for name, file, module in self.reshaped[:2]]
        examples = ", ".join([*self.missing[:2], *shapes, *self.unexpected[:2]])
        return f"{counts} (e.g. {examples})" if examples else counts


def compare(
    wanted: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], optional: re.Pattern[str] = OPTIONAL
) -> Report:
    """Hold a file's tensors to a module's state dict (shapes only; it may be on the meta device)."""
    common = [name for name in wanted if name in tensors]
    return Report(
        matched=tuple(name for name in common if tensors[name].shape == wanted[name].shape),
        missing=tuple(name for name in wanted if name not in tensors and not optional.fullmatch(name)),
        unexpected=tuple(name for name in tensors if name not in wanted and not optional.fullmatch(name)),
        reshaped=tuple(
            (name, tensors[name].shape, wanted[name].shape)
            for name in common
            if tensors[name].shape != wanted[name].shape
        ),
        total=len(wanted),
        absent=tuple(name for name in wanted if name not in tensors and optional.fullmatch(name)),
    )


def load(
    module: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    source: Path | str,
    optional: re.Pattern[str] = OPTIONAL,
) -> Report:
    """Fill every tensor of a module from tensors of its own names, or refuse and change none.

    Args:
        source: what the tensors are from, for the sentence.
        optional: names that may be missing, or be there in vain; the module's own stay.

    Raises:
        UserError: a single tensor is missing, unexpected or of another shape.
    """
    own = module.state_dict()
    report = compare(own, tensors, optional)
    if not report.complete:
        raise UserError(misfit(report, source, "this model"))
    module.load_state_dict({**own, **{name: tensors[name] for name in report.matched}}, strict=True)
    return report


def misfit(report: Report, source: Path | str, what: str) -> str:
    """The sentence for a report that is not complete."""
    for name, file, module in report.reshaped:
        if name.endswith("relative_position_bias_table") and file[-1:] == module[-1:]:
            windows = [window_of(size) for size in (file, module)]
            return (
                f"{source} has attention windows of {windows[0]} and {what} of {windows[1]}: {report}; name the "
                f"architecture of the file (e.g. swin_base_w12 for window 12)."
            )
    return f"{source} does not fit {what}: {report}; give the weights of the named architecture."
