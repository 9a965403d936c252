"""The nine distortions of the CAE's latent, in the order of DeepAugment's release (cae_32x32x32_zero_pad_bin.py).

Every image has one of them, with even odds. All but the first change the latent before it is made binary; they take
and return one image's (C, H, W). Numbers of channels are shares of the published 32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from robnb.augment.deepaugment.draws import Draws, share

_CHANNELS = 32
Distortion = Callable[[torch.Tensor, Draws], torch.Tensor]


def scale(code: torch.Tensor, draws: Draws) -> torch.Tensor:
    """The binary code, of zeros and ones, times 3 + 4 u r: u ~ U(0, 1) once, r ~ U(0, 1) for each value.

    The release writes 3 + 2 u (2 rand_like(code - 1)); rand_like looks at the shape of its argument alone.
    """
    return code * (3 + 4 * float(draws.rng.random()) * draws.uniform(code.shape))


def spatial_zeros(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """A fifth of the places are zeroed, in all channels."""
    return latent * (draws.uniform(latent.shape[1:]) > 0.2)


def spatial_signs(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """A tenth of the places are negated, in all channels."""
    return torch.where(draws.uniform(latent.shape[1:]) > 0.1, latent, -latent)


def permute(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """The first ten channels in random order."""
    some = share(10, len(latent), _CHANNELS)
    order = [*draws.rng.permutation(some).tolist(), *range(some, len(latent))]
    return latent[order]


def _axes(rng: np.random.Generator) -> list[int]:
    """Of (H, W). The release draws two of batch, height and width, for batches of one."""
    left_out = rng.integers(3)
    return [axis for axis in (0, 1) if axis + 1 != left_out]


def flip_some(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Five channels, drawn with replacement, upside down, mirrored or both; one that is drawn twice is as before."""
    changed, axes = latent.clone(), _axes(draws.rng)
    for channel in draws.rng.integers(len(latent), size=share(5, len(latent), _CHANNELS)).tolist():
        changed[channel] = changed[channel].flip(axes)
    return changed


def flip_all(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """All channels upside down, mirrored or both."""
    return latent.flip([axis + 1 for axis in _axes(draws.rng)])


def _identity(channels: int) -> np.ndarray:
    """A 3x3 convolution that changes nothing."""
    kernels = np.zeros((channels, channels, 3, 3), np.float32)
    kernels[range(channels), range(channels), 1, 1] = 1
    return kernels


def _convolved(latent: torch.Tensor, kernels: np.ndarray) -> torch.Tensor:
    return functional.conv2d(latent[None], torch.from_numpy(kernels).to(latent), padding=1)[0]


def convolve_with_noise(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Identity plus U(-0.1, 0.1) at every tap."""
    kernels = _identity(len(latent))
    return _convolved(latent, kernels + 0.2 * (draws.rng.random(kernels.shape, dtype=np.float32) - np.float32(0.5)))


def add_taps(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Identity, and to every channel, with odds of one half, a channel is added, moved by at most a place each way."""
    kernels = _identity(len(latent))
    for channel in range(len(latent)):
        if draws.rng.random() < 0.5:
            kernels[channel, draws.rng.integers(len(latent)), draws.rng.integers(3), draws.rng.integers(3)] = 1
    return _convolved(latent, kernels)


def shift(latent: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Every channel moves by at most a place each way, like the one before it with odds of four fifths."""
    kernels = np.zeros((len(latent), len(latent), 3, 3), np.float32)
    y, x = draws.rng.integers(3, size=2)
    for channel in range(len(latent)):
        if draws.rng.random() < 0.2:
            y, x = draws.rng.integers(3, size=2)
        kernels[channel, channel, y, x] = 1
    return _convolved(latent, kernels)


#: By the release's numbers, 0 to 8.
CAE_LATENT: tuple[Distortion, ...] = (
    scale, spatial_zeros, spatial_signs, permute, flip_some, flip_all, convolve_with_noise, add_taps, shift,
)  # fmt: skip


@dataclass(frozen=True)
class CAELatent:
    """What happens to the latent of each image of a batch.

    Attributes:
        options: indices into `CAE_LATENT`, for each image.
    """

    options: np.ndarray
    draws: Draws

    @classmethod
    def drawn(cls, count: int, draws: Draws) -> CAELatent:
        """For ``count`` images."""
        return cls(draws.rng.integers(len(CAE_LATENT), size=count), draws)

    def latent(self, latent: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) before it is made binary."""
        return self._where(latent, lambda distortion: distortion is not scale)

    def code(self, code: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) of zeros and ones, no longer such where it is scaled."""
        return self._where(code, lambda distortion: distortion is scale)

    def _where(self, values: torch.Tensor, wanted: Callable[[Distortion], bool]) -> torch.Tensor:
        distortions = [CAE_LATENT[option] for option in self.options]
        pairs = zip(distortions, values, strict=True)
        return torch.stack([distort(one, self.draws) if wanted(distort) else one for distort, one in pairs])
