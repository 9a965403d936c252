"""AugMix (Hendrycks et al., ICLR 2020, arXiv:1912.02781): mixed chains of operations and a consistency loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn.functional import cross_entropy, log_softmax

#: An operation takes the picture, a level in (0.1, severity) and a generator.
Operation = Callable[[Image.Image, float, np.random.Generator], Image.Image]

#: Levels are on a scale to 10, as in AutoAugment.
_TOP = 10.0


def _signed(value: float, rng: np.random.Generator) -> float:
    return value if rng.random() < 0.5 else -value


def _affine(picture: Image.Image, coefficients: tuple[float, ...]) -> Image.Image:
    return picture.transform(picture.size, Image.Transform.AFFINE, coefficients, resample=Image.Resampling.BILINEAR)


def autocontrast(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Stretch the histogram; has no level."""
    return ImageOps.autocontrast(picture)


def equalize(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Equalise the histogram; has no level."""
    return ImageOps.equalize(picture)


def posterize(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Keep 4 - int(4 level / 10) bits per channel."""
    return ImageOps.posterize(picture, 4 - int(level * 4 / _TOP))


def solarize(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Invert above 256 - int(256 level / 10)."""
    return ImageOps.solarize(picture, 256 - int(level * 256 / _TOP))


def rotate(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Rotate by int(30 level / 10) degrees either way."""
    return picture.rotate(_signed(int(level * 30 / _TOP), rng), resample=Image.Resampling.BILINEAR)


def shear_x(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Shear sideways by 0.3 level / 10 either way."""
    return _affine(picture, (1, _signed(level * 0.3 / _TOP, rng), 0, 0, 1, 0))


def shear_y(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Shear upwards by 0.3 level / 10 either way."""
    return _affine(picture, (1, 0, 0, _signed(level * 0.3 / _TOP, rng), 1, 0))


def translate_x(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Move sideways by int(level / 10 of a third of the width) pixels either way."""
    return _affine(picture, (1, 0, _signed(int(level * picture.width / 3 / _TOP), rng), 0, 1, 0))


def translate_y(picture: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    """Move up or down by int(level / 10 of a third of the height) pixels."""
    return _affine(picture, (1, 0, 0, 0, 1, _signed(int(level * picture.height / 3 / _TOP), rng)))


#: The paper's nine operations. None of them is one of the test corruptions (colour, contrast, brightness and
#: sharpness are left out for that reason).
OPERATIONS: tuple[Operation, ...] = (
    autocontrast, equalize, posterize, rotate, solarize, shear_x, shear_y, translate_x, translate_y,
)  # fmt: skip


@dataclass(frozen=True)
class AugMix:
    """AugMix with the Jensen-Shannon consistency loss.

    Attributes:
        width: chains that are mixed.
        depth: most operations in a chain; each chain draws from 1 to this.
        severity: upper end of an operation's level (1 on ImageNet, 3 on CIFAR; pictures here are CIFAR's size).
        alpha: of the Dirichlet (chain weights) and Beta (share of the mixture) distributions.
        consistency: weight of the Jensen-Shannon term.
    """

    name: str = "augmix"
    width: int = 3
    depth: int = 3
    severity: float = 3.0
    alpha: float = 1.0
    consistency: float = 12.0

    def views(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The image and two mixtures of it: uint8 (H, W, 3) -> uint8 (3, H, W, 3)."""
        return np.stack([image, self.mix(image, rng), self.mix(image, rng)])

    def mix(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One mixture: (1 - m) image + m sum_i w_i chain_i(image), w ~ Dirichlet, m ~ Beta."""
        weights = rng.dirichlet([self.alpha] * self.width)
        share = rng.beta(self.alpha, self.alpha)
        mixture = np.zeros(image.shape, np.float32)
        for weight in weights:
            picture = Image.fromarray(image)
            for _ in range(rng.integers(1, self.depth + 1)):
                operation = OPERATIONS[rng.integers(len(OPERATIONS))]
                picture = operation(picture, rng.uniform(0.1, self.severity), rng)
            mixture += np.float32(weight) * np.asarray(picture, np.float32)
        return np.rint((1 - share) * image + share * mixture).astype(np.uint8)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the clean view plus ``consistency`` times the JS divergence of the three."""
        log_p = log_softmax(logits, dim=-1)
        log_mean = log_p.exp().mean(dim=0).clamp(1e-7, 1).log()
        divergence = (log_p.exp() * (log_p - log_mean)).sum(dim=-1).mean(dim=1).mean()
        return cross_entropy(logits[0], labels) + self.consistency * divergence
