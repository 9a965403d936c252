"""How far the corruptions move the pixels: what a severity means, before any model is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity

from robnb.corruptions import Condition, corrupt
from robnb.data.sample import Sample
from robnb.errors import UserError
from robnb.names import CLEAN


def strengths(
    samples: Sequence[Sample], conditions: Sequence[Condition], seed: int = 0, engine: str = "fast"
) -> pd.DataFrame:
    """The distance of corrupted images from clean ones, by condition, averaged over the images.

    Returns:
        A row for each condition but clean, in their order: corruption, severity, ``difference``, the mean absolute
        difference in grey levels (0..255), and ``similarity``, the structural similarity (Wang et al. 2004; 1 for equal
        images) with scikit-image's defaults.

    Raises:
        UserError: no image was given, or one that cannot be corrupted.
    """
    if not samples:
        raise UserError("there is no image to corrupt: ask for one at least.")
    rows = []
    for condition in conditions:
        if condition.corruption == CLEAN:
            continue
        name, severity = condition.corruption, condition.severity
        found = []
        for sample in samples:
            made = corrupt(sample.image, name, severity, image_id=sample.image_id, seed=seed, engine=engine)
            found.append(_distance(sample.image, made))
        difference, similarity = np.mean(found, axis=0)
        rows.append({"corruption": name, "severity": severity, "difference": difference, "similarity": similarity})
    return pd.DataFrame(rows)


def _distance(clean: np.ndarray, corrupted: np.ndarray) -> tuple[float, float]:
    apart = np.abs(clean.astype(np.int16) - corrupted)
    return float(apart.mean()), float(structural_similarity(clean, corrupted, channel_axis=2))
