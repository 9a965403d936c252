"""The architectures robnb knows, and how a backbone is named.

A backbone is named ``architecture.weights`` (timm's convention): ``resnet_mini.augmix`` is the small ResNet with
AugMix weights, ``resnet50.ant3x3`` the paper's. A reader's own weights are ``architecture@path/to/file.pth``.

Ours are mmdet's and mmseg's own backbone classes, which the paper's files are loaded into; every architecture of timm
can be named too. Where both have a name (resnet50), it is ours.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from robnb.errors import UserError
from robnb.models import timm_nets


@dataclass(frozen=True)
class Architecture:
    """One backbone architecture.

    Attributes:
        family: "resnet" for a net that normalises by BatchNorm alone, "swin" for any other; training settings are given
            per family.
        options: what the class in mmdet's and mmseg's registries is built with.
        slim: True where the heads are scaled down with the backbone (the architectures that are trained from
            scratch here, and timm's miniatures); False where they are the ones of the shipped config.
        library: "mm" for mmdet's and mmseg's own backbone classes, "timm" for `TimmBackbone`.
        timm: timm's name of the network that a classifier is built on; "" where that is mmdet's class too.
    """

    name: str
    family: str
    options: dict[str, Any] = field(hash=False)
    slim: bool
    library: str = "mm"
    timm: str = ""

    @property
    def type(self) -> str:
        """The class name in mmdet's and mmseg's registries."""
        if self.library == "timm":
            return "TimmBackbone"
        return {"resnet": "ResNet", "swin": "SwinTransformer"}[self.family]

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the four feature maps, at strides 4, 8, 16 and 32.

        Raises:
            UserError: a timm model that cannot give these maps.
        """
        if self.library == "timm":
            return timm_nets.maps_of(self.name).out_channels
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
    name: str,
    embed_dims: int,
    depths: tuple[int, ...],
    heads: tuple[int, ...],
    window: int,
    timm: str = "",
    **options: Any,
) -> Architecture:
    options = {"embed_dims": embed_dims, "depths": depths, "num_heads": heads, "window_size": window, **options}
    return Architecture(name, "swin", options, slim=not timm, timm=timm)


_TINY, _SMALL, _BASE = (96, (2, 2, 6, 2), (3, 6, 12, 24)), (96, (2, 2, 18, 2), (3, 6, 12, 24)), (
    128, (2, 2, 18, 2), (4, 8, 16, 32),
)  # fmt: skip

#: Ours. Swin's sizes and drop-path rates are those of its authors' detectors. The minis stand to each other as Tiny,
#: Small and Base do: the second is deeper in the third stage, the third also wider.
ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        _resnet("resnet_nano", 18, slim=True, width=8),
        _resnet("resnet_mini", 18, slim=True, width=32),
        _resnet("resnet50", 50, slim=False),
        _swin("swin_nano", 16, (1, 1, 1, 1), (1, 2, 4, 8), window=4, drop_path_rate=0.0),
        _swin("swin_mini", 32, (1, 1, 2, 1), (2, 4, 8, 16), window=4, drop_path_rate=0.0),
        _swin("swin_mini_small", 32, (1, 1, 4, 1), (2, 4, 8, 16), window=4, drop_path_rate=0.0),
        _swin("swin_mini_base", 48, (1, 1, 4, 1), (3, 6, 12, 24), window=4, drop_path_rate=0.0),
        _swin("swin_tiny", *_TINY, 7, "swin_tiny_patch4_window7_224", drop_path_rate=0.2),
        _swin("swin_small", *_SMALL, 7, "swin_small_patch4_window7_224", drop_path_rate=0.2),
        _swin("swin_base", *_BASE, 7, "swin_base_patch4_window7_224", drop_path_rate=0.3),
        _swin("swin_base_w12", *_BASE, 12, "swin_base_patch4_window12_384", drop_path_rate=0.3, pretrain_img_size=384),
    )
}


def architecture_named(name: str) -> Architecture:
    """One of ours or of timm's.

    Raises:
        UserError: neither has it; the sentence says what was probably meant.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if name in timm_nets.names():
        return _of_timm(name)
    close = difflib.get_close_matches(str(name), [*ARCHITECTURES, *timm_nets.names()], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(
        f"unknown backbone architecture {name!r}: {hint}Choose from {', '.join(ARCHITECTURES)}, "
        f"or any architecture that timm.list_models() lists."
    )


@cache
def _of_timm(name: str) -> Architecture:
    family = "resnet" if timm_nets.is_conv_net(name) else "swin"
    slim = name.startswith("test_")  # timm's miniatures, of some hundred thousand parameters
    return Architecture(name, family, {"architecture": name}, slim, library="timm", timm=name)


#: Endings of weight files, which are no part of what the weights are called.
_ENDINGS = (".pth", ".pt", ".ckpt", ".tar", ".safetensors", ".bin", ".pkl")


@dataclass(frozen=True)
class BackboneName:
    """``architecture.weights``, taken apart and checked.

    Attributes:
        weights: how the weights are called in tables and file names.
        file: the reader's own file of them; None for those of the catalogue, of timm, or trained here.
    """

    architecture: str
    weights: str
    file: Path | None = None

    @classmethod
    def parse(cls, name: str) -> BackboneName:
        """Of ``architecture.weights`` or ``architecture@file``.

        The weights of a file are called like it, without its ending; ``architecture.weights@file`` calls them
        something else, for files of the same name in several folders.

        Raises:
            UserError: the architecture is unknown, or no weights are named.
        """
        text, at, file = str(name).partition("@")
        architecture, dot, weights = text.partition(".")
        architecture_named(architecture)
        if at and not dot:
            weights = _without_ending(Path(file).name)
        if not weights or (at and not file):
            example = f"{architecture}.{'regular' if architecture in ARCHITECTURES else timm_nets.tag(architecture)}"
            raise UserError(
                f"backbone {name!r} names no weights: write architecture.weights, e.g. {example}, "
                f"or architecture@path/to/file.pth."
            )
        return cls(architecture, weights, Path(file).expanduser() if at else None)

    def __str__(self) -> str:
        return f"{self.architecture}.{self.weights}"


def _without_ending(name: str) -> str:
    while name.lower().endswith(_ENDINGS):
        name = name[: name.rindex(".")]
    return name
