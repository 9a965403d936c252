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

#: A row's values by column, as numpy arrays or plain values.
Record = dict[str, Any]
_CLASSES = {"target": pa.int32(), "top": pa.list_(pa.int32())}
_BITS = pa.list_(pa.uint16())
#: The columns of each task after those of every task.
SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    "upstream": _CLASSES,
    "classification": _CLASSES,
    "segmentation": {
        "target": pa.list_(pa.uint8()),
        "predicted": pa.list_(pa.uint8()),
        "pixels": pa.list_(pa.uint32()),
    },
    "detection": {
        "coco_id": pa.int64(),
        "height": pa.int32(),
        "width": pa.int32(),
        "boxes": pa.list_(pa.float32()),
        "scores": pa.list_(pa.float32()),
        "labels": pa.list_(pa.int16()),
        "masks": pa.list_(pa.binary()),
        "box_matched": _BITS,
        "box_ignored": _BITS,
        "mask_matched": _BITS,
        "mask_ignored": _BITS,
        "truth": pa.list_(pa.int16()),
    },
}


def record(task: str, sample: Sample, prediction: Any) -> Record:
    """What is kept of a prediction: much less than the prediction itself.

    Args:
        prediction: as the task's predictor gives it.
    """
    return _RECORDS[task](sample, prediction)


def table(
    task: str, image_ids: Sequence[str], records: Sequence[Record], condition: Condition, replicate: int = 0
) -> pa.Table:
    """The rows of some images under one condition, in their order."""
    count = len(image_ids)
    columns = {
        "image_id": pa.array(image_ids, pa.string()),
        "corruption": pa.array([condition.corruption] * count, pa.string()),
        "severity": pa.array([condition.severity] * count, pa.int8()),
        "replicate": pa.array([replicate] * count, pa.int16()),
    }
    for name, kind in SCHEMAS[task].items():
        values = [each[name] for each in records]
        of_numbers = pa.types.is_list(kind) and not pa.types.is_binary(kind.value_type)
        columns[name] = _lists(values, kind.value_type) if of_numbers else pa.array(values, kind)
    return pa.table(columns)


def _class(sample: Sample, top: np.ndarray) -> Record:
    return {"target": sample.target, "top": top}


def _confusion(sample: Sample, predicted: np.ndarray) -> Record:
    valid = sample.target != IGNORE
    counts = np.bincount(256 * sample.target[valid].astype(np.int32) + predicted[valid], minlength=1)
    pairs = np.flatnonzero(counts)
    return {"target": pairs // 256, "predicted": pairs % 256, "pixels": counts[pairs]}


def _detections(sample: Sample, found: Detections) -> Record:
    height, width = sample.image.shape[:2]
    return {
        "coco_id": sample.target.coco_id,
        "height": height,
        "width": width,
        "boxes": found.boxes.ravel(),
        "scores": found.scores,
        "labels": found.labels,
        "masks": [mask["counts"] for mask in found.masks],
        **match(found, sample.target)._asdict(),
    }


def _lists(parts: Sequence[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    """One list per part; no Python object per number."""
    offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int32)
    flat = np.concatenate(parts) if parts else np.empty(0)
    return pa.ListArray.from_arrays(offsets, pa.array(flat.astype(kind.to_pandas_dtype())))


_RECORDS: dict[str, Callable[[Sample, Any], Record]] = {
    "upstream": _class,
    "classification": _class,
    "segmentation": _confusion,
    "detection": _detections,
}
