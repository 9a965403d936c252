"""The classifier: a backbone, global average pooling, one linear layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import nn

from robnb.augment.regular import cross_entropy
from robnb.errors import UserError
from robnb.models.backbones import MEAN, STD, Architecture, build_backbone, load_backbone, read_tensors

#: (logits of every view (V, N, C), labels (N,)) -> scalar loss.
ViewLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Classifier(BaseModel):
    """Classifies uint8 RGB images; normalisation is part of the model.

    Trained through mmengine's Runner on batches ``{"inputs": (N, V, 3, H, W) uint8, "labels": (N,) int64}``
    where V is the number of views that the upstream recipe makes of an image. With ``frozen`` the backbone gets
    no gradient and stays in eval mode: BN statistics and drop-path too.
    """

    def __init__(
        self, architecture: Architecture, num_classes: int, *, frozen: bool = False, view_loss: ViewLoss = cross_entropy
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(architecture)
        self.head = nn.Linear(architecture.channels[-1], num_classes)
        self.architecture = architecture
        self.frozen = frozen
        self.view_loss = view_loss
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        if frozen:
            self.backbone.requires_grad_(False)

    def init_weights(self) -> None:
        """As mmdet initialises the backbone, but a slim Swin's layers with torch's own, fan-in scaled draws.

        mmdet draws Swin's weights with a standard deviation of 0.02, made for 96 channels and more; with 32 the
        signal through a block is so small that training from scratch stays at chance for a long time.
        """
        if self.is_init:  # mmengine's Runner asks again, when pretrained weights have been loaded
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

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 RGB -> (N, C) logits."""
        deepest = self.backbone((images.float() - self.mean) / self.std)[-1]
        return self.head(deepest.mean(dim=(2, 3)))

    def forward(
        self, inputs: torch.Tensor, labels: torch.Tensor | None = None, mode: str = "tensor"
    ) -> dict | torch.Tensor:
        """mmengine's interface: ``loss`` gives a dict, ``predict`` and ``tensor`` the logits."""
        if mode != "loss":
            return self.logits(inputs)
        views = inputs.transpose(0, 1)
        logits = self.logits(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        return {"loss": self.view_loss(logits, labels)}


def load_published(model: Classifier, path: Path) -> Classifier:
    """Fill a classifier from a published file: its backbone, and its head from ``fc``, ``head.fc`` or ``head``.

    Raises:
        UserError: the file does not fit the backbone, or has no head for this number of classes.
    """
    load_backbone(model.backbone, path)
    state = read_tensors(path)
    for head in ("fc", "head.fc", "head"):
        weight, bias = state.get(f"{head}.weight"), state.get(f"{head}.bias")
        if weight is not None and bias is not None and weight.shape == model.head.weight.shape:
            model.head.load_state_dict({"weight": weight, "bias": bias})
            return model
    raise UserError(
        f"{path} has no classifier for {model.head.out_features} classes, so its backbone cannot be scored upstream; "
        f"give the published file with its last layer."
    )
