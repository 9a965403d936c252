"""What is kept of an image under a condition: one row of an Arrow table.

Columns of every task: ``image_id``, ``corruption`` ("clean" where there is none), ``severity`` (0 for clean),
``replicate``. Then, by task:

    upstream, classification   target; top (the best classes, best first)
    segmentation               target, predicted, pixels: the cells of the image's confusion matrix that are not zero;
                               pixels that are labelled 255 are left out
    detection                  coco_id, height, width; boxes (x0 y0 x1 y1 of each, in pixels), scores, labels, masks
                               (COCO's compressed run lengths); box_matched, box_ignored, mask_matched, mask_ignored
                               (a bit for each IoU threshold, see `robnb.evaluation.matching`); truth: labels of the
                               objects that are to be found
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from robnb.corruptions import Condition
from robnb.data.sample import IGNORE, Sample
from robnb.evaluation.matching import match
from robnb.evaluation.predict import Detections

_MATCHES = ("box_matched", "box_ignored", "mask_matched", "mask_ignored")


def table(
    task: str, samples: Sequence[Sample], predictions: Sequence[Any], condition: Condition, replicate: int = 0
) -> pa.Table:
    """The rows of some images under one condition, in their order.

    Args:
        samples: their images are not read.
        predictions: one for each sample, as the task's predictor gives it.
    """
    count = len(samples)
    keys = {
        "image_id": pa.array([sample.image_id for sample in samples], pa.string()),
        "corruption": pa.array([condition.corruption] * count, pa.string()),
        "severity": pa.array([condition.severity] * count, pa.int8()),
        "replicate": pa.array([replicate] * count, pa.int16()),
    }
    return pa.table({**keys, **_COLUMNS[task](samples, predictions)})


def _classes(samples: Sequence[Sample], predictions: Sequence[np.ndarray]) -> dict[str, pa.Array]:
    return {
        "target": pa.array([sample.target for sample in samples], pa.int32()),
        "top": _lists(predictions, pa.int32()),
    }


def _confusions(samples: Sequence[Sample], predictions: Sequence[np.ndarray]) -> dict[str, pa.Array]:
    cells = [_confusion(sample.target, found) for sample, found in zip(samples, predictions, strict=True)]
    return {
        "target": _lists([pairs // 256 for pairs, _ in cells], pa.uint8()),
        "predicted": _lists([pairs % 256 for pairs, _ in cells], pa.uint8()),
        "pixels": _lists([pixels for _, pixels in cells], pa.uint32()),
    }


def _confusion(target: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(256 * target + predicted, number of such pixels) of every pair that occurs, sorted."""
    valid = target != IGNORE
    counts = np.bincount(256 * target[valid].astype(np.int32) + predicted[valid], minlength=1)
    pairs = np.flatnonzero(counts)
    return pairs, counts[pairs]


def _detections(samples: Sequence[Sample], predictions: Sequence[Detections]) -> dict[str, pa.Array]:
    matches = [match(found, sample.target) for sample, found in zip(samples, predictions, strict=True)]
    columns = {
        "coco_id": pa.array([sample.target.coco_id for sample in samples], pa.int64()),
        "height": pa.array([sample.image.shape[0] for sample in samples], pa.int32()),
        "width": pa.array([sample.image.shape[1] for sample in samples], pa.int32()),
        "boxes": _lists([found.boxes.ravel() for found in predictions], pa.float32()),
        "scores": _lists([found.scores for found in predictions], pa.float32()),
        "labels": _lists([found.labels for found in predictions], pa.int16()),
        "masks": pa.array([[mask["counts"] for mask in found.masks] for found in predictions], pa.list_(pa.binary())),
    }
    for name in _MATCHES:
        columns[name] = _lists([getattr(matched, name) for matched in matches], pa.uint16())
    columns["truth"] = _lists([matched.truth for matched in matches], pa.int16())
    return columns


def _lists(parts: Sequence[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    """One list per part; no Python object per number."""
    offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int32)
    flat = np.concatenate([np.asarray(part) for part in parts]) if parts else np.empty(0)
    return pa.ListArray.from_arrays(offsets, pa.array(flat.astype(kind.to_pandas_dtype())))


_COLUMNS: dict[str, Callable[[Sequence[Sample], Sequence[Any]], dict[str, pa.Array]]] = {
    "upstream": _classes,
    "classification": _classes,
    "segmentation": _confusions,
    "detection": _detections,
}
