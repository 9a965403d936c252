"""The classifier: a backbone, global average pooling, one linear layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.model import BaseModel
from torch import nn

from robnb.augment.regular import cross_entropy
from robnb.models.backbones import MEAN, STD, Architecture, build_backbone

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
        self.frozen = frozen
        self.view_loss = view_loss
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        if frozen:
            self.backbone.requires_grad_(False)

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
