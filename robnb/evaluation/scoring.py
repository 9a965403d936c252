"""From predictions to AP, mIoU and top-1, in percent.

COCO's AP is pycocotools' own. A scorer takes predictions one image at a time, in any order.
"""

from __future__ import annotations

import contextlib
import functools
import io
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from robnb.data.coco import CocoImages
from robnb.data.sample import IGNORE, Sample
from robnb.data.sources import Reader
from robnb.evaluation.predict import Detections


class Scorer(Protocol):
    """Collects predictions and turns them into the task's metrics."""

    def add(self, sample: Sample, prediction: Any) -> None:
        """Take the prediction for one image."""
        ...

    def result(self) -> dict[str, float]:
        """Metric name to value in percent, over what was added."""
        ...


class AccuracyScorer:
    """Top-1 accuracy."""

    def __init__(self, reader: Reader) -> None:
        self.correct: list[bool] = []

    def add(self, sample: Sample, prediction: int) -> None:
        """Take one predicted class."""
        self.correct.append(int(prediction) == int(sample.target))

    def result(self) -> dict[str, float]:
        """``top1``."""
        return {"top1": 100.0 * float(np.mean(self.correct))}


class MeanIouScorer:
    """Mean over classes of intersection / union, each summed over all images first (mmseg's IoUMetric).

    Pixels labelled 255 count nowhere. A class that is neither labelled nor predicted anywhere has no IoU and
    is left out of the mean.
    """

    def __init__(self, reader: Reader) -> None:
        self.classes = len(reader.classes)
        self.confusion = np.zeros((self.classes, self.classes), np.int64)

    def add(self, sample: Sample, prediction: np.ndarray) -> None:
        """Take one (H, W) map of predicted classes."""
        valid = sample.target != IGNORE
        pairs = self.classes * sample.target[valid].astype(np.int64) + prediction[valid]
        self.confusion += np.bincount(pairs, minlength=self.classes**2).reshape(self.confusion.shape)

    def result(self) -> dict[str, float]:
        """``mIoU``."""
        intersection = self.confusion.diagonal()
        union = self.confusion.sum(0) + self.confusion.sum(1) - intersection
        return {"mIoU": 100.0 * float(np.mean(intersection[union > 0] / union[union > 0]))}


class CocoScorer:
    """COCO's box and mask AP (mean over IoU .50:.95, all areas, 100 detections per image)."""

    def __init__(self, reader: CocoImages) -> None:
        self.reader = reader
        self.images: list[int] = []
        self.found: list[dict[str, Any]] = []

    def add(self, sample: Sample, prediction: Detections) -> None:
        """Take one image's detections."""
        self.images.append(sample.target.coco_id)
        corners = zip(
            prediction.boxes.tolist(), prediction.scores.tolist(), prediction.labels, prediction.masks, strict=True
        )
        for (x0, y0, x1, y1), score, label, mask in corners:
            self.found.append(
                {
                    "image_id": sample.target.coco_id,
                    "category_id": self.reader.category_ids[label],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                    "segmentation": mask,
                }
            )

    def result(self) -> dict[str, float]:
        """``box_AP`` and ``mask_AP``; 0 where nothing was found."""
        return {"box_AP": self._average_precision("bbox"), "mask_AP": self._average_precision("segm")}

    def _average_precision(self, iou_type: str) -> float:
        if not self.found:
            return 0.0
        # loadRes fills in area from the box where there is one, from the mask otherwise: give it one kind.
        key = {"bbox": "bbox", "segm": "segmentation"}[iou_type]
        kept = ("image_id", "category_id", "score", key)
        truth = _ground_truth(self.reader.annotation_file)
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            results = truth.loadRes([{name: entry[name] for name in kept} for entry in self.found])
            evaluation = COCOeval(truth, results, iou_type)
            evaluation.params.imgIds = sorted(self.images)
            evaluation.params.catIds = list(self.reader.category_ids)
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class) at all areas, 100 detections
        return 100.0 * float(precision[precision > -1].mean())


@functools.lru_cache(maxsize=2)
def _ground_truth(annotation_file: Path) -> COCO:
    """pycocotools' index of an annotation file: the same for every model and condition."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(annotation_file)


SCORERS = {
    "upstream": AccuracyScorer,
    "classification": AccuracyScorer,
    "segmentation": MeanIouScorer,
    "detection": CocoScorer,
}
