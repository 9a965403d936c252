"""Each metric of resampled test images, from the per-image results of one model under one condition.

A function of a metric takes the per-image table, the weights of the images (samples, images; unsigned integers) and
the number of classes, and gives the metric in percent, float64 (samples,). With weights of one it is the metric itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from robnb.evaluation.lists import flat, image_of_each
from robnb.statistics.average_precision import Matches, average_precision

_AT_A_TIME = 2**22  # weights turned to float64: 32 MB


@dataclass(frozen=True)
class MetricDraws:
    """How a metric is recomputed: the columns that it reads, and ``of(table, weights, classes)``."""

    columns: tuple[str, ...]
    of: Callable[[pa.Table, np.ndarray, int], np.ndarray]


def weighted_sums(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``weights @ values`` in float64, (samples, columns): exact for whole numbers, in pieces to save memory.

    ``weights``: unsigned integers (samples, images); ``values``: (images, columns).
    """
    values = values.astype(np.float64)
    sums = np.empty((len(weights), values.shape[1]))
    rows = max(1, _AT_A_TIME // max(1, weights.shape[1]))
    for start in range(0, len(weights), rows):
        sums[start : start + rows] = weights[start : start + rows].astype(np.float64) @ values
    return sums


def accuracy(best: int) -> MetricDraws:
    """Percent of images whose ``target`` is among the first ``best`` of ``top``."""

    def of(table: pa.Table, weights: np.ndarray, classes: int) -> np.ndarray:
        image = image_of_each(table, "top")
        rank = np.arange(len(image)) - np.searchsorted(image, image)
        found = flat(table, "top") == table.column("target").to_numpy()[image]
        correct = np.zeros((table.num_rows, 1))
        correct[image[found & (rank < best)]] = 1
        return 100.0 * weighted_sums(weights, correct)[:, 0] / weights.sum(axis=1, dtype=np.int64)

    return MetricDraws(("target", "top"), of)


def mean_iou(table: pa.Table, weights: np.ndarray, classes: int) -> np.ndarray:
    """Mean over classes of intersection / union, each summed over the sample first (mmseg's IoUMetric).

    A class that a sample neither shows nor predicts is left out of its mean; NaN where that leaves none.
    """
    image = image_of_each(table, "pixels")
    target, predicted, pixels = (flat(table, column) for column in ("target", "predicted", "pixels"))
    intersection, union = np.zeros((2, table.num_rows, classes))
    right = target == predicted
    np.add.at(intersection, (image[right], target[right]), pixels[right])
    np.add.at(union, (image, target), pixels)
    np.add.at(union, (image[~right], predicted[~right]), pixels[~right])
    intersection, union = weighted_sums(weights, intersection), weighted_sums(weights, union)
    seen = union > 0
    shares = np.divide(intersection, union, out=np.zeros_like(union), where=seen)
    with np.errstate(invalid="ignore"):
        return 100.0 * shares.sum(1) / seen.sum(1)


def coco_ap(kind: str) -> MetricDraws:
    """COCO's AP of boxes or masks (``kind`` "box" or "mask"), see `average_precision`."""

    def of(table: pa.Table, weights: np.ndarray, classes: int) -> np.ndarray:
        return average_precision(Matches.of_table(table, kind, classes), weights)

    return MetricDraws(("scores", "labels", f"{kind}_matched", f"{kind}_ignored", "truth"), of)


METRIC_DRAWS: dict[str, MetricDraws] = {
    "top1": accuracy(1),
    "top5": accuracy(5),
    "mIoU": MetricDraws(("target", "predicted", "pixels"), mean_iou),
    "box_AP": coco_ap("box"),
    "mask_AP": coco_ap("mask"),
}
