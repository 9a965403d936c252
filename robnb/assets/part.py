"""What has arrived of a download, and of which version of the file it is a part."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from robnb.assets.states import PART


@dataclass(frozen=True)
class Version:
    """A file at an address at one time: its validators (HTTP's ETag and Last-Modified), "" where there is none."""

    url: str
    etag: str
    modified: str
    total: int | None

    @property
    def validator(self) -> str:
        """What the header If-Range takes: a strong ETag or, failing that, the date of the last change."""
        return self.modified if self.etag.startswith("W/") or not self.etag else self.etag


class Part:
    """``<name>.part`` beside where the file belongs, with ``<name>.part.json``."""

    def __init__(self, destination: Path) -> None:
        self.name = destination.name
        self.path = destination.with_name(destination.name + PART)
        self._destination = destination
        self._about = destination.with_name(f"{destination.name}{PART}.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> Version | None:
        """Of which file this is a part; None if that is not known."""
        try:
            return Version(**json.loads(self._about.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def resumable(self, url: str, hashed: bool) -> tuple[int, dict[str, str]]:
        """The byte to go on from, and the headers that ask for the rest, only of the same version.

        A file with a published hash may go on at another address: in the end its hash decides.
        """
        version, size = self.version, self.size
        if version is None or not size:
            return 0, {}
        if version.url == url and version.validator:
            return size, {"Range": f"bytes={size}-", "If-Range": version.validator}
        return (size, {"Range": f"bytes={size}-"}) if hashed and version.total else (0, {})

    def begin(self, version: Version) -> None:
        """Drop what is there, and say what comes now."""
        self.path.unlink(missing_ok=True)
        self._about.write_text(json.dumps(asdict(version)))

    def open(self, offset: int) -> BinaryIO:
        """The part, to be written from ``offset`` on."""
        file = self.path.open("r+b" if self.path.exists() else "wb")
        file.seek(offset)
        file.truncate()
        return file

    def discard(self) -> None:
        """Drop what is there: it is not what was wanted."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def finish(self) -> None:
        """The part is the file now."""
        os.replace(self.path, self._destination)
        self._about.unlink(missing_ok=True)
