"""Corrupted images as they were published: ImageNet-C and CIFAR-10-C.

Both have each test image under every corruption and severity, drawn once. They share one interface: ``check`` says in
one sentence what is missing, ``pixels`` gives one image.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from robnb.data.images import read_pixels
from robnb.errors import UserError
from robnb.names import SEVERITIES

#: A corruption and a severity.
Pair = tuple[str, int]
_MOST_NAMED = 8


class PublishedCopies(Protocol):
    """A data set's published corrupted copies.

    Attributes:
        name: of the release; part of the keys of what is scored on it.
        root: its folder.
    """

    name: str
    root: Path

    def check(self, pairs: Sequence[Pair], reader: Any) -> None:
        """Check that the images of a reader are there under every pair, of the size that the clean ones have.

        Raises:
            UserError: lists what is missing, or says what does not fit.
        """

    def pixels(self, corruption: str, severity: int, image_id: str) -> np.ndarray:
        """One image: uint8 RGB (H, W, 3). Raises a UserError where it cannot be read."""


class ImageNetCopies:
    """ImageNet-C: ``root/<corruption>/<1..5>/<wnid>/<file>.JPEG``, 224 x 224, JPEG of quality 85.

    The clean images that go with it are the validation images resized to 256 and cropped to 224
    (`robnb.data.prepared.Prepared`). Source: zenodo.org/records/2235448.
    """

    name = "ImageNet-C"

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def check(self, pairs: Sequence[Pair], reader: Any) -> None:
        """See `PublishedCopies`. It lists folders; of each pair one image is opened."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for image_id in reader.image_ids:
            folder, name = os.path.split(PurePosixPath(image_id))
            wanted[folder].add(name)
        lacking = []
        for corruption, severity in pairs:
            folder = self.root / corruption / str(severity)
            missing = sorted(f"{of}/{name}" for of in wanted for name in wanted[of].difference(_names(folder / of)))
            if len(missing) == len(reader):
                lacking.append(f"{corruption}/{severity}")
            elif missing:
                some = f"{len(missing)} of {len(reader)} images"
                lacking.append(f"{some} of {corruption}/{severity} (the first {missing[0]})")
        _refuse(self, lacking)
        first = reader[0]
        for corruption, severity in pairs:
            check_size(self, self.pixels(corruption, severity, first.image_id), first.image)

    def pixels(self, corruption: str, severity: int, image_id: str) -> np.ndarray:
        """See `PublishedCopies`."""
        return read_pixels(self.root / corruption / str(severity) / image_id)


class CifarCopies:
    """CIFAR-10-C: ``root/<corruption>.npy``, uint8 (5 N, 32, 32, 3), and ``labels.npy`` (5 N,).

    Rows (s - 1) N to s N - 1 are the N test images in their published order at severity s; N is 10,000. The arrays stay
    on disk, and nothing in them is unpickled. Source: zenodo.org/records/2535967.
    """

    name = "CIFAR-10-C"

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._arrays: dict[str, np.ndarray] = {}

    def check(self, pairs: Sequence[Pair], reader: Any) -> None:
        """See `PublishedCopies`. ``labels.npy`` must have the reader's labels at every severity."""
        names = list(dict.fromkeys(corruption for corruption, _ in pairs))
        there = _names(self.root)
        _refuse(self, [f"{name}.npy" for name in (*names, "labels") if f"{name}.npy" not in there])
        labels, right = self._array("labels"), False
        rows = len(reader)
        if labels.ndim == 1 and len(labels) % len(SEVERITIES) == 0 and len(labels) >= rows * len(SEVERITIES):
            right = (labels.reshape(len(SEVERITIES), -1)[:, :rows] == reader.labels).all()
        if not right:
            raise UserError(
                f"{self.root / 'labels.npy'} does not have the labels of the {rows} test images at each of five "
                "severities: use the CIFAR-10-C of this test set."
            )
        for name in names:
            array = self._array(name)
            if array.dtype != np.uint8 or array.ndim != 4 or len(array) != len(labels):
                raise UserError(
                    f"{self.root / name}.npy is {array.dtype} {array.shape}, not one uint8 image for each of the "
                    f"{len(labels)} labels: fetch cifar10_c again."
                )
            check_size(self, array[0], reader[0].image)

    def pixels(self, corruption: str, severity: int, image_id: str) -> np.ndarray:
        """See `PublishedCopies`; a copy of the row."""
        array = self._array(corruption)
        number = int(image_id.rpartition("_")[2])
        return np.array(array[(severity - 1) * (len(array) // len(SEVERITIES)) + number])

    def _array(self, name: str) -> np.ndarray:
        """A file's array, on disk."""
        if name not in self._arrays:
            path = self.root / f"{name}.npy"
            try:
                self._arrays[name] = np.lib.format.open_memmap(path, mode="r")  # it reads .npy alone, and no objects
            except FileNotFoundError as error:
                raise UserError(f"there is no file {path}: fetch cifar10_c, or leave {name} out.") from error
            except (OSError, ValueError, EOFError) as error:
                raise UserError(f"{path} is damaged ({error}): delete it, and fetch cifar10_c again.") from error
        return self._arrays[name]


def check_size(copies: PublishedCopies, copy: np.ndarray, clean: np.ndarray) -> None:
    """Raises a UserError unless a copy has the size of the clean image."""
    if copy.shape != clean.shape:
        (height, width), (clean_height, clean_width) = copy.shape[:2], clean.shape[:2]
        raise UserError(
            f"an image of {copies.name} in {copies.root} is {width} x {height} pixels, and the clean one "
            f"{clean_width} x {clean_height}: prepare the clean images as the copies were made ([256, 224, bilinear] "
            "for ImageNet-C, nothing for CIFAR-10-C)."
        )


def _names(folder: Path) -> set[str]:
    """What a folder has; nothing where there is none."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _refuse(copies: PublishedCopies, lacking: Iterable[str]) -> None:
    """Raises a UserError that lists what is lacking, if anything is."""
    lacking = list(lacking)
    if lacking:
        named = ", ".join(lacking[:_MOST_NAMED])
        more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
        raise UserError(
            f"{copies.name} in {copies.root} lacks {named}{more}: fetch it, correct its root, or "
            "leave those conditions out."
        )
