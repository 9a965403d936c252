"""Where each task's images lie, for miniworld and for the paper's data sets: one description for both."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from robnb.data import ade, cifar, coco, folders
from robnb.data.ade import AdeImages
from robnb.data.cifar import CifarBatches
from robnb.data.coco import CocoImages
from robnb.data.corrupted import CifarCopies, ImageNetCopies, PublishedCopies
from robnb.data.folders import ClassFolders
from robnb.data.prepared import Prepared, check_prepare
from robnb.errors import UserError
from robnb.names import choose

Reader = ClassFolders | CifarBatches | Prepared | CocoImages | AdeImages


class Layout(NamedTuple):
    """How a data set lies on disk.

    Attributes:
        reader: (root, split, limit) -> its images.
        classes: (root, split) -> the class names alone, which takes much less.
        copies: (root) -> its published corrupted copies, where there are any.
    """

    reader: Callable[..., Reader]
    classes: Callable[[Path, str], tuple[str, ...]]
    copies: Callable[[Path], PublishedCopies] | None = None


LAYOUTS = {
    "folders": Layout(ClassFolders, folders.read_classes, ImageNetCopies),
    "cifar10": Layout(CifarBatches, lambda root, _: cifar.read_classes(root), CifarCopies),
    "coco": Layout(CocoImages, coco.read_classes),
    "ade20k": Layout(AdeImages, lambda root, _: ade.read_classes(root)),
}
_USUAL = {"upstream": "folders", "detection": "coco", "segmentation": "ade20k", "classification": "folders"}


@dataclass(frozen=True)
class TaskData:
    """The images of one task.

    Attributes:
        root: folder of the data set, in its published layout.
        train, test: split names in that layout.
        fingerprint: identifies the content in store keys.
        flip: whether a mirrored image is still an image of the data set (a mirrored digit is not).
        layout: one of `LAYOUTS`; None for the task's usual one.
        copies: folder of the published corrupted copies of the test images, where they are to be used.
        prepare: what test images are put through before anything else, (short side, side of the square, interpolation),
            see `robnb.data.prepared`; None leaves them as they are. Training images are never prepared.

    Raises:
        UserError: test images that cannot be prepared so, or copies of a data set that has none.
    """

    task: str
    root: Path
    train: str
    test: str
    fingerprint: str
    flip: bool
    layout: str | None = None
    copies: Path | None = None
    prepare: tuple[int, int, str] | None = None

    def __post_init__(self) -> None:
        if self.prepare is not None:
            choose(self.task, _LABELLED, "task whose test images can be prepared")
            check_prepare(self.prepare)
        if self.copies is not None and self._layout.copies is None:
            raise UserError(f"there are no published corrupted copies for {self.task}: leave its copies out.")

    @property
    def _layout(self) -> Layout:
        return LAYOUTS[self.layout or _USUAL[self.task]]

    def open(self, split: str, limit: int | None = None) -> Reader:
        """The reader of the "train" or "test" split; ``limit`` keeps its first images.

        Raises:
            UserError: the split cannot be read.
        """
        name = {"train": self.train, "test": self.test}[choose(split, ("train", "test"), "split")]
        reader = self._layout.reader(self.root, name, limit=limit)
        return Prepared(reader, *self.prepare) if split == "test" and self.prepare else reader

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names of labels 0, 1, ... of both splits, told by the test split; reads no image and is kept.

        Raises:
            UserError: it cannot be told.
        """
        return _classes(self.layout or _USUAL[self.task], self.root, self.test)

    @property
    def test_fingerprint(self) -> str:
        """``fingerprint`` of the test images as they are scored: prepared ones are other images."""
        if self.prepare is None:
            return self.fingerprint
        resize, crop, interpolation = self.prepare
        return f"{self.fingerprint} {resize}/{crop} {interpolation}"

    def open_copies(self) -> PublishedCopies:
        """The published corrupted copies of the test images; nothing is read yet.

        Raises:
            UserError: none were named.
        """
        if self.copies is None:
            raise UserError(f"no published corrupted copies of the {self.task} images were named: name their folder.")
        return self._layout.copies(self.copies)


@functools.lru_cache(maxsize=16)
def _classes(layout: str, root: Path, split: str) -> tuple[str, ...]:
    return LAYOUTS[layout].classes(root, split)


#: Tasks whose targets are labels of whole images.
_LABELLED = ("upstream", "classification")


def miniworld(root: Path, fingerprint: str) -> dict[str, TaskData]:
    """The four data sets inside a miniworld folder."""
    places = {
        "upstream": ("upstream", "train", "val"),
        "detection": ("coco", "train2017", "val2017"),
        "segmentation": ("ADEChallengeData2016", "training", "validation"),
        "classification": ("classification", "train", "val"),
    }
    return {
        task: TaskData(task, root / folder, train, test, fingerprint, flip=False)
        for task, (folder, train, test) in places.items()
    }


class _Release(NamedTuple):
    """A data set of the paper: the key of its root, its splits, its fingerprint, and the key of its copies' root."""

    key: str
    train: str
    test: str
    fingerprint: str
    layout: str
    copies: str | None = None


#: Their releases are fixed, so the name is the fingerprint.
_RELEASES = {
    "upstream": _Release("imagenet", "train", "val", "imagenet-as-released", "folders", "imagenet_c"),
    "detection": _Release("coco", "train2017", "val2017", "coco-as-released", "coco"),
    "segmentation": _Release("ade20k", "training", "validation", "ADEChallengeData2016-as-released", "ade20k"),
    "classification": _Release("cifar10", "train", "test", "cifar10-as-released", "cifar10", "cifar10_c"),
}
#: How the images of ImageNet-C were made of ImageNet's.
IMAGENET_C = (256, 224, "bilinear")


def paper(
    roots: Mapping[str, Path], *, copies: bool = False, prepare: Mapping[str, tuple[int, int, str]] | None = None
) -> dict[str, TaskData]:
    """The paper's data sets.

    Args:
        roots: folders by the keys coco, ade20k, cifar10, imagenet, cifar10_c and imagenet_c. A task whose data set has
            no folder is left out.
        copies: score ImageNet-C and CIFAR-10-C as published. The ImageNet images are then prepared as ImageNet-C was
            made; CIFAR-10 images that are prepared have no copies of their size, and are corrupted here.
        prepare: by task; what its test images are put through first (`TaskData`).

    Raises:
        UserError: a task whose images cannot be prepared, or not so.
    """
    prepare = dict(prepare or {})
    for task in prepare:
        choose(task, _LABELLED, "task whose test images can be prepared")
    found = {}
    for task, release in _RELEASES.items():
        if release.key not in roots:
            continue
        prepared = prepare.get(task, IMAGENET_C if copies and task == "upstream" else None)
        with_copies = copies and release.copies is not None and not (task == "classification" and prepared)
        found[task] = TaskData(
            task,
            Path(roots[release.key]),
            release.train,
            release.test,
            release.fingerprint,
            flip=True,
            layout=release.layout,
            copies=Path(roots[release.copies]) if with_copies else None,
            prepare=tuple(prepared) if prepared else None,
        )
    return found
