"""timm's networks as they are, and what robnb has to know of one before it is built.

What is asked of a network (its feature maps, their strides and channels, which parameters they depend on) is read off
a run on torch's meta device: no weights are made and nothing is computed.

timm is imported where it is first needed: a study of the small backbones does without it, and it takes seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from robnb.errors import UserError

#: Strides of the maps that mmdet's and mmseg's heads are made for.
STRIDES = (4, 8, 16, 32)
#: The stride of a plain network's map: `features` scales the image so that its patches fall there.
PLAIN = 16


@dataclass(frozen=True)
class Maps:
    """Which of a network's intermediate maps a backbone gives.

    Attributes:
        indices: of timm's ``forward_intermediates``: four, at strides 4, 8, 16 and 32; one for a plain network.
        channels: of these maps.
        patch: side in pixels of a plain network's patches; None for a network of several strides.
        multiple: what the image's height and width have to be multiples of; 1 where the network takes any.
    """

    indices: tuple[int, ...]
    channels: tuple[int, ...]
    patch: int | None
    multiple: int

    @property
    def out_channels(self) -> tuple[int, int, int, int]:
        """Channels of the four maps; of a plain network, those of ViTDet's simple feature pyramid."""
        if self.patch is None:
            return self.channels
        width = self.channels[0]
        return width // 4, width // 2, width, width


@cache
def names() -> frozenset[str]:
    """Every architecture of timm."""
    import timm

    return frozenset(timm.list_models())


def tag(name: str) -> str:
    """The weights that timm gives an architecture when none are named, for a suggestion."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    return (config and config.tag) or "weights"


def build(
    name: str, classes: int = 0, *, maps: bool = False, drop_path_rate: float | None = None, meta: bool = False
) -> nn.Module:
    """timm's network with fresh weights, for images of any size where it has a way to take them.

    At the size it was made for it computes what ``timm.create_model(name, num_classes=classes)`` does.

    Args:
        classes: of its classifier; 0 for none.
        maps: for feature maps of images larger than those. Swin then shifts its windows in every stage, as its
            authors' detectors do, although the last stage of a 224 pixel image is a single window. A map that its
            windows do not divide is padded after the shift; mmdet and mmseg pad it before.
        meta: on the meta device, without weights.

    Raises:
        UserError: timm does not build it with this drop-path rate.
    """
    import timm

    sizes = [{"strict_img_size": False, "always_partition": maps}, {"dynamic_img_size": True}, {}]
    rates = {} if drop_path_rate is None else {"drop_path_rate": drop_path_rate}
    for options in sizes:
        # Not every network has these options; that is how timm says so.
        with contextlib.suppress(TypeError), torch.device("meta") if meta else contextlib.nullcontext():
            return timm.create_model(name, pretrained=False, num_classes=classes, **rates, **options)
    raise UserError(
        f"timm does not build {name} with {', '.join(rates) or 'its own settings'}: leave that out or choose another "
        f"architecture."
    )


@cache
def is_conv_net(name: str) -> bool:
    """Whether a network normalises by BatchNorm alone, as a ResNet does; else it is trained as a Swin is."""
    kinds = [type(module) for module in build(name, meta=True).modules()]
    return any(issubclass(kind, _BatchNorm) for kind in kinds) and not any(issubclass(k, nn.LayerNorm) for k in kinds)


def classifiers(net: nn.Module) -> tuple[nn.Module, ...]:
    """The last layers of a network: one, or two where it was distilled."""
    last = net.get_classifier()
    return tuple(last) if isinstance(last, tuple | list) else (last,)


def classifier_prefixes(net: nn.Module) -> tuple[str, ...]:
    """What the names of the last layers' tensors begin with, e.g. ``head.fc.``."""
    names = net.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def intermediates(net: nn.Module, images: torch.Tensor, indices: tuple[int, ...] | None) -> list[torch.Tensor]:
    """(N, 3, H, W) normalised float -> the maps at these indices (all of them for None), (N, C, h, w)."""
    return net.forward_intermediates(
        images,
        indices=None if indices is None else list(indices),
        stop_early=True,
        output_fmt="NCHW",
        intermediates_only=True,
    )


def features(net: nn.Module, images: torch.Tensor, maps: Maps) -> list[torch.Tensor]:
    """The network's maps of images of any size: padded with zeros, below and to the right, to what it can take.

    A plain network sees them at a size at which its patches fall on stride 16: at 14/16 for patches of 14 pixels.
    """
    height, width = images.shape[-2:]
    below, right = -height % maps.multiple, -width % maps.multiple
    if below or right:
        images = nn.functional.pad(images, (0, right, 0, below))
    if maps.patch not in (None, PLAIN):
        size = [side // PLAIN * maps.patch for side in images.shape[-2:]]
        images = nn.functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
    return intermediates(net, images, maps.indices)


@cache
def maps_of(name: str) -> Maps:
    """The maps of an architecture that mmdet's and mmseg's heads can work on.

    Raises:
        UserError: it has none at strides 4, 8, 16 and 32, or takes images of one size only.
    """
    net = build(name, maps=True, meta=True).eval()
    if not hasattr(net, "forward_intermediates"):
        raise _refusal(name, "timm has no feature maps of it")
    with _refused(name):
        shapes = [tuple(found.shape) for found in intermediates(net, _meta_images(224, 448), None)]
    strides = [448 / shape[3] for shape in shapes]
    if set(STRIDES) <= set(strides):
        # The last of a stride is the deepest, where a network has several.
        indices = tuple(len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES)
        maps = Maps(indices, tuple(shapes[index][1] for index in indices), None, 1)
    elif len(set(strides)) == 1 and strides[0].is_integer():
        maps = Maps((len(strides) - 1,), (shapes[-1][1],), int(strides[0]), 2 * PLAIN)
    else:
        raise _refusal(name, f"its feature maps have strides {', '.join(f'{stride:g}' for stride in strides)}")
    if maps.patch is None and not _fit(net, maps, 75, 107):
        maps = Maps(maps.indices, maps.channels, None, STRIDES[-1])
    with _refused(name):
        features(net, _meta_images(96, 160), maps)
    if not _fit(net, maps, 96, 160):
        raise _refusal(name, "its feature maps do not follow the image's size")
    return maps


def _fit(net: nn.Module, maps: Maps, height: int, width: int) -> bool:
    """Whether the maps of such an image have the sizes that heads expect."""
    try:
        found = features(net, _meta_images(height, width), maps)
    except Exception:  # networks refuse a size by whatever their code runs into
        return False
    strides = STRIDES if maps.patch is None else (PLAIN,)
    expected = [(-(-height // stride), -(-width // stride)) for stride in strides]
    return [tuple(each.shape[2:]) for each in found] == expected


@cache
def parameters_behind(name: str) -> tuple[frozenset[str], ...]:
    """For each map, the names of the parameters that it depends on."""
    net, maps = build(name, maps=True, meta=True).eval(), maps_of(name)
    named = dict(net.named_parameters())
    found = features(net, _meta_images(96, 160), maps)
    behind = []
    for each in found:
        gradients = torch.autograd.grad(each.sum(), list(named.values()), retain_graph=True, allow_unused=True)
        behind.append(frozenset(key for key, one in zip(named, gradients, strict=True) if one is not None))
    return tuple(behind)


def _meta_images(height: int, width: int) -> torch.Tensor:
    return torch.zeros(1, 3, height, width, device="meta")


def _refusal(name: str, why: str) -> UserError:
    return UserError(
        f"{name} cannot be the backbone of a detector or segmentor, {why}: "
        f"choose a model with maps at strides 4, 8, 16 and 32, or a plain one (ViT) for images of any size."
    )


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # networks refuse a size by whatever their code runs into
        raise _refusal(name, "it takes images of one size only") from error
