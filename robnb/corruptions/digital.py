"""Digital: contrast, elastic_transform, pixelate, jpeg_compression, and saturate of the validation four.

Each corruption is a draw from the images' keys, followed by a function of image and draw. Images are uint8
(N, H, W, 3), and so are results; severity is 1 to 5. Fractions of a grey level are cut off, as in imagecorruptions.
"""

from __future__ import annotations

import torch

from robnb.corruptions.kernels import boxes, filters, jpeg, random, resampling
from robnb.corruptions.kernels.levels import look_up, truncate

#: What is left of each value's distance from the mean.
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
#: How far the smoothed displacements are stretched.
ELASTIC_TRANSFORM = (250 * 0.05, 250 * 0.065, 250 * 0.085, 250 * 0.1, 250 * 0.12)
#: Size of the intermediate image, relative to the image.
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)
#: Quality of the JPEG file.
JPEG_COMPRESSION = (25, 18, 15, 10, 7)
#: Factor and summand of the saturation (S of HSV).
SATURATE = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))


def contrast(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """Moves each channel's values towards their mean. Draws nothing."""
    kept = CONTRAST[severity - 1]
    count, height, width, channels = images.shape
    total = images.view(count, -1, channels).sum(1, dtype=torch.int64).to(torch.float64)
    mean = (total / (255 * height * width))[..., None]
    value = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    return look_up(images, truncate(((value - mean) * kept + mean) * 255))


def draw_displacements(keys: torch.Tensor, size: tuple[int, int], severity: int) -> torch.Tensor:
    """The displacements before smoothing, across and down: float32 (N, 2, H, W), uniform in [-1, 1)."""
    return torch.stack([random.uniform(keys, stream, size[0] * size[1]).view(-1, *size) for stream in (0, 1)], 1)


def elastic_transform(images: torch.Tensor, draw: torch.Tensor, severity: int) -> torch.Tensor:
    """Moves each pixel by a smooth random displacement. ``draw``: as `draw_displacements` gives it.

    The displacements scale with the image's height, the width of their smoothing with either side. The affine part
    of ImageNet-C's is left out, as in imagecorruptions.
    """
    count, height, width, _ = images.shape
    sigma = height * 0.01, width * 0.01
    smooth = filters.gaussian(draw.view(2 * count, height, width, 1), sigma, truncate=3.0, border="reflect")
    moves = smooth.view(count, 2, height, width) * (0.005 * height * ELASTIC_TRANSFORM[severity - 1])
    return truncate(resampling.displace(images, moves[:, 1], moves[:, 0]))


def pixelate(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """Shrinks the image to means over boxes and enlarges it again. Draws nothing."""
    return boxes.pixelate(images, PIXELATE[severity - 1])


def jpeg_compression(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """Saves the image as JPEG and reads it back. Draws nothing."""
    return jpeg.jpeg_round_trip(images, JPEG_COMPRESSION[severity - 1])


def saturate(images: torch.Tensor, draw: None, severity: int) -> torch.Tensor:
    """Scales the saturation (S of HSV) and keeps hue and value. Draws nothing.

    A grey pixel has no hue; where something is added to its saturation it turns red.
    """
    factor, summand = SATURATE[severity - 1]
    pixels = images.to(torch.float32)
    red, green, blue = pixels.split(1, 3)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = (spread / value.clamp(min=1) * factor + summand).clamp_(0, 1)
    below = (value - pixels) / spread.clamp(min=1)  # 0 for the brightest channel, 1 for the darkest
    grey = torch.tensor([0.0, 1.0, 1.0], device=images.device)
    return truncate(value * (1 - saturation * torch.where(spread > 0, below, grey)))
