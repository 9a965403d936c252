"""Backbones: the architectures robnb knows, and strict loading of their weights.

A backbone is named ``architecture.weights`` (timm's convention): ``resnet_mini.augmix`` is the small ResNet
with AugMix weights, ``resnet50.ant3x3`` the paper's. The architectures are mmdet's and mmseg's own backbone
classes, so that one upstream checkpoint feeds detector, segmentor and classifier.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import nn

from robnb.errors import UserError
from robnb.models import mmcv_ops
from robnb.names import choose

mmcv_ops.install()
with warnings.catch_warnings():
    # mmdet imports imagecorruptions, and that pkg_resources, which says so on every import.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    from mmdet.models.backbones import ResNet, SwinTransformer

#: ImageNet statistics on the 0..255 scale, RGB: every backbone here was or is trained with them.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Architecture:
    """One backbone architecture.

    Attributes:
        family: "resnet" or "swin"; training settings are given per family.
        options: what mmdet's and mmseg's backbone class is built with.
        slim: True where the heads are scaled down with the backbone (the architectures that are trained from
            scratch here); False where they are the ones of the shipped config.
    """

    name: str
    family: str
    options: dict[str, Any] = field(hash=False)
    slim: bool

    @property
    def type(self) -> str:
        """The class name in mmdet's and mmseg's registries."""
        return {"resnet": "ResNet", "swin": "SwinTransformer"}[self.family]

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the four feature maps, at strides 4, 8, 16 and 32."""
        if self.family == "swin":
            first = self.options["embed_dims"]
        else:
            expansion = 4 if self.options["depth"] >= 50 else 1
            first = self.options["base_channels"] * expansion
        return first, 2 * first, 4 * first, 8 * first


def _resnet(name: str, depth: int, slim: bool, width: int = 64) -> Architecture:
    # mmdet's stem follows base_channels, mmseg's is 64 unless told.
    return Architecture(name, "resnet", {"depth": depth, "base_channels": width, "stem_channels": width}, slim)


def _swin(
    name: str, embed_dims: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int, slim: bool, **options: Any
) -> Architecture:
    options = {"embed_dims": embed_dims, "depths": depths, "num_heads": heads, "window_size": window, **options}
    return Architecture(name, "swin", options, slim)


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        _resnet("resnet_nano", 18, slim=True, width=8),
        _resnet("resnet_mini", 18, slim=True, width=32),
        _resnet("resnet50", 50, slim=False),
        _swin("swin_nano", 16, (1, 1, 1, 1), (1, 2, 4, 8), window=4, slim=True, drop_path_rate=0.0),
        _swin("swin_mini", 32, (1, 1, 2, 1), (2, 4, 8, 16), window=4, slim=True, drop_path_rate=0.0),
        _swin("swin_tiny", 96, (2, 2, 6, 2), (3, 6, 12, 24), window=7, slim=False, drop_path_rate=0.2),
        _swin("swin_small", 96, (2, 2, 18, 2), (3, 6, 12, 24), window=7, slim=False, drop_path_rate=0.2),
        _swin("swin_base", 128, (2, 2, 18, 2), (4, 8, 16, 32), window=7, slim=False, drop_path_rate=0.3),
    )
}


@dataclass(frozen=True)
class BackboneName:
    """``architecture.weights``, taken apart and checked."""

    architecture: str
    weights: str

    @classmethod
    def parse(cls, name: str) -> BackboneName:
        """Raises UserError when the architecture is unknown or there is no dot."""
        architecture, dot, weights = str(name).partition(".")
        choose(architecture, ARCHITECTURES, "backbone architecture")
        if not dot or not weights:
            raise UserError(
                f"backbone {name!r} names no weights: write architecture.weights, e.g. {architecture}.regular."
            )
        return cls(architecture, weights)

    def __str__(self) -> str:
        return f"{self.architecture}.{self.weights}"


def backbone_options(architecture: Architecture, regime: str) -> dict[str, Any]:
    """Options of the backbone inside a detector or segmentor, for mm's registries.

    ``fixed_feature`` freezes all of it, as the paper's section 3 says (its released configs freeze less: see
    CONTRIBUTING.md): every parameter, BN statistics, and drop-path, because the frozen stages stay in eval
    mode. ``full_network`` freezes nothing; the ResNet's BN statistics stay as pretrained (``norm_eval``), which
    is mmdet's standard for batches as small as a detector's.
    """
    frozen = {"fixed_feature": 4, "full_network": -1}[regime]
    options = {"type": architecture.type, "out_indices": (0, 1, 2, 3), "frozen_stages": frozen, **architecture.options}
    if architecture.family == "resnet":
        options |= {"norm_cfg": {"type": "BN", "requires_grad": True}, "norm_eval": True, "style": "pytorch"}
    return options


def build_backbone(architecture: Architecture) -> BaseModule:
    """The trainable backbone on its own: (N, 3, H, W) float -> four maps at strides 4, 8, 16, 32.

    Two of mmdet's defaults are for fine-tuning and off here: with ``norm_eval`` a ResNet cannot learn from scratch,
    and with ``zero_init_residual`` it learns slowly at first, which a short budget does not forgive.
    """
    options = {"out_indices": (0, 1, 2, 3), **architecture.options}
    if architecture.family == "resnet":
        return ResNet(norm_eval=False, frozen_stages=-1, zero_init_residual=False, **options)
    return SwinTransformer(frozen_stages=-1, **options)


#: What a file may lack: Swin's norms of the three shallower maps, which serve downstream heads only, and BatchNorm's
#: batch counters, which old files do not have and nothing computes with.
_DISPENSABLE = re.compile(r"norm[012]\..*|.*\.num_batches_tracked")


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Fill every tensor of ``backbone`` that matters from a file, or refuse and change none.

    The file is one that `read_tensors` takes; its classifier (``fc.*``, ``head.*``) is left out.

    Raises:
        UserError: the file is missing, unreadable or short of a single tensor; the sentence says what matched.
    """
    state = {name: tensor for name, tensor in read_tensors(path).items() if not name.startswith(("fc.", "head."))}
    wanted = backbone.state_dict()
    matched = [name for name in wanted if name in state and state[name].shape == wanted[name].shape]
    missing = [name for name in wanted if name not in matched and not _DISPENSABLE.fullmatch(name)]
    unexpected = [name for name in state if name not in wanted]
    if missing or unexpected:
        examples = ", ".join([*missing[:2], *unexpected[:2]])
        raise UserError(
            f"{path} does not fit this backbone: {len(matched)} of {len(wanted)} tensors match, {len(missing)} are "
            f"missing or of another shape, {len(unexpected)} are unexpected (e.g. {examples}); give the weights of "
            f"the named architecture, in torchvision's or mmdet's layout."
        )
    backbone.load_state_dict({**wanted, **state}, strict=True)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by their plain names.

    It holds a flat state dict, or one under ``state_dict``, ``model`` or ``model_state_dict``; the prefixes
    ``module.`` and ``backbone.`` are dropped. It is read with ``weights_only=True``: nothing in it is executed.

    Raises:
        UserError: the file is missing, cut short, not a checkpoint, or needs code to be run.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}: put the file there or correct its path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is cut short, not its own or unsafe
        raise UserError(f"{path} cannot be read as a torch checkpoint of plain tensors; fetch it again.") from error
    for container in ("model_state_dict", "state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(container), dict):
            state = state[container]
            break
    flat = {}
    for name, tensor in state.items():
        for prefix in ("module.", "backbone."):
            name = name.removeprefix(prefix)
        if isinstance(tensor, torch.Tensor):
            flat[name] = tensor
    return flat
