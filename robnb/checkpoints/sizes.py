"""Which architecture a state dict is of, from its shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch

from robnb.checkpoints import swin

#: (bottlenecks, blocks per stage) -> depth. [He et al. 2016, table 1]
_DEPTHS = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
#: (depth, width of the first block's 3x3 convolution, its groups) -> torchvision's name, where it is not ``resnetD``.
_VARIANTS = {
    (50, 128, 1): "wide_resnet50_2",
    (101, 128, 1): "wide_resnet101_2",
    (50, 128, 32): "resnext50_32x4d",
    (101, 256, 32): "resnext101_32x8d",
    (101, 256, 64): "resnext101_64x4d",
}
#: Names of a plain ResNet, so that squeeze-and-excitation and the like are not taken for one.
_RESNET = re.compile(
    r"(conv1|bn1)\.\w+|layer[1-4]\.\d+\.((conv|bn)[123]\.\w+|downsample\.[01]\.\w+)|fc\.(weight|bias)|head\.(fc\.)?(weight|bias)"
)

#: (channels, blocks per stage, window) -> the name. [Liu et al. 2021, section 3.3]
_SWINS = {
    (96, (2, 2, 6, 2), 7): "swin_tiny",
    (96, (2, 2, 18, 2), 7): "swin_small",
    (128, (2, 2, 18, 2), 7): "swin_base",
    (128, (2, 2, 18, 2), 12): "swin_base_w12",
    (192, (2, 2, 18, 2), 7): "swin_large_patch4_window7_224",
    (192, (2, 2, 18, 2), 12): "swin_large_patch4_window12_384",
}
_VITS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
_CONVNEXTS = {
    (96, (3, 3, 9, 3)): "convnext_tiny",
    (96, (3, 3, 27, 3)): "convnext_small",
    (128, (3, 3, 27, 3)): "convnext_base",
    (192, (3, 3, 27, 3)): "convnext_large",
}


def resnet(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """torchvision's name of a ResNet, Wide ResNet or ResNeXt; None for another size or another block."""
    if tensors["conv1.weight"].shape != (64, 3, 7, 7) or not all(map(_RESNET.fullmatch, tensors)):
        return None
    bottleneck = "layer1.0.conv3.weight" in tensors
    depth = _DEPTHS.get((bottleneck, _counts(tensors, r"layer(\d)\.(\d+)\..*")))
    if depth is None or not bottleneck:
        return f"resnet{depth}" if depth else None
    middle = tensors.get("layer1.0.conv2.weight", torch.empty(0, 1))
    width, groups = middle.shape[0], middle.shape[0] // middle.shape[1]
    return f"resnet{depth}" if (width, groups) == (64, 1) else _VARIANTS.get((depth, width, groups))


def swin_transformer(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """``swin_tiny`` .. ``swin_base_w12``, timm's name for the large ones, None for another size."""
    named = swin.to_timm(tensors)
    patches = named.get("patch_embed.proj.weight")
    windows = {swin.window_of(named[name].shape) for name in named if name.endswith("relative_position_bias_table")}
    if patches is None or len(windows) != 1 or "absolute_pos_embed" in named:
        return None
    depths = _counts(named, r"layers\.(\d+)\.blocks\.(\d+)\..*")
    return _SWINS.get((patches.shape[0], depths, windows.pop()))


def vit(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """timm's name of a plain ViT with a class token; None for another size."""
    patches, positions = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    if patches is None or positions is None or positions.dim() != 3 or _counts(tensors, r"()blocks\.(\d+)\..*") == ():
        return None
    side = round((positions.shape[1] - 1) ** 0.5) * patches.shape[-1]
    size = _VITS.get(patches.shape[0])
    return f"vit_{size}_patch{patches.shape[-1]}_{side}" if size else None


def convnext(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """timm's name of a ConvNeXt, from timm's names or the authors'; None for another size."""
    stem = tensors.get("stem.0.weight", tensors.get("downsample_layers.0.0.weight"))
    depths = _counts(tensors, r"stages\.(\d+)\.(?:blocks\.)?(\d+)\..*")
    return None if stem is None else _CONVNEXTS.get((stem.shape[0], depths))


def _counts(names: Iterable[str], pattern: str) -> tuple[int, ...]:
    """Blocks per stage, from the stage and block numbers in the names."""
    blocks: dict[str, set[str]] = {}
    for name in names:
        if match := re.fullmatch(pattern, name):
            blocks.setdefault(match[1], set()).add(match[2])
    return tuple(len(blocks[stage]) for stage in sorted(blocks))
