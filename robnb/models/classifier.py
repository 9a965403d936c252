"""The classifier: a backbone, pooling, one linear layer."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import nn

from robnb import checkpoints
from robnb.augment.recipe import REGULAR, Augmenter, Recipe, Stateless
from robnb.models import timm_nets
from robnb.models.architectures import Architecture
from robnb.models.backbones import MEAN, STD, build_backbone, fill_backbone, read_flat
from robnb.models.execution import Execution


class Classifier(BaseModel):
    """Classifies uint8 RGB images; normalisation is part of the model.

    Trained through mmengine's Runner on batches ``{"inputs": (N, 3, H, W) uint8, "labels": (N,) int64}``, plainly or by
    the recipe that `learn_by` names. With ``frozen`` all but the last layer gets no gradient and stays in eval mode: BN
    statistics, dropout and drop-path too.

    A ResNet and a slim Swin are mmdet's class (``backbone``), global average pooling and a linear layer (``head``).
    Any other is timm's own network with its own pooling and last layer, all of it under ``backbone``. So is a full-size
    Swin, because mmdet's shifts the windows of the last stage at 224 pixels too, where the published one does not.

    Args:
        mean, std: of the three channels on the 0..255 scale.
    """

    def __init__(
        self,
        architecture: Architecture,
        num_classes: int,
        *,
        frozen: bool = False,
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
    ) -> None:
        super().__init__()
        self.architecture, self.num_classes = architecture, num_classes
        self.frozen = frozen
        self.recipe, self.augmenter, self.execution = REGULAR, Stateless(REGULAR), Execution()
        if architecture.timm:
            rate = architecture.options.get("drop_path_rate")
            self.backbone = timm_nets.build(architecture.timm, num_classes, drop_path_rate=rate)
        else:
            self.backbone = build_backbone(architecture)
            self.head = nn.Linear(architecture.channels[-1], num_classes)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        if frozen:
            self.backbone.requires_grad_(False)
            for layer in timm_nets.classifiers(self.backbone) if architecture.timm else ():
                layer.requires_grad_(True)

    def init_weights(self) -> None:
        """As mmdet or timm initialises the network, but a slim Swin's layers with torch's own, fan-in scaled draws.

        mmdet draws Swin's weights with a standard deviation of 0.02, made for 96 channels and more; with 32 the
        signal through a block is so small that training from scratch stays at chance for a long time.
        """
        if self.is_init:  # mmengine's Runner asks again, when pretrained weights have been loaded
            return
        if self.architecture.timm:  # initialised when it was built; mmengine would draw some of it again
            self.is_init = True
            return
        super().init_weights()
        if self.architecture.slim and self.architecture.family == "swin":
            for module in self.backbone.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    module.reset_parameters()

    def train(self, mode: bool = True) -> Classifier:
        """As in torch, but a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def learn_by(self, recipe: Recipe, augmenter: Augmenter, execution: Execution) -> Classifier:
        """Train by this recipe from now on, run like this; returns itself."""
        self.recipe, self.augmenter, self.execution = recipe, augmenter, execution
        return execution.arranged(self)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB, uint8 or float in [0, 1] -> (N, C) float32 logits."""
        pixels = images.float() if images.dtype == torch.uint8 else images * 255
        normalised = (pixels - self.mean) / self.std
        with self.execution.autocast(images.device):
            if self.architecture.timm:
                return self.backbone(normalised).float()
            return self.head(self.backbone(normalised)[-1].mean(dim=(2, 3))).float()

    def forward(
        self, inputs: torch.Tensor, labels: torch.Tensor | None = None, mode: str = "tensor"
    ) -> dict | torch.Tensor:
        """mmengine's interface: ``loss`` gives a dict, ``predict`` and ``tensor`` the logits."""
        if mode != "loss":
            return self.logits(inputs)
        views = self.augmenter.views(inputs, labels)
        logits = self.logits(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        return {"loss": self.recipe.loss(logits, labels)}


def load_published(model: Classifier, path: Path) -> Classifier:
    """Fill all of a classifier from a published file, its last layer too.

    Raises:
        UserError: the file does not fit the network, or has no last layer for this number of classes.
    """
    tensors = read_flat(path, model.architecture)
    if not model.architecture.timm:
        last = checkpoints.head(tensors, model.num_classes, path)
        fill_backbone(model.backbone, tensors, path, model.architecture)
        checkpoints.load(model.head, last, path)
        return model
    for prefix in timm_nets.classifier_prefixes(model.backbone):
        last = {f"head.{part}": tensors[prefix + part] for part in ("weight", "bias") if prefix + part in tensors}
        # Flattened, because some networks have a 1x1 convolution there.
        checkpoints.head(
            {name: tensor.flatten(1) if tensor.dim() > 1 else tensor for name, tensor in last.items()},
            model.num_classes,
            path,
        )
    checkpoints.load(model.backbone, tensors, path, checkpoints.COMPUTED)
    return model
