"""Frames and samples in, figures out. Every figure is colour-blind safe and readable in print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pycocotools import mask as rle

from robnb.corruptions import Condition, corrupt
from robnb.data.sample import IGNORE, Sample
from robnb.data.sources import Reader
from robnb.metrics import ALL
from robnb.names import CATEGORIES, CLEAN, CORRUPTIONS, VALIDATION_CORRUPTIONS
from robnb.tables import METRIC_TITLES, TASK_TITLES, with_labels

sns.set_theme(style="whitegrid", context="notebook", palette="colorblind", rc={"figure.dpi": 110})


def samples(reader: Reader, count: int = 6) -> Figure:
    """The first ``count`` samples of a data set, with what is annotated on them."""
    figure, axes = plt.subplots(1, count, figsize=(2.2 * count, 2.4), layout="constrained")
    for axis, index in zip(axes, np.linspace(0, len(reader) - 1, count).astype(int), strict=True):
        sample = reader[int(index)]
        axis.imshow(sample.image)
        axis.set_axis_off()
        axis.autoscale(False)  # a box or contour at the border must not move it
        _annotate(axis, sample, reader.classes)
    return figure


def _annotate(axis: Axes, sample: Sample, classes: Sequence[str]) -> None:
    if isinstance(sample.target, int):
        axis.set_title(classes[sample.target], fontsize=10)
    elif isinstance(sample.target, np.ndarray):
        shown = np.ma.masked_equal(sample.target, IGNORE)
        axis.imshow(shown, cmap="tab20", vmin=0, vmax=19, alpha=0.65, interpolation="nearest")
        present = [classes[k] for k in np.unique(shown.compressed())]
        axis.set_title(", ".join(present[:4]) + (" ..." if len(present) > 4 else ""), fontsize=8)
    else:
        colours = sns.color_palette("colorblind", len(classes))
        for box, target, mask in zip(sample.target.boxes, sample.target.labels, sample.target.masks, strict=True):
            x0, y0, x1, y1 = box
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colours[target], linewidth=1.6))
            axis.contour(rle.decode(mask), levels=[0.5], colors=[colours[target]], linewidths=0.8)
            tag = {"facecolor": colours[target], "pad": 0.8, "linewidth": 0}
            axis.text(x0, y0 - 1, classes[target], fontsize=6, color="white", va="bottom", bbox=tag)


def corruption_grid(sample: Sample, conditions: Sequence[Condition], seed: int, engine: str = "fast") -> Figure:
    """One image, clean and under every condition: exactly the pixels that the models are scored on."""
    columns = min(8, len(conditions))
    rows = -(-len(conditions) // columns)
    height, width = sample.image.shape[:2]
    size = (1.75 * columns, (1.75 * height / width + 0.3) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, condition in zip(axes.flat, conditions, strict=False):
        name, severity = condition.corruption, condition.severity
        shown = sample.image
        if name != CLEAN:
            shown = corrupt(sample.image, name, severity, image_id=sample.image_id, seed=seed, engine=engine)
        axis.imshow(shown)
        axis.set_title(name.replace("_", " ") + (f" {severity}" if severity else ""), fontsize=8)
    return figure


def drop_by_category(summary: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Drop in each category of corruptions and over all, a panel per metric; lower is more robust."""
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(5.2 * len(metrics), 3.8), layout="constrained", sharey=True, squeeze=False
    )
    order = [category for category in (*CATEGORIES, ALL) if category in set(summary["category"])]
    for axis, metric in zip(axes.flat, metrics, strict=True):
        rows = with_labels(summary[summary["metric"] == metric])
        sns.barplot(rows, x="category", y="drop", hue="model", order=order, ax=axis, legend=axis is axes.flat[-1])
        axis.set(title=METRIC_TITLES[metric], xlabel="", ylabel="drop (%)")
        axis.axhline(0, color="0.3", linewidth=0.8)
    _legend_outside(axes.flat[-1])
    return figure


def clean_and_corrupted(summary: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Where each model starts (P, filled) and where the corruptions take it (mPC, open), a panel per metric."""
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(3.9 * len(metrics), 2.6), layout="constrained", sharey=True, squeeze=False
    )
    for axis, metric in zip(axes.flat, metrics, strict=True):
        rows = with_labels(summary[(summary["metric"] == metric) & (summary["category"] == ALL)])
        places = np.arange(len(rows))[::-1]
        colours = sns.color_palette("colorblind", len(rows))
        axis.hlines(places, rows["mPC"], rows["P"], color=colours, linewidth=2)
        axis.scatter(rows["P"], places, color=colours, s=55, zorder=3)
        axis.scatter(rows["mPC"], places, facecolor="white", edgecolor=colours, s=55, linewidth=2, zorder=3)
        axis.set_yticks(places, rows["model"])
        axis.set(
            title=f"{METRIC_TITLES[metric]}: clean (filled), corrupted (open)", xlabel="%", ylim=(-0.6, len(rows) - 0.4)
        )
        axis.title.set_fontsize(10)
        axis.set_xlim(0, 1.08 * rows["P"].max() or 1)
    return figure


def drop_by_task(summary: pd.DataFrame) -> Figure:
    """Overall drop on the upstream task and on each downstream one: figure 2 of the paper, in our world."""
    rows = with_labels(summary[summary["category"] == ALL])
    panels = list(rows.groupby(["task", "metric"], sort=False))
    figure, axes = plt.subplots(1, len(panels), figsize=(2.7 * len(panels), 3.4), layout="constrained", sharey=True)
    for axis, ((task, metric), panel) in zip(np.atleast_1d(axes), panels, strict=True):
        sns.barplot(panel, x="model", y="drop", hue="model", ax=axis, legend=False)
        axis.set_title(f"{TASK_TITLES[task]}\n{METRIC_TITLES[metric]}", fontsize=9)
        axis.set(xlabel="", ylabel="drop (%)")
        axis.tick_params(axis="x", rotation=30)
        axis.axhline(0, color="0.3", linewidth=0.8)
    return figure


def drop_by_corruption(scores: pd.DataFrame, metric: str) -> Figure:
    """Drop under every single corruption (mean over severities), a row per model."""
    rows = with_labels(scores[scores["metric"] == metric])
    clean = rows[rows["corruption"] == CLEAN].set_index("model")["value"]
    mean = rows[rows["corruption"] != CLEAN].groupby(["model", "corruption"])["value"].mean().unstack()
    drop = (100 * (1 - mean.div(clean.where(clean > 0), axis=0))).reindex(clean.index)
    drop = drop[[name for name in CORRUPTIONS if name in drop]]
    worst = 1.0 if drop.isna().all(axis=None) else float(drop.max(axis=None))
    figure, axis = plt.subplots(figsize=(1.2 + 0.72 * drop.shape[1], 1.3 + 0.42 * len(drop)), layout="constrained")
    sns.heatmap(drop, ax=axis, cmap="rocket_r", vmin=0, vmax=worst, annot=True, fmt=".0f", annot_kws={"size": 8},
                cbar_kws={"label": "drop (%)"}, linewidths=0.5)  # fmt: skip
    axis.set(title=METRIC_TITLES[metric], xlabel="", ylabel="")
    axis.set_xticks(axis.get_xticks(), [name.replace("_", " ") for name in drop], rotation=40, ha="right", fontsize=8)
    return figure


def speed(timings: pd.DataFrame) -> Figure:
    """Milliseconds per image of each engine (mean over severities), on a logarithmic scale; further left is faster.

    Args:
        timings: of one size, as `robnb.speed.timing.measure` gives them.
    """
    mean = timings.groupby(["engine", "corruption"], sort=False)["ms"].mean().reset_index()
    order = [name for name in (*CORRUPTIONS, *VALIDATION_CORRUPTIONS) if name in set(mean["corruption"])]
    engines = list(mean["engine"].unique())
    # A little below each other, because two engines often take the same time.
    offset = mean["engine"].map(lambda engine: 0.18 * (engines.index(engine) - (len(engines) - 1) / 2))
    rows = mean.assign(row=mean["corruption"].map(order.index) + offset).rename(columns={"engine": ""})
    figure, axis = plt.subplots(figsize=(8.6, 1.2 + 0.38 * len(order)), layout="constrained")
    axis.set_xscale("log")
    sns.scatterplot(rows, x="ms", y="row", hue="", style="", markers=list("os^Dv")[: len(engines)], s=42, ax=axis)
    for place in range(1, len(order)):
        border = order[place] == VALIDATION_CORRUPTIONS[0]
        axis.axhline(place - 0.5, color="0.3" if border else "0.85", linewidth=1.2 if border else 0.8)
    axis.grid(axis="y", visible=False)
    axis.set_yticks(range(len(order)), [name.replace("_", " ") for name in order], fontsize=9)
    axis.set(xlabel="ms per image (logarithmic)", ylabel="", ylim=(len(order) - 0.5, -0.5))
    axis.xaxis.set_major_formatter("{x:g}")
    _legend_outside(axis)
    return figure


def save(figure: Figure, folder: Path, name: str) -> Figure:
    """Write ``figures/<name>.png`` and ``.pdf`` below a notebook's folder; returns the figure, to be shown."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "pdf"):
        figure.savefig(folder / "figures" / f"{name}.{suffix}", dpi=200, bbox_inches="tight")
    plt.close(figure)  # the notebook shows what a cell returns; an open figure would be shown twice
    return figure


def _legend_outside(axis: Axes) -> None:
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="")
