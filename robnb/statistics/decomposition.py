"""What the drops of a grid of models and conditions differ by: backbone, corruption, severity, training, the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robnb.names import CLEAN
from robnb.statistics.resampling import deviation

SOURCES = ("backbone", "corruption", "severity", "training", "backbone x corruption", "rest")
_GROUP = ["task", "regime", "metric"]
_MODEL = ["backbone", "weights"]
_CELL = [*_MODEL, "corruption", "severity", "seed"]


def decomposition(scores: pd.DataFrame, draws: np.ndarray) -> pd.DataFrame:
    """How much of the variance of the single drops each source explains, for every task, regime and metric.

    A single drop is 1 - score / clean score of one model, corruption, severity and training; draws of a corruption are
    averaged. On a complete grid the sum of squares around the mean splits exactly: into the main effects of backbone,
    corruption and severity, of training within backbone, the interaction of backbone and corruption, and what is left,
    the higher interactions (Fisher's analysis of variance). All of them carry the noise of the test images; how much it
    is of the total stands beside them, as the mean bootstrap variance of a single drop.

    Args:
        scores: the long results table, one row for each row of ``draws``.
        draws: of the scores, float64 (rows, resamples).

    Returns:
        ``task``, ``regime``, ``metric``, ``source`` (`SOURCES`, then "test images (in all of these)"), ``share``
        (percent of the total; NaN for what was not varied) and ``deviation`` (its square root in percentage points).
    """
    rows = []
    positions = scores.reset_index(drop=True).groupby(_GROUP, sort=False).indices
    for where, at in positions.items():
        table, drops, noise = _drops(scores.iloc[at].reset_index(drop=True), draws[at])
        explained = _explained(table, drops)
        total = float(np.square(drops - drops.mean()).mean())
        for source, variance in {**explained, "test images (in all of these)": noise}.items():
            share = 100 * variance / total if total > 0 else np.nan
            rows.append((*where, source, share, np.sqrt(max(variance, 0.0)) if variance == variance else np.nan))
    return pd.DataFrame(rows, columns=[*_GROUP, "source", "share", "deviation"])


def _drops(scores: pd.DataFrame, draws: np.ndarray) -> tuple[pd.DataFrame, np.ndarray, float]:
    """The cells of the grid, the drop in each (cells,), percent, and the mean bootstrap variance of one."""
    values = pd.DataFrame(np.column_stack([scores["value"].to_numpy(float), draws]))
    keys = [scores[name] for name in _CELL]
    of_cells = values.groupby(keys, sort=False).mean()  # over draws of the corruptions
    is_clean = of_cells.index.get_level_values("corruption") == CLEAN
    clean = of_cells[is_clean].droplevel(["corruption", "severity"])
    clean = clean.where(clean > 0)
    corrupted = of_cells[~is_clean]
    own = pd.MultiIndex.from_frame(corrupted.index.to_frame()[[*_MODEL, "seed"]])
    drops = 100 - 100 * corrupted.to_numpy() / clean.reindex(own).to_numpy()
    return corrupted.index.to_frame(index=False), drops[:, 0], float(np.square(deviation(drops[:, 1:])).mean())


def _explained(cells: pd.DataFrame, drops: np.ndarray) -> dict[str, float]:
    """The variance that each source explains; NaN for one that has a single level."""
    table = cells.assign(model=cells["backbone"] + "." + cells["weights"], drop=drops)
    mean = table["drop"].mean()
    of = {name: table.groupby(list(by))["drop"].transform("mean") for name, by in _EFFECTS.items()}
    effects = {
        "backbone": of["model"] - mean,
        "corruption": of["corruption"] - mean,
        "severity": of["severity"] - mean,
        "training": of["training"] - of["model"],
        "backbone x corruption": of["both"] - of["model"] - of["corruption"] + mean,
    }
    rest = table["drop"] - mean - sum(effects.values())
    found = {name: float(np.square(effect).mean()) for name, effect in effects.items()}
    levels = {
        "backbone": table["model"].nunique(), "corruption": table["corruption"].nunique(),
        "severity": table["severity"].nunique(), "training": table["seed"].nunique(),
    }  # fmt: skip
    varied = {name: value if levels.get(name, 2) > 1 else np.nan for name, value in found.items()}
    return {**varied, "rest": float(np.square(rest).mean())}


_EFFECTS = {
    "model": ("model",), "corruption": ("corruption",), "severity": ("severity",), "training": ("model", "seed"),
    "both": ("model", "corruption"),
}  # fmt: skip
