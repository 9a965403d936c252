"""Pictures: samples of a data set with their annotations, and an image under every condition."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pycocotools import mask as rle

from robnb.corruptions import Condition, corrupt
from robnb.data.sample import IGNORE, Sample
from robnb.data.sources import Reader
from robnb.errors import UserError
from robnb.models.prime_preprocessor import PrimeDetDataPreprocessor
from robnb.names import CLEAN
from robnb.seeding import seeded

#: Pictures side by side, at most.
_ACROSS = 8


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
    columns = min(_ACROSS, len(conditions))
    rows = -(-len(conditions) // columns)
    height, width = sample.image.shape[:2]
    size = (1.75 * columns, (1.75 * height / width + 0.3) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, condition in zip(axes.flat, conditions, strict=False):
        name, severity = condition.corruption, condition.severity
        axis.imshow(_under(condition, sample, seed, engine))
        axis.set_title(name.replace("_", " ") + (f" {severity}" if severity else ""), fontsize=8)
    return figure


def severity_grid(sample: Sample, conditions: Sequence[Condition], seed: int, engine: str = "fast") -> Figure:
    """One image under every condition: a column for each corruption, a row for each severity; blocks of eight columns.

    Raises:
        UserError: there is no corrupted condition.
    """
    corrupted = [condition for condition in conditions if condition.corruption != CLEAN]
    if not corrupted:
        raise UserError("only the clean condition is there: name a corruption.")
    names = list(dict.fromkeys(condition.corruption for condition in corrupted))
    severities = sorted({condition.severity for condition in corrupted})
    columns, blocks = min(_ACROSS, len(names)), -(-len(names) // _ACROSS)
    height, width = sample.image.shape[:2]
    size = (1.4 * columns + 0.3, (1.4 * height / width + 0.08) * len(severities) * blocks + 0.3 * blocks)
    figure, axes = plt.subplots(len(severities) * blocks, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        sns.despine(ax=axis, left=True, bottom=True)
    for condition in corrupted:
        place, row = names.index(condition.corruption), severities.index(condition.severity)
        axis = axes[place // _ACROSS * len(severities) + row, place % _ACROSS]
        axis.imshow(_under(condition, sample, seed, engine))
        if row == 0:
            axis.set_title(condition.corruption.replace("_", " "), fontsize=8)
        if place % _ACROSS == 0:
            axis.set_ylabel(f"severity {condition.severity}", fontsize=8)
    return figure


def _under(condition: Condition, sample: Sample, seed: int, engine: str) -> np.ndarray:
    if condition.corruption == CLEAN:
        return sample.image
    about = {"image_id": sample.image_id, "seed": seed, "engine": engine}
    return corrupt(sample.image, condition.corruption, condition.severity, **about)


def strengths(rows: pd.DataFrame) -> Figure:
    """How far each corruption moves the pixels at each severity, as `robnb.strength.strengths` gives it."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.32 * rows["corruption"].nunique() + 1.2), sharey=True)
    named = {"difference": ("mean difference (grey levels)", ".0f", "rocket_r")}
    named["similarity"] = ("structural similarity", ".2f", "rocket")
    for axis, (column, (title, form, colours)) in zip(axes, named.items(), strict=True):
        table = rows.pivot(index="corruption", columns="severity", values=column).loc[rows["corruption"].unique()]
        sns.heatmap(table, annot=True, fmt=form, cmap=colours, ax=axis, cbar=False, linewidths=0.5)
        axis.set_title(title, fontsize=10)
        axis.set_ylabel("")
        axis.tick_params(axis="y", rotation=0)
    figure.tight_layout()
    return figure


#: PRIME in the transfer as it is defined, and as the paper's authors released it.
_PRIMES = {"as defined": {"range": "unit", "depth": -1}, "as released": {"range": "bytes", "depth": 1}}


def prime_samples(image: np.ndarray, seed: int, count: int = 6) -> Figure:
    """What PRIME makes of a training image in the transfer, a row as defined and one as the authors released it.

    Args:
        image: uint8 RGB (H, W, 3).
        seed: of the draws, which both rows share.
    """
    height, width = image.shape[:2]
    size = (1.9 * (count + 1), 2 * (1.9 * height / width + 0.25))
    figure, axes = plt.subplots(len(_PRIMES), count + 1, figsize=size, layout="constrained")
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    for row, (called, options) in zip(axes, _PRIMES.items(), strict=True):
        preprocessor = PrimeDetDataPreprocessor(**options)
        row[0].imshow(image)
        row[0].set_title("image", fontsize=9)
        row[1].set_title(f"PRIME {called}", fontsize=9)
        for draw, axis in enumerate(row[1:]):
            with seeded("prime samples", seed, draw):
                mixed = preprocessor({"inputs": [pixels], "data_samples": None}, training=True)["inputs"][0]
            axis.imshow(mixed[:, :height, :width].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())
        for axis in row:
            axis.set_axis_off()
    return figure
