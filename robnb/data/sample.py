"""What every reader gives: one image with its target and its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: The label of a segmentation map's pixels that are not scored.
IGNORE = 255


@dataclass(frozen=True, eq=False)
class Instances:
    """The annotated objects of an image, for detection and instance segmentation.

    Attributes:
        boxes: float32 (N, 4), left, top, right, bottom in pixels of the original image.
        labels: int64 (N,), positions in the reader's ``classes``.
        masks: one COCO RLE dict (``size`` [H, W], ``counts`` bytes) per object, for ``pycocotools.mask``.
        crowd: bool (N,). COCO's crowd regions: kept for scoring, where they are ignored; not for training.
        coco_id: the image's id in the annotation file.
        annotated: float64 (N, 4), the boxes as the annotation file has them: left, top, width, height. What COCO's
            scores are computed from: ``boxes`` are rounded, and an IoU on a threshold would fall on its other side.
    """

    boxes: np.ndarray
    labels: np.ndarray
    masks: list[dict[str, Any]] = field(repr=False)
    crowd: np.ndarray
    coco_id: int
    annotated: np.ndarray


@dataclass(frozen=True, eq=False)
class Sample:
    """One image of a data set.

    Attributes:
        image: uint8 RGB (H, W, 3), the original size.
        target: int label (classification), ``Instances`` (detection), or a uint8 (H, W) label map with
            ``IGNORE`` where there is nothing to score (segmentation).
        image_id: the same on every machine: a file stem, or a path relative to the split.
    """

    image: np.ndarray = field(repr=False)
    target: int | Instances | np.ndarray = field(repr=False)
    image_id: str
