"""Weather: snow, frost, fog, brightness, and spatter of the validation four.

Each corruption is a draw from the images' keys, followed by a function of image and draw. Images are uint8
(N, H, W, 3), and so are results; severity is 1 to 5. Fractions of a grey level are cut off, as in imagecorruptions.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from robnb.corruptions.blur import along_path
from robnb.corruptions.kernels import plasma, random, resampling
from robnb.corruptions.kernels.levels import look_up_by_peak, truncate


class SnowLevel(NamedTuple):
    """Mean and deviation of the flakes' brightness, their enlargement, the brightness below which there is none,
    radius and sigma of their path, and how much of the image's own colour stays."""

    mean: float
    deviation: float
    zoom: float
    threshold: float
    radius: int
    sigma: float
    colour: float


SNOW = (
    SnowLevel(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    SnowLevel(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    SnowLevel(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    SnowLevel(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    SnowLevel(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
#: Weight of the image, and of the frost.
FROST = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
#: Thickness of the fog, and how fast its structure gets finer.
FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
#: What is added to the brightest channel, white being 1.
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
#: The package's pictures of frost. It has a sixth, frost6.jpg, and never draws it.
FROST_PICTURES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


class Snowfall(NamedTuple):
    """Standard normals for the flakes, float32 (N, h, w), and the direction of their fall, float64 (N,), degrees."""

    flakes: torch.Tensor
    angle: torch.Tensor


def draw_snow(keys: torch.Tensor, size: tuple[int, int], severity: int) -> Snowfall:
    """Only the flakes in the middle of the image, which the zoom enlarges; directions in [-135, -45) degrees."""
    height, width = (int(np.ceil(side / SNOW[severity - 1].zoom)) for side in size)
    angle = random.uniform(keys.cpu(), 1, 1)[:, 0].to(torch.float64) * 45 - 90
    return Snowfall(random.normal(keys, 0, height * width).view(-1, height, width), angle)


def snow(images: torch.Tensor, draw: Snowfall, severity: int) -> torch.Tensor:
    """Whitens the image and lays blurred flakes on it, the layer and the layer turned by half.

    The enlarged layer is cut to the image from the top left, not around the middle.
    """
    level = SNOW[severity - 1]
    height, width = images.shape[1:3]
    layer = (draw.flakes * level.deviation).add_(level.mean)[..., None]
    axes = [resampling.zoom_axis(side, level.zoom) for side in (height, width)]
    layer = resampling.zoom(layer, *(axis.cut(axis.first[0], len(axis.first)) for axis in axes))
    layer = torch.where(layer < level.threshold, 0, layer.clamp(0, 1))
    layer = along_path(layer, draw.angle, level.radius, level.sigma).mul_(255).round_()[:, :height, :width]
    pixels = images.to(torch.float32)
    red, green, blue = pixels.split(1, 3)
    grey = (red * 0.299 + green * 0.587).add_(blue * 0.114).mul_(1.5).add_(127.5)
    flakes = layer + layer.flip(1, 2)
    return truncate(torch.maximum(pixels, grey).mul_(1 - level.colour).add_(pixels.mul_(level.colour)).add_(flakes))


def draw_frost(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """Which picture, and the top and left of the piece that is used: int64 (N, 3) on the CPU."""
    bits = random.words(keys.cpu(), 0, 3).to(torch.int64) & 0xFFFFFFFF
    which = bits[:, 0] * len(FROST_PICTURES) >> 32
    room = torch.tensor([np.subtract(frost_size(i, size), size).tolist() for i in which.tolist()])
    return torch.cat([which[:, None], bits[:, 1:] * room >> 32], 1)


def frost(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Lays a piece of one of five pictures of frost over the image; the package has a sixth and never draws it.

    ``draw``: as `draw_frost` gives it.
    """
    own, added = FROST[severity - 1]
    size = images.shape[1:3]
    pieces = [
        resampling.enlarge(frost_picture(which, images.device), frost_size(which, size), (y, x), size)
        for which, y, x in draw.tolist()
    ]
    return truncate((images * float(own)).add_(torch.stack(pieces) * added))


def frost_size(which: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a picture is brought to: it covers an image of ``size``, with a tenth to spare."""
    height, width, _ = frost_picture(which, torch.device("cpu")).shape
    factor = 1.1 * max(1, size[0] / height, size[1] / width)
    return int(np.ceil(height * factor)), int(np.ceil(width * factor))


@lru_cache
def frost_picture(which: int, device: torch.device) -> torch.Tensor:
    """One of imagecorruptions' pictures: uint8 RGB (H, W, 3)."""
    folder = Path(importlib.util.find_spec("imagecorruptions").submodule_search_locations[0])
    picture = cv2.imread(str(folder / "frost" / FROST_PICTURES[which]))
    return torch.from_numpy(picture[..., ::-1].copy()).to(device)


def draw_fog(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """What each point of the fog's map adds: float32 (N, M, M), uniform in [-1, 1), M the next power of 2."""
    side = 1 << (max(size) - 1).bit_length()
    return random.uniform(keys, 0, side * side).view(-1, side, side)


def fog(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Adds the top left of a plasma fractal, then darkens to the brightness that the image had.

    ``draw``: as `draw_fog` gives it.
    """
    thickness, decay = FOG[severity - 1]
    height, width = images.shape[1:3]
    field = plasma.plasma(draw, decay)
    low, high = torch.aminmax(field.flatten(1), dim=1)
    mist = (field[:, :height, :width] - low[:, None, None]) * (thickness * 255 / (high - low))[:, None, None]
    peak = images.flatten(1).amax(1).to(torch.float32)
    scale = (peak / (peak + thickness * 255)).view(-1, 1, 1, 1)
    return truncate((mist[..., None] + images).mul_(scale))


def brightness(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """Raises the brightest channel (V of HSV) and scales the others with it. Draws nothing."""
    return look_up_by_peak(images, _raised(severity).to(images.device))


@lru_cache
def _raised(severity: int) -> torch.Tensor:
    """The new value of a channel, by the pixel's largest value and its own: uint8 (256, 256)."""
    peak = torch.arange(256, dtype=torch.float64)[:, None]
    raised = (peak + BRIGHTNESS[severity - 1] * 255).clamp(max=255)
    scaled = torch.arange(256) * raised / peak.clamp(min=1)
    # A black pixel has no hue: it turns grey.
    return truncate(torch.where(peak > 0, scaled, raised).to(torch.float32))
