"""UperNet from mmsegmentation's own shipped config, with any backbone of robnb in it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from robnb.data.sources import TaskData
from robnb.models import prime_preprocessor  # noqa: F401  registers its preprocessors
from robnb.models.architectures import Architecture
from robnb.models.backbones import backbone_options
from robnb.recipes.transfer import ModelOptions

# After robnb.models.backbones, which registers the ops that mmseg imports.
import mmseg  # isort: skip
from mmseg.datasets import BaseSegDataset  # isort: skip
from mmseg.registry import MODELS  # isort: skip

CONFIGS = {
    "resnet": "upernet/upernet_r50_4xb4-80k_ade20k-512x512.py",
    "swin": "swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py",
}
#: (width, height) that the shipped pipelines resize images to fit.
SHIPPED_SCALE = (2048, 512)
#: For backbones of a few channels: narrower heads, nothing else changed.
SLIM: dict[str, Any] = {"decode_head": {"channels": 48}, "auxiliary_head": {"channels": 16}}


def shipped_config(family: str) -> Config:
    """mmseg's UperNet config for a backbone family, as shipped in its wheel."""
    return Config.fromfile(Path(mmseg.__file__).parent / ".mim" / "configs" / CONFIGS[family])


def segmentor_config(
    architecture: Architecture, num_classes: int, options: ModelOptions, scale: tuple[int, int] = SHIPPED_SCALE
) -> dict[str, Any]:
    """The ``model`` section: shipped, with our backbone, number of classes and what the recipe says.

    Args:
        scale: (width, height) of the images, of which training sees `training_crop`.
    """
    config = shipped_config(architecture.family)
    if architecture.slim:
        config.merge_from_dict({"model": SLIM})
    # SyncBN runs on GPUs only.
    norm = {"type": options.norm if torch.cuda.is_available() else "BN", "requires_grad": True}
    heads = {"num_classes": num_classes, "norm_cfg": norm}
    config.merge_from_dict(
        {
            "model": {
                "pretrained": None,
                "data_preprocessor": {"size": training_crop(scale), **options.preprocessor},
                "decode_head": {"in_channels": list(architecture.channels), **heads},
                "auxiliary_head": {"in_channels": architecture.channels[2], **heads},
            }
        }
    )
    config.model.backbone = backbone_options(architecture, options.backbone)
    if "norm_cfg" in config.model.backbone:
        config.model.backbone.norm_cfg = norm
    return config.model


def build_segmentor(
    architecture: Architecture, num_classes: int, options: ModelOptions, scale: tuple[int, int] = SHIPPED_SCALE
) -> nn.Module:
    """A UperNet with fresh weights, for images scaled to ``scale`` (width, height); load its backbone before use."""
    config = segmentor_config(architecture, num_classes, options, scale)
    with DefaultScope.overwrite_default_scope("mmseg"), warnings.catch_warnings():
        # mmseg's own way to build a loss, and its own default for ignored pixels, which its configs use.
        warnings.filterwarnings("ignore", message="``build_loss`` would be deprecated|Default ``avg_non_ignore``")
        model = MODELS.build(config)
    if config.decode_head.norm_cfg.type == "SyncBN":  # a timm network builds its own BatchNorm
        model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)
    if not options.backbone_learns:
        model.backbone.requires_grad_(False)
    return model


def training_crop(scale: tuple[int, int]) -> tuple[int, int]:
    """The square that training sees of an image: the short side of ``scale``, as the shipped 512 of (2048, 512)."""
    return min(scale), min(scale)


def train_pipeline(scale: tuple[int, int], flip: bool) -> list[dict[str, Any]]:
    """The shipped ADE20K training pipeline at our scale: random resize and crop, photometric distortion.

    Args:
        scale: (width, height) that an image is resized to fit before a random factor of 0.5 to 2.
        flip: whether half of the images are mirrored.
    """
    changes = {
        "LoadAnnotations": {"reduce_zero_label": None},  # as the data set says; mmseg warns of saying it twice
        "RandomResize": {"scale": scale},
        "RandomCrop": {"crop_size": training_crop(scale)},
        "RandomFlip": {"prob": 0.5 if flip else 0.0},
    }
    return [{**step, **changes.get(step["type"], {})} for step in shipped_config("resnet").train_pipeline]


def test_pipeline(scale: tuple[int, int]) -> list[dict[str, Any]]:
    """The shipped test pipeline at our scale: what `robnb.evaluation` does to an image that it has corrupted."""
    steps = shipped_config("resnet").test_pipeline
    return [{**step, "scale": scale} if step["type"] == "Resize" else dict(step) for step in steps]


def training_set(data: TaskData, scale: tuple[int, int]) -> BaseSegDataset:
    """mmseg's data set with the `train_pipeline`, mirroring only where the data allow it."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        return BaseSegDataset(
            data_prefix={
                "img_path": str(data.root / "images" / data.train),
                "seg_map_path": str(data.root / "annotations" / data.train),
            },
            metainfo={"classes": data.classes},
            reduce_zero_label=True,
            pipeline=train_pipeline(scale, data.flip),
        )
