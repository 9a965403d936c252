"""Ours beside imagecorruptions: the same function of its own draws, and the same distribution of ours.

`capture` runs the package and keeps what it drew, in the form that our functions take.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import poisson

from robnb.corruptions import blur, noise, reference, spatter, weather
from robnb.corruptions.engine import FAST, corrupt
from robnb.names import SEVERITIES


def capture(image: np.ndarray, name: str, severity: int, key: tuple[int | str, ...]) -> tuple[np.ndarray, Any]:
    """The package's pixels and the draw that made them.

    Args:
        image: (H, W, 3) uint8 RGB.
        key: what the package's draws are a function of.

    Returns:
        (H, W, 3) uint8, and what ``FAST[name].apply`` takes for a batch of this one image (None if it draws nothing).
    """
    with reference.recording() as drawn:
        pixels = reference.corrupt(image, name, severity, key)
    convert = _FORMS.get(name)
    return pixels, convert(drawn, image, severity) if convert else None


def _unit(drawn: np.ndarray, mean: float, deviation: float) -> torch.Tensor:
    return torch.from_numpy(((drawn - mean) / deviation).astype(np.float32))[None]


def _counts(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> torch.Tensor:
    """Words in the middle of what our quantile function makes the drawn counts of."""
    mean = image / 255.0 * noise.SHOT_NOISE[severity - 1]
    middle = (poisson.cdf(drawn[0] - 1, mean) + poisson.cdf(drawn[0], mean)) / 2
    return torch.from_numpy((middle * 2.0**32 - 2**31).clip(-(2**31), 2**31 - 1).astype(np.int32))[None]


def _impulses(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> torch.Tensor:
    hit, salt = drawn
    words = ((hit * 2.0**31).astype(np.int64) - 2**30 << 1) + (salt <= 0.5)
    return torch.from_numpy(words.astype(np.int32))[None]


def _shuffle(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> torch.Tensor:
    _, delta, passes = blur.GLASS_BLUR[severity - 1]
    shape = passes, image.shape[0] - 2 * delta, image.shape[1] - 2 * delta
    pairs = np.concatenate(drawn)[: np.prod(shape)] + delta  # drawn in blocks: the last one has too many
    codes = (pairs[:, 0] * 2 * delta + pairs[:, 1]).reshape(shape)
    return torch.from_numpy(codes[:, ::-1, ::-1].astype(np.uint8))[None]


def _angle(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> torch.Tensor:
    return torch.tensor([float(drawn[-1])], dtype=torch.float64)


def _snow(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> weather.Snowfall:
    level = weather.SNOW[severity - 1]
    sizes = [int(np.ceil(side / level.zoom)) for side in image.shape[:2]]
    middle = tuple(
        slice(start, start + size)
        for size, start in ((s, (side - s) // 2) for s, side in zip(sizes, image.shape[:2], strict=True))
    )
    return weather.Snowfall(_unit(drawn[0][middle], level.mean, level.deviation), _angle(drawn, image, severity))


def _frost(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> torch.Tensor:
    return torch.tensor([[int(value) for value in drawn]])


def _fog(drawn: list[np.ndarray], image: np.ndarray, severity: int) -> torch.Tensor:
    size = 1 << (max(image.shape[:2]) - 1).bit_length()
    field = np.zeros((size, size))
    step, amplitude, left = size, 100.0, iter(drawn)
    while step >= 2:
        for rows, columns in ((step // 2, step // 2), (0, step // 2), (step // 2, 0)):
            field[rows::step, columns::step] = next(left) / amplitude
        step, amplitude = step // 2, amplitude / weather.FOG[severity - 1][1]
    return torch.from_numpy(field.astype(np.float32))[None]


_FORMS = {
    "gaussian_noise": lambda drawn, image, severity: _unit(drawn[0], 0, noise.GAUSSIAN_NOISE[severity - 1]),
    "speckle_noise": lambda drawn, image, severity: _unit(drawn[0], 0, noise.SPECKLE_NOISE[severity - 1]),
    "shot_noise": _counts,
    "impulse_noise": _impulses,
    "glass_blur": _shuffle,
    "motion_blur": _angle,
    "snow": _snow,
    "frost": _frost,
    "fog": _fog,
    "elastic_transform": lambda drawn, image, severity: torch.stack(
        [_unit(field, 0, image.shape[0] * 0.005) for field in drawn], 1
    ),
    "spatter": lambda drawn, image, severity: _unit(drawn[0], *spatter.SPATTER[severity - 1][:2]),
}


def same_draws(image: np.ndarray, name: str, severity: int, key: tuple[int | str, ...]) -> dict[str, float]:
    """Our pixels against the package's, made from the package's draws.

    Returns:
        ``equal`` and ``within_1``, shares of values in percent, and ``largest``, the largest difference in grey levels.
    """
    expected, draw = capture(image, name, severity, key)
    ours = FAST[name].apply(torch.from_numpy(image)[None], draw, severity)[0].numpy()
    difference = np.abs(ours.astype(int) - expected)
    return {
        "equal": 100 * float((difference == 0).mean()),
        "within_1": 100 * float((difference <= 1).mean()),
        "largest": int(difference.max()),
    }


def own_draws(image: np.ndarray, name: str, severity: int, count: int) -> dict[str, float]:
    """Mean grey level and PSNR (dB, against the clean image) over ``count`` independent draws of either engine.

    Returns:
        ``mean_fast``, ``mean_reference`` and ``mean_error``, the standard error of their difference; the same for psnr.
    """
    values: dict[str, list[np.ndarray]] = {"mean": [], "psnr": []}
    for engine in ("fast", "reference"):
        outs = [corrupt(image, name, severity, image_id=f"{engine}{i}", engine=engine) for i in range(count)]
        errors = [np.mean((out.astype(float) - image) ** 2) for out in outs]
        values["mean"].append(np.array([out.mean() for out in outs]))
        values["psnr"].append(10 * np.log10(255**2 / np.array(errors)))
    row = {}
    for what, (ours, theirs) in values.items():
        error = np.sqrt((ours.var() + theirs.var()) / max(count - 1, 1))
        row |= {f"{what}_fast": ours.mean(), f"{what}_reference": theirs.mean(), f"{what}_error": error}
    return {key: float(value) for key, value in row.items()}


def calibration(image: np.ndarray, names: Iterable[str], count: int = 10) -> pd.DataFrame:
    """One row for each corruption and severity: `same_draws` and `own_draws` together."""
    rows = []
    for name in names:
        for severity in SEVERITIES:
            same = same_draws(image, name, severity, ("calibration", name, severity))
            independent = own_draws(image, name, severity, count if name in _FORMS else 1)
            rows.append({"corruption": name, "severity": severity, **same, **independent})
    return pd.DataFrame(rows)
