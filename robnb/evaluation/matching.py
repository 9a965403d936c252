"""Which detections COCO counts as right: pycocotools' matching of one image, at its ten IoU thresholds.

Kept per image, so that AP over any set of images needs neither boxes nor masks again. Only all areas together and 100
detections are covered, which is what AP is defined on.

Source: COCOeval.evaluateImg of pycocotools 2.0; equal to it to the bit on boxes and masks (a test compares them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from pycocotools import mask as rle

from robnb.data.sample import Instances
from robnb.evaluation.predict import Detections

#: COCO's thresholds .50, .55 ... .95, with the rounding of pycocotools: an IoU can lie exactly on one.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: So many detections of a class count in an image, the best ones.
MOST = 100
#: In place of an object: a detection that counts neither as right nor as wrong.
IGNORED = -2
_EVERY = np.uint16(2 ** len(THRESHOLDS) - 1)

_Overlap = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Matches(NamedTuple):
    """How an image's detections fared; bit t of a number belongs to the t-th threshold.

    Attributes:
        box_matched, mask_matched: uint16 (N,), the detection is a true positive there.
        box_ignored, mask_ignored: uint16 (N,), it is neither a true nor a false positive there: it was matched to a
            crowd region, or is not among the best 100 of its class.
        truth: int16, the label of every object that is to be found (not crowd), in the order of the annotations.
    """

    box_matched: np.ndarray
    box_ignored: np.ndarray
    mask_matched: np.ndarray
    mask_ignored: np.ndarray
    truth: np.ndarray


def match(detections: Detections, instances: Instances) -> Matches:
    """Match the detections of one image with its objects, each class on its own, better scores first.

    Args:
        detections: in any order; of equal scores the first comes first. Boxes with x0 <= x1 and y0 <= y1.
        instances: the image's objects; their boxes are taken as annotated, because rounding them to float32 moves an
            IoU by up to about 1e-5, and some over a threshold.
    """
    box_iou, mask_iou = _overlaps(detections, instances)
    pairs, dropped = _same_class(detections, instances)
    ignored = np.zeros(len(detections.scores), np.uint16)
    ignored[dropped] = _EVERY
    by_box = _by_overlap(box_iou, pairs, instances.crowd, ignored)
    by_mask = _by_overlap(mask_iou, pairs, instances.crowd, ignored)
    return Matches(*by_box, *by_mask, truth=instances.labels[~instances.crowd].astype(np.int16))


def objects_found(
    detections: Detections, instances: Instances, *, masks: bool = False, threshold: float = THRESHOLDS[0]
) -> np.ndarray:
    """Which object each detection stands for at one threshold, as `match` has it.

    Args:
        masks: compare masks, not boxes.

    Returns:
        int64 (N,): position in ``instances``; -1 for a false alarm, `IGNORED` for what counts neither way.
    """
    pairs, dropped = _same_class(detections, instances)
    overlap = _overlaps(detections, instances)[masks]
    found = np.full(len(detections.scores), -1, np.int64)
    for rows, columns in pairs:
        taken = _taken(np.ascontiguousarray(overlap(rows, columns)), instances.crowd[columns], threshold)
        found[rows] = np.where(taken >= 0, columns[taken], -1)
    crowd = np.append(instances.crowd, False)  # the last is of those that stand for nothing
    found[crowd[found]] = IGNORED
    found[dropped] = IGNORED
    return found


def _overlaps(detections: Detections, instances: Instances) -> tuple[_Overlap, _Overlap]:
    """The IoU of some detections (rows) with some objects (columns), by boxes and by masks."""
    boxes = detections.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]

    def box_iou(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return rle.iou(boxes[rows], instances.annotated[columns], instances.crowd[columns])

    def mask_iou(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        found, truth = [detections.masks[row] for row in rows], [instances.masks[column] for column in columns]
        return rle.iou(found, truth, instances.crowd[columns])

    return box_iou, mask_iou


def _same_class(detections: Detections, instances: Instances) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """For each class that was found and is there: detections, best first, and objects, crowd last; and what is beyond
    the 100 best of any class."""
    best_first = np.argsort(-detections.scores, kind="stable")
    labels = detections.labels[best_first]
    crowd_last = np.argsort(instances.crowd, kind="stable")
    there = instances.labels[crowd_last]
    pairs, dropped = [], [best_first[:0]]
    for label in np.unique(labels) if len(labels) > MOST else np.intersect1d(labels, there):
        rows, columns = best_first[labels == label], crowd_last[there == label]
        dropped.append(rows[MOST:])
        if len(columns):
            pairs.append((rows[:MOST], columns))
    return pairs, np.concatenate(dropped)


def _by_overlap(
    iou: _Overlap,
    pairs: list[tuple[np.ndarray, np.ndarray]],
    crowd: np.ndarray,
    ignored: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(matched, ignored) of all detections by one kind of IoU; ``ignored`` is what is so by any kind."""
    matched, ignored = np.zeros_like(ignored), ignored.copy()
    for rows, columns in pairs:
        overlap = np.ascontiguousarray(iou(rows, columns))
        matched[rows], ignored[rows] = _assign(overlap, crowd[columns], THRESHOLDS)
    return matched, ignored


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _assign(overlap: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(matched, ignored) of each detection (row), from what it takes of the objects (columns) at each threshold.

    ``overlap``: float64 (D, G).
    """
    detections = len(overlap)
    matched, ignored = np.zeros(detections, np.uint16), np.zeros(detections, np.uint16)
    for t in range(len(thresholds)):
        bit = np.uint16(1 << t)
        taken = _taken(overlap, crowd, thresholds[t])
        for d in range(detections):
            if taken[d] >= 0 and crowd[taken[d]]:
                ignored[d] |= bit
            elif taken[d] >= 0:
                matched[d] |= bit
    return matched, ignored


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _taken(overlap: np.ndarray, crowd: np.ndarray, threshold: float) -> np.ndarray:
    """int64 (D,): each detection takes the object that it overlaps most, of those that are left; -1 for none.

    A crowd region is taken only where no other object would do, and is never used up. Of objects with equal IoU the
    last is taken.
    """
    detections, objects = overlap.shape
    taken, used = np.full(detections, -1, np.int64), np.zeros(objects, np.bool_)
    for d in range(detections):
        best, chosen = min(threshold, 1 - 1e-10), -1
        for g in range(objects):
            if used[g] and not crowd[g]:
                continue
            if chosen >= 0 and not crowd[chosen] and crowd[g]:
                break
            if overlap[d, g] < best:
                continue
            best, chosen = overlap[d, g], g
        taken[d] = chosen
        if chosen >= 0:
            used[chosen] = True
    return taken
