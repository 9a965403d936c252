"""Models against a baseline, and the drop upstream against the drop downstream, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Collection

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robnb.metrics import ALL
from robnb.names import CATEGORIES, METRICS
from robnb.plots.drawing import Look, legend_outside, looks, names_of, panels, undefined, view, whiskers
from robnb.tables import name, tau_in_words, with_labels

#: How much of the height of a category its models take.
_HEIGHT = 0.72
_DROP = ["drop", "drop_low", "drop_high"]


def differences(frame: pd.DataFrame, baseline: tuple[str, str] | str, *, turned: bool = False) -> Figure:
    """Paired differences of the drops against the baseline's, a panel per metric; left of zero is more robust.

    Args:
        frame: paired differences with their intervals, as `robnb.statistics.Results` gives them.
        baseline: (backbone, weights); or what each model is compared with in words, where that is not one model.
        turned: draw the baseline's drop minus each model's, so that left of zero the baseline is more robust.
    """
    if turned:
        frame = frame.assign(difference=-frame["difference"], low=-frame["high"], high=-frame["low"])
    one = not isinstance(baseline, str)
    rows = with_labels(frame, beside=[baseline] if one else [])
    is_baseline = [model == baseline for model in zip(rows["backbone"], rows["weights"], strict=True)]
    rows = rows[~np.array(is_baseline, bool)]
    first = name(baseline, frame) if one else baseline
    if rows.empty:
        return _only(f"There is no model beside {first} to compare.")
    order = [category for category in (ALL, *CATEGORIES) if category in set(rows["category"])]
    all_of_them = [*rows["model"], first] if turned else [first, *rows["model"]]
    look = looks(all_of_them)  # the baseline takes its colour too, as where it is drawn: the first, or the last
    limits = view(rows["difference"], rows["low"], rows["high"])
    limits = (min(limits[0], -0.1 * limits[1]), max(limits[1], -0.1 * limits[0]))  # zero is never at the border
    figure, drawn = panels(
        rows, 3.2, 1.5 + 0.24 * len(order) * max(2, rows["model"].nunique()), share="xy", legend=True
    )
    for axis, panel in drawn:
        models = list(panel["model"].unique())
        for k, model in enumerate(models):
            points = panel[panel["model"] == model].set_index("category").reindex(order)
            places = np.arange(len(order)) + _HEIGHT * ((k + 0.5) / len(models) - 0.5)
            _points(axis, places, points, look[model], model, limits)
        axis.axvline(0, color="0.2", linewidth=1.2, zorder=2)
        axis.set_yticks(range(len(order)), order)
        axis.set(xlim=limits, ylim=(len(order) - 0.5, -0.5))
        axis.grid(axis="y", visible=False)
        for border in np.arange(len(order) - 1) + 0.5:
            axis.axhline(border, color="0.85", linewidth=0.8)
    said = f"drop of {first} minus that of each" if turned else f"drop minus that of {first}"
    who = f"{first} is" if turned else "is"
    figure.supxlabel(f"{said} (percentage points); left of zero {who} more robust", fontsize=9)
    legend_outside(drawn[0][0], title="open: the interval\nholds zero")
    return figure


def _points(
    axis: Axes, places: np.ndarray, points: pd.DataFrame, look: Look, model: str, limits: tuple[float, float]
) -> None:
    """One model's differences: filled where the whole interval lies on one side of zero."""
    whiskers(axis, places, points["low"], points["high"], limits, horizontal=True, colour=look.colour)
    told = ((points["low"] > 0) | (points["high"] < 0)).to_numpy()
    faces = [look.colour if apart else "white" for apart in told]
    axis.scatter(points["difference"], places, marker=look.marker, s=34, c=faces, edgecolors=[look.colour],
                 linewidths=1.5, zorder=5)  # fmt: skip
    axis.plot([], [], look.marker, color=look.colour, markersize=6, label=model)
    for place, difference in zip(places, points["difference"], strict=True):
        if np.isnan(difference):
            undefined(axis, place, 0.0, horizontal=True)


def _only(said: str) -> Figure:
    """A figure that has nothing to show but a sentence."""
    figure = plt.figure(figsize=(5, 0.6))
    figure.text(0.5, 0.5, said, ha="center", va="center", fontsize=10)
    return figure


def agreement(summary: pd.DataFrame, agreement: pd.DataFrame, marked: Collection[tuple[str, str]] = ()) -> Figure:
    """Overall drop upstream against overall drop downstream, a panel per downstream metric; a point per model.

    Args:
        summary: of the upstream task and the downstream ones, as `robnb.statistics.Results` gives it.
        agreement: Kendall's tau of each downstream metric with its interval, from the same results.
        marked: models, as (backbone, weights), that are to be found at once.
    """
    overall = with_labels(summary[summary["category"] == ALL])
    upstream = overall[overall["task"] == "upstream"]
    look = looks(overall["model"], names_of(overall, marked))
    both = upstream[["model", *_DROP]].merge(overall[overall["task"] != "upstream"], on="model", suffixes=("_up", ""))
    across = view(*(both[f"{column}_up"] for column in _DROP))
    along = view(*(both[column] for column in _DROP))
    said = {(row.task, row.regime, row.metric): tau_in_words(row) for row in agreement.itertuples()}
    figure, drawn = panels(both, 2.8, 3.3, share="xy", legend=True, columns=len(METRICS))
    for axis, panel in drawn:
        for row in panel.itertuples():
            drawn_as, x, y = look[row.model], row.drop_up, row.drop
            colour, size = drawn_as.colour, 7 * drawn_as.enlarged**0.5
            axis.plot([x], [y], drawn_as.marker, color=colour, markersize=size, zorder=5, label=row.model)
            whiskers(axis, [y], [row.drop_low_up], [row.drop_high_up], across, horizontal=True, colour=colour)
            whiskers(axis, [x], [row.drop_low], [row.drop_high], along, colour=colour)
        scored = tuple(panel[["task", "regime", "metric"]].iloc[0])
        axis.set_title(f"{axis.get_title()}\n{said[scored]}", fontsize=9)
        axis.set(xlim=across, ylim=along)
    figure.supxlabel("drop upstream (%)", fontsize=9)
    figure.supylabel("drop downstream (%)", fontsize=9)
    legend_outside(drawn[0][0], look)
    return figure
