"""Mask R-CNN from mmdet's own shipped config, with any backbone of robnb in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from robnb.models.backbones import Architecture, backbone_options

import mmdet  # isort: skip (robnb.models.backbones has registered the ops that mmdet imports)
from mmdet.registry import MODELS  # isort: skip

#: The shipped config that each family starts from; the paper's schedules extend the same model sections.
CONFIGS = {"resnet": "mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py", "swin": "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py"}

#: For backbones of a few channels: narrower heads and fewer proposals, nothing else changed.
SLIM: dict[str, Any] = {
    "neck": {"out_channels": 64},
    "rpn_head": {"in_channels": 64, "feat_channels": 64},
    "roi_head": {
        "bbox_roi_extractor": {"out_channels": 64},
        "bbox_head": {"in_channels": 64, "fc_out_channels": 256},
        "mask_roi_extractor": {"out_channels": 64},
        "mask_head": {"in_channels": 64, "conv_out_channels": 64, "num_convs": 2},
    },
    "train_cfg": {
        "rpn": {"sampler": {"num": 128}},
        "rpn_proposal": {"nms_pre": 400, "max_per_img": 200},
        "rcnn": {"sampler": {"num": 64}},
    },
    "test_cfg": {"rpn": {"nms_pre": 200, "max_per_img": 100}, "rcnn": {"max_per_img": 30}},
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
