"""Each image's own score, from the stored per-image results, and which images a condition costs most.

A data set's AP or mIoU is not the mean of these: its classes are counted over all images first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from robnb.corruptions import Condition
from robnb.errors import UserError
from robnb.evaluation.lists import flat, image_of_each
from robnb.evaluation.matching import THRESHOLDS
from robnb.evaluation.results import Evaluation
from robnb.evaluation.trained import TrainedModel
from robnb.names import CLEAN, METRICS, choose

_CLEAN = Condition(CLEAN, 0)
#: COCO's recall levels: 0, .01 ... 1.
_RECALLS = np.linspace(0.0, 1.0, 101)
_BITS = np.uint16(1) << np.arange(len(THRESHOLDS), dtype=np.uint16)


def image_scores(
    evaluation: Evaluation, model: TrainedModel, condition: Condition, metric: str, replicate: int = 0
) -> pd.DataFrame:
    """The score of each test image alone, clean and under a condition, worst first.

    ``top1``: 100 where the best class is right, else 0. ``mIoU``: mean over the classes that the image's label map or
    its prediction has; NaN where no pixel is labelled. ``box_AP``, ``mask_AP``: COCO's, accumulated over the image
    alone, mean over IoU .50:.95 and the classes that are to be found in it; NaN where there is nothing to find.

    Returns:
        One row per image: ``image_id``, ``index`` (its place in the reader), ``score`` and ``clean`` (percent, under
        the condition and without), ``lost`` (clean - score, percentage points). The largest loss comes first, of equal
        ones the lowest score, then the reader's order; images without a score come last.

    Raises:
        UserError: a model, condition or draw that was not evaluated, an unknown metric, or a file that has gone.
    """
    choose(metric, METRICS[evaluation.task], f"metric of {evaluation.task}")
    _check_evaluated(evaluation, model, condition, replicate)
    score, ids = _scores(evaluation, model, condition, metric, replicate)
    clean, _ = _scores(evaluation, model, _CLEAN, metric, 0)
    frame = pd.DataFrame({"image_id": ids, "index": np.arange(len(ids)), "score": score, "clean": clean})
    frame["lost"] = frame["clean"] - frame["score"]
    ranked = frame.sort_values(["lost", "score", "index"], ascending=[False, True, True], na_position="last")
    return ranked.reset_index(drop=True)


def _check_evaluated(evaluation: Evaluation, model: TrainedModel, condition: Condition, replicate: int) -> None:
    if model not in evaluation.models:
        raise UserError(f"{model} was not evaluated here: choose from {', '.join(map(str, evaluation.models))}.")
    for needed in (condition, _CLEAN):
        if needed not in evaluation.conditions:
            raise UserError(
                f"nothing was scored under {needed.corruption} at severity {needed.severity}: add it to the conditions."
            )
    draws = 1 if condition == _CLEAN else evaluation.replicates
    if replicate not in range(draws):
        raise UserError(f"draw {replicate} of {condition.corruption} was not scored: choose one below {draws}.")


def _scores(
    evaluation: Evaluation, model: TrainedModel, condition: Condition, metric: str, replicate: int
) -> tuple[np.ndarray, list[str]]:
    """Float64 (images,), percent, and the images' ids."""
    how = _METRICS[metric]
    table = evaluation.per_image(model, condition, replicate, ["image_id", *how.columns])
    return how.of(table, len(evaluation.classes)), table.column("image_id").to_pylist()


def _right(table: pa.Table, classes: int) -> np.ndarray:
    best = flat(table, "top").reshape(table.num_rows, -1)[:, 0]
    return 100.0 * (best == flat(table, "target"))


def _mean_iou(table: pa.Table, classes: int) -> np.ndarray:
    image = image_of_each(table, "pixels")
    target, predicted, pixels = (flat(table, column) for column in ("target", "predicted", "pixels"))
    intersection, union = np.zeros((2, table.num_rows, classes))
    right = target == predicted
    np.add.at(intersection, (image[right], target[right]), pixels[right])
    np.add.at(union, (image, target), pixels)
    np.add.at(union, (image[~right], predicted[~right]), pixels[~right])
    there = union > 0
    shares = np.divide(intersection, union, out=np.zeros_like(union), where=there)
    return _means(shares.sum(1), there.sum(1))


def _average_precisions(kind: str) -> Callable[[pa.Table, int], np.ndarray]:
    """Of boxes or masks, ``kind`` "box" or "mask"."""

    def of(table: pa.Table, classes: int) -> np.ndarray:
        found = image_of_each(table, "scores"), flat(table, "labels").astype(np.int64)
        best_first = np.lexsort((-flat(table, "scores"), found[1], found[0]))  # equal scores as they came
        place = (found[0] * classes + found[1])[best_first]
        matched, ignored = (flat(table, f"{kind}_{what}")[best_first] for what in ("matched", "ignored"))
        there = image_of_each(table, "truth") * classes + flat(table, "truth")
        wanted, objects = np.unique(there, return_counts=True)
        starts, stops = (np.searchsorted(place, wanted, side) for side in ("left", "right"))
        of_class = [
            _average_precision(matched[start:stop], ignored[start:stop], count)
            for start, stop, count in zip(starts, stops, objects, strict=True)
        ]
        image = wanted // classes
        return _means(*(np.bincount(image, weights, table.num_rows) for weights in (of_class, None)))

    return of


def _average_precision(matched: np.ndarray, ignored: np.ndarray, objects: int) -> float:
    """COCO's AP of one class of one image, 0 to 1: mean over IoU thresholds and recall levels.

    Args:
        matched, ignored: bits of the detections, best first, see `robnb.evaluation.matching.Matches`; never both.
        objects: how many are to be found, at least one.
    """
    counted = (ignored & _BITS[:, None]) == 0
    right = (matched & _BITS[:, None]) != 0
    true, all_counted = right.cumsum(1), counted.cumsum(1)
    precision = true / (all_counted + np.spacing(1))  # pycocotools adds this so as not to divide by 0
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))  # 0 for recalls that are not reached
    reached = [row[np.searchsorted(recall, _RECALLS)] for row, recall in zip(best, true / objects, strict=True)]
    return float(np.mean(reached))


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """In percent; NaN where there is nothing."""
    return 100.0 * np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


class _Metric(NamedTuple):
    """The columns of `robnb.evaluation.records` that a metric reads, and ``of(table, classes)``: (images,), percent."""

    columns: tuple[str, ...]
    of: Callable[[pa.Table, int], np.ndarray]


_METRICS = {
    "top1": _Metric(("target", "top"), _right),
    "mIoU": _Metric(("target", "predicted", "pixels"), _mean_iou),
    **{
        f"{kind}_AP": _Metric(
            ("scores", "labels", f"{kind}_matched", f"{kind}_ignored", "truth"), _average_precisions(kind)
        )
        for kind in ("box", "mask")
    },
}
