"""A few images of the usual size where a task's data are not there, for measurements in which only the time counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from robnb.data import sources
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.data.sources import TaskData
from robnb.speed.stand_ins import photographs

#: (height, width) of a usual image of the paper's data sets.
PAPER_SHAPES = {"upstream": (375, 500), "detection": (480, 640), "segmentation": (512, 683), "classification": (32, 32)}
#: Classes of the segmentation data, on which a segmentor's cost depends.
_ADE_CLASSES = 150
_IMAGES = 8


def small_miniworld(folder: Path) -> dict[str, TaskData]:
    """A miniworld of a few images in each split."""
    counts = dict.fromkeys(("detection_train", "detection_val", "segmentation_train", "segmentation_val"), _IMAGES)
    counts |= dict.fromkeys(("upstream_train", "upstream_val", "classification_train", "classification_val"), 20)
    root = make_miniworld(MiniworldSpec(**counts), folder)
    return sources.miniworld(root, fingerprint(root))


def paper_like(task: str, folder: Path) -> TaskData:
    """Photographs in the layout of the paper's data set of a task; training and test split are the same."""
    root = folder / task
    data = photographs(root, _IMAGES, PAPER_SHAPES[task])
    if task == "detection":
        return data
    pictures = sorted((root / "val2017").glob("*.jpg"))
    if task == "segmentation":
        return _as_ade(root, pictures)
    for number, picture in enumerate(pictures):
        place = root / "all" / f"class {number % 2}" / picture.name
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.rename(place)
    return TaskData(task, root, "all", "all", "photographs", flip=True)


def _as_ade(root: Path, pictures: list[Path]) -> TaskData:
    images, labels = root / "images" / "all", root / "annotations" / "all"
    for folder in (images, labels):
        folder.mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(f"class {label}" for label in range(_ADE_CLASSES)))
    for number, picture in enumerate(pictures):
        width, height = Image.open(picture).size
        # A patchwork of as many classes as an image of ADE20K has.
        patches = (np.arange(12, dtype=np.uint8).reshape(3, 4) * 12 + number) % _ADE_CLASSES + 1
        Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST).save(labels / f"{picture.stem}.png")
        picture.rename(images / picture.name)
    return TaskData("segmentation", root, "all", "all", "photographs", flip=True)
