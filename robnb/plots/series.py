"""Scores and drop along something that was varied: the model's size, the radius of adversarial training, a rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robnb.errors import UserError
from robnb.metrics import ALL
from robnb.names import METRICS
from robnb.plots.drawing import Look, legend_outside, looks, panels, undefined, view, whiskers
from robnb.tables import ARM, with_labels


def scores_along(
    summary: pd.DataFrame, places: Mapping[tuple[str, str], float], called: str, *, even: bool = False
) -> Figure:
    """Clean and corrupted score along an axis, a panel per task and metric.

    Args:
        summary: as `robnb.statistics.Results` gives it.
        places: what was varied, by (backbone, weights); where weights say how they were transferred, what is given for
            them alone counts too. Models without a place are left out.
        called: the name of what was varied, with the unit.
        even: whether the places stand at equal distances, in their order, rather than where their numbers are.

    Raises:
        UserError: no model has a place.
    """
    rows, ticks = _placed(summary, places, even)
    look = looks(rows["model"])
    figure, drawn = panels(rows, 2.9, 3.4, legend=True, columns=len(METRICS))
    for axis, panel in drawn:
        limits = (0.0, 1.06 * (panel[["P", "P_high", "mPC_high"]].max(axis=None) or 1.0))
        for quantity, filled in (("P", True), ("mPC", False)):
            _points(axis, panel, quantity, look, limits, filled=filled)
        _axis(axis, ticks, limits)
    _legend(drawn, look, "filled: clean (P)\nopen: corrupted (mPC)")
    figure.supxlabel(called, fontsize=9)
    figure.supylabel("score (%)", fontsize=9)
    return figure


def drops_along(
    summary: pd.DataFrame, places: Mapping[tuple[str, str], float], called: str, *, even: bool = False
) -> Figure:
    """The overall drop along an axis, a panel per task and metric; arguments as for `scores_along`."""
    rows, ticks = _placed(summary, places, even)
    look = looks(rows["model"])
    limits = view(*(rows[column] for column in ("drop", "drop_low", "drop_high")))
    figure, drawn = panels(rows, 2.9, 3.4, share="y", legend=True, columns=len(METRICS))
    for axis, panel in drawn:
        _points(axis, panel, "drop", look, limits, filled=True)
        _axis(axis, ticks, limits)
    _legend(drawn, look, None)
    figure.supxlabel(called, fontsize=9)
    figure.supylabel("drop (%)", fontsize=9)
    return figure


def _placed(
    summary: pd.DataFrame, places: Mapping[tuple[str, str], float], even: bool
) -> tuple[pd.DataFrame, dict[float, float]]:
    """The overall rows with their place on the axis, and the axis's ticks: number -> place."""
    rows = with_labels(summary[summary["category"] == ALL])
    models = zip(rows["backbone"], rows["weights"], strict=True)
    found = [places.get((b, w), places.get((b, w.partition(ARM)[0]), np.nan)) for b, w in models]
    rows = rows.assign(place=found).dropna(subset="place")
    if rows.empty:
        raise UserError("no model of the summary has a place on that axis: give one for each (backbone, weights).")
    ticks = {place: rank if even else place for rank, place in enumerate(sorted(rows["place"].unique()))}
    return rows.assign(place=rows["place"].map(ticks)), ticks


def _points(
    axis: Axes,
    panel: pd.DataFrame,
    quantity: str,
    look: Mapping[str, Look],
    limits: tuple[float, float],
    *,
    filled: bool,
) -> None:
    """One quantity of every model with its interval, joined by a thin line unless two share a place."""
    panel = panel.sort_values("place", kind="stable")
    if panel["place"].is_unique:
        axis.plot(panel["place"], panel[quantity], color="0.6", linewidth=1, linestyle="-" if filled else ":", zorder=1)
    for row in panel.to_dict("records"):
        drawn = look[row["model"]]
        if np.isnan(row[quantity]):
            undefined(axis, row["place"], 0.0)
            continue
        low, high = row[f"{quantity}_low"], row[f"{quantity}_high"]
        whiskers(axis, [row["place"]], [low], [high], limits, colour=drawn.colour)
        face = [drawn.colour] if filled else "white"
        axis.scatter([row["place"]], [row[quantity]], marker=drawn.marker, s=42, facecolor=face,
                     edgecolor=[drawn.colour], linewidth=1.6, zorder=5)  # fmt: skip


def _axis(axis: Axes, ticks: Mapping[float, float], limits: tuple[float, float]) -> None:
    """All panels show all places, also those where a panel has nothing to draw."""
    first, last = min(ticks.values()), max(ticks.values())
    margin = 0.12 * ((last - first) or 1.0)
    axis.set_xticks(list(ticks.values()), [f"{place:.3g}" for place in ticks], fontsize=8)
    axis.set(xlim=(first - margin, last + margin), ylim=limits)


def _legend(drawn: Sequence[tuple[Axes, pd.DataFrame]], look: Mapping[str, Look], heading: str | None) -> None:
    """Beside the last panel of the first row."""
    axis = drawn[0][0]
    for model, of_model in look.items():
        axis.plot([], [], of_model.marker, color=of_model.colour, markersize=6, label=model)
    legend_outside(axis, **({"title": heading} if heading else {}))
