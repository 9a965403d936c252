"""Downstream training: a pretrained backbone gets a new head, with itself frozen or trained along."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from torch import nn
from torch.utils.data import Dataset, default_collate

from robnb import launch
from robnb.data.crops import CROPS, TrainingCrops
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.models import detector, segmentor
from robnb.models.architectures import Architecture, BackboneName, architecture_named
from robnb.models.backbones import MEAN, STD, load_backbone
from robnb.models.classifier import Classifier
from robnb.names import choose
from robnb.pretrain import has_unused_parameters
from robnb.recipes.budget import Budget
from robnb.recipes.switches import SWITCHES
from robnb.recipes.transfer import ModelOptions, TransferRecipe, model_options, transfer_recipe
from robnb.store import Spec, Store
from robnb.training import fit, initialise, state_of

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
        recipe: "short" or "paper", see `robnb.recipes.transfer`.
        released: the switches of `robnb.recipes.switches` that are as_released and touch this transfer
            (`Switches.of_transfer`); all others are corrected, so that a new switch leaves the keys of old work alone.
        prime: whether images go through PRIME in training.
        mean, std: normalisation that the backbone was pretrained with, RGB, 0..255.

    Raises:
        UserError: the processes cannot share a batch evenly, a share is too small, the task has no PRIME, or recipe,
            regime or a switch is unknown.
    """

    kind: ClassVar[str] = "transfer"
    version: ClassVar[int] = 2
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
    recipe: str = "short"
    released: tuple[str, ...] = ()
    prime: bool = False
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    def __post_init__(self) -> None:
        images = launch.share(self.budget.batch_size, self.processes)
        if self.task == "segmentation" and images < 2:
            raise UserError(
                "segmentation trains with one image a process, and UperNet's BatchNorm needs two: "
                "raise batch_size or lower processes."
            )
        for name in self.released:
            choose(name, SWITCHES, "switch")
        _ = self.model_options

    @property
    def architecture(self) -> Architecture:
        """The backbone's architecture."""
        return architecture_named(BackboneName.parse(self.backbone).architecture)

    @property
    def trained(self) -> TransferSpec:
        """The transfer whose weights this one has: what changes its scores only is left out."""
        return replace(self, released=tuple(name for name in self.released if SWITCHES[name].stage != "scoring"))

    @property
    def model_options(self) -> ModelOptions:
        """How the model is built."""
        return model_options(self.recipe, **self._choices)

    @property
    def training(self) -> TransferRecipe:
        """How the model is built and trained."""
        pyramid = self.architecture.library == "timm"
        return transfer_recipe(self.recipe, budget=self.budget, pyramid=pyramid, **self._choices)

    @property
    def _choices(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "family": self.architecture.family,
            "regime": self.regime,
            "backbone": self.backbone,
            "released": self.released,
            "prime": self.prime,
            "processes": self.processes,
            "normalisation": (self.mean, self.std),
        }


def build_model(spec: TransferSpec) -> nn.Module:
    """The task's model with fresh weights; of ``spec.trained`` to be trained, of the spec itself to be scored."""
    options = spec.model_options
    if spec.task == "detection":
        return detector.build_detector(spec.architecture, spec.classes, options)
    if spec.task == "segmentation":
        return segmentor.build_segmentor(spec.architecture, spec.classes, options, spec.scale)
    normalisation = {name: tuple(values) for name, values in options.preprocessor.items()}
    return Classifier(spec.architecture, spec.classes, frozen=options.frozen, **normalisation)


def transfer(spec: TransferSpec, weights: Path, data: TaskData, store: Store, workers: int = 0) -> Path:
    """Train the task's model on a backbone from ``weights`` and keep it; returns the file of its state dict."""
    spec = spec.trained
    with store.work(spec) as folder:
        if folder is not None:
            given = {"spec": spec, "weights": weights, "data": data, "folder": folder, "workers": workers}
            launch.together(train, given, spec.processes, folder / "scratch")
    return store.folder(spec) / "weights.pth"


def train(spec: TransferSpec, weights: Path, data: TaskData, folder: Path, workers: int) -> None:
    """Train in this process, or as one of several, and write ``folder``/weights.pth."""
    classifies, frozen = spec.task == "classification", spec.regime == "fixed_feature"
    recipe = spec.training
    model = initialise(partial(build_model, spec), spec.seed)
    load_backbone(model.backbone, weights, spec.architecture)
    fit(
        model,
        training_samples(spec, data),
        default_collate if classifies else pseudo_collate,
        spec.budget,
        optim_wrapper=recipe.optim_wrapper,
        param_scheduler=recipe.param_scheduler,
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
    """The training set with the recipe's augmentation."""
    pipeline = spec.training.pipeline
    if spec.task == "detection":
        return detector.training_set(data, spec.scale, pipeline)
    if spec.task == "segmentation":
        return segmentor.training_set(data, spec.scale)
    return TrainingCrops(data.open("train"), spec.scale[1], data.flip, pipeline)


def resolved(spec: TransferSpec, flip: bool = True) -> dict[str, Any]:
    """What a transfer does, as the sections of an mmengine config, to be read and compared.

    Args:
        flip: whether a mirrored image of the data set is still one.
    """
    recipe = spec.training
    return {
        "model": _model_section(spec),
        "optim_wrapper": recipe.optim_wrapper,
        "param_scheduler": recipe.param_scheduler,
        "train_cfg": {"by_epoch": False, "max_iters": spec.budget.iterations},
        "train_dataloader": {"batch_size": spec.budget.batch_size // spec.processes},
        **_pipelines(spec, recipe.pipeline, flip),
    }


def _model_section(spec: TransferSpec) -> dict[str, Any]:
    options = spec.model_options
    if spec.task == "detection":
        return detector.detector_config(spec.architecture, spec.classes, options)
    if spec.task == "segmentation":
        return segmentor.segmentor_config(spec.architecture, spec.classes, options, spec.scale)
    backbone = {"type": spec.architecture.timm or spec.architecture.type, "frozen": options.frozen}
    preprocessor = {"type": "Classifier", **options.preprocessor}
    return {"type": "Classifier", "backbone": backbone, "data_preprocessor": preprocessor, "num_classes": spec.classes}


def _pipelines(spec: TransferSpec, name: str, flip: bool) -> dict[str, list[dict[str, Any]]]:
    if spec.task == "detection":
        return {
            "train_pipeline": detector.train_pipeline(spec.scale, name, flip),
            "test_pipeline": detector.test_pipeline(spec.scale),
        }
    if spec.task == "segmentation":
        return {
            "train_pipeline": segmentor.train_pipeline(spec.scale, flip),
            "test_pipeline": segmentor.test_pipeline(spec.scale),
        }
    (area, ratio), (short, side) = CROPS[name], spec.scale
    crop = {"type": "RandomResizedCrop", "size": side, "scale": area, "ratio": ratio}
    return {
        "train_pipeline": [crop, {"type": "RandomHorizontalFlip", "p": 0.5 if flip else 0.0}],
        "test_pipeline": [{"type": "Resize", "size": short}, {"type": "CenterCrop", "size": side}],
    }
