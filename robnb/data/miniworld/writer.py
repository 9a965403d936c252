"""Writing miniworld's splits to disk in the formats of the data sets whose part they play.

upstream/{train,val}/<digit>/*.png                                            ImageNet: 64 x 64, class folders
coco/annotations/instances_{train,val}2017.json, coco/{train,val}2017/*.jpg   COCO 2017: boxes and RLE masks
ADEChallengeData2016/{images,annotations}/{training,validation}, classes.txt  ADE20K: 0 = other, not scored
classification/{train,val}/<digit>/*.png                                      CIFAR-10: 32 x 32, class folders
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as rle

from robnb import seeding
from robnb.data.miniworld.pieces import DIGITS, TEXTURES, DigitPools
from robnb.data.miniworld.scenes import SCENE_SIZE, Scene, compose_crop, compose_scene

Result = TypeVar("Result")

#: How many objects a detection or segmentation scene has, and how often: 1 to 6.
OBJECT_COUNTS = (0.12, 0.20, 0.24, 0.20, 0.14, 0.10)
#: Downstream classification is at low resolution, as CIFAR-10 is.
CLASSIFICATION_SIZE = (32, 32)
#: The first COCO image and annotation id of each split: unique over both splits, as in COCO.
FIRST_ID = {"train": 1, "val": 500_001}
#: Segmentation labels: 0 is other, then the digits, then the stuff.
STUFF_LABEL = {name: 1 + len(DIGITS) + k for k, name in enumerate(TEXTURES)}


@dataclass(frozen=True)
class Split:
    """One split of one task: ``part`` is "train" or "val"; ``pool`` is where its digits and regions come from."""

    seed: int
    task: str
    part: str
    images: int

    @property
    def pool(self) -> str:
        return f"{'upstream' if self.task == 'upstream' else 'downstream'}_{self.part}"

    def rng(self, what: str, index: int) -> np.random.Generator:
        """The generator for one choice: a pure function of seed, task, part and index, not of ``images``."""
        return seeding.generator("miniworld", self.seed, self.task, self.part, what, index)


def balanced(split: Split, what: str, classes: int, total: int) -> np.ndarray:
    """``total`` class numbers, int64, in shuffled rounds: each class appears equally often, up to 1."""
    rounds = [split.rng(what, k).permutation(classes) for k in range(-(-total // classes))]
    return np.concatenate(rounds)[:total]


def plan_scenes(split: Split) -> tuple[list[list[int]], list[str]]:
    """Every scene's labels (0 to 9, back to front) and its stuff, both balanced over the split."""
    counts = [1 + int(split.rng("count", k).choice(6, p=OBJECT_COUNTS)) for k in range(split.images)]
    labels = balanced(split, "labels", len(DIGITS), sum(counts)).tolist()
    starts = np.cumsum([0, *counts[:-1]])
    stuff = [list(TEXTURES)[k] for k in balanced(split, "stuff", len(TEXTURES), split.images)]
    return [labels[start : start + count] for start, count in zip(starts, counts, strict=True)], stuff


def _each(make: Callable[[int], Result], count: int, workers: int) -> list[Result]:
    """``[make(0), ...]`` on ``workers`` threads: drawing, encoding and writing all release the interpreter lock."""
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        return list(pool.map(make, range(count)))


def write_crops(root: Path, split: Split, digits: DigitPools, size: tuple[int, int], workers: int) -> None:
    """Write ``split.images`` crops of one digit each, at ``size`` (width, height), as ``root/<part>/<digit>/*.png``."""
    folder = root / split.part
    for name in DIGITS:
        (folder / name).mkdir(parents=True)
    labels = balanced(split, "labels", len(DIGITS), split.images).tolist()

    def write(index: int) -> None:
        crop = compose_crop(labels[index], digits, split.pool, split.rng("image", index))
        if crop.shape[1::-1] != size:
            crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        Image.fromarray(crop).save(folder / DIGITS[labels[index]] / f"{index:06d}.png")

    _each(write, split.images, workers)


def _save_jpeg(image: np.ndarray, path: Path) -> None:
    # high quality and no chroma subsampling: the only compression to study is the corruption's own
    Image.fromarray(image).save(path, quality=95, subsampling=0)


def coco_annotations(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    """One COCO annotation, still without its id, for each glyph: the part of it that can be seen."""
    annotations = []
    for glyph, mask in zip(scene.glyphs, scene.masks, strict=True):
        encoded = rle.encode(np.asfortranarray(mask, np.uint8))
        annotations.append(
            {
                "image_id": image_id,
                "category_id": 1 + glyph.label,
                "segmentation": {"size": [*map(int, encoded["size"])], "counts": encoded["counts"].decode()},
                "area": int(mask.sum()),
                "bbox": rle.toBbox(encoded).tolist(),
                "iscrowd": 0,
            }
        )
    return annotations


def write_detection(root: Path, split: Split, digits: DigitPools, workers: int) -> None:
    """Write scenes of digits on photographs below ``root`` as COCO 2017 has them."""
    name = f"{split.part}2017"
    (root / name).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    labels, _ = plan_scenes(split)

    def write(index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        scene = compose_scene(labels[index], None, digits, split.pool, split.rng("image", index))
        image_id = FIRST_ID[split.part] + index
        file_name = f"{image_id:012d}.jpg"
        _save_jpeg(scene.image, root / name / file_name)
        about = {"id": image_id, "file_name": file_name, "width": SCENE_SIZE[0], "height": SCENE_SIZE[1]}
        return about, coco_annotations(scene, image_id)

    written = _each(write, split.images, workers)
    annotations = [annotation for _, of_image in written for annotation in of_image]
    content = {
        "info": {"description": "robnb miniworld: handwritten digits on photographs"},
        "licenses": [],
        "categories": [{"id": 1 + k, "name": digit, "supercategory": "digit"} for k, digit in enumerate(DIGITS)],
        "images": [about for about, _ in written],
        "annotations": [{"id": FIRST_ID[split.part] + k, **a} for k, a in enumerate(annotations)],
    }
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content) + "\n")


def label_map(scene: Scene, stuff: str) -> np.ndarray:
    """uint8 (H, W): 0 other, 1 to 10 the digits, then the stuff in the order of ``TEXTURES``."""
    labels = np.where(scene.stuff, STUFF_LABEL[stuff], 0).astype(np.uint8)
    for glyph, mask in zip(scene.glyphs, scene.masks, strict=True):
        labels[mask] = 1 + glyph.label
    return labels


def write_segmentation(root: Path, split: Split, digits: DigitPools, workers: int) -> None:
    """Write scenes of digits and stuff below ``root`` as ADE20K (ADEChallengeData2016) has them."""
    part = {"train": "training", "val": "validation"}[split.part]
    images, annotations = root / "images" / part, root / "annotations" / part
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join([*DIGITS, *TEXTURES]) + "\n")
    labels, stuff = plan_scenes(split)

    def write(index: int) -> None:
        scene = compose_scene(labels[index], stuff[index], digits, split.pool, split.rng("image", index))
        stem = f"ADE_{split.part}_{1 + index:08d}"
        _save_jpeg(scene.image, images / f"{stem}.jpg")
        Image.fromarray(label_map(scene, stuff[index])).save(annotations / f"{stem}.png")

    _each(write, split.images, workers)
