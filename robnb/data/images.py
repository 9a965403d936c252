"""Reading image files and folders, with a sentence for everything that is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from robnb.errors import UserError

#: Endings of the image files that the readers look for, in lower case.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_pixels(path: Path, mode: str | None = "RGB") -> np.ndarray:
    """A decoded image: uint8 (H, W, 3) for mode "RGB", the stored values as they are for ``None``.

    The orientation tag of EXIF is ignored, as it is in COCO's and ADE20K's annotations.

    Raises:
        UserError: the file is missing, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert(mode) if mode else image)  # a copy, because PIL's own is read-only
    except FileNotFoundError as error:
        raise UserError(f"the image {path} is missing: fetch or make the data set again.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow raises for broken files
        raise UserError(
            f"cannot decode the image {path} ({error}): delete it and fetch it again, or make the data set again."
        ) from error


def list_images(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[str]:
    """The sorted names of the image files in ``folder``, hidden ones left out.

    Raises:
        UserError: there is no such folder.
    """
    names = _list_folder(folder)
    return sorted(name for name in names if name.lower().endswith(suffixes) and not name.startswith("."))


def _list_folder(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise UserError(f"there is no folder {folder}: check the data set's root and split.") from error


def check_present(named: set[str], folder: Path, by: Path) -> None:
    """Check that every file name in ``named`` (by the annotations ``by``) is an image in ``folder``.

    Raises:
        UserError: some are missing; gives their number and the first.
    """
    missing = sorted(named.difference(_list_folder(folder)))
    if missing:
        raise UserError(
            f"{by} names {len(missing)} image{'s' * (len(missing) > 1)} not in {folder}, the first {missing[0]}: "
            "fetch or make the data set again."
        )


def check_limit(limit: int | None) -> None:
    """Raises a UserError unless ``limit`` is a positive integer or None."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UserError(f"limit is {limit!r}: give a positive number of images, or None for all of them.")
