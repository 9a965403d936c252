"""What the drops of a grid of models and conditions differ by: backbone, corruption, severity, training, the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robnb.names import CLEAN
from robnb.statistics.resampling import deviation

SOURCES = ("backbone", "corruption", "severity", "training", "backbone x corruption", "rest")
#: What is in all of the sources.
TEST_IMAGES = "test images (in all of these)"
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

    A model without a drop is left out: its clean score is 0 in a training, or in more than one resample of twenty.

    Args:
        scores: the long results table, one row for each row of ``draws``.
        draws: of the scores, float64 (rows, resamples).

    Returns:
        ``task``, ``regime``, ``metric``, ``models`` (those that have a drop), ``source`` (`SOURCES`, then "test images
        (in all of these)"), ``share`` (percent of the total; NaN for what was not varied, and for all where no model
        has a drop) and ``deviation`` (its square root in percentage points).
    """
    rows = []
    positions = scores.reset_index(drop=True).groupby(_GROUP, sort=False).indices
    for where, at in positions.items():
        cells = _cells(scores.iloc[at].reset_index(drop=True), draws[at])
        models = len(cells[_MODEL].drop_duplicates())
        variances, total = _variances(cells)
        for source, variance in variances.items():
            share = 100 * variance / total if total > 0 else np.nan
            rows.append((*where, models, source, share, np.sqrt(variance)))
    return pd.DataFrame(rows, columns=[*_GROUP, "models", "source", "share", "deviation"])


def _cells(scores: pd.DataFrame, draws: np.ndarray) -> pd.DataFrame:
    """The cells of the grid with their ``drop`` (percent) and its ``deviation``, of the models that have all."""
    values = pd.DataFrame(np.column_stack([scores["value"].to_numpy(float), draws]))
    keys = [scores[name] for name in _CELL]
    of_cells = values.groupby(keys, sort=False).mean()  # over draws of the corruptions
    is_clean = of_cells.index.get_level_values("corruption") == CLEAN
    clean = of_cells[is_clean].droplevel(["corruption", "severity"])
    clean = clean.where(clean > 0)
    corrupted = of_cells[~is_clean]
    own = pd.MultiIndex.from_frame(corrupted.index.to_frame()[[*_MODEL, "seed"]])
    drops = 100 - 100 * corrupted.to_numpy() / clean.reindex(own).to_numpy()
    cells = corrupted.index.to_frame(index=False).assign(drop=drops[:, 0], deviation=deviation(drops[:, 1:]))
    known = cells[["drop", "deviation"]].notna().all(axis=1)
    return cells[known.groupby([cells[name] for name in _MODEL]).transform("all")]


def _variances(cells: pd.DataFrame) -> tuple[dict[str, float], float]:
    """The variance that each source explains, NaN for one that has a single level, and the total; of no cells, NaN."""
    table = cells.assign(model=cells["backbone"] + "." + cells["weights"])
    mean = table["drop"].mean()
    of = {name: table.groupby(list(by))["drop"].transform("mean") for name, by in _EFFECTS.items()}
    effects = {
        "backbone": of["model"] - mean,
        "corruption": of["corruption"] - mean,
        "severity": of["severity"] - mean,
        "training": of["training"] - of["model"],
        "backbone x corruption": of["both"] - of["model"] - of["corruption"] + mean,
    }
    effects["rest"] = table["drop"] - mean - sum(effects.values())
    levels = {
        "backbone": table["model"].nunique(), "corruption": table["corruption"].nunique(),
        "severity": table["severity"].nunique(), "training": table["seed"].nunique(),
    }  # fmt: skip
    levels["backbone x corruption"] = min(levels["backbone"], levels["corruption"])
    found = {
        name: float(np.square(effect).mean()) if levels.get(name, 2) > 1 else np.nan for name, effect in effects.items()
    }
    noise = float(np.square(table["deviation"]).mean())
    return {**found, TEST_IMAGES: noise}, float(np.square(table["drop"] - mean).mean())


_EFFECTS = {
    "model": ("model",), "corruption": ("corruption",), "severity": ("severity",), "training": ("model", "seed"),
    "both": ("model", "corruption"),
}  # fmt: skip
