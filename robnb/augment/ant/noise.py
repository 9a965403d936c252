"""ANT's noise generator: a few convolutions that turn Gaussian noise into other noise."""

from __future__ import annotations

import torch
from torch import nn

#: Channels of the hidden layers, and the standard deviation of the initial weights (ANT's release).
WIDTH = 20
SPREAD = 0.01
#: Pixels (5 MiB of float32 in a hidden layer) that a CPU works on at a time: several times as fast as a large batch.
_BLOCK = 2**16


class NoiseGenerator(nn.Module):
    """z -> z + f(z): layers 3-20-20-20-3 with ReLU between them; the image is not an input (ANT's release).

    All layers are 1x1 convolutions, so the noise of a pixel depends on z in that pixel alone. With ``kernel`` 3 the
    second one is 3x3 without padding, and the noise depends on z in the eight neighbours too. Weights begin as
    N(0, 0.01^2) and biases as 0, so that f is nearly 0 and the noise is nearly standard Gaussian.

    Args:
        kernel: 1 or 3.
        draws: where the initial weights come from; they are on its device.
    """

    def __init__(self, kernel: int, draws: torch.Generator) -> None:
        super().__init__()
        self.margin = kernel // 2
        shapes = [(3, WIDTH, 1), (WIDTH, WIDTH, kernel), (WIDTH, WIDTH, 1), (WIDTH, 3, 1)]
        # Without torch's own initialisation, which would draw from the global generator.
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.Conv2d, *shape, device=draws.device, dtype=torch.float32) for shape in shapes
        )
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=SPREAD, generator=draws)
            nn.init.zeros_(layer.bias)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(N, 3, H + m, W + m) float32 -> (N, 3, H, W) float32; m is 0 for kernel 1 and 2 for kernel 3."""
        size = max(1, _BLOCK // z[0, 0].numel()) if z.device.type == "cpu" else len(z)
        # The exact norm needs more digits than half precision has.
        with torch.autocast(z.device.type, enabled=False):
            return torch.cat([self._noise(part) for part in z.split(size)])

    def _noise(self, z: torch.Tensor) -> torch.Tensor:
        hidden = z.contiguous(memory_format=torch.channels_last)
        for layer in self.layers[:-1]:
            hidden = layer(hidden).relu()
        centre = slice(self.margin, -self.margin or None)
        return self.layers[-1](hidden).contiguous() + z[..., centre, centre]

    def sample(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """New noise (N, 3, H, W) float32 for images of that shape, from a generator on their device."""
        count, channels, height, width = images.shape
        shape = count, channels, height + 2 * self.margin, width + 2 * self.margin
        return self(torch.randn(shape, generator=draws, device=images.device))
