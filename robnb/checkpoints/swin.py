"""Swin's four ways of naming the same tensors.

microsoft: ``layers.0.blocks.0.attn.qkv``, patches merged at the end of a stage (``layers.0.downsample``), ``head``.
timm: the same, but patches merged at the start of the next stage (``layers.1.downsample``), and ``head.fc``.
openmmlab (mmcls, mmdet, mmseg): ``stages.0.blocks.0.attn.w_msa.qkv``, ``ffn`` for ``mlp``, and the four neighbours that
are merged in the order of torch's unfold. Its last norm is ``norm3`` (``norm`` in early mmcls files).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

#: Computed from the sizes alone; modules make their own.
INDICES = re.compile(r".*\.(relative_position_index|attn_mask)")

_TO_TIMM = (
    (re.compile(r"^stages\."), "layers."),
    (re.compile(r"\.attn\.w_msa\."), ".attn."),
    (re.compile(r"\.ffn\.layers\.0\.0\."), ".mlp.fc1."),
    (re.compile(r"\.ffn\.layers\.1\."), ".mlp.fc2."),
    (re.compile(r"^patch_embed\.projection\."), "patch_embed.proj."),
    (re.compile(r"^norm3\."), "norm."),
    (re.compile(r"^head\.(?=weight$|bias$)"), "head.fc."),
)
_TO_OPENMMLAB = (
    (re.compile(r"^layers\."), "stages."),
    (re.compile(r"\.attn\.(?!w_msa)"), ".attn.w_msa."),
    (re.compile(r"\.mlp\.fc1\."), ".ffn.layers.0.0."),
    (re.compile(r"\.mlp\.fc2\."), ".ffn.layers.1."),
    (re.compile(r"^patch_embed\.proj\."), "patch_embed.projection."),
    (re.compile(r"^norm\."), "norm3."),
)
_DOWNSAMPLE = re.compile(r"(layers|stages)\.(\d+)\.downsample\.(.*)")


def style_of(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """ "microsoft", "timm" or "openmmlab"; None where the names are not Swin's."""
    if "stages.0.blocks.0.attn.w_msa.relative_position_bias_table" in tensors:
        return "openmmlab"
    if "layers.0.blocks.0.attn.relative_position_bias_table" not in tensors:
        return None
    return "microsoft" if "layers.0.downsample.reduction.weight" in tensors else "timm"


def to_timm(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Any of the three namings -> timm's, without indices and masks; ``norm0..2`` of mm's backbone keep their names."""
    style = style_of(tensors)
    result = {}
    for name, tensor in tensors.items():
        if INDICES.fullmatch(name):
            continue
        if style != "timm" and (match := _DOWNSAMPLE.fullmatch(name)):
            name = f"layers.{int(match[2]) + 1}.downsample.{match[3]}"
            tensor = _from_unfold_order(tensor) if style == "openmmlab" else tensor
        result[_renamed(name, _TO_TIMM)] = tensor
    return result


def to_openmmlab(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Any of the three namings -> that of mmdet's and mmseg's backbone, without head, indices and masks.

    ``norm0..2`` serve downstream heads only and are in no ImageNet file; they are passed on where there are any.
    """
    result = {}
    for name, tensor in to_timm(tensors).items():
        if name.startswith("head."):
            continue
        if match := _DOWNSAMPLE.fullmatch(name):
            name, tensor = f"stages.{int(match[2]) - 1}.downsample.{match[3]}", _to_unfold_order(tensor)
        result[_renamed(name, _TO_OPENMMLAB)] = tensor
    return result


def window_of(shape: torch.Size) -> int:
    """The window of a relative-position table: ((2 w - 1)^2, heads) -> w (169 -> 7, 529 -> 12)."""
    return (round(shape[0] ** 0.5) + 1) // 2


def _renamed(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name


# Four neighbours are merged: Microsoft's code stacks (row, column) = 00, 10, 01, 11, each with all its channels; unfold
# gives for each channel 00, 01, 10, 11. Both tensors concerned have the merged channels last.
def _to_unfold_order(tensor: torch.Tensor) -> torch.Tensor:
    blocks = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return blocks.transpose(-1, -2).flatten(-2).contiguous()


def _from_unfold_order(tensor: torch.Tensor) -> torch.Tensor:
    blocks = tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return blocks[..., [0, 2, 1, 3], :].flatten(-2).contiguous()
