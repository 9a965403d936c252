"""DeepAugment's helper networks by name, and what is done to images with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from robnb import checkpoints
from robnb.augment.deepaugment.cae import CAE
from robnb.augment.deepaugment.draws import Draws
from robnb.augment.deepaugment.edsr import EDSR
from robnb.errors import UserError
from robnb.names import choose

#: What makes each of them, with random weights, at the size that trains here in seconds. Both are modules that take and
#: return images (N, 3, H, W), float in [0, 1].
NETWORKS: dict[str, Callable[[], EDSR | CAE]] = {"edsr": EDSR, "cae": CAE}


def network_for(name: str, image_size: int) -> EDSR | CAE:
    """A network of this name, for square images of this side in pixels.

    Raises:
        UserError: there is no such network, or the side is not a multiple of what the network divides it by.
    """
    network = NETWORKS[choose(name, NETWORKS, "helper network")]()
    if image_size % network.multiple:
        raise UserError(
            f"images of {image_size} pixels do not fit the helper network {name}: "
            f"make the upstream size a multiple of {network.multiple}."
        )
    return network


def load_network(name: str, path: Path, image_size: int) -> EDSR | CAE:
    """The network of a file that `robnb.pretrain.networks.train_network` wrote.

    Raises:
        UserError: as `network_for`; the file is missing, unreadable, or of another network.
    """
    network = network_for(name, image_size)
    tensors = checkpoints.read(path).tensors
    wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
    if {key: tensor.shape for key, tensor in tensors.items()} != wanted:
        raise UserError(f"{path} is not of the helper network {name}: delete the folder {path.parent} and run again.")
    network.load_state_dict(tensors)
    return network


class Distorter:
    """A trained network that is distorted anew for every few images; the network itself stays as it is.

    Args:
        redraw: odds that an image gets other distorted weights than the one before it. What is done to its features is
            drawn for every image.
        as_released: see `robnb.augment.deepaugment.edsr_features`.
    """

    def __init__(self, network: EDSR | CAE, redraw: float, as_released: bool) -> None:
        self.network: nn.Module = network.eval().requires_grad_(False)
        self.weights = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
        self.redraw, self.as_released = redraw, as_released

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        """(N, 3, H, W) float32 in [0, 1], N > 0 -> the same, distorted.

        What a distorted network makes of an image is clamped. Where it is not a number the pixel is black, as it
        becomes where the release makes bytes of it.
        """
        self.network.to(images.device)
        again = draws.rng.random(len(images) - 1) < self.redraw
        runs = images.tensor_split((np.flatnonzero(again) + 1).tolist())
        with torch.autocast(images.device.type, enabled=False):  # float16 has no room for what some distortions make
            made = torch.cat([self._with_one_draw(run, draws) for run in runs])
        return made.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0).clamp(0, 1)

    def _with_one_draw(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        weights = self.network.distorted(self.weights, draws.rng)
        changed = {
            name: tensor.to(images.device) for name, tensor in weights.items() if tensor is not self.weights[name]
        }
        distortion = self.network.distortion(len(images), draws, self.as_released)
        return functional_call(self.network, changed, (images, distortion))
