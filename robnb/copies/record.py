"""What a copy's folder says about itself: its settings, the hashes of what is finished, and the journal between.

Each finished image is a line of the journal. When a run ends, the journal becomes manifests and is deleted, unless
conditions of an earlier, interrupted run are still incomplete.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from robnb import __version__, corruptions, provenance
from robnb.copies.files import FileFormat, read_json, total_hash, trouble_said_clearly, write_json
from robnb.errors import UserError
from robnb.names import KNOWN_CORRUPTIONS

MANIFEST, SOURCE, JOURNAL = "manifest.json", "source.json", "journal.jsonl"
#: Of the manifests; goes up when they change.
_VERSION = 1
#: What has a hand in the pixels: decoding, corrupting, encoding.
_LIBRARIES = ("imagecorruptions", "numba", "numpy", "opencv-python", "pillow", "scikit-image", "scipy", "torch")


@dataclass(frozen=True)
class Settings:
    """How images are corrupted and stored; see ``robnb.corruptions.corrupt`` for the first three."""

    engine: str = "fast"
    seed: int = 0
    replicate: int = 0
    file_format: FileFormat = field(default_factory=FileFormat)


@dataclass(frozen=True)
class Made:
    """One image that is finished under some conditions: hashes of its source and, per condition, of its pixels."""

    file: str
    target: str
    source: str
    pixels: dict[str, str]


def describe(settings: Settings, source: dict[str, Any]) -> dict[str, Any]:
    """The part of the manifest that two runs into one folder must share."""
    head = {"manifest": _VERSION, "robnb": __version__, "fast_engine": corruptions.VERSION}
    return {**head, **asdict(settings), "source": source, "versions": provenance.versions(_LIBRARIES)}


class Record:
    """The state of a copy's folder, for the one process that writes to it.

    Attributes:
        sources: source file -> hash of its pixels.
        pixels: condition ("fog/1") -> target -> hash of its pixels.
    """

    def __init__(self, folder: Path, described: dict[str, Any]) -> None:
        """Begin, or go on with, the copy in ``folder``.

        Raises:
            UserError: the folder holds something else, or a copy made otherwise.
        """
        self.folder = folder
        self.described = described
        self.sources: dict[str, str] = {}
        self.pixels: dict[str, dict[str, str]] = defaultdict(dict)
        if (folder / MANIFEST).exists():
            self._go_on()
        elif any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise UserError(f"{folder} is not empty and no copy made by `robnb corrupt`: choose another folder.")
        else:
            write_json(folder / MANIFEST, {**described, "conditions": {}, "sha256": None})
        self._journal: TextIO | None = None

    def _go_on(self) -> None:
        manifest = read_json(self.folder / MANIFEST, "conditions")
        for name, old, new in _differences(manifest, self.described):
            raise UserError(
                f"{self.folder} was made with {name} {old!r}, and now it is {new!r}: make it the same, or choose "
                "another folder."
            )
        for condition in manifest["conditions"]:
            self.pixels[condition] = read_json(self.folder / condition / MANIFEST, "images")["images"]
        if (self.folder / SOURCE).exists():
            self.sources = read_json(self.folder / SOURCE, "images")["images"]
        for line in _whole_lines(self.folder / JOURNAL):
            self._remember(Made(**json.loads(line)))

    def finished(self, condition: str) -> set[str]:
        """The targets that are written down and whose files exist."""
        folder = self.folder / condition
        there = {
            (Path(top) / name).relative_to(folder).as_posix() for top, _, names in os.walk(folder) for name in names
        }
        return there.intersection(self.pixels[condition])

    def add(self, made: Made) -> None:
        """Write down what is finished.

        Raises:
            UserError: a file that was lost came out differently.
        """
        for condition, pixels in made.pixels.items():
            if self.pixels[condition].get(made.target, pixels) != pixels:
                raise UserError(
                    f"{self.folder / condition / made.target} was lost, and made again it has other pixels than the "
                    "manifest says: this machine computes differently, so choose another folder and make all there."
                )
        with trouble_said_clearly(self.folder / JOURNAL):
            self._journal = self._journal or (self.folder / JOURNAL).open("a")  # not before there is a line for it
            self._journal.write(json.dumps(asdict(made)) + "\n")
            self._journal.flush()
        self._remember(made)

    def _remember(self, made: Made) -> None:
        self.sources[made.file] = made.source
        for condition, pixels in made.pixels.items():
            self.pixels[condition][made.target] = pixels

    def finish(self, files: int, annotations: dict[str, str]) -> str:
        """Turn the journal into manifests and return the hash over all.

        Args:
            files: how many images a complete condition has.
            annotations: path below each condition's folder -> SHA-256 of the file.
        """
        complete = sorted((name for name in self.pixels if len(self.pixels[name]) == files), key=_rank)
        totals = {name: write_condition(self.folder / name / MANIFEST, self.pixels[name]) for name in complete}
        sources = {"images": dict(sorted(self.sources.items())), "annotations": annotations}
        write_json(self.folder / SOURCE, sources)
        total = overall_hash(totals, annotations)
        write_json(self.folder / MANIFEST, {**self.described, "conditions": totals, "sha256": total})
        self.close()
        if len(complete) == len(self.pixels):
            (self.folder / JOURNAL).unlink(missing_ok=True)
        return total

    def close(self) -> None:
        """Stop writing; the journal stays for the next run."""
        if self._journal:
            self._journal.close()


def write_condition(path: Path, pixels: dict[str, str]) -> str:
    """Write one condition's manifest and return the hash over it."""
    total = condition_hash(pixels)
    write_json(path, {"sha256": total, "images": dict(sorted(pixels.items()))})
    return total


def condition_hash(pixels: dict[str, str]) -> str:
    """The hash over one condition: over its images' hashes, sorted by name."""
    return total_hash(sorted(pixels.items()))


def overall_hash(conditions: dict[str, str], annotations: dict[str, str]) -> str:
    """The hash over a copy: over its conditions' hashes in ImageNet-C's order, and its annotation files'."""
    return total_hash([*conditions.items(), *sorted(annotations.items())])


def _rank(condition: str) -> tuple[int, str]:
    corruption, severity = condition.split("/")
    return KNOWN_CORRUPTIONS.index(corruption), severity


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, old, new) of every setting in which a manifest differs from ``new``."""
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            yield from _differences(before, value, f"{prefix}{name} ")
        elif before != value:
            yield f"{prefix}{name}", before, value


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of a journal; a last one that was cut off by a kill is taken off the file too."""
    if not path.exists():
        return []
    content = path.read_bytes()
    length = content.rfind(b"\n") + 1
    os.truncate(path, length)
    return content[:length].splitlines()
