"""Noise: gaussian_noise, shot_noise, impulse_noise, and speckle_noise of the validation four.

Each corruption is a draw from the images' keys, followed by a function of image and draw. Images are uint8
(N, H, W, 3), and so are results; severity is 1 to 5. Fractions of a grey level are cut off, as in imagecorruptions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.special import pdtr

from robnb.corruptions.kernels import random
from robnb.corruptions.kernels.levels import truncate

#: Deviation of the added noise, white being 1.
GAUSSIAN_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)
#: Mean count of a white pixel.
SHOT_NOISE = (60, 25, 12, 5, 3)
#: Share of values that become black or white.
IMPULSE_NOISE = (0.03, 0.06, 0.09, 0.17, 0.27)
#: Deviation of the noise, relative to the pixel.
SPECKLE_NOISE = (0.15, 0.2, 0.35, 0.45, 0.6)

#: More counts than any pixel reaches with a probability of 2**-32: 60 is 11 deviations below.
_COUNTS = 128


def draw_normals(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """Standard normals, one per value: float32 (N, H, W, 3)."""
    return random.normal(keys, 0, size[0] * size[1] * 3).view(-1, *size, 3)


def draw_words(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """Random bits, one word per value: int32 (N, H, W, 3)."""
    return random.words(keys, 0, size[0] * size[1] * 3).view(-1, *size, 3)


def gaussian_noise(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Adds normal noise. ``draw``: standard normals."""
    return truncate((draw * (GAUSSIAN_NOISE[severity - 1] * 255)).add_(images))


def speckle_noise(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Adds normal noise in proportion to the pixel. ``draw``: standard normals."""
    return truncate((draw * SPECKLE_NOISE[severity - 1]).add_(1).mul_(images))


def shot_noise(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Counts photons: a Poisson count with the pixel as its mean. ``draw``: words, for the count's quantile."""
    return random.pick(draw, images, random.Quantiles(*(part.to(images.device) for part in counts(severity))))


def impulse_noise(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Salt and pepper on single values. ``draw``: words, of which the last bit is salt and the others are whether."""
    hit = (draw >> 1) <= int(IMPULSE_NOISE[severity - 1] * 2**31) - 2**30
    return torch.where(hit, draw.bitwise_and(1).neg_().to(torch.uint8), images)


@lru_cache
def counts(severity: int) -> random.Quantiles:
    """The Poisson distributions of all 256 grey levels, on the grey levels that the counts become."""
    white = SHOT_NOISE[severity - 1]
    count = np.arange(_COUNTS)
    values = (np.clip(count / float(white), 0, 1) * 255).astype(np.uint8)
    return random.Quantiles.of(pdtr(count, np.arange(256)[:, None] / 255 * white), values)
