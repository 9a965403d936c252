"""The ledger's figures: every statement of every claim, every pair of models, severities, sources of variance."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from robnb.errors import UserError
from robnb.plots.drawing import legend_outside, looks, panels, view, whiskers
from robnb.statistics.decomposition import TEST_IMAGES
from robnb.tables import several_regimes, title, with_labels

_COLOURS = sns.color_palette("colorblind")
#: How a statement that stands so is drawn: colour, marker, whether it is filled, and what that is called.
_STANDINGS = {
    "holds": (_COLOURS[2], "o", True, "as claimed"),
    "does not hold": (_COLOURS[3], "X", True, "the other way"),
    "undecided": ("0.45", "o", False, "not told apart"),
}
_ROW = 0.085  # inches for a statement
#: Percent of the variance that can be seen in a bar.
_VISIBLE = 0.05
_FALLS = ("below 0", "not above the margin")


def statements(frame: pd.DataFrame, verdicts: pd.Series) -> Figure:
    """Every statement with its interval, by claim; to the right of zero is what the claim says.

    Args:
        frame: as `robnb.ledger.entries.statements` gives it.
        verdicts: of each claim, indexed by its id.

    Raises:
        UserError: nothing was measured.
    """
    rows = frame.dropna(subset="value")
    if rows.empty:
        raise UserError("no statement of a claim was measured: run the notebooks 01 to 06 first.")
    claims = list(rows["id"].unique())
    gaps = rows["id"].map({name: k for k, name in enumerate(claims)}) * 1.5
    rows = _turned(rows).assign(place=np.arange(len(rows)) + gaps)
    figure, axis = plt.subplots(figsize=(7.5, 1.2 + _ROW * (rows["place"].max() + 2)), layout="constrained")
    first, last = view(rows["value"], rows["low"], rows["high"])
    limits = min(first, -5.0), last
    for standing, (colour, marker, filled, said) in _STANDINGS.items():
        of, face = rows[rows["alone"] == standing], [colour] if filled else "white"
        whiskers(axis, of["place"], of["low"], of["high"], limits, horizontal=True, colour=colour)
        axis.scatter(of["value"], of["place"], marker=marker, s=22, facecolor=face, edgecolor=[colour], zorder=5)
        axis.plot([], [], marker, color=colour, markerfacecolor=face[0] if filled else face, label=said)
    _claim_names(axis, rows, claims, verdicts)
    axis.axvline(0, color="0.2", linewidth=1.2, zorder=2)
    axis.set(xlim=limits, ylim=(rows["place"].max() + 1.5, -1.5))
    axis.set_xlabel("percentage points in the direction that the claim names", fontsize=9)
    legend_outside(axis, title="each statement alone")
    return figure


def _turned(rows: pd.DataFrame) -> pd.DataFrame:
    """With its sign turned where the claim names a fall."""
    falls = rows["expected"].isin(_FALLS)
    return rows.assign(
        value=rows["value"].where(~falls, -rows["value"]),
        low=rows["low"].where(~falls, -rows["high"]),
        high=rows["high"].where(~falls, -rows["low"]),
    )


def _claim_names(axis: Axes, rows: pd.DataFrame, claims: Sequence[str], verdicts: pd.Series) -> None:
    places = [rows.loc[rows["id"] == name, "place"] for name in claims]
    axis.set_yticks([place.mean() for place in places], [f"{name}: {verdicts[name]}" for name in claims], fontsize=8)
    axis.grid(axis="y", visible=False)
    for place in places[1:]:
        axis.axhline(place.min() - 1.25, color="0.85", linewidth=0.8)


def pairs(frame: pd.DataFrame) -> Figure:
    """Every model's drop minus every other's, a panel per task, regime and metric; dots where they are told apart.

    Args:
        frame: as `robnb.ledger.pool.Pool.pairs` gives it: ``baseline`` is (backbone, weights).
    """
    others = pd.DataFrame(frame["baseline"].tolist(), columns=["backbone", "weights"], index=frame.index)
    rows = with_labels(frame).assign(against=with_labels(others)["model"])
    groups = list(rows.groupby(["task", "regime", "metric"], sort=False))
    regimes, reach = several_regimes(rows), float(np.nanmax(np.abs(rows["difference"])))
    side = 1.6 + 0.24 * rows["model"].nunique()
    down = -(-len(groups) // 2)
    figure, axes = plt.subplots(down, 2, figsize=(2 * side, side * down), layout="constrained", squeeze=False)
    for axis, (scored, panel) in zip(axes.flat, groups, strict=False):
        axis.set_title(title(*scored, regimes=regimes, separator="\n"), fontsize=9)
        shown = _matrix(axis, panel, reach)
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    figure.colorbar(shown, ax=axes, shrink=0.3, label="drop of row minus column (points)")
    return figure


def _matrix(axis: Axes, panel: pd.DataFrame, reach: float) -> AxesImage:
    """The models of a panel against each other, in their order."""
    order = list(dict.fromkeys([*panel["against"], *panel["model"]]))
    told = panel.assign(told=(panel["low"] > 0) | (panel["high"] < 0))
    table = told.pivot(index="model", columns="against").reindex(index=order)
    shown = axis.imshow(table["difference"].reindex(columns=order), cmap="PuOr_r", vmin=-reach, vmax=reach)
    where = np.argwhere(table["told"].reindex(columns=order).eq(True).to_numpy())
    axis.scatter(where[:, 1], where[:, 0], s=9, color="black", zorder=3)
    axis.set_xticks(range(len(order)), order, rotation=90, fontsize=8)
    axis.set_yticks(range(len(order)), order, fontsize=8)
    axis.grid(visible=False)
    return shown


def drops_by_severity(frame: pd.DataFrame) -> Figure:
    """The overall drop of each model at each severity, and its mean over all at the right; whiskers are intervals.

    Args:
        frame: as `robnb.ledger.pool.by_severity` gives it; ``severity`` 0 is the mean over all.
    """
    rows = with_labels(frame)
    severities = sorted(set(rows["severity"]) - {0})
    place = {severity: k for k, severity in enumerate(severities)} | {0: len(severities) + 0.5}
    look, limits = looks(rows["model"]), view(rows["drop"], rows["drop_low"], rows["drop_high"])
    figure, drawn = panels(rows, 2.9, 3.2, share="y", legend=True)
    for axis, panel in drawn:
        models = list(panel["model"].unique())
        for k, model in enumerate(models):
            of = panel[panel["model"] == model].sort_values("severity")
            at = of["severity"].map(place) + 0.12 * (k - (len(models) - 1) / 2)
            single = (of["severity"] > 0).to_numpy()
            axis.plot(at[single], of["drop"][single], color=look[model].colour, linewidth=1)
            axis.scatter(at, of["drop"], marker=look[model].marker, s=26, color=[look[model].colour], zorder=5)
            whiskers(axis, at, of["drop_low"], of["drop_high"], limits, colour=look[model].colour)
        names = [*map(str, severities), "mean"]
        axis.set_xticks(list(place.values()), names, fontsize=8)
        axis.set(ylim=limits)
    for model, of_model in look.items():
        drawn[0][0].plot([], [], of_model.marker, color=of_model.colour, markersize=6, label=model)
    legend_outside(drawn[0][0])
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("drop (%)", fontsize=9)
    return figure


def variance_shares(frame: pd.DataFrame) -> Figure:
    """What the single drops differ by: the share of each source, a bar for each score.

    Args:
        frame: as `robnb.statistics.decomposition.decomposition` gives it.
    """
    parts = frame[frame["source"] != TEST_IMAGES]
    regimes, where = several_regimes(frame), parts[["task", "regime", "metric"]].itertuples(index=False, name=None)
    parts = parts.assign(scored=[title(*scored, regimes=regimes, separator="\n") for scored in where])
    table = parts.pivot(index="scored", columns="source", values="share")
    table = table.reindex(index=parts["scored"].unique(), columns=parts["source"].unique())
    shown = (table > _VISIBLE).any()  # what was not varied is NaN
    table = table.loc[:, shown] if shown.any() else table.fillna(0.0)
    noise = frame[frame["source"] == TEST_IMAGES]["share"].to_numpy()
    figure, axis = plt.subplots(figsize=(7.5, 1.2 + 0.5 * len(table)), layout="constrained")
    table.plot.barh(stacked=True, ax=axis, color=sns.color_palette("colorblind", table.shape[1]), width=0.7)
    axis.plot(
        np.minimum(noise, 100),
        range(len(table)),
        "k|",
        markersize=16,
        markeredgewidth=2,
        label="noise of the\ntest images",
    )
    axis.invert_yaxis()
    axis.set(xlim=(0, 100), ylabel="")
    axis.set_xlabel("share of the variance of single drops (%)", fontsize=9)
    axis.tick_params(labelsize=8)
    legend_outside(axis)
    return figure
