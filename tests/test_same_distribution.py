"""Our draws follow the distribution of imagecorruptions' draws, and so do the pictures that come of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pictures import photograph
from scipy import stats

from robnb.corruptions import corrupt
from robnb.corruptions.calibration import capture
from robnb.corruptions.engine import FAST
from robnb.names import SEVERITIES

DRAWING = [name for name, corruption in FAST.items() if corruption.draw]
#: Of one test in a thousand; the keys are fixed, so that each either passes for good or not.
ALPHA = 1e-3


def keys(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).integers(0, 2**32, (count, 4)))


def ours(name: str, count: int, size: tuple[int, int], severity: int) -> Any:
    return FAST[name].draw(keys(count), size, severity)


def theirs(name: str, count: int, size: tuple[int, int], severity: int) -> list[Any]:
    image = photograph(*size)
    return [capture(image, name, severity, ("distribution", i))[1] for i in range(count)]


def same(first: np.ndarray, second: np.ndarray) -> None:
    assert stats.ks_2samp(np.ravel(first), np.ravel(second)).pvalue > ALPHA


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise", "fog", "elastic_transform", "spatter"])
def test_a_field_of_numbers(name: str, severity: int) -> None:
    expected = torch.cat(theirs(name, 3, (60, 64), severity))
    drawn = ours(name, 3, (60, 64), severity)
    assert drawn.shape == expected.shape
    if name == "fog":  # the corner is never drawn
        drawn, expected = drawn.flatten(1)[:, 1:], expected.flatten(1)[:, 1:]
    same(drawn, expected)
    assert abs(float(drawn.mean() - expected.mean())) < 4 * float(drawn.std()) * (2 / drawn.numel()) ** 0.5
    assert float(drawn.std()) == pytest.approx(float(expected.std()), rel=0.03)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow(severity: int) -> None:
    expected = theirs("snow", 150, (64, 64), severity)
    drawn = ours("snow", 150, (64, 64), severity)
    assert drawn.flakes.shape[1:] == expected[0].flakes.shape[1:]
    same(drawn.flakes[:5], torch.cat([one.flakes for one in expected[:5]]))
    same(drawn.angle, torch.cat([one.angle for one in expected]))
    assert float(drawn.angle.min()) >= -135 and float(drawn.angle.max()) < -45


def test_motion() -> None:
    drawn = ours("motion_blur", 400, (32, 32), 1)
    same(drawn, torch.cat(theirs("motion_blur", 400, (32, 32), 1)))
    assert -45 <= float(drawn.min()) < -40 and 40 < float(drawn.max()) < 45


@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass(severity: int) -> None:
    drawn, expected = ours("glass_blur", 1, (64, 64), severity), theirs("glass_blur", 1, (64, 64), severity)[0]
    assert drawn.shape == expected.shape
    table = np.stack([np.bincount(np.ravel(codes), minlength=64) for codes in (drawn, expected)])
    table = table[:, table.sum(0) > 0]
    assert table.shape[1] == 4 * {1: 1, 2: 2, 3: 2, 4: 3, 5: 4}[severity] ** 2
    assert stats.chi2_contingency(table).pvalue > ALPHA


@pytest.mark.parametrize("size", [(64, 64), (700, 1100)])
def test_frost(size: tuple[int, int]) -> None:
    count = 400 if size == (64, 64) else 40
    drawn, expected = ours("frost", count, size, 1).numpy(), torch.cat(theirs("frost", count, size, 1)).numpy()
    assert set(drawn[:, 0]) == set(expected[:, 0]) == set(range(5))
    table = np.stack([np.bincount(which, minlength=5) for which in (drawn[:, 0], expected[:, 0])])
    assert stats.chi2_contingency(table).pvalue > ALPHA
    for column in (1, 2):
        same(drawn[:, column], expected[:, column])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_counts_and_impulses(severity: int) -> None:
    """Their distribution depends on the pixel, so it is compared in pictures of a single grey level."""
    for name in ("shot_noise", "impulse_noise"):
        for level in (3, 90, 250):
            image = np.full((80, 90, 3), level, np.uint8)
            values = [
                np.bincount(corrupt(image, name, severity, image_id="x", engine=engine).ravel(), minlength=256)
                for engine in ("fast", "reference")
            ]
            table = np.stack(values)
            rare = table.sum(0) < 10
            table = np.concatenate([table[:, ~rare], table[:, rare].sum(1, keepdims=True) + 1], axis=1)
            assert stats.chi2_contingency(table).pvalue > ALPHA, (name, level)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", DRAWING)
def test_pictures(name: str, severity: int) -> None:
    """Mean and error against the clean picture, over independent draws of both engines."""
    image = photograph(64, 72)
    means, errors = [], []
    for engine in ("fast", "reference"):
        outs = [corrupt(image, name, severity, image_id=f"{engine}{i}", engine=engine).astype(float) for i in range(25)]
        means.append([out.mean() for out in outs])
        errors.append([np.abs(out - image).mean() for out in outs])
    assert stats.ks_2samp(*means).pvalue > ALPHA
    assert stats.ks_2samp(*errors).pvalue > ALPHA
