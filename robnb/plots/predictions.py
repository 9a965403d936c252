"""What models said of one image: hits, misses and false alarms, told apart by colour, line and marker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.patheffects as effects
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from pycocotools import mask as rle

from robnb.data.sample import IGNORE, Instances
from robnb.evaluation.matching import IGNORED, objects_found
from robnb.evaluation.predict import Detections
from robnb.evaluation.replay import Seen

_BLUE, _ORANGE, _, _, _PINK, *_ = sns.color_palette("colorblind")
#: How each is drawn: colour, line, marker.
_HIT, _MISS, _FALSE = (_BLUE, "-", "o"), (_ORANGE, "--", "^"), (_PINK, ":", "X")
_NAMES = {"hit": _HIT, "missed": _MISS, "false alarm": _FALSE}
#: Lets a line be seen on any image.
_HALO = [effects.Stroke(linewidth=3.2, foreground="white"), effects.Normal()]
#: Of a label map's pixels that are wrong.
_HATCH = "////"
#: Share of an image's height in which a name above a box would lie outside.
_TOP = 0.06
#: Of the map "tab20", which labels share in turn; and how many labels the legend has room for.
_COLOURS, _NAMED = 20, 11


@dataclass(frozen=True)
class Shown:
    """One panel: a title, and what a model saw and said."""

    title: str
    seen: Seen


def predictions(
    rows: Sequence[Sequence[Shown]],
    target: int | Instances | np.ndarray,
    classes: Sequence[str],
    *,
    least_score: float = 0.3,
    masks: bool = False,
) -> Figure:
    """One image in several conditions (columns) as several models see it (rows), matched to what is annotated.

    Detections are matched as COCO does at an IoU of .50. Of a label map, what is wrong is hatched.

    Args:
        target: the image's annotation, as in `robnb.data.sample.Sample`.
        classes: of the data set, by label.
        least_score: detections below it are not drawn. Those above it match as they do without the others.
        masks: match and draw masks, not boxes.
    """
    height, width = rows[0][0].seen.image.shape[:2]
    columns = max(map(len, rows))
    size = (4.2 * columns, (4.2 * height / width + 0.35) * len(rows) + 0.35)
    figure, axes = plt.subplots(len(rows), columns, figsize=size, layout="constrained", squeeze=False)
    for row_of_axes, row in zip(axes, rows, strict=True):
        for axis, shown in zip(row_of_axes, row, strict=True):
            axis.imshow(shown.seen.image)
            axis.set(xticks=[], yticks=[])
            axis.autoscale(False)  # a box at the border must not move it
            if isinstance(target, Instances):
                said = _detections(axis, shown.seen.prediction, target, classes, least_score, masks)
            elif isinstance(target, np.ndarray):
                said = _label_map(axis, shown.seen.prediction, target)
            else:
                said = _classes(axis, shown.seen.prediction, target, classes)
            axis.set_title(f"{shown.title}\n{said}", fontsize=9)
    figure.legend(
        handles=_legend(target, rows, classes), loc="outside lower center", ncols=6, fontsize=8, frameon=False
    )
    return figure


def _detections(
    axis: Axes, found: Detections, target: Instances, classes: Sequence[str], least_score: float, masks: bool
) -> str:
    objects = objects_found(found, target, masks=masks)
    kept = [k for k in range(len(objects)) if found.scores[k] >= least_score and objects[k] != IGNORED]
    hits = {int(objects[k]) for k in kept} - {-1}
    missed = [k for k in np.flatnonzero(~target.crowd).tolist() if k not in hits]
    for k in missed:
        _outline(axis, target.boxes[k], target.masks[k], masks, _MISS, classes[target.labels[k]])
    for k in kept:
        look = _HIT if objects[k] >= 0 else _FALSE
        text = f"{classes[found.labels[k]]} {found.scores[k]:.2f}"
        _outline(axis, found.boxes[k], found.masks[k], masks, look, text)
    return f"{len(hits)} hit, {len(missed)} missed, {len(kept) - len(hits)} false alarms"


def _outline(axis: Axes, box: np.ndarray, mask: dict, masks: bool, look: tuple, text: str) -> None:
    """An object's box or mask, with its name and a marker at its upper left."""
    colour, line, marker = look
    x0, y0, x1, y1 = box
    if masks:
        drawn = axis.contour(rle.decode(mask), levels=[0.5], colors=[colour], linewidths=1.6, linestyles=line)
        drawn.set_path_effects(_HALO)
    else:
        style = {"fill": False, "edgecolor": colour, "linestyle": line, "linewidth": 1.8}
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, path_effects=_HALO, **style))
    axis.plot(x0, y0, marker=marker, color=colour, markersize=7, markeredgecolor="white", clip_on=False)
    tag = {"facecolor": "white", "alpha": 0.8, "pad": 0.6, "linewidth": 0}
    inside = y0 < _TOP * axis.get_ylim()[0]  # not over the title
    axis.text(x1, y0, text, fontsize=7, color="0.1", ha="right", va="top" if inside else "bottom", bbox=tag)


def _label_map(axis: Axes, predicted: np.ndarray, target: np.ndarray) -> str:
    shown = np.ma.masked_where(target == IGNORE, predicted % _COLOURS)
    axis.imshow(shown, cmap="tab20", vmin=0, vmax=_COLOURS - 1, alpha=0.6, interpolation="nearest")
    labelled = target != IGNORE
    wrong = labelled & (predicted != target)
    if wrong.any():
        axis.contourf(wrong, levels=[0.5, 1.5], colors="none", hatches=[_HATCH])
    return f"{100 * (1 - wrong.sum() / max(labelled.sum(), 1)):.0f} % of the labelled pixels right"


def _classes(axis: Axes, best: np.ndarray, target: int, classes: Sequence[str]) -> str:
    right = int(best[0]) == target
    colour, line, _ = _HIT if right else _MISS
    for side in axis.spines.values():
        side.set(visible=True, color=colour, linestyle=line, linewidth=4)
    others = ", ".join(classes[k] for k in best[1:3])
    said = f"{classes[best[0]]}: " + ("right" if right else f"wrong, it is {classes[target]}")
    return said + (f" (then {others})" if others else "")


def _legend(target: int | Instances | np.ndarray, rows: Sequence[Sequence[Shown]], classes: Sequence[str]) -> list:
    if isinstance(target, np.ndarray):
        maps = [target, *(shown.seen.prediction for row in rows for shown in row)]
        colours, there = plt.get_cmap("tab20"), np.unique(np.concatenate([one.ravel() for one in maps]))
        named = [Patch(color=colours(k % _COLOURS), alpha=0.6, label=classes[k]) for k in there if k != IGNORE]
        return [*named[:_NAMED], Patch(facecolor="none", edgecolor="0.2", hatch=_HATCH, label="wrong")]
    names = _NAMES if isinstance(target, Instances) else {"right": _HIT, "wrong": _MISS}
    return [Line2D([], [], color=colour, linestyle=line, marker=marker, label=name)
            for name, (colour, line, marker) in names.items()]  # fmt: skip
