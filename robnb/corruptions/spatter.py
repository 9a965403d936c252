"""spatter of the validation four: drops of water (severity 1 to 3) or splashes of mud (4 and 5)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from robnb.corruptions.kernels import filters, random
from robnb.corruptions.kernels.levels import truncate


class SpatterLevel(NamedTuple):
    """Mean and deviation of the liquid, sigma of its smoothing, the level below which there is none, and the
    intensity of water or the sigma of mud's edge."""

    mean: float
    deviation: float
    sigma: float
    threshold: float
    strength: float


SPATTER = (
    SpatterLevel(0.65, 0.3, 4, 0.69, 0.6),
    SpatterLevel(0.65, 0.3, 3, 0.68, 0.6),
    SpatterLevel(0.65, 0.3, 2, 0.68, 0.5),
    SpatterLevel(0.65, 0.3, 1, 0.65, 1.5),
    SpatterLevel(0.67, 0.4, 1, 0.65, 1.5),
)
#: The first severity that is mud.
MUD = 4
#: Red, green and blue of the liquids, as imagecorruptions lays them on an RGB image.
WATER_COLOUR, MUD_COLOUR = (175.0, 238.0, 238.0), (63.0, 42.0, 20.0)


def draw_spatter(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """Standard normals: float32 (N, H, W)."""
    return random.normal(keys, 0, size[0] * size[1]).view(-1, *size)


def spatter(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Spatters the image with water or mud. ``draw``: standard normals, float32 (N, H, W).

    The drops' outlines are found on the CPU whatever the device. An image without a drop stays as it is, where the
    original divides zero by zero and turns it black.
    """
    level = SPATTER[severity - 1]
    liquid = (draw.to(torch.float64) * level.deviation).add_(level.mean)[..., None]  # thresholds follow: be exact
    liquid = filters.gaussian(liquid, (level.sigma, level.sigma))
    liquid = torch.where(liquid < level.threshold, 0, liquid)
    if severity >= MUD:
        mask = filters.gaussian((liquid > 0).to(torch.float64), (level.strength, level.strength))
        mask = torch.where(mask < 0.8, 0, mask).to(torch.float32)
        return truncate(images * (1 - mask) + mask * torch.tensor(MUD_COLOUR, device=images.device))
    drops = np.stack([_drops(one[..., 0]) for one in liquid.cpu().numpy()])
    added = torch.from_numpy(drops).to(images.device)[..., None] * level.strength
    return truncate((added * torch.tensor(WATER_COLOUR, device=images.device)).add_(images))


def _drops(liquid: np.ndarray) -> np.ndarray:
    """How much light each pixel of a layer of liquid throws: float64 (H, W) in, float32 in 0..1 out."""
    layer = (liquid * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(layer, 50, 150), cv2.DIST_L2, 5)
    _, distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)
    relief = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    relief = cv2.filter2D(relief, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    light = layer * cv2.blur(relief, (3, 3)).astype(np.float32)
    return light / max(light.max(), 1)
