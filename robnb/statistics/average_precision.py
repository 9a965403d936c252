"""COCO's AP of many weighted samples of the same images, from stored matches.

Whether a detection is a true positive depends on its own image alone. So matching is done once, and what is left for a
sample in which image i counts w[i] times is to sort (also once) and to count with weights.

The definition is COCO's: the mean over IoU thresholds .50, .55 ... .95, over 101 recall levels and over the classes
that have an object, of the best precision at that recall or above; objects of every size, 100 detections per image.
Source: pycocotools 2.0, ``COCOeval.accumulate``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa

from robnb.evaluation.lists import flat, image_of_each

#: IoU thresholds, one for each of the low bits of a match.
THRESHOLDS = 10
#: COCO's recall levels: 0, .01 ... 1.
RECALLS = np.linspace(0.0, 1.0, 101)
_ROWS = 16  # samples per task of the thread pool: enough to make starting one cheap


@dataclass(frozen=True)
class Matches:
    """Detections of a test set, sorted by class and then by score, with what each of them matched.

    Attributes:
        images: how many images there are, empty ones included.
        starts: int64 (classes + 1), where each class begins among the detections.
        image: int32 (detections,), position of the detection's image.
        matched, ignored: uint16 (detections,), bit t set where the detection is a true positive (counts not at all) at
            the t-th IoU threshold.
        tied: bool (detections,), whether the detection has class, image and score of the one before it.
        truth_starts, truth_image: the same for the objects that are to be found (no crowds).
    """

    images: int
    starts: np.ndarray
    image: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    tied: np.ndarray
    truth_starts: np.ndarray
    truth_image: np.ndarray

    @classmethod
    def sort(
        cls, images: int, classes: int, detections: dict[str, np.ndarray], truth: dict[str, np.ndarray]
    ) -> Matches:
        """Sort once, as pycocotools does: by falling score, equal scores by image and then as they came.

        Args:
            images, classes: how many there are.
            detections: ``image``, ``label``, ``score``, ``matched``, ``ignored``, each (detections,), image by image.
            truth: ``image``, ``label``, each (objects,).
        """
        order = np.lexsort((-detections["score"], detections["label"]))
        image, label, score = (detections[name][order] for name in ("image", "label", "score"))
        tied = np.zeros(len(order), bool)
        tied[1:] = (image[1:] == image[:-1]) & (label[1:] == label[:-1]) & (score[1:] == score[:-1])
        of_class = np.argsort(truth["label"], kind="stable")
        return cls(
            images,
            np.searchsorted(label, np.arange(classes + 1)),
            image.astype(np.int32),
            detections["matched"][order].astype(np.uint16),
            detections["ignored"][order].astype(np.uint16),
            tied,
            np.searchsorted(truth["label"][of_class], np.arange(classes + 1)),
            truth["image"][of_class].astype(np.int32),
        )

    @classmethod
    def of_table(cls, table: pa.Table, kind: str, classes: int) -> Matches:
        """From the per-image results of a detector.

        Args:
            table: one row per image with the lists ``scores``, ``labels``, ``<kind>_matched``, ``<kind>_ignored``
                (per detection, best first) and ``truth`` (label of each object).
            kind: "box" or "mask".
            classes: how many there are; labels are below it.
        """
        lists = {"label": "labels", "score": "scores", "matched": f"{kind}_matched", "ignored": f"{kind}_ignored"}
        detections = {name: flat(table, column) for name, column in lists.items()}
        detections["image"] = image_of_each(table, "scores")
        truth = {"label": flat(table, "truth"), "image": image_of_each(table, "truth")}
        return cls.sort(table.num_rows, classes, detections, truth)


def average_precision(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """AP in percent, float64 (samples,), one for each row of ``weights``; NaN where a sample holds no object.

    A sample is what pycocotools would see if image i were there ``weights[i]`` times, its copies one behind the other.
    Classes without an object in a sample are left out of its mean.

    Args:
        matches: of a detector under one condition.
        weights: unsigned integers (samples, images). The samples are shared among as many threads as numba may use.

    Raises:
        ValueError: weights for another number of images.
    """
    if weights.shape[1] != matches.images:  # the compiled loop would read beyond the end
        raise ValueError(f"{weights.shape[1]} weights for {matches.images} images")
    result = np.empty(len(weights))
    fields = (matches.starts, matches.image, matches.matched, matches.ignored, matches.tied)
    truth = (matches.truth_starts, matches.truth_image)

    def fill(start: int) -> None:
        stop = start + _ROWS
        _average_precision(*fields, *truth, weights[start:stop], RECALLS, result[start:stop])

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        list(pool.map(fill, range(0, len(weights), _ROWS)))
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _average_precision(starts, image, matched, ignored, tied, truth_starts, truth_image, weights, recalls, out):
    best = np.empty((THRESHOLDS, len(recalls)))
    needed = np.empty(len(recalls) + 1, np.int64)
    for row in range(len(weights)):
        weight = weights[row]
        total, classes = 0.0, 0
        for k in range(len(starts) - 1):
            objects = 0
            for i in range(truth_starts[k], truth_starts[k + 1]):
                objects += weight[truth_image[i]]
            if objects > 0:
                classes += 1
                _true_positives_needed(objects, recalls, needed)
                _best_precision(starts[k], starts[k + 1], image, matched, ignored, tied, weight, needed, best)
                total += _mean_of_suffix_maxima(best)
        out[row] = 100.0 * total / classes if classes > 0 else np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _true_positives_needed(objects, recalls, needed):
    """The least count whose share of ``objects`` reaches each recall level, by the division that pycocotools does."""
    for r in range(len(recalls)):
        count = np.int64(recalls[r] * objects)
        while count > 0 and (count - 1) / objects >= recalls[r]:
            count -= 1
        while count / objects < recalls[r]:
            count += 1
        needed[r] = count
    needed[len(recalls)] = objects + 1  # never reached


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _best_precision(start, stop, image, matched, ignored, tied, weight, needed, best):
    """For each IoU threshold and recall level, the best precision while that was the highest level reached."""
    best[:] = 0.0
    true = np.zeros(THRESHOLDS, np.int64)
    skipped = np.zeros(THRESHOLDS, np.int64)
    level = np.zeros(THRESHOLDS, np.int64)
    seen = 0
    i = start
    while i < stop:
        end = i + 1
        while end < stop and tied[end]:
            end += 1
        # Copies of an image follow each other, so equal scores inside it are met in turn: a b a b, not a a b b.
        together = np.int64(weight[image[i]])
        turns = 1
        if end > i + 1:
            turns, together = together, 1
        for _ in range(turns):
            for j in range(i, end):
                seen += together
                if together > 0 and (matched[j] | ignored[j]) != 0:
                    _count(matched[j], ignored[j], together, seen, true, skipped, level, needed, best)
        i = end


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(matched, ignored, together, seen, true, skipped, level, needed, best):
    """Copies of one detection: precision rises from the first to the last, so only the last one's can be the best."""
    for t in range(THRESHOLDS):
        if ignored >> t & 1:
            skipped[t] += together
        elif matched >> t & 1:
            true[t] += together
            while true[t] >= needed[level[t] + 1]:
                level[t] += 1
            precision = true[t] / (seen - skipped[t] + 2.0**-52)  # pycocotools adds this so as not to divide by 0
            best[t, level[t]] = max(best[t, level[t]], precision)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean_of_suffix_maxima(best):
    """Mean over IoU thresholds and recall levels of the best precision at that recall or above."""
    total = 0.0
    for t in range(best.shape[0]):
        highest = 0.0
        for r in range(best.shape[1] - 1, -1, -1):
            highest = max(highest, best[t, r])
            total += highest
    return total / best.size
