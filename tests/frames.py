"""Frames as `robnb.statistics.Results` gives them, made by hand for the tests of tables and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robnb.metrics import ALL, COLUMNS
from robnb.names import CATEGORIES, CLEAN, METRICS, PRETRAINED

REGULAR, AUGMIX, SWIN = ("resnet_mini", "regular"), ("resnet_mini", "augmix"), ("swin_mini", "regular")
IMAGES = 60


def summary_rows(model, task, metric, clean, drops, half=5.0, regime="fixed_feature", seeds=1) -> list[dict]:
    """Rows of `Results.summary`: ``drops`` per category, and under "all" their mean unless it is given.

    Every interval reaches ``half`` to either side, or (below, above) of it.
    """
    below, above = half if isinstance(half, tuple) else (half, half)
    drops = {ALL: float(np.mean(list(drops.values()))), **drops}
    rows = []
    for category, drop in drops.items():
        share = 1.0 if clean > 0 else np.nan  # of nothing there is none
        row = {"backbone": model[0], "weights": model[1], "task": task, "regime": regime, "metric": metric}
        row |= {"seeds": seeds, "category": category}
        quantities = {"P": clean, "mPC": clean * (1 - drop / 100), "rPC": share * (100 - drop), "drop": share * drop}
        for name, value in quantities.items():
            row |= {name: value, f"{name}_low": value - below, f"{name}_high": value + above}
        rows.append(row)
    return rows


def four(noise: float, blur: float, weather: float, digital: float) -> dict[str, float]:
    """Drop by category."""
    return dict(zip(CATEGORIES, (noise, blur, weather, digital), strict=True))


def differences(rows) -> pd.DataFrame:
    """`Results.differences` from (model, task, metric, category, difference, low, high)."""
    columns = ["backbone", "weights", "task", "regime", "metric", "category", "difference", "low", "high"]
    return pd.DataFrame(
        [(*model, task, "fixed_feature", metric, *rest) for model, task, metric, *rest in rows], columns=columns
    )


def agreement(rows) -> pd.DataFrame:
    """`Results.agreement` from (task, metric, models, tau, low, high)."""
    columns = ["task", "regime", "metric", "models", "tau", "low", "high"]
    return pd.DataFrame([(task, "fixed_feature", *rest) for task, *rest in rows], columns=columns)


def scores(models, task, metric, values, *, seed=0, images=IMAGES) -> pd.DataFrame:
    """The long results table: ``values`` maps (corruption, severity) or the same with the draw to a score."""
    regime = PRETRAINED if task == "upstream" else "fixed_feature"
    assert metric in METRICS[task] and (CLEAN, 0) in values
    rows = [
        (*model, task, regime, metric, seed, *(cell if len(cell) == 3 else (*cell, 0)), value, images)
        for model in models
        for cell, value in values.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
