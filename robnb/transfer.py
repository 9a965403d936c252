"""Downstream training: a pretrained backbone gets a new head, with itself frozen or trained along."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from torch import nn
from torch.utils.data import Dataset, default_collate

from robnb import launch
from robnb.augment.regular import Regular
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.models import detector, segmentor
from robnb.models.backbones import ARCHITECTURES, Architecture, BackboneName, load_backbone
from robnb.models.classifier import Classifier
from robnb.pretrain import TrainingCrops, has_unused_parameters
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
        processes: how many train together, on one GPU each. They share each batch evenly and average their gradients,
            but a head's BatchNorm and the losses that count objects or pixels see one share each, so the weights
            depend on their number.

    Raises:
        UserError: the processes cannot share a batch evenly, or a share is too small.
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
    processes: int = 1

    def __post_init__(self) -> None:
        images = launch.share(self.budget.batch_size, self.processes)
        if self.task == "segmentation" and images < 2:
            raise UserError(
                "segmentation trains with one image a process, and UperNet's BatchNorm needs two: "
                "raise batch_size or lower processes."
            )

    @property
    def architecture(self) -> Architecture:
        """The backbone's architecture."""
        return ARCHITECTURES[BackboneName.parse(self.backbone).architecture]


def build_model(spec: TransferSpec) -> nn.Module:
    """The task's model with fresh weights."""
    if spec.task == "detection":
        return detector.build_detector(spec.architecture, spec.classes, spec.regime)
    if spec.task == "segmentation":
        return segmentor.build_segmentor(spec.architecture, spec.classes, spec.regime, spec.scale)
    return Classifier(spec.architecture, spec.classes, frozen=spec.regime == "fixed_feature")


def transfer(spec: TransferSpec, weights: Path, data: TaskData, store: Store, workers: int = 0) -> Path:
    """Train the task's model on a backbone from ``weights`` and keep it; returns the file of its state dict."""
    with store.work(spec) as folder:
        if folder is not None:
            given = {"spec": spec, "weights": weights, "data": data, "folder": folder, "workers": workers}
            launch.together(train, given, spec.processes, folder / "scratch")
    return store.folder(spec) / "weights.pth"


def train(spec: TransferSpec, weights: Path, data: TaskData, folder: Path, workers: int) -> None:
    """Train in this process, or as one of several, and write ``folder``/weights.pth."""
    classifies, frozen = spec.task == "classification", spec.regime == "fixed_feature"
    model = initialise(partial(build_model, spec), spec.seed)
    load_backbone(model.backbone, weights)
    fit(
        model,
        training_samples(spec, data),
        default_collate if classifies else pseudo_collate,
        spec.budget,
        family=spec.architecture.family,
        scope=SCOPES[spec.task],
        seed=spec.seed,
        folder=folder / "scratch",
        label=f"{spec.regime} {spec.task} {spec.backbone}",
        workers=workers,
        unused_parameters=classifies and not frozen and has_unused_parameters(spec.architecture),
    )
    if is_main_process():
        torch.save(state_of(model), folder / "weights.pth")


def training_samples(spec: TransferSpec, data: TaskData) -> Dataset:
    """The training set with its augmentation: the shipped config's, or a random resized crop for classification."""
    if spec.task == "detection":
        return detector.training_set(data, spec.scale)
    if spec.task == "segmentation":
        return segmentor.training_set(data, spec.scale)
    return TrainingCrops(data.open("train"), Regular(), spec.scale[1], data.flip)
