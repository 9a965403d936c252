"""Detection and instance segmentation data in COCO 2017's layout."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle
from torch.utils.data import Dataset

from robnb.data.images import check_limit, check_present, list_images, read_pixels
from robnb.data.sample import Instances, Sample
from robnb.errors import UserError


class CocoImages(Dataset[Sample]):
    """``root/<split>/*.jpg`` with ``root/annotations/instances_<split>.json``; targets are ``Instances``.

    Images are sorted by COCO id, images without objects included. Labels are positions in ``classes``, which are
    sorted by category id. ``image_id`` is the file's stem.

    Args:
        root: the folder with ``annotations``.
        split: "train2017" or "val2017".
        limit: keep the first so many images; None keeps all.

    Attributes:
        annotation_file: for pycocotools and mmdet.
        category_ids: the COCO category id of each class.

    Raises:
        UserError: a folder or the annotation file is missing or broken, it is of another year than the images, or it
            names an image that is not there.
    """

    def __init__(self, root: Path, split: str, limit: int | None = None) -> None:
        check_limit(limit)
        self.folder = Path(root) / split
        self.annotation_file = Path(root) / "annotations" / f"instances_{split}.json"
        images, annotations, categories = _read_annotations(self.annotation_file)
        _check_images({image["file_name"] for image in images.values()}, self.folder, self.annotation_file)
        self.classes: tuple[str, ...] = _names(categories)
        self.category_ids: tuple[int, ...] = tuple(sorted(categories))
        self._label_of = {category: label for label, category in enumerate(self.category_ids)}
        self._images = [images[key] for key in sorted(images)][:limit]
        kept = {image["id"] for image in self._images}
        self._annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in annotations:
            if annotation["image_id"] in kept:
                self._annotations[annotation["image_id"]].append(annotation)

    @property
    def image_ids(self) -> list[str]:
        """Every image's id, in the reader's order."""
        return [Path(image["file_name"]).stem for image in self._images]

    @property
    def coco_ids(self) -> list[int]:
        """Every image's id in the annotation file, in the reader's order."""
        return [image["id"] for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``. Raises a UserError where the file cannot be decoded or has another size than annotated."""
        about = self._images[index]
        path = self.folder / about["file_name"]
        image = read_pixels(path)
        height, width = image.shape[:2]
        if (about["width"], about["height"]) != (width, height):
            raise UserError(
                f"the image {path} is {width} x {height} and annotated as {about['width']} x {about['height']}: "
                "delete it and fetch it again, or make the data set again."
            )
        return Sample(image, self._instances(about["id"], height, width), path.stem)

    def _instances(self, coco_id: int, height: int, width: int) -> Instances:
        annotations = self._annotations[coco_id]
        annotated = np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)
        boxes = annotated.astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        return Instances(
            boxes=boxes,
            labels=np.array([self._label_of[a["category_id"]] for a in annotations], np.int64),
            masks=[to_rle(a["segmentation"], height, width) for a in annotations],
            crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], bool),
            coco_id=coco_id,
            annotated=annotated,
        )


def to_rle(segmentation: list[list[float]] | dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """One compressed RLE (``counts`` bytes) from any of COCO's forms: polygons, run lengths, or compressed already."""
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, height, width)
    counts = segmentation["counts"]
    return {"size": segmentation["size"], "counts": counts.encode() if isinstance(counts, str) else counts}


def read_classes(root: Path, split: str) -> tuple[str, ...]:
    """The class names of labels 0, 1, ... from a split's annotation file; looks for no image.

    Raises:
        UserError: the file is missing or broken.
    """
    _, _, categories = _read_annotations(Path(root) / "annotations" / f"instances_{split}.json")
    return _names(categories)


def _names(categories: dict[int, str]) -> tuple[str, ...]:
    return tuple(name for _, name in sorted(categories.items()))


def _check_images(named: set[str], folder: Path, by: Path) -> None:
    """Every image that the annotations name is there; if none is, the two are not of the same release."""
    there = set(list_images(folder))
    if there and not named & there:
        raise UserError(
            f"{by} is of another year or split than {folder}, it names {min(named)} and the folder has {min(there)}: "
            "use annotations and images of the same release."
        )
    check_present(named, folder, by)


def _read_annotations(path: Path) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]], dict[int, str]]:
    """(image id -> image, annotations, category id -> name) of a COCO instances file."""
    try:
        content = json.loads(path.read_bytes())
        images = {image["id"]: image for image in content["images"]}
        categories = {category["id"]: category["name"] for category in content["categories"]}
        annotations = content["annotations"]
        strangers = [a["id"] for a in annotations if a["image_id"] not in images or a["category_id"] not in categories]
    except FileNotFoundError as error:
        others = sorted(other.name for other in path.parent.glob("instances_*.json"))
        found = f" (there is {', '.join(others)})" if others else ""
        raise UserError(f"there is no annotation file {path}{found}: check the data set's root and split.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a COCO instances file ({error!r}): fetch or make it again.") from error
    if strangers:
        raise UserError(
            f"{path} has {len(strangers)} annotations of an image or category that it does not list, the first with "
            f"id {strangers[0]}: fetch or make it again."
        )
    if not images:
        raise UserError(f"{path} lists no images: fetch or make it again.")
    return images, annotations, categories
