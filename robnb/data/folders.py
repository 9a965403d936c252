"""Classification data in ImageNet's layout: one folder per class."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import Dataset

from robnb.data.images import check_limit, list_images, read_pixels
from robnb.data.sample import Sample
from robnb.errors import UserError


class ClassFolders(Dataset[Sample]):
    """``root/split/<class>/*.{png,jpg,jpeg}`` (either case); targets are int labels.

    Classes are the folders' names, sorted. Images take turns through the classes (the first of each class, then
    the second of each ...), so that ``limit`` keeps them balanced. ``image_id`` is ``<class>/<file>``.

    Args:
        root: the data set's folder.
        split: a folder in it, such as "train" or "val".
        limit: keep the first so many images; None keeps all.

    Raises:
        UserError: the folder is missing, has no class folders, or a class folder has no images.
    """

    def __init__(self, root: Path, split: str, limit: int | None = None) -> None:
        check_limit(limit)
        self.folder = Path(root) / split
        self.classes: tuple[str, ...] = read_classes(root, split)
        order = []
        for label, name in enumerate(self.classes):
            files = list_images(self.folder / name)
            if not files:
                raise UserError(f"the class folder {self.folder / name} has no images: fetch or make them again.")
            order += [(turn, label, file) for turn, file in enumerate(files)]
        self._items = [(label, file) for _, label, file in sorted(order)][:limit]

    @property
    def image_ids(self) -> list[str]:
        """Every image's id, in the reader's order."""
        return [f"{self.classes[label]}/{file}" for label, file in self._items]

    @property
    def labels(self) -> list[int]:
        """Every image's label, in the reader's order; reads no image."""
        return [label for label, _ in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``. Raises a UserError where the file cannot be decoded."""
        label, file = self._items[index]
        name = self.classes[label]
        return Sample(read_pixels(self.folder / name / file), label, f"{name}/{file}")


def read_classes(root: Path, split: str) -> tuple[str, ...]:
    """The names of the class folders of a split, sorted; opens none of them.

    Raises:
        UserError: the folder is missing, or has no class folders.
    """
    folder = Path(root) / split
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: check the data set's root and split.")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{folder} has no class folders: it must hold one folder of images for each class.")
    return tuple(names)
