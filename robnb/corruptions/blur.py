"""Blur: defocus_blur, glass_blur, motion_blur, zoom_blur, and gaussian_blur of the validation four.

Each corruption is a draw from the images' keys, followed by a function of image and draw. Images are uint8
(N, H, W, 3), and so are results; severity is 1 to 5. Fractions of a grey level are cut off, as in imagecorruptions.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from robnb.corruptions.kernels import filters, random, resampling, shuffle
from robnb.corruptions.kernels.levels import truncate

#: Radius of the disk in pixels, and deviation of the filter that softens its edge.
DEFOCUS_BLUR = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
#: Deviation of the filter before and after, reach of the shuffle, and how often it is done.
GLASS_BLUR = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
#: Half the length of the path, and deviation of the weights along it, in pixels.
MOTION_BLUR = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
#: The zoom factors that are averaged.
ZOOM_BLUR = (
    np.arange(1, 1.11, 0.01),
    np.arange(1, 1.16, 0.01),
    np.arange(1, 1.21, 0.02),
    np.arange(1, 1.26, 0.02),
    np.arange(1, 1.31, 0.03),
)
#: Deviation of the filter.
GAUSSIAN_BLUR = (1, 2, 3, 4, 6)


def defocus_blur(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """The mean over a disk with a soft edge. Draws nothing."""
    window = disk(*DEFOCUS_BLUR[severity - 1]).to(images.device)
    return truncate(filters.correlate(images.to(torch.float32), window[None], "mirror"))


@lru_cache
def disk(radius: int, softness: float) -> torch.Tensor:
    """The weights of a disk whose edge a small Gaussian filter has softened: float32 (h, w), both odd."""
    reach, edge = (8, 1) if radius <= 8 else (radius, 2)
    across = torch.arange(-reach, reach + 1)
    inside = (across[:, None] ** 2 + across**2 <= radius**2).to(torch.float32)
    inside /= inside.sum()
    return filters.gaussian(inside[None, ..., None], (softness, softness), edge / softness, "mirror")[0, ..., 0]


def draw_shuffle(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """Where each pixel is copied from: uint8 (N, passes, H - 2 delta, W - 2 delta), see `shuffle.shuffle`."""
    _, delta, passes = GLASS_BLUR[severity - 1]
    shape = passes, size[0] - 2 * delta, size[1] - 2 * delta
    return random.integers(keys, 0, math.prod(shape), 4 * delta**2).view(-1, *shape)


def glass_blur(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Filters, shuffles near pixels, and filters again. ``draw``: as `draw_shuffle` gives it.

    The shuffle copies where the original means to swap, so that some pixels are lost and others doubled.
    """
    sigma, delta, _ = GLASS_BLUR[severity - 1]
    return _smooth(shuffle.shuffle(_smooth(images, sigma), draw, delta), sigma)


def _smooth(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian filter in float64 on a scale of 0 to 1, as scikit-image's.

    For some sigma that takes a level from an even area, glass_blur does it twice, and nothing less repeats it.
    """
    return truncate(filters.gaussian(images.to(torch.float64).div_(255), (sigma, sigma)).mul_(255))


def draw_direction(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """The direction of motion: float64 (N,) in degrees, uniform in [-45, 45), on the CPU."""
    return random.uniform(keys.cpu(), 0, 1)[:, 0].to(torch.float64) * 45


def motion_blur(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """The weighted mean along a straight path that starts at the pixel. ``draw``: its direction in degrees, (N,)."""
    return truncate(along_path(images.to(torch.float32), draw, *MOTION_BLUR[severity - 1]))


def along_path(images: torch.Tensor, angles: torch.Tensor, radius: int, sigma: float) -> torch.Tensor:
    """The half-Gaussian mean over 2 * radius + 1 steps of one pixel in a direction.

    Args:
        images: float32 (N, H, W, C); beyond an edge its nearest pixel goes on.
        angles: float64 (N,) in degrees, on the CPU.
        radius: half the number of steps.
        sigma: of the weights, in steps.

    Returns:
        float32 (N, H, W, C). A path that would leave the whole image ends there, and the result is darker.
    """
    windows = np.stack([_path(angle, radius, sigma, *images.shape[1:3]) for angle in angles.tolist()])
    return filters.correlate(images, torch.from_numpy(windows).to(images.device), "nearest")


def _path(angle: float, radius: int, sigma: float, height: int, width: int) -> np.ndarray:
    """The path as a window: float32 (4 * radius + 1, 4 * radius + 1), the pixel itself in the middle."""
    steps = 2 * radius + 1
    weights = np.exp(-(np.arange(steps) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    down, across = steps * np.sin(np.deg2rad(angle)), steps * np.cos(np.deg2rad(angle))
    length = math.hypot(down, across)
    window = np.zeros((2 * steps - 1, 2 * steps - 1))
    for i, weight in enumerate(weights):
        dy, dx = math.ceil(i * down / length - 0.5), math.ceil(i * across / length - 0.5)
        if abs(dy) >= height or abs(dx) >= width:
            break
        window[steps - 1 + dy, steps - 1 + dx] += weight
    return window.astype(np.float32)


def zoom_blur(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """The mean of the image and enlarged copies of its middle. Draws nothing.

    An enlarged copy that is larger than the image is cut to it from the top left, not around the middle, and its
    last row or column may be black where scipy's rounding leaves the image.
    """
    return truncate(resampling.zoom_mean(images.to(torch.float32), _zoom_axes(*images.shape[1:3], severity)))


def _zoom_axes(height: int, width: int, severity: int) -> list[tuple[resampling.Axis, resampling.Axis]]:
    factors = ZOOM_BLUR[severity - 1].tolist()
    return [(resampling.zoom_axis(height, factor), resampling.zoom_axis(width, factor)) for factor in factors]


def gaussian_blur(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """A Gaussian filter. Draws nothing."""
    return _smooth(images, GAUSSIAN_BLUR[severity - 1])
