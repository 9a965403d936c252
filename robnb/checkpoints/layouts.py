"""What a state dict is, told from its names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from robnb.checkpoints import sizes, swin

#: Names of the Hugging Face transformers library, of any model with its base's prefix or without.
_TRANSFORMERS = re.compile(
    r"(.*\.)?(embeddings\.(patch_embeddings|cls_token|norm)|embedder\.embedder\.|encoder\.(layers?|stages)\.\d+\.).*"
)
#: The last layers of classifiers, by library: torchvision and timm's ResNets, timm's others, mmcls, Microsoft's.
HEADS = ("fc", "head.fc", "head", "classifier")


@dataclass(frozen=True)
class Layout:
    """What a state dict is.

    Attributes:
        family: "resnet", "swin", "vit", "convnext", "detector", "segmentor" or "unknown".
        style: whose names they are: "torchvision", "timm", "microsoft", "openmmlab", "facebook", "transformers", "".
            ResNets are named alike by torchvision, timm, mmdet and mmseg: "torchvision".
        architecture: a name that `flat` takes, of a detector's or segmentor's backbone too; None if no known size.
        classes: of the last layer (without the background); None where there is none.
        model: "mask_rcnn", "cascade_mask_rcnn", "faster_rcnn", "upernet" for detectors and segmentors; else "".
    """

    family: str
    style: str = ""
    architecture: str | None = None
    classes: int | None = None
    model: str = ""

    def __str__(self) -> str:
        """``resnet50 in torchvision's names``."""
        style = f" in {self.style}'s names" if self.style else ""
        if self.model or self.family in ("detector", "segmentor"):
            return f"{self.model or self.family} with backbone {self.architecture or 'of unknown size'}{style}"
        return f"{self.architecture or self.family}{style}"


def layout(tensors: Mapping[str, torch.Tensor]) -> Layout:
    """Recognise a state dict by plain names (as `read` gives them)."""
    if any(name.startswith("backbone.") for name in tensors):
        return _whole(tensors)
    if any(map(_TRANSFORMERS.fullmatch, tensors)):
        return Layout("unknown", "transformers")
    classes = _classes(tensors)
    if "stem.0.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        return Layout("resnet", "openmmlab", None, classes)  # ResNetV1c and V1d: three convolutions before layer1
    if "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        return Layout("resnet", "torchvision", sizes.resnet(tensors), classes)
    if style := swin.style_of(tensors):
        return Layout("swin", style, sizes.swin_transformer(tensors), classes)
    if "features.1.0.attn.relative_position_bias_table" in tensors:
        return Layout("swin", "torchvision", None, classes)
    if "blocks.0.attn.qkv.weight" in tensors and "patch_embed.proj.weight" in tensors:
        return Layout("vit", "timm", sizes.vit(tensors), classes)
    if "stages.0.blocks.0.conv_dw.weight" in tensors:
        return Layout("convnext", "timm", sizes.convnext(tensors), classes)
    if "downsample_layers.0.0.weight" in tensors:
        return Layout("convnext", "facebook", sizes.convnext(tensors), classes)
    return Layout("unknown", "", None, classes)


def backbone_part(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The ``backbone.*`` of a whole detector or segmentor, without that prefix."""
    return {n.removeprefix("backbone."): tensor for n, tensor in tensors.items() if n.startswith("backbone.")}


def _whole(tensors: Mapping[str, torch.Tensor]) -> Layout:
    """A detector or segmentor of mm; style "microsoft" for the Swin authors' older repositories."""
    backbone = layout(backbone_part(tensors))
    if "decode_head.conv_seg.weight" in tensors:
        model = "upernet" if "decode_head.psp_modules.0.1.conv.weight" in tensors else ""
        classes = tensors["decode_head.conv_seg.weight"].shape[0]
        return Layout("segmentor", backbone.style, backbone.architecture, classes, model)
    if not any(name.startswith(("neck.", "rpn_head.", "roi_head.", "bbox_head.")) for name in tensors):
        return Layout("unknown")
    last = next((tensors[n] for n in tensors if re.fullmatch(r"roi_head\.bbox_head\.(0\.)?fc_cls\.weight", n)), None)
    model = "" if last is None else "faster_rcnn"
    if any(name.startswith("roi_head.mask_head.") for name in tensors):
        model = "cascade_mask_rcnn" if "roi_head.bbox_head.0.fc_cls.weight" in tensors else "mask_rcnn"
    return Layout("detector", backbone.style, backbone.architecture, None if last is None else len(last) - 1, model)


def _classes(tensors: Mapping[str, torch.Tensor]) -> int | None:
    weights = (tensors.get(f"{head}.weight") for head in HEADS)
    return next((len(weight) for weight in weights if weight is not None and weight.dim() >= 2), None)
