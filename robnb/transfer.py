"""Downstream training: a pretrained backbone gets a new head, with itself frozen or trained along."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmdet.datasets import CocoDataset
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from torch import nn
from torch.utils.data import Dataset, default_collate

from robnb.augment.regular import Regular
from robnb.data.sources import TaskData
from robnb.models import detector, segmentor
from robnb.models.backbones import ARCHITECTURES, Architecture, BackboneName, load_backbone
from robnb.models.classifier import Classifier
from robnb.pretrain import TrainingCrops
from robnb.store import Spec, Store
from robnb.training import Budget, fit, initialise, state_of

#: mmengine's registry scope of each task's model.
SCOPES = {"detection": "mmdet", "segmentation": "mmseg", "classification": "mmengine"}


@dataclass(frozen=True)
class TransferSpec(Spec):
    """One transfer; everything the trained model depends on.

    Attributes:
        backbone: ``architecture.weights``.
        weights: identifies the weights' content (a store key, or the hash of a file).
        regime: "fixed_feature" or "full_network".
        data: fingerprint of the training set.
        scale: (width, height) the image is resized to fit, keeping its ratio, as in mm's Resize; for
            classification (short side after resizing, side of the centre square).
    """

    kind: ClassVar[str] = "transfer"
    backbone: str
    weights: str
    task: str
    regime: str
    data: str
    classes: int
    scale: tuple[int, int]
    budget: Budget
    seed: int

    @property
    def architecture(self) -> Architecture:
        """The backbone's architecture."""
        return ARCHITECTURES[BackboneName.parse(self.backbone).architecture]


def build_model(spec: TransferSpec) -> nn.Module:
    """The task's model with fresh weights."""
    if spec.task == "detection":
        return detector.build_detector(spec.architecture, spec.classes, spec.regime)
    if spec.task == "segmentation":
        return segmentor.build_segmentor(spec.architecture, spec.classes, spec.regime, crop=_crop(spec.scale))
    return Classifier(spec.architecture, spec.classes, frozen=spec.regime == "fixed_feature")


def transfer(spec: TransferSpec, weights: Path, data: TaskData, store: Store, workers: int = 0) -> Path:
    """Train the task's model on a backbone from ``weights`` and keep it; returns the file of its state dict."""
    with store.work(spec) as folder:
        if folder is not None:
            model = initialise(build_model(spec), spec.seed)
            load_backbone(model.backbone, weights)
            fit(
                model,
                training_samples(spec, data),
                default_collate if spec.task == "classification" else pseudo_collate,
                spec.budget,
                family=spec.architecture.family,
                scope=SCOPES[spec.task],
                seed=spec.seed,
                folder=folder / "scratch",
                label=f"{spec.regime} {spec.task} {spec.backbone}",
                workers=workers,
            )
            torch.save(state_of(model), folder / "weights.pth")
    return store.folder(spec) / "weights.pth"


def training_samples(spec: TransferSpec, data: TaskData) -> Dataset:
    """The training set as mmdet's, mmseg's or our own data set, with the shipped config's augmentation."""
    reader = data.open("train")
    if spec.task == "classification":
        return TrainingCrops(reader, Regular(), spec.scale[1], data.flip)
    # pycocotools prints what it loads.
    with DefaultScope.overwrite_default_scope(SCOPES[spec.task]), contextlib.redirect_stdout(io.StringIO()):
        if spec.task == "detection":
            return CocoDataset(
                ann_file=str(data.root / "annotations" / f"instances_{data.train}.json"),
                data_prefix={"img": str(data.root / data.train)},
                metainfo={"classes": reader.classes},
                filter_cfg={"filter_empty_gt": True, "min_size": 32},
                pipeline=detection_pipeline(spec, data.flip),
            )
        return BaseSegDataset(
            data_prefix={
                "img_path": str(data.root / "images" / data.train),
                "seg_map_path": str(data.root / "annotations" / data.train),
            },
            metainfo={"classes": reader.classes},
            reduce_zero_label=True,
            pipeline=segmentation_pipeline(spec, data.flip),
        )


def detection_pipeline(spec: TransferSpec, flip: bool) -> list[dict[str, Any]]:
    """mmdet's shipped training pipeline at our scale; mirroring only where the data allow it."""
    pipeline = detector.shipped_config("resnet").train_pipeline
    return _adjusted(pipeline, {"Resize": {"scale": spec.scale}, "RandomFlip": {"prob": 0.5 if flip else 0.0}})


def segmentation_pipeline(spec: TransferSpec, flip: bool) -> list[dict[str, Any]]:
    """mmseg's shipped ADE20K training pipeline (random resize and crop, photometric distortion) at our scale."""
    pipeline = segmentor.shipped_config("resnet").train_pipeline
    return _adjusted(
        pipeline,
        {
            "RandomResize": {"scale": spec.scale},
            "RandomCrop": {"crop_size": _crop(spec.scale)},
            "RandomFlip": {"prob": 0.5 if flip else 0.0},
        },
    )


def _crop(scale: tuple[int, int]) -> tuple[int, int]:
    # The shipped config trains on squares of the short side: 512 for images scaled to (2048, 512).
    return min(scale), min(scale)


def _adjusted(pipeline: list, changes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**step, **changes.get(step["type"], {})} for step in pipeline]
