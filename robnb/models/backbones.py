"""Backbones as modules: how mm's registries build them, and strict loading of their weights.

The architectures of `robnb.models.architectures` become mmdet's and mmseg's own classes, or `TimmBackbone`, so that one
upstream checkpoint feeds detector, segmentor and classifier.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import nn

from robnb import checkpoints
from robnb.models import mmcv_ops, timm_nets
from robnb.models.architectures import Architecture
from robnb.models.timm_backbone import TimmBackbone

mmcv_ops.install()
with warnings.catch_warnings():
    # mmdet imports imagecorruptions, and that pkg_resources, which says so on every import.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    from mmdet.models.backbones import ResNet, SwinTransformer

#: ImageNet statistics on the 0..255 scale, RGB: the paper's backbones and those trained here have them.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

#: What a training recipe may say of the backbone, for each kind of it.
_SETTINGS = {
    ("mm", "resnet"): ("frozen_stages", "norm_eval", "norm_cfg"),
    ("mm", "swin"): ("frozen_stages", "drop_path_rate"),
    ("timm", "resnet"): ("frozen_stages", "norm_eval", "drop_path_rate"),
    ("timm", "swin"): ("frozen_stages", "norm_eval", "drop_path_rate"),
}


def backbone_options(architecture: Architecture, options: Mapping[str, Any]) -> dict[str, Any]:
    """The backbone inside a detector or segmentor, for mm's registries.

    Args:
        options: what the recipe says of the backbone: frozen_stages (4 freezes every parameter, BN statistics and
            drop-path; -1 nothing), norm_eval (BN statistics stay as pretrained, also where weights learn), norm_cfg,
            drop_path_rate. What this kind of backbone does not have is left out. Unless told, nothing is frozen but
            BN statistics, which is mmdet's standard for batches as small as a detector's.
    """
    settings = {"type": architecture.type, "frozen_stages": -1, **architecture.options}
    if architecture.library == "mm":
        settings["out_indices"] = (0, 1, 2, 3)
    if architecture.type != "SwinTransformer":
        settings["norm_eval"] = True
    if architecture.type == "ResNet":
        settings |= {"norm_cfg": {"type": "BN", "requires_grad": True}, "style": "pytorch"}
    taken = _SETTINGS[architecture.library, architecture.family]
    return settings | {name: value for name, value in options.items() if name in taken}


def build_backbone(architecture: Architecture) -> BaseModule:
    """The trainable backbone on its own: (N, 3, H, W) float -> four maps at strides 4, 8, 16, 32.

    Two of mmdet's defaults are for fine-tuning and off here: with ``norm_eval`` a ResNet cannot learn from scratch,
    and with ``zero_init_residual`` it learns slowly at first, which a short budget does not forgive.
    """
    if architecture.library == "timm":
        return TimmBackbone(**architecture.options)
    options = {"out_indices": (0, 1, 2, 3), **architecture.options}
    if architecture.family == "resnet":
        return ResNet(norm_eval=False, frozen_stages=-1, zero_init_residual=False, **options)
    return SwinTransformer(frozen_stages=-1, **options)


def millions(architecture: Architecture) -> float:
    """How many parameters the backbone has without any head, in millions."""
    backbone = build_backbone(architecture)
    network = backbone.net if architecture.library == "timm" else backbone
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def read_flat(path: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    """A file's tensors by the names of torchvision (ResNet) or timm (any other), with its classifier if it has one.

    Raises:
        UserError: the file is missing, unreadable, or not of this architecture.
    """
    ours_alone = architecture.slim and architecture.library == "mm"
    known = None if ours_alone else architecture.name
    return checkpoints.flat(checkpoints.read(path), known)


def load_backbone(backbone: nn.Module, path: Path, architecture: Architecture) -> checkpoints.Report:
    """Fill every tensor of ``backbone`` from a file, or refuse and change none; the file's classifier is left out.

    Args:
        backbone: of a detector, a segmentor or a `Classifier`, or what `build_backbone` gives. What is new in it and
            no file holds stays as it is: a timm backbone's pyramid, a classifier's last layer.
        path: a published file, one of timm's, or one that robnb wrote.

    Raises:
        UserError: the file is missing, unreadable or short of a single tensor; the sentence says what matched.
    """
    return fill_backbone(backbone, read_flat(path, architecture), path, architecture)


def fill_backbone(
    backbone: nn.Module, tensors: Mapping[str, torch.Tensor], source: Path, architecture: Architecture
) -> checkpoints.Report:
    """`load_backbone` with what `read_flat` gives."""
    if isinstance(backbone, BaseModule) and not isinstance(backbone, TimmBackbone):
        return checkpoints.load(backbone, checkpoints.to_mm(tensors, architecture.family), source)
    net = backbone.net if isinstance(backbone, TimmBackbone) else backbone
    last = timm_nets.classifier_prefixes(net)
    kept = {name: tensor for name, tensor in net.state_dict().items() if name.startswith(last)}
    given = {name: tensor for name, tensor in tensors.items() if not name.startswith(last)}
    return checkpoints.load(net, {**given, **kept}, source, checkpoints.COMPUTED)
