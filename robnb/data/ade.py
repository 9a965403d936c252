"""Semantic segmentation data in ADE20K's layout (ADEChallengeData2016)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from robnb.data.images import check_limit, check_present, list_images, read_pixels
from robnb.data.sample import IGNORE, Sample
from robnb.errors import UserError


def read_classes(root: Path) -> tuple[str, ...]:
    """The class names of labels 1, 2, ...

    From ``objectInfo150.txt``, which ADE20K ships (a table whose last column has the names; the first synonym is
    taken), or from ``classes.txt`` (one name per line), which miniworld writes.

    Raises:
        UserError: neither file is there, or the table is none.
    """
    table, names = root / "objectInfo150.txt", root / "classes.txt"
    if table.is_file():
        rows = [row.split("\t") for row in table.read_text("utf-8").strip().splitlines()[1:]]
        if not rows or any(len(row) < 2 or row[0].strip() != str(k) for k, row in enumerate(rows, start=1)):
            raise UserError(f"{table} is no table of classes numbered 1, 2, ...: fetch ADEChallengeData2016 again.")
        return tuple(row[-1].split(",")[0].strip() for row in rows)
    if names.is_file():
        return tuple(line.strip() for line in names.read_text("utf-8").splitlines() if line.strip())
    raise UserError(f"{root} has neither objectInfo150.txt nor classes.txt: check the path to ADEChallengeData2016.")


class AdeImages(Dataset[Sample]):
    """``root/images/<split>/*.{jpg,png}`` with label maps ``root/annotations/<split>/*.png``.

    On disk, label 0 is "other" and k is class k - 1. Targets are uint8 (H, W) with that already applied
    (reduce_zero_label): ``IGNORE`` for other, and positions in ``classes``. ``image_id`` is the file's stem.

    Args:
        root: the folder ADEChallengeData2016.
        split: "training" or "validation".
        limit: keep the first so many images, sorted by name; None keeps all.

    Raises:
        UserError: a folder or the class names are missing, or images and label maps do not pair up.
    """

    def __init__(self, root: Path, split: str, limit: int | None = None) -> None:
        check_limit(limit)
        root = Path(root)
        self.image_folder, self.label_folder = root / "images" / split, root / "annotations" / split
        images = self._find_images()
        labels = [Path(name).stem for name in list_images(self.label_folder, (".png",))]
        self.classes = read_classes(root)
        check_present({images.get(stem, f"{stem}.jpg") for stem in labels}, self.image_folder, self.label_folder)
        unlabelled = sorted(set(images).difference(labels))
        if unlabelled:
            raise UserError(
                f"{self.image_folder} has {len(unlabelled)} image{'s' * (len(unlabelled) > 1)} without a label map in "
                f"{self.label_folder}, the first {unlabelled[0]}.png: fetch or make the data set again."
            )
        if not images:
            raise UserError(f"{self.image_folder} has no images: fetch or make the data set again.")
        self._files = dict(list(images.items())[:limit])
        self._stems = list(self._files)

    def _find_images(self) -> dict[str, str]:
        """Stem -> file name, sorted by file name. ADE20K has JPEGs; PNGs are in lossless copies of it."""
        images: dict[str, str] = {}
        for name in list_images(self.image_folder, (".jpg", ".png")):
            other = images.setdefault(Path(name).stem, name)
            if other != name:
                raise UserError(f"{self.image_folder} has both {other} and {name}: keep one of them.")
        return images

    @property
    def image_ids(self) -> list[str]:
        """Every image's id, in the reader's order."""
        return list(self._stems)

    @property
    def image_files(self) -> list[str]:
        """Every image's file name in ``image_folder``, in the reader's order."""
        return list(self._files.values())

    def __len__(self) -> int:
        return len(self._stems)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``.

        Raises:
            UserError: a file cannot be decoded, or the label map does not fit the image or the classes.
        """
        stem = self._stems[index]
        image = read_pixels(self.image_folder / self._files[stem])
        path = self.label_folder / f"{stem}.png"
        stored = read_pixels(path, mode=None)
        if stored.shape != image.shape[:2]:
            raise UserError(
                f"the label map {path} has shape {stored.shape} and its image {image.shape[:2]}: "
                "fetch or make both again."
            )
        if stored.max() > len(self.classes):
            raise UserError(
                f"the label map {path} has the label {stored.max()}, and there are {len(self.classes)} classes: "
                "fetch or make the data set again."
            )
        return Sample(image, reduce_zero_label(stored), stem)


def reduce_zero_label(stored: np.ndarray) -> np.ndarray:
    """Label map as stored -> as scored: 0 becomes ``IGNORE`` and k becomes k - 1. uint8 in and out."""
    return np.where(stored == 0, IGNORE, stored - 1).astype(np.uint8)
