"""UperNet from mmsegmentation's own shipped config, with any backbone of robnb in it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from robnb.data.sources import TaskData
from robnb.models.backbones import Architecture, backbone_options

# After robnb.models.backbones, which registers the ops that mmseg imports.
import mmseg  # isort: skip
from mmseg.datasets import BaseSegDataset  # isort: skip
from mmseg.registry import MODELS  # isort: skip

CONFIGS = {
    "resnet": "upernet/upernet_r50_4xb4-80k_ade20k-512x512.py",
    "swin": "swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py",
}
#: SyncBN needs a process group; on one process BN computes the same.
_NORM = {"type": "BN", "requires_grad": True}
#: For backbones of a few channels: narrower heads, nothing else changed.
SLIM: dict[str, Any] = {"decode_head": {"channels": 48}, "auxiliary_head": {"channels": 16}}


def shipped_config(family: str) -> Config:
    """mmseg's UperNet config for a backbone family, as shipped in its wheel."""
    return Config.fromfile(Path(mmseg.__file__).parent / ".mim" / "configs" / CONFIGS[family])


def segmentor_config(architecture: Architecture, num_classes: int, regime: str) -> dict[str, Any]:
    """The ``model`` section: shipped, with our backbone and number of classes."""
    config = shipped_config(architecture.family)
    if architecture.slim:
        config.merge_from_dict({"model": SLIM})
    config.merge_from_dict(
        {
            "model": {
                "pretrained": None,
                "decode_head": {
                    "in_channels": list(architecture.channels),
                    "num_classes": num_classes,
                    "norm_cfg": _NORM,
                },
                "auxiliary_head": {
                    "in_channels": architecture.channels[2],
                    "num_classes": num_classes,
                    "norm_cfg": _NORM,
                },
            }
        }
    )
    config.model.backbone = backbone_options(architecture, regime)
    return config.model


def build_segmentor(architecture: Architecture, num_classes: int, regime: str, scale: tuple[int, int]) -> nn.Module:
    """A UperNet with fresh weights, for images scaled to ``scale`` (width, height); load its backbone before use."""
    config = segmentor_config(architecture, num_classes, regime)
    config.data_preprocessor.size = training_crop(scale)
    with DefaultScope.overwrite_default_scope("mmseg"), warnings.catch_warnings():
        # mmseg's own way to build a loss, and its own default for ignored pixels, which its configs use.
        warnings.filterwarnings("ignore", message="``build_loss`` would be deprecated|Default ``avg_non_ignore``")
        return MODELS.build(config)


def training_crop(scale: tuple[int, int]) -> tuple[int, int]:
    """The square that training sees of an image: the short side of ``scale``, as the shipped 512 of (2048, 512)."""
    return min(scale), min(scale)


def training_set(data: TaskData, scale: tuple[int, int]) -> BaseSegDataset:
    """mmseg's data set with the shipped ADE20K training pipeline at our scale.

    That is a random resize and crop, photometric distortion, and mirroring only where the data allow it.
    """
    changes = {
        "LoadAnnotations": {"reduce_zero_label": None},  # as the data set says below; mmseg warns of saying it twice
        "RandomResize": {"scale": scale},
        "RandomCrop": {"crop_size": training_crop(scale)},
        "RandomFlip": {"prob": 0.5 if data.flip else 0.0},
    }
    pipeline = [{**step, **changes.get(step["type"], {})} for step in shipped_config("resnet").train_pipeline]
    with DefaultScope.overwrite_default_scope("mmseg"):
        return BaseSegDataset(
            data_prefix={
                "img_path": str(data.root / "images" / data.train),
                "seg_map_path": str(data.root / "annotations" / data.train),
            },
            metainfo={"classes": data.open("train").classes},
            reduce_zero_label=True,
            pipeline=pipeline,
        )
