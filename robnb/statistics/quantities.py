"""P, mPC, rPC and drop as functions of the scores, for the scores themselves and for all draws of them at once.

The definitions are `robnb.metrics`': replicates are averaged first, then severities, then corruptions. Training seeds
are averaged last, P and mPC each; rPC and drop are made of these averages, so that in every row drop = 1 - mPC / P.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from robnb.metrics import ALL
from robnb.names import CATEGORIES, CLEAN

#: What identifies a scored model under one metric, whatever its training seed.
MODEL = ["backbone", "weights", "task", "regime", "metric"]
QUANTITIES = ("P", "mPC", "rPC", "drop")
#: The least and the greatest value that each can have, in percent.
BOUNDS = {"P": (0.0, 100.0), "mPC": (0.0, 100.0), "rPC": (0.0, np.inf), "drop": (-np.inf, 100.0)}
_LEVELS = ("seed", "corruption", "severity", "replicate")


@dataclass(frozen=True)
class Quantities:
    """Attributes:
    rows: the columns of `MODEL`, ``seeds`` (how many were averaged) and ``category``.
    values: each of `QUANTITIES` to float64 (rows, draws), percent. rPC and drop are NaN where P is 0.
    """

    rows: pd.DataFrame
    values: dict[str, np.ndarray]


def quantities(scores: pd.DataFrame, values: np.ndarray) -> Quantities:
    """Aggregate ``values`` (rows of ``scores``, draws), percent, as `robnb.metrics.summarise` does.

    Rows come by category ("all", then those of the four that are covered), in each the models in their order.
    A model without a corrupted score in a category has NaN there.
    """
    scores = scores.reset_index(drop=True)
    clean = (scores["corruption"] == CLEAN).to_numpy()
    members = {ALL: ~clean} | {c: scores["corruption"].isin(names).to_numpy() for c, names in CATEGORIES.items()}
    members = {category: chosen for category, chosen in members.items() if chosen.any() or category == ALL}
    by_model = scores.groupby(MODEL, sort=False)
    seeds = by_model["seed"].nunique().rename("seeds").reset_index()
    indices = by_model.indices
    positions = [indices[key] for key in seeds[MODEL].itertuples(index=False, name=None)]
    of_clean = _means(scores, clean, values, positions)
    p = np.tile(of_clean, (len(members), 1))
    mpc = np.concatenate([_means(scores, chosen, values, positions) for chosen in members.values()])
    rpc = 100.0 * mpc / np.where(p > 0, p, np.nan)
    rows = pd.concat([seeds.assign(category=category) for category in members], ignore_index=True)
    return Quantities(rows, {"P": p, "mPC": mpc, "rPC": rpc, "drop": 100.0 - rpc})


def _means(scores: pd.DataFrame, chosen: np.ndarray, values: np.ndarray, positions: list[np.ndarray]) -> np.ndarray:
    """Float64 (models, draws): the nested mean of each model's chosen rows; NaN where it has none."""
    share = np.zeros(len(scores))
    share[chosen] = _shares(scores[chosen])
    return np.stack([share[at] @ values[at] if chosen[at].any() else _nothing(values) for at in positions])


def _nothing(values: np.ndarray) -> np.ndarray:
    return np.full(values.shape[1], np.nan)


def _shares(rows: pd.DataFrame) -> np.ndarray:
    """What each row counts in its model's mean over seeds of corruptions of severities of replicates; they sum to 1."""
    share = np.ones(len(rows))
    group = rows.groupby(MODEL, sort=False).ngroup().to_numpy()
    for level in _LEVELS:
        codes, names = pd.factorize(rows[level])
        _, first, inside = np.unique(group * len(names) + codes, return_index=True, return_inverse=True)
        share /= np.bincount(group[first])[group]  # how many of this level are in each group
        group = inside
    return share
