"""Rank agreement: do the models that lose least upstream also lose least downstream?"""

from __future__ import annotations

import itertools

import numpy as np


def tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between the rows of ``x`` and ``y``, both (models, draws), for each draw: float64 (draws,).

    1 is the same order, -1 the reverse; ties are allowed for as Kendall (1945) does. The value of one draw is
    ``scipy.stats.kendalltau``'s. NaN where there are fewer than two models, a value is NaN, or all models tie.
    """
    if len(x) < 2:
        return np.full(x.shape[1], np.nan)
    first, second = np.array(list(itertools.combinations(range(len(x)), 2))).T
    of_x, of_y = np.sign(x[first] - x[second]), np.sign(y[first] - y[second])
    agreement = (of_x * of_y).sum(0)  # NaN where a value is
    untied = np.count_nonzero(of_x, axis=0) * np.count_nonzero(of_y, axis=0)
    with np.errstate(invalid="ignore"):
        return agreement / np.sqrt(untied)
