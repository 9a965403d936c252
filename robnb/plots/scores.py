"""Scores and drops with their 95 % intervals over test images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from robnb.errors import UserError
from robnb.metrics import ALL
from robnb.names import CATEGORIES, CLEAN, KNOWN_CORRUPTIONS, METRICS
from robnb.plots.drawing import (
    Look,
    embolden,
    legend_outside,
    looks,
    names_of,
    panels,
    undefined,
    view,
    whiskers,
)
from robnb.tables import METRIC_TITLES, UNDEFINED, grid_cells, missing_cells, several_regimes, title, with_labels

_DROP = ["drop", "drop_low", "drop_high"]
#: What each quantity is called on an axis.
QUANTITY_TITLES = {"drop": "drop", "rPC": "rPC = mPC / P", "mPC": "corrupted score, mPC", "P": "clean score, P"}


def drop_by_category(summary: pd.DataFrame, metrics: Sequence[str], marked: Collection[tuple[str, str]] = ()) -> Figure:
    """Drop in each category of corruptions and over all, a panel per metric; lower is more robust.

    ``marked``: models, as (backbone, weights), that are to be found at once, here and in the other figures.
    """
    rows = with_labels(summary[summary["metric"].isin(metrics)])
    order = [category for category in (*CATEGORIES, ALL) if category in set(rows["category"])]
    look = looks(rows["model"], names_of(rows, marked))
    limits = view(*(rows[column] for column in _DROP))
    figure, drawn = panels(rows, 4.4, 3.6, share="y", legend=True)
    _grouped(drawn, dict(zip(order, order, strict=True)), look, limits)
    figure.supylabel("drop (%)", fontsize=9)
    legend_outside(drawn[0][0], look)
    return figure


def quantity_by_category(
    summary: pd.DataFrame, quantity: str, categories: Mapping[str, str], among: pd.DataFrame
) -> Figure:
    """P, mPC, rPC or drop in categories of corruptions, a panel per task, regime and metric, as `drop_by_category`.

    Args:
        summary: the rows of `robnb.statistics.Results.summary` that are to be drawn.
        quantity: "P", "mPC", "rPC" or "drop".
        categories: which categories, in this order, each with what is written below its bars.
        among: rows of all models that other figures show beside these, which keep the name and the colour of there.

    Raises:
        UserError: there is nothing to draw.
    """
    every = with_labels(among)
    rows = with_labels(summary, beside=zip(every["backbone"], every["weights"], strict=True))
    bars = {f"{quantity}{end}": f"drop{end}" for end in ("", "_low", "_high")}  # `_bars` draws what is called so
    rows = rows[["task", "regime", "metric", "model", "category", *bars]].rename(columns=bars)
    look, limits = looks(every["model"]), view(*(rows[column] for column in _DROP))
    wide = np.clip(0.19 * len(categories) * rows["model"].nunique(), 4.4, 9.0)  # inches; bars that can be told apart
    figure, drawn = panels(rows, wide, 3.6, share="y", legend=True)
    _grouped(drawn, categories, look, limits)
    figure.supylabel(f"{QUANTITY_TITLES[quantity]} (%)", fontsize=9)
    legend_outside(drawn[0][0], look)
    return figure


def drop_by_task(summary: pd.DataFrame, marked: Collection[tuple[str, str]] = ()) -> Figure:
    """Overall drop on the upstream task and on each downstream one: figure 2 of the paper, in our world."""
    rows = with_labels(summary[summary["category"] == ALL])
    look = looks(rows["model"], names_of(rows, marked))
    limits = view(*(rows[column] for column in _DROP))
    figure, drawn = panels(rows, 2.5, 3.4, share="y", columns=len(METRICS) + 1)
    for axis, panel in drawn:
        for k, (model, bar) in enumerate(panel.groupby("model", sort=False)):
            _bars(axis, [k], bar, 0.75, look[model], model, limits)
        names = panel["model"].unique()
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=9)
        embolden(axis.get_xticklabels(), look)
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.grid(axis="x", visible=False)
    figure.supylabel("drop (%)", fontsize=9)
    return figure


def _grouped(
    drawn: Sequence[tuple[Axes, pd.DataFrame]],
    categories: Mapping[str, str],
    look: Mapping[str, Look],
    limits: tuple[float, float],
) -> None:
    """In each panel a group of bars for each category, with what is written below it."""
    for axis, panel in drawn:
        for k, (model, of_model) in enumerate(panel.groupby("model", sort=False)):
            width = 0.8 / panel["model"].nunique()
            places = np.arange(len(categories)) + (k + 0.5) * width - 0.4
            bars = of_model.set_index("category").reindex(list(categories))
            _bars(axis, places, bars, width, look[model], model, limits)
        axis.set_xticks(range(len(categories)), list(categories.values()))
        axis.set_xlim(-0.55, len(categories) - 0.45)
        axis.grid(axis="x", visible=False)


def _bars(
    axis: Axes,
    places: Sequence[float],
    rows: pd.DataFrame,
    width: float,
    look: Look,
    name: str,
    limits: tuple[float, float],
) -> None:
    """One model's drops as bars with whiskers."""
    axis.bar(places, rows["drop"], 0.92 * width, color=look.colour, label=name, **look.border)
    whiskers(axis, places, rows["drop_low"], rows["drop_high"], limits)
    for place, drop in zip(places, rows["drop"], strict=True):
        if np.isnan(drop):
            undefined(axis, place, 0.0)
    axis.set_ylim(limits)
    axis.axhline(0, color="0.3", linewidth=0.8)


def clean_and_corrupted(
    summary: pd.DataFrame, metrics: Sequence[str], marked: Collection[tuple[str, str]] = ()
) -> Figure:
    """Where each model starts (P, filled) and where the corruptions take it (mPC, open), a panel per metric."""
    rows = with_labels(summary[summary["metric"].isin(metrics) & (summary["category"] == ALL)])
    look = looks(rows["model"], names_of(rows, marked))
    figure, drawn = panels(rows, 3.7, 1.4 + 0.55 * rows["model"].nunique(), share="y")
    names = list(rows["model"].unique())
    for axis, panel in drawn:
        most = panel[["P", "P_high", "mPC_high"]].max(axis=None) or 1.0
        limits = (-0.03 * most, 1.06 * most)
        for row in panel.itertuples():
            place, colour = -names.index(row.model), look[row.model].colour
            # A little apart, because the two intervals often overlap.
            clean, corrupted = place + 0.13, place - 0.13
            axis.plot([row.P, row.mPC], [clean, corrupted], color="0.6", linewidth=1, linestyle=":", zorder=1)
            whiskers(axis, [clean], [row.P_low], [row.P_high], limits, horizontal=True, colour=colour)
            whiskers(axis, [corrupted], [row.mPC_low], [row.mPC_high], limits, horizontal=True, colour=colour)
            marker, size = ("*" if look[row.model].marked else "o"), 42 * look[row.model].enlarged
            axis.scatter([row.P], [clean], color=[colour], s=size, marker=marker, zorder=5)
            axis.scatter([row.mPC], [corrupted], facecolor="white", edgecolor=[colour], s=size, marker=marker,
                         linewidth=1.8, zorder=5)  # fmt: skip
        axis.set_yticks([-k for k in range(len(names))], names)
        embolden(axis.get_yticklabels(), look)
        axis.set(xlim=limits, ylim=(0.6 - len(names), 0.5))
        axis.set_xlabel("clean (filled), corrupted (open), %", fontsize=9)
        axis.grid(axis="y", visible=False)
    return figure


def drop_by_corruption(scores: pd.DataFrame, conditions: Iterable[tuple[str, int]], metric: str) -> Figure:
    """Drop under every single corruption (mean over its severities, draws and trainings), a row per model.

    An incomplete grid is shown as incomplete: a corruption that lacks any of its scores (or the clean score that its
    drop is measured from) is an empty hatched cell, "missing", and the title says how many there are. There is no
    mean over corruptions.
    """
    rows = with_labels(scores[scores["metric"] == metric])
    drop, missing = _drops(rows, list(conditions))
    worst = max(1.0, float(np.nan_to_num(drop.to_numpy(dtype=float)).max(initial=1.0)))
    width = 1.6 + 0.1 * drop.index.str.len().max() + 0.72 * drop.shape[1]
    figure, axis = plt.subplots(figsize=(width, 1.5 + 0.42 * len(drop)), layout="constrained")
    sns.heatmap(drop, ax=axis, cmap="rocket_r", vmin=0, vmax=worst, annot=True, fmt=".0f", annot_kws={"size": 8},
                cbar_kws={"label": "drop (%)"}, linewidths=0.5, xticklabels=False, yticklabels=False)  # fmt: skip
    for y, x in np.argwhere(drop.isna().to_numpy()):
        lacks = missing.iloc[y, x]
        axis.add_patch(Rectangle((x, y), 1, 1, fill=False, hatch="////" if lacks else "", edgecolor="0.7", linewidth=0))
        box = {"facecolor": "white", "pad": 1, "linewidth": 0}
        said = "missing" if lacks else UNDEFINED
        axis.text(x + 0.5, y + 0.5, said, ha="center", va="center", fontsize=6.5, bbox=box)
    count = int(missing.to_numpy().sum())
    incomplete = f": incomplete, {count} of {missing.size} missing" if count else ""
    axis.set(title=f"{METRIC_TITLES[metric]}{incomplete}", xlabel="", ylabel="")
    names = [name.replace("_", " ") for name in drop]
    axis.set_xticks(np.arange(len(names)) + 0.5, names, rotation=40, ha="right", fontsize=8)
    axis.set_yticks(np.arange(len(drop)) + 0.5, drop.index, fontsize=10)
    axis.grid(visible=False)
    return figure


def _drops(rows: pd.DataFrame, conditions: list[tuple[str, int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop per model and corruption, and which of them lack a score; a drop without all of its scores is NaN."""
    if rows.empty:
        raise UserError("there is no score of that metric to draw: choose one that the study's tasks have.")
    wanted = grid_cells(rows, conditions)
    corruptions = [name for name in KNOWN_CORRUPTIONS if any(name == c for c, _, _ in wanted)]
    drop, missing = {}, {}
    several, regimes = len(rows[["task", "regime"]].drop_duplicates()) > 1, several_regimes(rows)
    for (model, *scored), own in rows.groupby(["model", "task", "regime", "metric"], sort=False):
        name = f"{model}: {title(*scored, regimes=regimes)}" if several else model
        gone = {c for _, training in own.groupby("seed") for c, _, _ in missing_cells(training, wanted)}
        mean = own.groupby(["seed", "corruption", "severity"])["value"].mean().groupby(["seed", "corruption"]).mean()
        mean = mean.groupby("corruption").mean()
        missing[name] = {c: c in gone or CLEAN in gone for c in corruptions}
        clean = mean[CLEAN] if CLEAN not in gone and mean[CLEAN] > 0 else np.nan
        drop[name] = {c: np.nan if c in gone else 100 * (1 - mean[c] / clean) for c in corruptions}
    return pd.DataFrame(drop).T, pd.DataFrame(missing).T.astype(bool)
