"""What the figures share: panels, colours, whiskers, legends, saving."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from robnb.errors import UserError
from robnb.names import METRICS, REGIMES
from robnb.tables import UNDEFINED, several_regimes, title

_MARKERS = "osD^vPX"
#: Of a model that is to be found at once.
_STAR, _STAR_SIZE, _BORDER = "*", 2.2, 2.4
#: How many panels stand side by side, at most, where nothing else is said.
COLUMNS = 3
_INK = "0.15"
#: How far, at least, a whisker may reach beyond the estimates before the view ends; percent or percentage points.
_REACH = 50.0


#: (task, regime, metric) and its rows.
Panel = tuple[tuple[str, str, str], pd.DataFrame]


@dataclass(frozen=True)
class Look:
    """How a model is drawn in every panel of a figure.

    Attributes:
        marked: whether it is to be found at once: a star among points, a dark border among bars, its name in bold.
    """

    colour: tuple[float, float, float]
    marker: str
    marked: bool = False

    @property
    def border(self) -> dict[str, object]:
        """Of its bar."""
        return {"edgecolor": _INK, "linewidth": _BORDER} if self.marked else {}

    @property
    def enlarged(self) -> float:
        """How much larger than others its points are, in area: a star fills less of its place than a disc."""
        return _STAR_SIZE if self.marked else 1.0


def looks(models: Iterable[str], marked: Collection[str] = ()) -> dict[str, Look]:
    """A colour-blind safe colour and a marker for each model, in order of appearance."""
    names = list(dict.fromkeys(models))
    colours = sns.color_palette("colorblind", len(names))
    return {
        name: Look(colours[k], _STAR if name in marked else _MARKERS[k % len(_MARKERS)], name in marked)
        for k, name in enumerate(names)
    }


def names_of(rows: pd.DataFrame, models: Collection[tuple[str, str]]) -> set[str]:
    """What models, as (backbone, weights), are called in labelled rows."""
    called = zip(rows["backbone"], rows["weights"], rows["model"], strict=True)
    return {name for backbone, weights, name in called if (backbone, weights) in models}


def embolden(texts: Iterable[Text], look: Mapping[str, Look]) -> None:
    """Write the names of marked models in bold."""
    for text in texts:
        if text.get_text() in look and look[text.get_text()].marked:
            text.set_fontweight("bold")


def panels(
    rows: pd.DataFrame, width: float, height: float, *, share: str = "", columns: int = COLUMNS, legend: bool = False
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A titled panel for each task, regime and metric of ``rows``; ``share``: the axes in common, "x", "y" or "xy".

    Args:
        columns: how many stand side by side, at most; four where a task was learnt in several ways, which then have
            rows of their own.
        width: of a panel, as ``height``, in inches.
        legend: leave room for one on the right.

    Raises:
        UserError: there is nothing to draw.
    """
    if rows.empty:
        raise UserError("there is no score to draw: choose a metric of a task that the study has.")
    regimes = several_regimes(rows)
    grid = _grid(list(rows.groupby(["task", "regime", "metric"], sort=False)), columns, regimes)
    across, down = max(map(len, grid)), len(grid)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(width * across + 1.4 * legend, height * down),
        layout="constrained",
        squeeze=False,
        sharex="x" in share,
        sharey="y" in share,
    )
    drawn = []
    for row_of_axes, row in zip(axes, grid, strict=True):
        for axis, (scored, group) in zip(row_of_axes, row, strict=False):
            axis.set_title(title(*scored, regimes=regimes, separator="\n"), fontsize=9)
            axis.tick_params(labelbottom=True, labelsize=9)  # sharing hides it above a place that no panel takes
            drawn.append((axis, group))
        for axis in row_of_axes[len(row) :]:
            axis.set_visible(False)
    return figure, drawn


def _grid(panels: list[Panel], columns: int, by_regime: bool) -> list[list[Panel]]:
    """The panels row by row, in rows as even as they can be; what every weight was trained for in rows of its own."""
    parts = [panels]
    if by_regime and len(panels) > columns:
        parts = [[panel for panel in panels if (panel[0][1] == REGIMES[-1]) is trained] for trained in (False, True)]
        columns = max(columns, len(METRICS))
    rows = []
    for part in filter(None, parts):
        across = -(-len(part) // -(-len(part) // columns))
        rows += [part[k : k + across] for k in range(0, len(part), across)]
    return rows


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


def legend_outside(axis: Axes, look: Mapping[str, Look] | None = None, **options: object) -> None:
    """The legend of a figure, right of the last panel in its first row: what any panel names, once.

    Args:
        axis: any panel; its own names come first.
        look: how models are drawn; the names of marked ones are bold.
        options: of matplotlib's legend.
    """
    named = {}
    for other in (axis, *axis.figure.axes):
        for handle, label in zip(*other.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    options = {"fontsize": 9, "title_fontsize": 8, "handles": named.values(), "labels": named.keys()} | options
    places = [(other, other.get_subplotspec()) for other in axis.figure.axes if other.get_visible()]
    first_row = [other for other, place in places if place is not None and place.is_first_row()]
    legend = first_row[-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, **options)
    embolden(legend.get_texts(), look or {})


def save(figure: Figure, folder: Path, name: str) -> Figure:
    """Write ``figures/<name>.png`` and ``.pdf`` below a notebook's folder; returns the figure, to be shown."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "pdf"):
        figure.savefig(folder / "figures" / f"{name}.{suffix}", dpi=200, bbox_inches="tight")
    plt.close(figure)  # the notebook shows what a cell returns; an open figure would be shown twice
    return figure
