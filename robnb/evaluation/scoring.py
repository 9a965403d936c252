"""From the per-image results of one condition to AP, mIoU and top-1, in percent.

COCO's numbers are faster-coco-eval's, from the stored boxes and masks; they are equal to pycocotools' (a test compares
them to 1e-9). `robnb.evaluation.records` lists the columns of the tables.
"""

from __future__ import annotations

import functools
import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from faster_coco_eval import COCO, COCOeval_faster

from robnb.data.coco import CocoImages
from robnb.data.sources import Reader
from robnb.errors import UserError
from robnb.evaluation.lists import flat
from robnb.names import METRICS

#: The two kinds of AP, and what COCO's evaluators call them.
KINDS = {"box": "bbox", "mask": "segm"}
#: COCO's twelve numbers, in the order of its evaluators.
_COCO = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
#: In the column ``class`` of `details`: the number is of all classes together.
ALL_CLASSES = "all"


def score(task: str, table: pa.Table, reader: Reader) -> dict[str, float]:
    """A task's metrics (`robnb.names.METRICS`) over the images of a table, in percent.

    ``top1``: the share of images whose best class is right. ``mIoU``: mean over classes of intersection / union, each
    summed over all images first (mmseg's IoUMetric); pixels labelled 255 count nowhere, and a class that is neither
    labelled nor predicted anywhere is left out. ``box_AP``, ``mask_AP``: COCO's, mean over IoU .50:.95 and classes, all
    areas, 100 detections per image; 0 where nothing was found. Only objects in the table's images are to be found.

    Args:
        table: the per-image results of one model under one condition, any number of images in any order.
        reader: the data set that the images are of.

    Raises:
        UserError: no images, or no objects (no labelled pixels) in any of them.
    """
    if table.num_rows == 0:
        raise UserError("no image was scored: give the sweep at least one test image.")
    values = _SCORES[task](table, reader)
    return {metric: values[metric] for metric in METRICS[task]}


def details(task: str, table: pa.Table, reader: Reader) -> pd.DataFrame:
    """What the task's evaluators usually print, in percent, and the score of each class.

    Returns:
        Columns metric, class, value. Class ``"all"``: ``top1`` and, of more than five classes, ``top5``; ``mIoU`` and
        ``pixel_accuracy``; COCO's twelve numbers for boxes (``box_AP``, ``box_AP50``, ``box_AR_100``,
        ``box_AP_small``, ...) and masks. Then ``top1``, ``IoU``, ``box_AP`` and ``mask_AP`` of each class. NaN where
        there is nothing to find (no small objects, say).

    Raises:
        UserError: as `score`.
    """
    score(task, table, reader)  # for its guards
    rows = _DETAILS[task](table, reader)
    return pd.DataFrame(rows, columns=["metric", "class", "value"])


def _right(table: pa.Table) -> np.ndarray:
    """bool (N, K): whether the k-th best class is the right one."""
    top = flat(table, "top").reshape(table.num_rows, -1)
    return top == flat(table, "target")[:, None]


def _accuracy(table: pa.Table, reader: Reader) -> dict[str, float]:
    return {"top1": 100 * float(_right(table)[:, 0].mean())}


def _accuracy_details(table: pa.Table, reader: Reader) -> list[tuple[str, str, float]]:
    right, target = _right(table), flat(table, "target")
    rows = [("top1", ALL_CLASSES, 100 * float(right[:, 0].mean()))]
    if len(reader.classes) > 5:
        rows.append(("top5", ALL_CLASSES, 100 * float(right.any(axis=1).mean())))
    for label, name in enumerate(reader.classes):
        of_class = right[target == label, 0]
        rows.append(("top1", name, 100 * float(of_class.mean()) if len(of_class) else float("nan")))
    return rows


def confusion(table: pa.Table, classes: int) -> np.ndarray:
    """int64 (classes, classes): pixels by label (rows) and prediction (columns), over all images of the table."""
    cells = classes * flat(table, "target").astype(np.int64) + flat(table, "predicted")
    summed = np.bincount(cells, weights=flat(table, "pixels"), minlength=classes**2)  # exact below 2**53 pixels
    return summed.astype(np.int64).reshape(classes, classes)


def _class_ious(counts: np.ndarray) -> np.ndarray:
    """float64 in 0..1, NaN for a class that occurs nowhere."""
    intersection = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - intersection
    return np.divide(intersection, union, out=np.full(len(counts), np.nan), where=union > 0)


def _mean_iou(table: pa.Table, reader: Reader) -> dict[str, float]:
    counts = confusion(table, len(reader.classes))
    if not counts.any():
        raise UserError("no pixel of the scored images has a label: score more images.")
    return {"mIoU": 100 * float(np.nanmean(_class_ious(counts)))}


def _mean_iou_details(table: pa.Table, reader: Reader) -> list[tuple[str, str, float]]:
    counts = confusion(table, len(reader.classes))
    ious = _class_ious(counts)
    return [
        ("mIoU", ALL_CLASSES, 100 * float(np.nanmean(ious))),
        ("pixel_accuracy", ALL_CLASSES, 100 * float(counts.trace() / counts.sum())),
        *(("IoU", name, 100 * float(iou)) for name, iou in zip(reader.classes, ious, strict=True)),
    ]


def _average_precisions(table: pa.Table, reader: CocoImages) -> dict[str, float]:
    values = {f"{kind}_AP": _mean(_evaluated(table, reader, kind).eval["precision"]) for kind in KINDS}
    if any(np.isnan(list(values.values()))):
        raise UserError("the scored images have no objects: score more images.")
    return values


def _average_precisions_details(table: pa.Table, reader: CocoImages) -> list[tuple[str, str, float]]:
    rows = []
    for kind in KINDS:
        evaluation = _evaluated(table, reader, kind, every_range=True)
        evaluation.summarize()
        stats = (100 * value if value > -1 else float("nan") for value in evaluation.stats)
        rows += [(f"{kind}_{name}", ALL_CLASSES, float(value)) for name, value in zip(_COCO, stats, strict=True)]
        precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU, recall, class: all areas, 100 detections
        rows += [(f"{kind}_AP", name, _mean(precision[:, :, k])) for k, name in enumerate(reader.classes)]
    return rows


def _mean(precision: np.ndarray) -> float:
    """Percent, of the entries that are defined: COCO has -1 for a class without objects."""
    defined = precision[precision > -1]
    return 100 * float(defined.mean()) if defined.size else float("nan")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's cyclic garbage collector: it goes through the dicts of a results list again and again, which
    takes a third of the time, and none of them is in a cycle."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@_no_collection()
def _evaluated(table: pa.Table, reader: CocoImages, kind: str, every_range: bool = False) -> COCOeval_faster:
    """COCO's evaluation of a table, accumulated; ``every_range`` also by area and with fewer detections."""
    truth = _ground_truth(reader.annotation_file)
    found = truth.loadRes(coco_results(table, reader.category_ids, kind))
    evaluation = COCOeval_faster(truth, found, KINDS[kind], print_function=_say_nothing, rle_iou_max_workers=1)
    evaluation.params.imgIds = sorted(table.column("coco_id").to_pylist())
    evaluation.params.catIds = list(reader.category_ids)
    if not every_range:
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [evaluation.params.areaRng[0]], ["all"]
        evaluation.params.maxDets = [100]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _say_nothing(*_: object) -> None:
    pass


def coco_results(table: pa.Table, category_ids: tuple[int, ...], kind: str) -> list[dict[str, Any]]:
    """The detections of a table as COCO results, best first in each image.

    Each has image_id, category_id, score, and ``bbox`` (left, top, width, height; ``kind`` "box") or ``segmentation``
    (run lengths with ``counts`` as bytes; ``kind`` "mask"). Never both: COCO's loaders take the area of a mask from
    the box where there is one, and with that the size that it counts under.
    """
    counts = pc.list_value_length(table.column("scores")).to_numpy()
    image_ids = np.repeat(flat(table, "coco_id"), counts).tolist()
    categories = np.asarray(category_ids)[flat(table, "labels")].tolist()
    scores = flat(table, "scores").astype(np.float64).tolist()
    if kind == "box":
        boxes = flat(table, "boxes").astype(np.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        key, shapes = "bbox", boxes.tolist()
    else:
        sizes = np.repeat(np.stack([flat(table, "height"), flat(table, "width")], axis=1), counts, axis=0).tolist()
        runs = pc.list_flatten(table.column("masks")).to_pylist()
        key, shapes = "segmentation", [{"size": size, "counts": run} for size, run in zip(sizes, runs, strict=True)]
    return [
        {"image_id": image_id, "category_id": category, "score": value, key: shape}
        for image_id, category, value, shape in zip(image_ids, categories, scores, shapes, strict=True)
    ]


def read_annotations(annotation_file: Path) -> dict[str, Any]:
    """A COCO instances file.

    Its annotations are numbered anew where their ids would make evaluators wrong: pycocotools takes an object with id
    0 for unmatched for ever, and one of two with the same id for the other.
    """
    content = json.loads(annotation_file.read_bytes())
    ids = {annotation["id"] for annotation in content["annotations"]}
    if 0 in ids or len(ids) < len(content["annotations"]):
        for number, annotation in enumerate(content["annotations"], start=1):
            annotation["id"] = number
    return content


@functools.lru_cache(maxsize=2)
def _ground_truth(annotation_file: Path) -> COCO:
    """The index of an annotation file: the same for every model and condition."""
    return COCO(read_annotations(annotation_file))


_SCORES: dict[str, Callable[[pa.Table, Any], dict[str, float]]] = {
    "upstream": _accuracy,
    "classification": _accuracy,
    "segmentation": _mean_iou,
    "detection": _average_precisions,
}
_DETAILS: dict[str, Callable[[pa.Table, Any], list[tuple[str, str, float]]]] = {
    "upstream": _accuracy_details,
    "classification": _accuracy_details,
    "segmentation": _mean_iou_details,
    "detection": _average_precisions_details,
}
