"""Mask R-CNN from mmdet's own shipped configs, with any backbone of robnb in it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from robnb.data.sources import TaskData
from robnb.models import prime_preprocessor  # noqa: F401  registers its preprocessors
from robnb.models.architectures import Architecture
from robnb.models.backbones import backbone_options
from robnb.recipes.transfer import ModelOptions

# After robnb.models.backbones, which registers the ops that mmdet imports.
import mmdet  # isort: skip
from mmdet.datasets import CocoDataset  # isort: skip
from mmdet.registry import MODELS  # isort: skip

#: The shipped config that each family starts from; the paper's schedules extend the same model sections.
CONFIGS = {"resnet": "mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py", "swin": "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py"}
#: The shipped config that each training pipeline is taken from.
PIPELINES = {
    "flip": CONFIGS["resnet"],
    "multi_scale_crop": "swin/mask-rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco.py",
}
#: (width, height) that the shipped pipelines resize images to fit.
SHIPPED_SCALE = (1333, 800)

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


def shipped_config(name: str) -> Config:
    """One of mmdet's configs, as shipped in its wheel."""
    return Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / name)


def detector_config(architecture: Architecture, num_classes: int, options: ModelOptions) -> dict[str, Any]:
    """The ``model`` section: shipped, with our backbone, number of classes and what the recipe says."""
    config = shipped_config(CONFIGS[architecture.family])
    if architecture.slim:
        config.merge_from_dict({"model": SLIM})
    config.merge_from_dict(
        {
            "model": {
                "data_preprocessor": options.preprocessor,
                "neck": {"in_channels": list(architecture.channels)},
                "roi_head": {"bbox_head": {"num_classes": num_classes}, "mask_head": {"num_classes": num_classes}},
            }
        }
    )
    config.model.backbone = backbone_options(architecture, options.backbone)
    return config.model


def build_detector(architecture: Architecture, num_classes: int, options: ModelOptions) -> nn.Module:
    """A Mask R-CNN with fresh weights; initialise and load its backbone before use."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(detector_config(architecture, num_classes, options))
    if not options.backbone_learns:
        model.backbone.requires_grad_(False)
    return model


#: Standard deviations of the box regression targets of the three stages.
_CASCADE_STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))


def cascade_config(architecture: Architecture, num_classes: int, options: ModelOptions) -> dict[str, Any]:
    """The ``model`` section of the Cascade Mask R-CNN that Swin's authors trained, with our backbone.

    It is mmdet's shipped one with their box heads (4conv1fc, GIoU): Swin-Transformer-Object-Detection's
    ``cascade_mask_rcnn_swin_base_patch4_window7_mstrain_480-800_giou_4conv1f_adamw_3x_coco.py``. Their SyncBN is BN
    here: in testing, for which this is, both compute the same.
    """
    model = shipped_config("_base_/models/cascade-mask-rcnn_r50_fpn.py").model
    heads = [
        {
            "type": "ConvFCBBoxHead",
            "num_shared_convs": 4,
            "num_shared_fcs": 1,
            "in_channels": 256,
            "conv_out_channels": 256,
            "fc_out_channels": 1024,
            "roi_feat_size": 7,
            "num_classes": num_classes,
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": list(stds)},
            "reg_class_agnostic": False,
            "reg_decoded_bbox": True,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
            "loss_bbox": {"type": "GIoULoss", "loss_weight": 10.0},
        }
        for stds in _CASCADE_STDS
    ]
    model.roi_head.bbox_head = heads
    model.roi_head.mask_head.num_classes = num_classes
    model.neck.in_channels = list(architecture.channels)
    model.data_preprocessor.update(options.preprocessor)
    model.backbone = backbone_options(architecture, options.backbone)
    return model


def build_cascade(architecture: Architecture, num_classes: int, options: ModelOptions) -> nn.Module:
    """A Cascade Mask R-CNN with fresh weights, for a whole trained model to be loaded into."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(cascade_config(architecture, num_classes, options))


def train_pipeline(scale: tuple[int, int], name: str, flip: bool) -> list[dict[str, Any]]:
    """A shipped training pipeline at our scale.

    Args:
        scale: (width, height) that an image is resized to fit, keeping its ratio.
        name: "flip", or "multi_scale_crop": the short side drawn from 0.6 to 1 times the height of ``scale``, for half
            of the images after a random crop. All its lengths but the long side follow the height.
        flip: whether half of the images are mirrored.
    """
    changes = {"Resize": {"scale": scale}, "RandomFlip": {"prob": 0.5 if flip else 0.0}}
    steps = shipped_config(PIPELINES[name]).train_pipeline
    return [_at_scale({**step, **changes.get(step["type"], {})}, scale) for step in steps]


def _at_scale(step: dict[str, Any], scale: tuple[int, int]) -> dict[str, Any]:
    """One step of the multi-scale pipeline, with its lengths changed from the shipped scale to ours."""
    longest, short = scale

    def resized(length: int) -> int:
        return round(length * short / SHIPPED_SCALE[1])

    if step["type"] == "RandomChoice":
        choices = [[_at_scale(dict(inner), scale) for inner in choice] for choice in step["transforms"]]
        return {**step, "transforms": choices}
    if step["type"] == "RandomChoiceResize":
        return {**step, "scales": [(resized(side), longest) for side, _ in step["scales"]]}
    if step["type"] == "RandomCrop":
        return {**step, "crop_size": tuple(resized(side) for side in step["crop_size"])}
    return step


def test_pipeline(scale: tuple[int, int]) -> list[dict[str, Any]]:
    """The shipped test pipeline at our scale: what `robnb.evaluation` does to an image that it has corrupted."""
    steps = shipped_config(CONFIGS["resnet"]).test_pipeline
    return [{**step, "scale": scale} if step["type"] == "Resize" else dict(step) for step in steps]


def training_set(data: TaskData, scale: tuple[int, int], pipeline: str = "flip") -> CocoDataset:
    """mmdet's COCO data set with a `train_pipeline`.

    Images are mirrored only where the data allow it; images without objects are left out, as shipped.
    """
    # pycocotools prints what it loads.
    with DefaultScope.overwrite_default_scope("mmdet"), contextlib.redirect_stdout(io.StringIO()):
        return CocoDataset(
            ann_file=str(data.root / "annotations" / f"instances_{data.train}.json"),
            data_prefix={"img": str(data.root / data.train)},
            metainfo={"classes": data.classes},
            filter_cfg={"filter_empty_gt": True, "min_size": 32},
            pipeline=train_pipeline(scale, pipeline, data.flip),
        )
