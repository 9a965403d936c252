"""Scores with their intervals, and what of a grid is there."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from robnb.metrics import ALL, DECIMALS
from robnb.names import CATEGORIES, CLEAN
from robnb.tables.labels import ARM, several_regimes, with_labels

#: What is written for a number that is not defined, such as a drop where the clean score is 0.
UNDEFINED = "undefined"
_QUANTITIES = ("P", "mPC", "rPC", "drop")
_SHOWN_MISSING = 6


def overview(summary: pd.DataFrame) -> pd.DataFrame:
    """One row per scored model: P, mPC, rPC, drop, and the drop in each category; percent.

    Behind every quantity X stand X_low and X_high, its 95 % interval; `with_intervals` makes one cell of the three.
    Takes the summary of `robnb.statistics.Results`; the order of models and tasks stays.
    """
    labelled = with_labels(summary)
    keys = ["task", "regime", "metric", "model"]
    overall = labelled[labelled["category"] == ALL].set_index(keys)[["seeds", *with_bounds(_QUANTITIES)]]
    parts = [overall]
    for category in CATEGORIES:
        rows = labelled[labelled["category"] == category].set_index(keys)[with_bounds(["drop"])]
        if not rows.empty:
            parts.append(rows.rename(columns=lambda name, of=category: name.replace("drop", f"drop {of}")))
    return pd.concat(parts, axis=1).reset_index()


def with_intervals(frame: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """The frame for reading: every X with its X_low and X_high in one cell, ``12.3 [10.1, 14.8]``.

    A number that is not defined is written "undefined". Columns without an interval stay as they are.
    """
    shown = frame.copy()
    for name in frame.columns:
        if {f"{name}_low", f"{name}_high"} <= set(frame.columns):
            bounds = (frame[column] for column in with_bounds([name]))
            shown[name] = [cell(*row, digits) for row in zip(*bounds, strict=True)]
            shown = shown.drop(columns=with_bounds([name])[1:])
    return shown


def cell(value: float, low: float, high: float, digits: int = 1) -> str:
    """``12.3 [10.1, 14.8]``; "undefined" in place of a NaN."""
    if pd.isna(value):
        return UNDEFINED
    if pd.isna(low) or pd.isna(high):
        return f"{value:z.{digits}f} [{UNDEFINED}]"
    return f"{value:z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"


def rank_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The overall drop of every model with its interval, three columns per task and metric, and its rank behind them.

    1 loses least; equal drops share the better rank; a drop that is not defined (P is 0) has none. A rank is the
    order of the estimates: two models whose drops cannot be told apart have different ranks all the same.
    """
    labelled = with_labels(summary[summary["category"] == ALL])
    regimes = several_regimes(labelled)
    ranked = {}
    for (task, regime, metric), rows in labelled.groupby(["task", "regime", "metric"], sort=False):
        name = f"{task} {metric}" + (f" {regime}" if regimes else "")
        of_model = rows.set_index("model")
        for column in with_bounds(["drop"]):
            ranked[column.replace("drop", name)] = of_model[column]
        ranked[f"{name} rank"] = of_model["drop"].round(DECIMALS).rank(method="min").astype("Int64")
    return pd.DataFrame(ranked).reindex(labelled["model"].unique())


def grid_status(scores: pd.DataFrame, conditions: Iterable[tuple[str, int]]) -> pd.DataFrame:
    """What is there of every scored model's grid, and what is missing; no mean, complete or not.

    Returns one row per training, task and metric: model, task, regime, metric, seed, images, scored (how many
    conditions have their score), of (how many it should be) and missing (their names; empty where none is). A model
    that one task was not scored with has a row for it, with nothing scored, unless the same weights were scored there
    after another transfer (``prime, lr 0.01``).
    """
    cells = grid_cells(scores, conditions)
    rows = []
    for (task, regime, metric), group in scores.groupby(["task", "regime", "metric"], sort=False):
        for backbone, weights in scores[["backbone", "weights"]].drop_duplicates().itertuples(index=False):
            own = group[(group["backbone"] == backbone) & (group["weights"] == weights)]
            scored = (backbone, weights, task, regime, metric)
            if own.empty and not _there_in_another_way(group, backbone, weights):
                rows.append((*scored, pd.NA, 0, 0, len(cells), _listed(cells)))
            for seed, of_seed in own.groupby("seed", sort=False):
                missing = missing_cells(of_seed, cells)
                have = len(cells) - len(missing)
                rows.append((*scored, seed, of_seed["n_images"].max(), have, len(cells), _listed(missing)))
    columns = ["backbone", "weights", "task", "regime", "metric", "seed", "images", "scored", "of", "missing"]
    table = pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})
    return with_labels(table).drop(columns=["backbone", "weights"])


def _there_in_another_way(group: pd.DataFrame, backbone: str, weights: str) -> bool:
    """Whether the same weights were scored there after another transfer, which is part of what they are called."""
    plain = group["weights"].str.partition(ARM)[0]
    return bool(((group["backbone"] == backbone) & (plain == weights.partition(ARM)[0])).any())


def grid_cells(scores: pd.DataFrame, conditions: Iterable[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Every (corruption, severity, replicate) of the grid; how many draws there should be is read from the scores."""
    draws = 1 if scores.empty else int(scores["replicate"].max()) + 1
    return [(name, severity, r) for name, severity in conditions for r in range(1 if name == CLEAN else draws)]


def missing_cells(rows: pd.DataFrame, cells: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Which (corruption, severity, replicate) have no score, or one that is no number, in one model's rows."""
    there = rows[rows["value"].notna()]
    have = set(zip(there["corruption"], there["severity"], there["replicate"], strict=True))
    return [wanted for wanted in cells if wanted not in have]


def _listed(missing: list[tuple[str, int, int]]) -> str:
    named = [CLEAN if c == CLEAN else f"{c} {s}" + (f" draw {r}" if r else "") for c, s, r in missing]
    more = len(named) - _SHOWN_MISSING
    return ", ".join(named[:_SHOWN_MISSING]) + (f" and {more} more" if more > 0 else "")


def with_bounds(names: Iterable[str]) -> list[str]:
    """Each name, followed by the names of its interval's two ends."""
    return [name + end for name in names for end in ("", "_low", "_high")]
