"""Test images, and predictions of known imperfection for them, for the tests that score."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pycocotools import mask as rle

from robnb.corruptions import Condition
from robnb.data import sources
from robnb.data.coco import CocoImages
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.data.sample import IGNORE, Sample
from robnb.data.sources import Reader
from robnb.evaluation import records
from robnb.evaluation.predict import Detections

COUNTS = {
    "upstream_train": 10, "upstream_val": 20, "detection_train": 1, "detection_val": 8, "segmentation_train": 1,
    "segmentation_val": 6, "classification_train": 10, "classification_val": 20,
}  # fmt: skip
SIDE = 40  # of the images of `crowded`, in pixels


def readers(folder: Path) -> dict[str, Reader]:
    """The test images of every task of a small miniworld."""
    root = make_miniworld(MiniworldSpec(**COUNTS), folder)
    return {task: data.open("test") for task, data in sources.miniworld(root, fingerprint(root)).items()}


def detections(sample: Sample, rng: np.random.Generator) -> Detections:
    """Ground truth moved, shrunk, relabelled and doubled at random: every kind of hit and miss; best first."""
    boxes, labels, masks = [], [], []
    for box, label, mask in zip(sample.target.boxes, sample.target.labels, sample.target.masks, strict=True):
        for _ in range(rng.integers(0, 3)):
            boxes.append(box + rng.normal(0, 2, 4))
            labels.append(label if rng.random() < 0.8 else rng.integers(10))
            shift = rng.integers(-2, 3, 2)
            masks.append(np.roll(rle.decode(mask), shift, (0, 1)))
    encoded = [rle.encode(np.asfortranarray(mask)) for mask in masks]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), -np.sort(-rng.random(len(boxes))).astype(np.float32),
        np.array(labels, np.int64), encoded,
    )  # fmt: skip


def segmentation(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """The label map with three pixels in ten replaced at random; class 0 where there is no label."""
    wrong = rng.random(sample.target.shape) < 0.3
    labelled = np.where(sample.target == IGNORE, 0, sample.target)
    return np.where(wrong, rng.integers(0, labelled.max() + 1, wrong.shape), labelled).astype(np.uint8)


def classification(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """Five of ten classes, half the time with the right one first."""
    top = rng.permutation(10)
    if rng.random() < 0.5:
        top = np.concatenate([[sample.target], top[top != sample.target]])
    return top[:5].astype(np.int32)


PREDICTIONS: dict[str, Callable[[Sample, np.random.Generator], Any]] = {
    "upstream": classification,
    "classification": classification,
    "segmentation": segmentation,
    "detection": detections,
}


def crowded(
    folder: Path, rng: np.random.Generator, images: int, most_found: int
) -> tuple[CocoImages, list[Detections]]:
    """COCO data and detections with crowds, equal scores, equal IoUs, images without objects or without detections."""
    annotations, found = [], []
    for image_id in range(1, images + 1):
        boxes = _whole_boxes(rng, rng.integers(0, 8))
        for box, mask in zip(boxes, filled(boxes), strict=True):
            x0, y0, x1, y1 = box.tolist()
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": 3 * int(rng.integers(1, 4)),
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": int(rng.random() < 0.3),
                "segmentation": {**mask, "counts": mask["counts"].decode()},
            })  # fmt: skip
        many = rng.integers(0, most_found + 1)
        boxes, scores = _whole_boxes(rng, many), rng.integers(0, 6, many) / 5
        scores = -np.sort(-scores).astype(np.float32)
        found.append(Detections(boxes, scores, rng.integers(0, 3, many), filled(boxes)))
    about = [{"id": n, "file_name": f"{n:02}.png", "width": SIDE, "height": SIDE} for n in range(1, images + 1)]
    categories = [{"id": 3 * n, "name": str(n)} for n in range(1, 4)]
    return coco_data(folder, {"images": about, "annotations": annotations, "categories": categories}), found


def coco_data(folder: Path, dataset: dict[str, Any]) -> CocoImages:
    """A reader of the dataset, with black images."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(dataset))
    for image in dataset["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(folder / "val2017" / image["file_name"])
    return CocoImages(folder, "val2017")


def _whole_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of few sizes at few places: many IoUs are equal, and many lie on a threshold."""
    corner = rng.integers(0, 6, (count, 2)) * 4
    return np.concatenate([corner, corner + rng.integers(2, 5, (count, 2)) * 4], axis=1).astype(np.float32)


def filled(boxes: np.ndarray) -> list[dict[str, Any]]:
    """Masks that fill boxes x0 y0 x1 y1 of whole pixels."""
    masks = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = 1
    return [rle.encode(np.asfortranarray(mask)) for mask in masks]


def table(
    task: str, samples: Sequence[Sample], predictions: Sequence[Any], condition: Condition, replicate: int = 0
) -> pa.Table:
    """The per-image results of some predictions, as a sweep keeps them."""
    kept = [records.record(task, sample, found) for sample, found in zip(samples, predictions, strict=True)]
    return records.table(task, [sample.image_id for sample in samples], kept, condition, replicate)
