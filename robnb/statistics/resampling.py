"""The bootstrap over test images: which image counts how often in each resample, and what is read off the draws."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from robnb.errors import UserError
from robnb.seeding import generator

#: Fewer resamples do not reach the tails that a 95 % interval ends at.
MIN_RESAMPLES = 40
#: The share of draws that may be undefined before an interval is.
_UNDEFINED = 0.05


@functools.lru_cache(maxsize=4)
def image_weights(images: int, resamples: int, seed: int, fingerprint: str) -> np.ndarray:
    """How often each image is drawn in each resample of the test set: uint8 (resamples, images), read-only.

    A resample draws as many images as there are, with replacement, so every row sums to ``images``. The weights are a
    function of the arguments alone. All models and conditions of one test set share them: that makes differences
    paired, and keeps the covariance of P and mPC in the drop. Different test sets are independent.

    Args:
        images: size of the test set, at least 1.
        resamples: at least `MIN_RESAMPLES`.
        seed: of the bootstrap.
        fingerprint: of the test set.

    Raises:
        UserError: too few resamples.
    """
    if resamples < MIN_RESAMPLES:
        raise UserError(
            f"{resamples} resamples do not reach the ends of a 95 % interval: give at least {MIN_RESAMPLES}, "
            "and 1000 for a result."
        )
    draw = generator("bootstrap", seed, fingerprint, images, resamples)
    weights = np.empty((resamples, images), np.uint8)  # no count comes near 256: each is nearly Poisson with mean 1
    for row in weights:
        row[:] = np.bincount(draw.integers(0, images, images), minlength=images)
    weights.flags.writeable = False
    return weights


def interval(draws: np.ndarray, points: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> np.ndarray:
    """The 95 % interval around each of ``points`` (rows,) from its draws (rows, resamples): float64 (2, rows).

    The percentile interval, moved so that the median of the draws falls on the point. For an accuracy that changes
    nothing but Monte Carlo error. AP is different: it takes the best precision at each recall or above, and the best
    of noisy numbers is too high, the more so in a resample, which holds fewer distinct images. With COCO's 80 classes
    the draws lie about one standard error too high: the plain percentile interval can miss the very score it is of.

    So this is an interval for the score that test sets *of this size* give. NaN for an undefined point, and see
    `percentiles` for undefined draws.

    Args:
        bounds: the least and the greatest value that the quantity can have; the ends stay inside.
    """
    low, median, high = percentiles(draws, (2.5, 50.0, 97.5))
    return np.clip(np.stack([low, high]) + (points - median), *bounds)


def percentiles(draws: np.ndarray, wanted: Sequence[float] = (2.5, 97.5)) -> np.ndarray:
    """Percentiles of every row of ``draws`` (rows, resamples): float64 (wanted, rows).

    Undefined draws (NaN, such as a drop where P is 0) are left out, so that the percentiles are those *given that the
    quantity is defined*. Where more than one draw in twenty is undefined, they are NaN.
    """
    draws = np.asarray(draws, float)
    ends = np.full((len(wanted), len(draws)), np.nan)
    defined = ~np.isnan(draws)
    whole = defined.all(1)
    ends[:, whole] = np.percentile(draws[whole], wanted, axis=1)
    for row in np.flatnonzero(~whole & (defined.mean(1) >= 1 - _UNDEFINED)):
        ends[:, row] = np.percentile(draws[row, defined[row]], wanted)
    return ends


def deviation(draws: np.ndarray) -> np.ndarray:
    """Standard deviation (n - 1), float64 (rows,), of every row of ``draws``; undefined draws as in `percentiles`."""
    draws = np.asarray(draws, float)
    defined = ~np.isnan(draws)
    result = np.full(len(draws), np.nan)
    for row in np.flatnonzero(defined.mean(1) >= 1 - _UNDEFINED):
        result[row] = draws[row, defined[row]].std(ddof=1)
    return result
