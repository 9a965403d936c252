"""Mask R-CNN from mmdet's own shipped config, with any backbone of robnb in it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from robnb.data.sources import TaskData
from robnb.models.backbones import Architecture, backbone_options

# After robnb.models.backbones, which registers the ops that mmdet imports.
import mmdet  # isort: skip
from mmdet.datasets import CocoDataset  # isort: skip
from mmdet.registry import MODELS  # isort: skip

#: The shipped config that each family starts from; the paper's schedules extend the same model sections.
CONFIGS = {"resnet": "mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py", "swin": "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py"}

#: For backbones of a few channels: narrower heads and fewer proposals, nothing else changed.
SLIM: dict[str, Any] = {
    "neck": {"out_channels": 32},
    "rpn_head": {"in_channels": 32, "feat_channels": 32},
    "roi_head": {
        "bbox_roi_extractor": {"out_channels": 32},
        "bbox_head": {"in_channels": 32, "fc_out_channels": 128},
        "mask_roi_extractor": {"out_channels": 32},
        "mask_head": {"in_channels": 32, "conv_out_channels": 32, "num_convs": 2},
    },
    "train_cfg": {
        "rpn": {"sampler": {"num": 128}},
        "rpn_proposal": {"nms_pre": 200, "max_per_img": 100},
        "rcnn": {"sampler": {"num": 32}},
    },
    "test_cfg": {"rpn": {"nms_pre": 200, "max_per_img": 40}, "rcnn": {"max_per_img": 12}},
}


def shipped_config(family: str) -> Config:
    """mmdet's Mask R-CNN config for a backbone family, as shipped in its wheel."""
    return Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / CONFIGS[family])


def detector_config(architecture: Architecture, num_classes: int, regime: str) -> dict[str, Any]:
    """The ``model`` section: shipped, with our backbone and number of classes."""
    config = shipped_config(architecture.family)
    if architecture.slim:
        config.merge_from_dict({"model": SLIM})
    config.merge_from_dict(
        {
            "model": {
                "neck": {"in_channels": list(architecture.channels)},
                "roi_head": {"bbox_head": {"num_classes": num_classes}, "mask_head": {"num_classes": num_classes}},
            }
        }
    )
    config.model.backbone = backbone_options(architecture, regime)
    return config.model


def build_detector(architecture: Architecture, num_classes: int, regime: str) -> nn.Module:
    """A Mask R-CNN with fresh weights; initialise and load its backbone before use."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(detector_config(architecture, num_classes, regime))


def training_set(data: TaskData, scale: tuple[int, int]) -> CocoDataset:
    """mmdet's COCO data set with the shipped training pipeline at our scale.

    Images are mirrored only where the data allow it; images without objects are left out, as shipped.

    Args:
        scale: (width, height) that an image is resized to fit, keeping its ratio.
    """
    changes = {"Resize": {"scale": scale}, "RandomFlip": {"prob": 0.5 if data.flip else 0.0}}
    pipeline = [{**step, **changes.get(step["type"], {})} for step in shipped_config("resnet").train_pipeline]
    # pycocotools prints what it loads.
    with DefaultScope.overwrite_default_scope("mmdet"), contextlib.redirect_stdout(io.StringIO()):
        return CocoDataset(
            ann_file=str(data.root / "annotations" / f"instances_{data.train}.json"),
            data_prefix={"img": str(data.root / data.train)},
            metainfo={"classes": data.open("train").classes},
            filter_cfg={"filter_empty_gt": True, "min_size": 32},
            pipeline=pipeline,
        )
