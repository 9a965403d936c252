"""Given what imagecorruptions drew, our functions give its pixels. The package itself runs here, in each test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import photograph

from robnb.corruptions.calibration import capture, same_draws
from robnb.corruptions.engine import FAST
from robnb.corruptions.kernels import torch_only
from robnb.names import CORRUPTIONS, SEVERITIES, VALIDATION_CORRUPTIONS

ALL = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
SIZES = [(32, 32), (33, 97), (211, 40), (224, 224), (427, 640), (480, 640)]


def check(image: np.ndarray, name: str, severity: int) -> None:
    row = same_draws(image, name, severity, ("same function", name, severity))
    assert row["within_1"] >= 99.9 and row["largest"] <= 3, (name, severity, row)
    if name in ("jpeg_compression", "pixelate", "contrast", "shot_noise", "impulse_noise"):
        assert row["equal"] >= 99.99, (name, severity, row)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ALL)
def test_the_packages_pixels_from_the_packages_draws(name: str, size: tuple[int, int]) -> None:
    for severity in SEVERITIES:
        check(photograph(*size), name, severity)


@pytest.mark.parametrize("name", ALL)
def test_of_pictures_that_are_grey_flat_or_pure_noise(name: str) -> None:
    grey = np.repeat(photograph(61, 70, "camera")[..., None], 3, axis=2)
    noise = np.random.default_rng(0).integers(0, 256, (64, 50, 3), dtype=np.uint8)
    halves = np.concatenate([np.zeros((20, 60, 3), np.uint8), np.full((20, 60, 3), 255, np.uint8)])
    for image in (grey, noise, halves):
        for severity in SEVERITIES:
            check(image, name, severity)


@pytest.mark.parametrize("name", ALL)
def test_what_a_gpu_computes_is_the_same_function(name: str) -> None:
    image = photograph(90, 131)
    for severity in SEVERITIES:
        expected, draw = capture(image, name, severity, ("gpu", name, severity))
        with torch_only():
            ours = FAST[name].apply(torch.from_numpy(image)[None], draw, severity)[0].numpy()
        difference = np.abs(ours.astype(int) - expected)
        assert (difference <= 1).mean() >= 0.999 and difference.max() <= 3, severity


def test_a_capture_is_of_the_draws_that_made_the_pixels() -> None:
    """Another key's draws do not give these pixels, so the comparison can fail."""
    image = photograph(64, 64)
    for name in ("gaussian_noise", "glass_blur", "motion_blur", "snow", "frost", "fog", "elastic_transform"):
        expected, _ = capture(image, name, 3, ("one", name))
        _, draw = capture(image, name, 3, ("another", name))
        ours = FAST[name].apply(torch.from_numpy(image)[None], draw, 3)[0].numpy()
        assert (np.abs(ours.astype(int) - expected) <= 1).mean() < 0.99, name
