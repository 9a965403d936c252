"""Comparing a copy with its manifests: every file is read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robnb.copies import pool
from robnb.copies.files import pixel_hash, read_json
from robnb.copies.record import JOURNAL, MANIFEST, SOURCE, condition_hash, overall_hash
from robnb.data.images import IMAGE_SUFFIXES, read_pixels
from robnb.errors import UserError
from robnb.progress import bar


@dataclass(frozen=True)
class Findings:
    """Paths below the copy's folder, sorted.

    Attributes:
        files: how many images and annotation files the manifests list.
        missing: files that are not there.
        changed: images of other pixels or that cannot be decoded, annotation files of other bytes, and manifests
            whose hashes do not add up.
        extra: image files that no manifest lists.
        sha256: the hash over the copy, as its manifest gives it.
    """

    files: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    sha256: str

    @property
    def good(self) -> bool:
        """Whether the copy is exactly what its manifests say."""
        return not (self.missing or self.changed or self.extra)


@dataclass(frozen=True)
class _Listed:
    """A file that a manifest lists; ``image`` says whether the hash is over pixels or over bytes."""

    folder: Path
    name: str
    sha256: str
    image: bool


def verify_copies(folder: Path, workers: int = 1) -> Findings:
    """Decode every image of a copy and compare it with the manifests.

    Raises:
        UserError: the folder is no copy, is not finished, or a manifest is damaged.
    """
    folder = Path(folder)
    manifest = read_json(folder / MANIFEST, "conditions", "sha256")
    if manifest["sha256"] is None or (folder / JOURNAL).exists():
        raise UserError(f"{folder} is not finished: give the command that makes it again, then verify.")
    pixels = {name: read_json(folder / name / MANIFEST, "images")["images"] for name in manifest["conditions"]}
    annotations = read_json(folder / SOURCE, "annotations")["annotations"]
    listed = list(_listed(folder, pixels, annotations))
    states: dict[str, list[str]] = {
        "good": [],
        "missing": [],
        "changed": _wrong_manifests(manifest, pixels, annotations),
    }
    with bar(len(listed), "verify") as shown, closing(pool.results(_compare, listed, workers)) as results:
        for name, state in results:
            states[state].append(name)
            shown.update()
    extra = set(_image_files(folder)).difference(each.name for each in listed)
    missing, changed = (tuple(sorted(states[state])) for state in ("missing", "changed"))
    return Findings(len(listed), missing, changed, tuple(sorted(extra)), manifest["sha256"])


def _listed(folder: Path, pixels: dict[str, dict[str, str]], annotations: dict[str, str]) -> Iterator[_Listed]:
    for condition, images in pixels.items():
        for files, image in ((images, True), (annotations, False)):
            yield from (_Listed(folder, f"{condition}/{name}", sha256, image) for name, sha256 in files.items())


def _wrong_manifests(
    manifest: dict[str, Any], pixels: dict[str, dict[str, str]], annotations: dict[str, str]
) -> list[str]:
    """The manifests whose hashes over others are not what those give."""
    totals = manifest["conditions"]
    wrong = [f"{name}/{MANIFEST}" for name, images in pixels.items() if condition_hash(images) != totals[name]]
    return wrong + [MANIFEST] * (overall_hash(totals, annotations) != manifest["sha256"])


def _compare(listed: _Listed) -> tuple[str, str]:
    """The file's name and whether it is "good", "missing" or "changed"."""
    path = listed.folder / listed.name
    if not path.is_file():
        return listed.name, "missing"
    try:
        found = pixel_hash(read_pixels(path)) if listed.image else hashlib.sha256(path.read_bytes()).hexdigest()
    except (UserError, OSError):  # cannot be decoded, cannot be read
        return listed.name, "changed"
    return listed.name, "good" if found == listed.sha256 else "changed"


def _image_files(folder: Path) -> Iterator[str]:
    for top, _, names in os.walk(folder):
        below = Path(top).relative_to(folder)
        yield from ((below / name).as_posix() for name in names if name.lower().endswith(IMAGE_SUFFIXES))
