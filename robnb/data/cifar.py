"""CIFAR-10 in its published layout: batches that Python 2 pickled, read without running what a pickle can run."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from robnb.data.images import check_limit
from robnb.data.sample import Sample
from robnb.errors import UserError
from robnb.names import choose

#: The folder that cifar-10-python.tar.gz unpacks to.
FOLDER = "cifar-10-batches-py"
#: The files of each split, in the published order.
SPLITS = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
#: Height, width and channels of an image.
SHAPE = (32, 32, 3)
_AGAIN = "fetch cifar-10-python.tar.gz again"


class _Stored:
    """Stands in for numpy's arrays and types while a pickle is read, so that numpy itself reads nothing of it.

    Attributes:
        given: what it would have been made from.
        state: what it would have been filled with.
    """

    def __init__(self, *given: Any) -> None:
        self.given, self.state = given, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def bytes_array(self) -> np.ndarray:
        """The array, which has to be one of bytes. Raises ValueError, TypeError or AttributeError otherwise."""
        _, shape, kind, by_columns, content = self.state
        if kind.given[0] not in (b"u1", "u1"):
            raise ValueError(f"its values are {kind.given[0]!r}, not u1")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the old protocols."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


_KNOWN = {
    **{
        (module, name): _Stored
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")  # old and new homes
        for name in ("_reconstruct", "ndarray", "dtype")
    },
    ("_codecs", "encode"): _latin1,
}


class _PlainUnpickler(pickle.Unpickler):
    """Gives numbers, texts, lists, dicts and `_Stored`; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return _KNOWN[module, name]


class CifarBatches(Dataset[Sample]):
    """``root/cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}``; targets are int labels.

    Images come in the published order, which is random, so that ``limit`` keeps the classes about balanced.
    ``image_id`` is the split and the position in it: ``test_00042``.

    Args:
        root: the folder that cifar-10-python.tar.gz was unpacked in.
        split: "train" or "test".
        limit: keep the first so many images; None keeps all.

    Raises:
        UserError: a file is missing, broken, not a batch of CIFAR-10, or asks for anything but plain data.
    """

    def __init__(self, root: Path, split: str, limit: int | None = None) -> None:
        check_limit(limit)
        files = SPLITS[choose(split, SPLITS, "split of CIFAR-10")]
        self.classes: tuple[str, ...] = read_classes(root)
        self.split = split
        self.labels: list[int] = []
        pixels: list[np.ndarray] = []
        for name in files:
            if limit is None or len(self.labels) < limit:
                part, labels = _read_batch(Path(root) / FOLDER / name, len(self.classes))
                pixels.append(part)
                self.labels += labels
        self.labels = self.labels[:limit]
        self._pixels = np.concatenate(pixels)[:limit]

    @property
    def image_ids(self) -> list[str]:
        """Every image's id, in the reader's order."""
        return [image_id(self.split, number) for number in range(len(self))]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``."""
        number = range(len(self))[index]
        height, width, channels = SHAPE
        image = self._pixels[number].reshape(channels, height, width).transpose(1, 2, 0)
        return Sample(np.ascontiguousarray(image), self.labels[number], image_id(self.split, number))


def image_id(split: str, number: int) -> str:
    """The id of image ``number`` of a split."""
    return f"{split}_{number:05d}"


def read_classes(root: Path) -> tuple[str, ...]:
    """The class names of labels 0, 1, ... from ``batches.meta``. Raises a UserError where they cannot be read."""
    path = Path(root) / FOLDER / "batches.meta"
    try:
        return tuple(name.decode("ascii") for name in _read(path)["label_names"])
    except (KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise UserError(f"{path} does not hold the class names of CIFAR-10 ({error!r}): {_AGAIN}.") from error


def _read_batch(path: Path, classes: int) -> tuple[np.ndarray, list[int]]:
    """(uint8 (N, 3072) with the channels behind each other, N labels) of one file."""
    content = _read(path)
    try:
        pixels, labels = content["data"].bytes_array(), list(content["labels"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a batch of CIFAR-10 ({error!r}): {_AGAIN}.") from error
    if pixels.shape != (len(labels), np.prod(SHAPE)) or not labels:
        raise UserError(
            f"{path} has {len(labels)} labels and pixels of shape {pixels.shape}, not 3072 bytes for each label: "
            f"{_AGAIN}."
        )
    wrong = [label for label in labels if type(label) is not int or not 0 <= label < classes]
    if wrong:
        raise UserError(f"{path} has the label {wrong[0]!r}, and there are {classes} classes: {_AGAIN}.")
    return pixels, labels


def _read(path: Path) -> dict[str, Any]:
    """A pickled dict of plain data, its keys as text."""
    try:
        content = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return {key.decode("ascii") if isinstance(key, bytes) else key: value for key, value in content.items()}
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: check the data set's root, or fetch cifar10.") from error
    except Exception as error:  # a broken pickle can raise anything
        raise UserError(f"{path} is no file of CIFAR-10 ({error}): delete it, and {_AGAIN}.") from error
