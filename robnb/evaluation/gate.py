"""The clean-accuracy gate: does a published model score here what it was published with?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from robnb.errors import UserError
from robnb.names import CLEAN

#: Percentage points by which an accuracy changes with the resize and the decoder alone (PIL or tensors, antialias).
PREPROCESSING = 0.3
COLUMNS = ("backbone", "weights", "task", "regime", "seed", "score", "low", "high", "n_images", "published", "verdict")


def clean_accuracy(scores: pd.DataFrame, published: Mapping[str, float]) -> pd.DataFrame:
    """Clean top-1 accuracies next to the published ones, in percent.

    Args:
        scores: long results table (`robnb.metrics.COLUMNS`), such as `Evaluation.scores`; its clean top-1 rows count.
        published: top-1 accuracy on the whole test set by ``architecture.weights``.

    Returns:
        One row for each model, `COLUMNS`: ``low`` and ``high`` are Wilson's 95 % interval for the images that were
        scored. ``verdict``: "agrees" where the published value lies in that interval widened by `PREPROCESSING` to
        either side; "differs: ... points below" or "above" (our score against it); "nothing published".

    Raises:
        UserError: there is no clean top-1 score.
    """
    rows = scores[(scores["corruption"] == CLEAN) & (scores["metric"] == "top1")]
    if rows.empty:
        raise UserError("no classifier was scored on clean images: evaluate one on the upstream test set first.")
    found = rows.rename(columns={"value": "score"}).reset_index(drop=True)
    intervals = [wilson(score, images) for score, images in zip(found["score"], found["n_images"], strict=True)]
    names = [f"{backbone}.{weights}" for backbone, weights in zip(found["backbone"], found["weights"], strict=True)]
    values = [published.get(name, math.nan) for name in names]
    found[["low", "high"]] = np.array(intervals)
    found["published"] = values
    found["verdict"] = [_verdict(*row) for row in zip(found["score"], found["low"], found["high"], values, strict=True)]
    return found[list(COLUMNS)]


def wilson(score: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy, in percent: (low, high).

    Args:
        score: percent of the images that were right.
        images: at least 1.

    Source: Wilson 1927, the score interval without continuity correction.
    """
    interval = binomtest(round(score * images / 100), images).proportion_ci(method="wilson")
    return 100 * interval.low, 100 * interval.high


def _verdict(score: float, low: float, high: float, published: float) -> str:
    if math.isnan(published):
        return "nothing published"
    if low - PREPROCESSING <= published <= high + PREPROCESSING:
        return "agrees"
    return f"differs: {abs(score - published):.2f} points {'below' if score < published else 'above'}"
