"""Small stand-ins for the paper's data sets, in their published layouts and formats, made of real photographs.

Each function writes one data set below a root and returns the root. The class counts are the published ones, so that
the heads of published models fit; most classes have one image or none.
"""

import io
import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

from robnb.corruptions import corrupt
from robnb.data import CifarBatches, ClassFolders, Prepared
from robnb.data.sources import IMAGENET_C
from robnb.names import CORRUPTIONS, SEVERITIES

#: The category ids of COCO: 80 of 1..90.
COCO_IDS = [k for k in range(1, 91) if k not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def photographs(count: int, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """``count`` different crops of scikit-image's photographs: uint8 RGB (height, width, 3)."""
    rng, crops = np.random.default_rng(seed), []
    whole = [Image.fromarray(getattr(skimage.data, name)()) for name in _PHOTOGRAPHS]
    for number in range(count):
        picture = whole[number % len(whole)]
        most = min(picture.width / width, picture.height / height)
        scale = rng.uniform(0.4, 1.0) * most
        left, top = (
            rng.uniform(0, side - scale * new)
            for side, new in ((picture.width, width), (picture.height, height))
        )  # fmt: skip
        box = (left, top, left + scale * width, top + scale * height)
        crops.append(np.array(picture.resize((width, height), Image.Resampling.BICUBIC, box)))
    return crops


def save_jpeg(path: Path, image: np.ndarray, quality: int = 90) -> None:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, "JPEG", quality=quality)


# --- COCO 2017


def coco(root: Path, images: int = 6, classes: int = 80, size: tuple[int, int] = (120, 160)) -> Path:
    """``{train,val}2017/*.jpg`` and ``annotations/instances_{train,val}2017.json``.

    Each image has three outlined objects, one in four a crowd as well; the second image of a split has none, as about
    one in a hundred of train2017.

    Args:
        images: in each split.
        size: (height, width).
    """
    for split, first in (("train2017", 1000), ("val2017", 139)):
        content = _coco_content(split, images, classes, size, first)
        for about, picture in zip(content["images"], photographs(images, *size, seed=first), strict=True):
            save_jpeg(root / split / about["file_name"], picture)
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def _coco_content(split: str, images: int, classes: int, size: tuple[int, int], first: int) -> dict[str, Any]:
    height, width = size
    rng, annotations, listed = np.random.default_rng(first), [], []
    for number in range(images):
        image_id = first + 7 * number
        listed.append({"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": height, "width": width,
                       "license": 4, "coco_url": f"http://images.cocodataset.org/{split}/{image_id:012d}.jpg",
                       "date_captured": "2013-11-14 17:02:52"})  # fmt: skip
        for k in range(0 if number == 1 else 3):
            w, h = rng.uniform(0.2, 0.6) * width, rng.uniform(0.2, 0.6) * height
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            polygon = [x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]
            category = COCO_IDS[(3 * number + k) % classes]
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "category_id": category,
                                "iscrowd": 0, "area": w * h / 2, "bbox": [x, y, w, h],
                                "segmentation": [[round(v, 2) for v in polygon]]})  # fmt: skip
        if number % 4 == 3:
            runs = [10, 30, height * width - 40]
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 1,
                                "area": 30, "bbox": [0, 10, 1, 30],
                                "segmentation": {"size": [height, width], "counts": runs}})  # fmt: skip
    categories = [{"id": k, "name": f"category {k}", "supercategory": "thing"} for k in COCO_IDS[:classes]]
    info = {"description": "COCO 2017 Dataset", "url": "http://cocodataset.org", "version": "1.0", "year": 2017}
    return {"info": info, "licenses": [], "images": listed, "annotations": annotations, "categories": categories}


# --- ADE20K


def ade20k(root: Path, images: int = 6, size: tuple[int, int] = (120, 160)) -> Path:
    """``{images,annotations}/{training,validation}`` and ``objectInfo150.txt``, for the root ADEChallengeData2016."""
    for split, short in (("training", "train"), ("validation", "val")):
        for number, picture in enumerate(photographs(images, *size, seed=len(split)), start=1):
            stem = f"ADE_{short}_{number:08d}"
            save_jpeg(root / "images" / split / f"{stem}.jpg", picture)
            labels = Image.fromarray(np.full(size, 1 + number % 150, np.uint8))
            draw = ImageDraw.Draw(labels)
            draw.ellipse((10, 10, size[1] // 2, size[0] // 2), fill=1 + (37 * number) % 150)
            draw.rectangle((size[1] // 2, size[0] // 2, size[1], size[0]), fill=1 + (53 * number) % 150)
            draw.rectangle((0, size[0] - 9, 20, size[0]), fill=0)
            path = root / "annotations" / split / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            labels.save(path)
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    rows += [f"{k}\t{1 / k:.4f}\t{11664 // k}\t{1172 // k}\t{k % 2}\tclass {k}, thing {k}" for k in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(rows) + "\n")
    (root / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\n")
    return root


# --- CIFAR-10


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2's cPickle wrote of numpy 1: texts and bytes are one type, numpy's core is ``numpy.core``.

    Of the published ``batches.meta`` it gives the very bytes (a test compares the md5).
    """

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def put(self, index: int) -> bytes:
        """cPickle counted from 1."""
        return super().put(index + 1)

    def get(self, index: int) -> bytes:
        """cPickle counted from 1."""
        return super().get(index + 1)

    def save_bytes(self, value: bytes) -> None:
        """As Python 2's str."""
        short = len(value) < 256
        self.write((pickle.SHORT_BINSTRING + bytes([len(value)]) if short
                    else pickle.BINSTRING + len(value).to_bytes(4, "little")) + value)  # fmt: skip
        self.memoize(value)

    def save_text(self, value: str) -> None:
        """Python 2 had one type for both."""
        self.save_bytes(value.encode("latin1"))

    def save_global(self, value: Any, name: str | None = None) -> None:
        """By its old name."""
        module = value.__module__ if isinstance(value, type) else "numpy.core.multiarray"
        self.write(pickle.GLOBAL + f"{module}\n{name or value.__name__}\n".encode())
        self.memoize(value)

    dispatch[bytes], dispatch[str] = save_bytes, save_text


def python2_pickle(content: Any) -> bytes:
    """A pickle of protocol 2 as Python 2 wrote it."""
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


def cifar_batch(number: int, images: int) -> dict[bytes, Any]:
    """A batch's content, keys as bytes."""
    rng = np.random.default_rng(number)
    pixels = np.stack(photographs(images, 32, 32, seed=number)).transpose(0, 3, 1, 2).reshape(images, -1)
    return {
        b"batch_label": b"testing batch 1 of 1" if number == 0 else f"training batch {number} of 5".encode(),
        b"labels": rng.permutation(np.arange(images) % 10).tolist(),
        b"data": np.ascontiguousarray(pixels),
        b"filenames": [f"picture_s_{k:06d}.png".encode() for k in range(images)],
    }


def cifar_meta(images: int) -> dict[bytes, Any]:
    """The content of ``batches.meta``."""
    names = [name.encode() for name in CIFAR_CLASSES]
    return {b"num_cases_per_batch": images, b"label_names": names, b"num_vis": 3072}


def cifar10(root: Path, images: int = 20) -> Path:
    """``cifar-10-batches-py`` with all its batches, ``images`` in each."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate(("test_batch", *(f"data_batch_{k}" for k in range(1, 6)))):
        (folder / name).write_bytes(python2_pickle(cifar_batch(number, images)))
    (folder / "batches.meta").write_bytes(python2_pickle(cifar_meta(images)))
    return root


def cifar10_c(root: Path, of: Path, corruptions: Sequence[str] = CORRUPTIONS) -> Path:
    """``<corruption>.npy`` and ``labels.npy`` of the test images of a `cifar10`."""
    root.mkdir(parents=True, exist_ok=True)
    reader = CifarBatches(of, "test")
    for name in corruptions:
        rows = [
            corrupt(sample.image, name, severity, image_id=sample.image_id)
            for severity in SEVERITIES
            for sample in reader
        ]
        np.save(root / f"{name}.npy", np.stack(rows))
    np.save(root / "labels.npy", np.tile(np.array(reader.labels, np.uint8), len(SEVERITIES)))
    return root


# --- ImageNet


def imagenet(root: Path, classes: int = 1000, images: int = 16, size: tuple[int, int] = (100, 130)) -> Path:
    """``val/<wnid>/ILSVRC2012_val_*.JPEG``: one image a class; there are ``images`` different ones."""
    files = []
    for number, picture in enumerate(photographs(images, *size, seed=1)):
        upright = picture if number % 2 else picture.transpose(1, 0, 2)
        save_jpeg(root / "picture.jpg", upright)
        files.append((root / "picture.jpg").read_bytes())
    (root / "picture.jpg").unlink()
    for label in range(classes):
        path = root / "val" / f"n{1440764 + 11 * label:08d}" / f"ILSVRC2012_val_{label + 1:08d}.JPEG"
        path.parent.mkdir(parents=True)
        path.write_bytes(files[label % len(files)])
    return root


def imagenet_c(
    root: Path,
    of: Path,
    corruptions: Sequence[str] = CORRUPTIONS,
    severities: Iterable[int] = SEVERITIES,
    limit: int | None = None,
) -> Path:
    """``<corruption>/<severity>/<wnid>/*.JPEG`` of the first ``limit`` images of an `imagenet`, of quality 85."""
    for sample in Prepared(ClassFolders(of, "val", limit), *IMAGENET_C):
        for name in corruptions:
            for severity in severities:
                made = corrupt(sample.image, name, severity, image_id=sample.image_id)
                save_jpeg(root / name / str(severity) / sample.image_id, made, quality=85)
    return root
