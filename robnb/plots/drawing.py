"""What the figures share: panels, colours, whiskers, legends, saving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robnb.errors import UserError
from robnb.tables import UNDEFINED, several_regimes, title

_MARKERS = "osD^vPX"
#: How many panels stand side by side, at most, where nothing else is said.
COLUMNS = 3
_INK = "0.15"
#: How far, at least, a whisker may reach beyond the estimates before the view ends; percent or percentage points.
_REACH = 50.0


@dataclass(frozen=True)
class Look:
    """How a model is drawn in every panel of a figure."""

    colour: tuple[float, float, float]
    marker: str


def looks(models: Iterable[str]) -> dict[str, Look]:
    """A colour-blind safe colour and a marker for each model, in order of appearance."""
    names = list(dict.fromkeys(models))
    colours = sns.color_palette("colorblind", len(names))
    return {name: Look(colours[k], _MARKERS[k % len(_MARKERS)]) for k, name in enumerate(names)}


def panels(
    rows: pd.DataFrame, width: float, height: float, *, share: str = "", columns: int = COLUMNS, legend: bool = False
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A titled panel for each task, regime and metric of ``rows``; ``share``: the axes in common, "x", "y" or "xy".

    Args:
        columns: how many stand side by side.
        width: of a panel, as ``height``, in inches.
        legend: leave room for one on the right.

    Raises:
        UserError: there is nothing to draw.
    """
    if rows.empty:
        raise UserError("there is no score to draw: choose a metric of a task that the study has.")
    groups = list(rows.groupby(["task", "regime", "metric"], sort=False))
    across = min(columns, len(groups))
    down = -(-len(groups) // across)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(width * across + 1.4 * legend, height * down),
        layout="constrained",
        squeeze=False,
        sharex="x" in share,
        sharey="y" in share,
    )
    regimes = several_regimes(rows)
    for axis, (scored, _) in zip(axes.flat, groups, strict=False):
        axis.set_title(title(*scored, regimes=regimes, separator="\n"), fontsize=9)
        axis.tick_params(labelbottom=True, labelsize=9)  # sharing hides it above a place that no panel takes
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    return figure, [(axis, group) for axis, (_, group) in zip(axes.flat, groups, strict=False)]


def view(estimates: pd.Series, low: pd.Series, high: pd.Series) -> tuple[float, float]:
    """The range of numbers that a figure shows: every estimate, zero, and the intervals as far as that stays legible.

    One very wide interval must not flatten all the others: beyond the estimates the view ends after their own range,
    or 50 where that is less. `whiskers` marks what goes on outside.
    """
    known = np.append(estimates.dropna(), 0.0)
    first, last = known.min(), known.max()
    reach = max(last - first, _REACH)
    bottom = max(np.append(low.dropna(), first).min(), first - reach)
    top = min(np.append(high.dropna(), last).max(), last + reach)
    margin = 0.04 * ((top - bottom) or 1.0)
    return bottom - (margin if bottom < 0 else 0.0), top + margin


def whiskers(
    axis: Axes,
    places: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    limits: tuple[float, float],
    *,
    horizontal: bool = False,
    colour: object = _INK,
) -> None:
    """Draw intervals from low to high, with caps; an arrow head where one goes on beyond ``limits``.

    An interval with a NaN is not drawn. The lines have the group id "interval".
    """
    bounds = np.column_stack([places, low, high]).astype(float)
    for place, below, above in bounds[np.isfinite(bounds).all(axis=1)]:
        draw = axis.hlines if horizontal else axis.vlines
        draw([place], [below], [above], color=colour, linewidth=1.3, zorder=4, gid="interval")
        for end, inside, outwards in ((below, below >= limits[0], "<v"), (above, above <= limits[1], ">^")):
            cap = ("|" if horizontal else "_") if inside else outwards[not horizontal]
            shown = min(max(end, limits[0]), limits[1])
            where = (shown, place) if horizontal else (place, shown)
            axis.plot(*where, marker=cap, color=colour, markersize=6, markeredgewidth=1.3, zorder=4, clip_on=False)


def undefined(axis: Axes, place: float, at: float, *, horizontal: bool = False) -> None:
    """Say that a number is not defined, where its bar or point would be."""
    where = (at, place) if horizontal else (place, at)
    turn = {"rotation": 0, "ha": "left", "va": "center"} if horizontal else {"rotation": 90, "ha": "center"}
    axis.text(*where, f" {UNDEFINED}", fontsize=7, color="0.35", **({"va": "bottom"} | turn))


def legend_outside(axis: Axes, **options: object) -> None:
    """The legend of an axis, to the right of it and without a frame."""
    options = {"fontsize": 9, "title_fontsize": 8} | options
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, **options)


def save(figure: Figure, folder: Path, name: str) -> Figure:
    """Write ``figures/<name>.png`` and ``.pdf`` below a notebook's folder; returns the figure, to be shown."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "pdf"):
        figure.savefig(folder / "figures" / f"{name}.{suffix}", dpi=200, bbox_inches="tight")
    plt.close(figure)  # the notebook shows what a cell returns; an open figure would be shown twice
    return figure
