"""Single files of a copy: image formats, hashes, and writing so that nothing half-written has a final name."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from robnb.errors import UserError
from robnb.names import choose

#: Ending of the name that a file has while it is written.
UNFINISHED = ".part"
#: The endings of each format; the first is given to files that come with another one.
_SUFFIXES = {"png": (".png",), "jpeg": (".jpg", ".jpeg")}
#: zlib's fastest: corrupted images hardly compress further, and level 6 takes up to four times as long.
_PNG_LEVEL = 1


@dataclass(frozen=True)
class FileFormat:
    """How corrupted images are stored: "png" (lossless), or "jpeg" with a quality from 1 to 100.

    Raises:
        UserError: unknown format, a quality outside 1..100 or for a PNG.
    """

    name: str = "png"
    quality: int | None = None

    def __post_init__(self) -> None:
        choose(self.name, _SUFFIXES, "format")
        if self.name == "png" and self.quality is not None:
            raise UserError("a PNG has no quality: leave the quality out, or choose the format jpeg.")
        if self.name == "jpeg" and (type(self.quality) is not int or not 1 <= self.quality <= 100):
            raise UserError(f"the quality of a JPEG is an integer from 1 to 100, not {self.quality!r}.")

    def renamed(self, file: str) -> str:
        """``file`` with an ending of this format; one that it has already stays."""
        path = PurePosixPath(file)
        suffixes = _SUFFIXES[self.name]
        return file if path.suffix.lower() in suffixes else str(path.with_suffix(suffixes[0]))

    def encode(self, pixels: np.ndarray) -> bytes:
        """The file's content for uint8 RGB (H, W, 3)."""
        options = {"compress_level": _PNG_LEVEL} if self.name == "png" else {"quality": self.quality}
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, self.name.upper(), **options)
        return buffer.getvalue()

    def decoded(self, content: bytes, pixels: np.ndarray) -> np.ndarray:
        """What ``content = encode(pixels)`` decodes to: for a PNG, the pixels themselves."""
        return pixels if self.name == "png" else np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256 of an image: of the ASCII line ``H W 3`` and then the uint8 RGB values, row by row."""
    height, width, channels = pixels.shape
    header = f"{height} {width} {channels}\n".encode()
    return hashlib.sha256(header + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def total_hash(hashes: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over (name, hash) pairs in the order given, written as ``sha256sum`` writes them."""
    return hashlib.sha256("".join(f"{each}  {name}\n" for name, each in hashes).encode()).hexdigest()


@contextmanager
def trouble_said_clearly(path: Path) -> Iterator[None]:
    """Turn what goes wrong with writing to ``path`` (a full disk, a missing permission) into a ``UserError``."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): free space or choose another folder, and give the same command "
            "again; finished work is kept."
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name in its folder, which is made if needed, and rename it.

    Raises:
        UserError: the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    with trouble_said_clearly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        os.replace(unfinished, path)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """A JSON file of a copy, which has to have these keys.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or not content.keys() >= set(keys):
            raise ValueError(f"it should have {', '.join(keys)}")
        return content
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}: a copy made by `robnb corrupt` has one, check the folder.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): delete the folder and make the copy again.") from error
