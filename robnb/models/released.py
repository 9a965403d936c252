"""Whole trained models that others have published: the authors' 24, and the public Swin detectors and segmentors."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from robnb import checkpoints
from robnb.models.architectures import Architecture
from robnb.models.backbones import MEAN, STD
from robnb.models.detector import build_cascade, build_detector
from robnb.models.segmentor import build_segmentor
from robnb.names import choose
from robnb.recipes.transfer import ModelOptions, Normalisation

MODELS = ("mask_rcnn", "cascade_mask_rcnn", "upernet")


def build_released(
    model: str, architecture: Architecture, classes: int, normalisation: Normalisation = (MEAN, STD)
) -> nn.Module:
    """A detector or segmentor for a published file, to be scored only.

    Args:
        model: one of `MODELS`; all have the heads of mmdet's and mmseg's shipped configs, but the Cascade Mask R-CNN,
            which has those of Swin's authors.
        normalisation: (mean, std) of the images that it was trained on, RGB, 0..255.

    Raises:
        UserError: another model.
    """
    choose(model, MODELS, "model")
    mean, std = normalisation
    options = ModelOptions(preprocessor={"mean": list(mean), "std": list(std)})
    if model == "upernet":
        return build_segmentor(architecture, classes, options)
    return (build_detector if model == "mask_rcnn" else build_cascade)(architecture, classes, options)


def load_released(model: nn.Module, path: Path) -> nn.Module:
    """Fill a model of `build_released` from its file: every tensor, or none.

    Files of mmdet and mmseg, of any version that the authors can have used, name their tensors as today's do. Those of
    Swin-Transformer-Object-Detection name the backbone's as Microsoft does; heads are named alike.

    Raises:
        UserError: the file is missing, unreadable, or not of this model; the sentence says what matched.
    """
    checkpoints.load(model, checkpoints.whole(checkpoints.read(path).tensors), path)
    return model
