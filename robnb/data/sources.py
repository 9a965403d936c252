"""Where each task's images lie, for miniworld and for the paper's data sets: one description for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robnb.data.ade import AdeImages
from robnb.data.coco import CocoImages
from robnb.data.folders import ClassFolders

READERS = {
    "upstream": ClassFolders,
    "detection": CocoImages,
    "segmentation": AdeImages,
    "classification": ClassFolders,
}
Reader = ClassFolders | CocoImages | AdeImages


@dataclass(frozen=True)
class TaskData:
    """The images of one task.

    Attributes:
        root: folder of the data set, in its published layout.
        train, test: split names in that layout.
        fingerprint: identifies the content in store keys.
        flip: whether a mirrored image is still an image of the data set (a mirrored digit is not).
    """

    task: str
    root: Path
    train: str
    test: str
    fingerprint: str
    flip: bool

    def open(self, split: str, limit: int | None = None) -> Reader:
        """The reader of the "train" or "test" split; ``limit`` keeps the first images in sorted order."""
        return READERS[self.task](self.root, {"train": self.train, "test": self.test}[split], limit=limit)


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


def paper(root: Path) -> dict[str, TaskData]:
    """The paper's data sets below one root; their releases are fixed, so the name is the fingerprint."""
    places = {
        "upstream": ("imagenet", "train", "val"),
        "detection": ("coco", "train2017", "val2017"),
        "segmentation": ("ADEChallengeData2016", "training", "validation"),
        "classification": ("cifar10", "train", "test"),
    }
    return {
        task: TaskData(task, root / folder, train, test, f"{folder}-as-released", flip=True)
        for task, (folder, train, test) in places.items()
    }
