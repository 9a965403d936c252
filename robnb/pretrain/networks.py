"""DeepAugment's helper networks learn to reproduce the upstream training images."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn.functional import l1_loss
from torch.utils.data import Dataset, default_collate

from robnb.augment.deepaugment import network_for
from robnb.data.crops import TrainingCrops
from robnb.data.sources import TaskData
from robnb.pretrain.spec import NetworkSpec
from robnb.recipes.optimization import short_training
from robnb.store import Store, write_json
from robnb.training import KeyedBatches, fit, initialise, state_of

#: How many training crops the error of a finished network is measured on.
_MEASURED = 64


class Reconstruction(BaseModel):
    """An image-to-image network that is trained with the mean absolute error between what goes in and what comes out.

    The EDSR makes its images smaller itself, so for it too what goes in is what should come out.

    Args:
        network: takes and returns (N, 3, H, W) float in [0, 1].
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, inputs: torch.Tensor, labels: torch.Tensor | None = None, mode: str = "tensor"
    ) -> dict | torch.Tensor:
        """mmengine's interface: uint8 (N, 3, H, W); ``loss`` gives a dict, the others the images that come out."""
        images = inputs.float() / 255
        made = self.network(images)
        return {"loss": l1_loss(made, images)} if mode == "loss" else made


def train_network(spec: NetworkSpec, data: TaskData, store: Store, workers: int = 0) -> Path:
    """Train a helper network in this process and keep its weights; returns the file, a flat state dict.

    Beside it result.json holds its ``psnr``: the mean peak signal-to-noise ratio on training crops, in dB.

    Args:
        data: the upstream images; their labels are not looked at.

    Raises:
        UserError: there is no such network, or it does not take images of this size.
    """
    with store.work(spec) as folder:
        if folder is not None:
            model = initialise(lambda: Reconstruction(network_for(spec.network, spec.image_size)), spec.seed)
            crops = TrainingCrops(data.open("train"), spec.image_size, data.flip, spec.crop)
            fit(
                model,
                crops,
                default_collate,
                spec.budget,
                **short_training("swin", spec.budget),
                scope="mmengine",
                seed=spec.seed,
                folder=folder / "scratch",
                label=f"helper network {spec.network}",
                workers=workers,
            )
            torch.save(state_of(model.network), folder / "weights.pth")
            write_json(folder / "result.json", {"psnr": psnr(model, KeyedBatches(crops, spec.seed, _MEASURED))})
    return store.folder(spec) / "weights.pth"


@torch.no_grad()
def psnr(model: Reconstruction, samples: Dataset) -> float:
    """The mean over images of -10 log10(mean squared error), of pixels in [0, 1]; in dB."""
    images = torch.stack([samples[i]["inputs"] for i in range(len(samples))])
    errors = (model(images).clamp(0, 1) - images / 255).square().mean(dim=(1, 2, 3))
    return float(-10 * errors.clamp(min=1e-10).log10().mean())
