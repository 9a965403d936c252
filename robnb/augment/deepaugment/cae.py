"""The compressive autoencoder whose weights and latent DeepAugment distorts."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from robnb.augment.deepaugment.cae_latent import CAELatent
from robnb.augment.deepaugment.cae_weights import distort_cae
from robnb.augment.deepaugment.draws import Draws, Weights
from robnb.augment.deepaugment.edsr import ResidualBlock


class CAE(nn.Module):
    """Images to a quarter of their size in bits, and back (after Theis et al., ICLR 2017, arXiv:1703.00395).

    DeepAugment's release takes a published network of width 128 with a latent of 32 channels. Those weights are not
    needed and not read: a small network that is trained here serves. It has the published one's layers, three residual
    blocks each way among them, because the distortions name layers.

    Args:
        width: channels of the residual blocks, even.
        latent: channels of the binary code.
    """

    #: What the sides of an image have to be a multiple of.
    multiple = 4

    def __init__(self, width: int = 16, latent: int = 32) -> None:
        super().__init__()
        self.width = width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width // 2, 5, 2, 2), nn.LeakyReLU(), nn.Conv2d(width // 2, width, 5, 2, 2), nn.LeakyReLU(),
            *(ResidualBlock(width, nn.LeakyReLU) for _ in range(3)),
        )  # fmt: skip
        self.latent = nn.Conv2d(width, latent, 5, padding=2)
        self.grow = nn.Sequential(
            nn.Conv2d(latent, width // 2, 3, padding=1), nn.LeakyReLU(), nn.ConvTranspose2d(width // 2, width, 2, 2)
        )
        self.decoder = nn.Sequential(*(ResidualBlock(width, nn.LeakyReLU) for _ in range(3)))
        self.pixels = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1), nn.LeakyReLU(), nn.ConvTranspose2d(width // 2, width, 2, 2),
            nn.Conv2d(width, 16, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(16, 3, 3, padding=1, padding_mode="reflect"),
        )  # fmt: skip
        self._initialise()

    def _initialise(self) -> None:
        """So that a picture, if a wrong one, comes through all layers: torch's own draws shrink it to nothing."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.ConvTranspose2d):  # begins as a convolution whose outputs are repeated
                first = nn.init.normal_(module.weight[:, :, :1, :1].detach(), std=len(module.weight) ** -0.5)
                module.weight.data.copy_(first.expand_as(module.weight))
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            for block in (module for module in self.modules() if isinstance(module, ResidualBlock)):
                block.body[2].weight.mul_(0.1)
            self.latent.weight.mul_(2)
            self.pixels[-1].weight.mul_(0.3)

    def forward(self, images: torch.Tensor, distortion: CAELatent | None = None) -> torch.Tensor:
        """(N, 3, H, W) float in [0, 1] -> (N, 3, H, W) in [0, 1]; H and W are multiples of ``multiple``."""
        pixels = (2 * images - 1).contiguous(memory_format=torch.channels_last)
        latent = torch.tanh(self.latent(self.encoder(pixels)))
        if distortion is None:
            code = binary(latent)
        else:
            code = distortion.code(binary(distortion.latent(latent), distortion.draws.generator))
        return (torch.tanh(self.pixels(self.decoder(self.grow(2 * code - 1)))) + 1) / 2

    def distorted(self, weights: Weights, rng: np.random.Generator) -> Weights:
        """A copy of the network's parameters by name, distorted as the release does."""
        copy = dict(weights)
        distort_cae(copy, self.width, rng)
        return copy

    def distortion(self, count: int, draws: Draws, as_released: bool) -> CAELatent:
        """What is to happen to the latents of ``count`` images."""
        return CAELatent.drawn(count, draws)


def binary(latent: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """One with odds (1 + latent) / 2, zero otherwise; the gradient passes as if it were (1 + latent) / 2.

    Without a generator the draws are those of torch's global one.
    """
    mean = (1 + latent) / 2
    drawn = torch.rand(latent.shape, generator=generator, device=latent.device) < mean
    return mean + (drawn.to(mean) - mean).detach()
