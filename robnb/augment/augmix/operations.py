"""AugMix's nine operations on a batch, each image at a level of its own.

An operation takes (R, 3, H, W) uint8 RGB and (R,) float64 levels on the same device and gives new images of the same
kind. Levels run from -10 to 10; the sign is the direction of what moves the picture, and means nothing elsewhere. The
results are Pillow's, whose operations the release applies image by image. tests/test_augment.py says how close.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import grid_sample
from torchvision.transforms.v2 import functional

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: (R, 1, 1) float64, or a number for all rows.
Coefficient = torch.Tensor | float

#: Levels are on a scale to 10, as in AutoAugment.
TOP = 10.0
#: Grey levels. Bilinear values are cut off, not rounded, as in Pillow; float32 may leave 254.999 where it has 255.
_NEARLY = 0.01


def _affine(
    images: torch.Tensor,
    a: Coefficient = 1.0,
    b: Coefficient = 0.0,
    c: Coefficient = 0.0,
    d: Coefficient = 0.0,
    e: Coefficient = 1.0,
    f: Coefficient = 0.0,
) -> torch.Tensor:
    """Sample bilinearly at (a x + b y + c, d x + e y + f), black outside.

    x and y are in pixels, with the origin in the middle of the picture.
    """
    height, width = images.shape[-2:]
    x, y = (torch.arange(n, device=images.device, dtype=torch.float64) + (1 - n) / 2 for n in (width, height))
    y = y[:, None]
    grid = torch.empty((len(images), height, width, 2), device=images.device)
    # Elementwise, because autocast would take affine_grid's product of matrices in half precision: whole pixels off.
    grid[..., 0] = ((a * x + c) * (2 / width)).float() + (b * y * (2 / width)).float()
    grid[..., 1] = (d * x * (2 / height)).float() + ((e * y + f) * (2 / height)).float()
    sampled = grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    # Up to its edge the picture goes on, and is black from there: padding with zeros would blend the last half pixel.
    inside = (grid[..., 0].abs() < 1) & (grid[..., 1].abs() < 1)
    return sampled.add_(_NEARLY).mul_(inside[:, None]).to(torch.uint8)


def _whole(levels: torch.Tensor, most: float) -> torch.Tensor:
    """int(level most / 10), with the level's sign."""
    return (levels * most / TOP).trunc()


def autocontrast(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Stretch each channel's histogram to 0..255; has no level."""
    least, most = (bound.double() for bound in torch.aminmax(images.flatten(2), dim=-1))
    flat = most == least
    # In Pillow's order and float64, which decides where the result is a whole number; torchvision's has 254 for 255.
    scale = torch.where(flat, 1.0, torch.full_like(most, 255) / (most - least))
    offset = torch.where(flat, 0.0, -least * scale)
    stretched = images * scale[..., None, None] + offset[..., None, None]
    return stretched.clamp_(0, 255).to(torch.uint8)


def equalize(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Equalise each channel's histogram; has no level."""
    return functional.equalize(images)


def posterize(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Keep 4 - int(4 level / 10) bits of each value."""
    bits = 4 - _whole(levels.abs(), 4).to(torch.uint8)
    return images & (255 << (8 - bits)).to(torch.uint8)[:, None, None, None]


def solarize(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Invert the values from 256 - int(256 level / 10) on."""
    # The greatest value that stays fits a byte, the threshold may not.
    kept = (255 - _whole(levels.abs(), 256)).to(torch.int16)[:, None, None, None]
    return torch.where(images > kept, 255 - images, images)


def rotate(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Rotate counterclockwise by int(30 level / 10) degrees."""
    angle = _whole(levels, 30)[:, None, None].deg2rad()
    cosine, sine = angle.cos(), angle.sin()
    return _affine(images, a=cosine, b=-sine, d=sine, e=cosine)


def shear_x(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Move row y to the left by 0.3 level / 10 times y; the top stays."""
    slope = levels[:, None, None] * 0.3 / TOP
    return _affine(images, b=slope, c=slope * (images.shape[-2] / 2))


def shear_y(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Move column x up by 0.3 level / 10 times x; the left edge stays."""
    slope = levels[:, None, None] * 0.3 / TOP
    return _affine(images, d=slope, f=slope * (images.shape[-1] / 2))


def translate_x(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Move to the left by int(level / 10 of a third of the width) pixels."""
    return _affine(images, c=_whole(levels, images.shape[-1] / 3)[:, None, None])


def translate_y(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Move up by int(level / 10 of a third of the height) pixels."""
    return _affine(images, f=_whole(levels, images.shape[-2] / 3)[:, None, None])


#: None of them is one of the test corruptions (the release leaves out colour, contrast, brightness and sharpness for
#: that reason).
OPERATIONS: tuple[Operation, ...] = (
    autocontrast, equalize, posterize, rotate, solarize, shear_x, shear_y, translate_x, translate_y,
)  # fmt: skip
