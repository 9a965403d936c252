"""EDSR, the super-resolution network whose weights and features DeepAugment distorts."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from robnb.augment.deepaugment.draws import Draws, Weights
from robnb.augment.deepaugment.edsr_features import EDSRFeatures
from robnb.augment.deepaugment.edsr_weights import distort_edsr

#: Pixels go in from 0 to 255, less this mean of the three channels in [0, 1] (that of the published network's images).
MEAN = (0.4488, 0.4371, 0.4040)
_RANGE = 255


class ResidualBlock(nn.Module):
    """x + conv(activation(conv(x)))."""

    def __init__(self, features: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(features, features, 3, padding=1) for _ in range(2)]
        self.body = nn.Sequential(convolutions[0], activation(), convolutions[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        return x + self.body(x)


class EDSR(nn.Module):
    """A convolution, a residual body, upsampling by pixel shuffle (Lim et al., CVPRW 2017, arXiv:1707.02921).

    DeepAugment's release takes EDSR's published baseline, 16 blocks of 64 features that magnify four times. Those
    weights are not needed and not read: a small network that is trained here serves.

    Args:
        blocks: residual blocks of the body.
        features: channels of the body.
        scale: by how much it magnifies, a power of two. Images are made so much smaller first.
    """

    def __init__(self, blocks: int = 4, features: int = 16, scale: int = 2) -> None:
        super().__init__()
        self.multiple = scale
        self.head = nn.Conv2d(3, features, 3, padding=1)
        body = [ResidualBlock(features) for _ in range(blocks)]
        self.body = nn.Sequential(*body, nn.Conv2d(features, features, 3, padding=1))
        self.tail = nn.Sequential()
        for _ in range(scale.bit_length() - 1):
            self.tail.extend([nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2)])
        self.tail.append(nn.Conv2d(features, 3, 3, padding=1))
        self.register_buffer("mean", _RANGE * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor, distortion: EDSRFeatures | None = None) -> torch.Tensor:
        """(N, 3, H, W) float in [0, 1] -> (N, 3, H, W), about in [0, 1]; H and W are multiples of ``multiple``."""
        small = functional.interpolate(images, scale_factor=1 / self.multiple, mode="bilinear", antialias=True)
        features = self.head((small * _RANGE - self.mean).contiguous(memory_format=torch.channels_last))
        if distortion is None:
            residual = self.body(features)
        else:
            features = distortion.behind_head(features)
            residual = distortion.through(self.body, features)
        return (self.tail(residual + features) + self.mean) / _RANGE

    def distorted(self, weights: Weights, rng: np.random.Generator) -> Weights:
        """A copy of the network's parameters by name, distorted as the release does."""
        copy = dict(weights)
        distort_edsr(copy, len(self.body) - 1, rng)
        return copy

    def distortion(self, count: int, draws: Draws, as_released: bool) -> EDSRFeatures:
        """What is to happen to the features of ``count`` images."""
        return EDSRFeatures.drawn(count, draws, as_released)
