"""robnb-lock.json: what was verified in a folder, so that a later change is noticed.

    {"version": 1,
     "files": {"ANT3x3_Model.pth": {"sha256", "bytes", "modified", "url", "published", "downloaded", "accepted", ...}},
     "accepted": {"coco": {"val2017/*.jpg": 36}}}

``published`` is the hash that the file was held against, null where none is published: then the file as it came first
is trusted, and locked. ``modified`` (nanoseconds) spares hashing a file again that was not touched. ``downloaded``
tells archives that `robnb fetch` brought from those that lay there before. ``accepted`` are files and counts of images
that somebody took as they are: stand-ins and subsets.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robnb.assets import hashes
from robnb.assets.kinds import File
from robnb.errors import UserError

NAME = "robnb-lock.json"


@dataclass(frozen=True)
class Entry:
    """A file as it was when it was verified; the fields are those of the lock file."""

    sha256: str
    bytes: int
    modified: int
    url: str
    published: str | None
    downloaded: bool
    accepted: bool
    date: str


class Lock:
    """The lock file of one folder, as it is on disk now; it need not exist."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError when the lock file cannot be read."""
        self.folder = folder
        self._path = folder / NAME
        try:
            held = json.loads(self._path.read_text()) if self._path.exists() else {}
            self._files = {path: Entry(**entry) for path, entry in held.get("files", {}).items()}
            self._accepted: dict[str, dict[str, int]] = dict(held.get("accepted", {}))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self._path} is damaged; delete it, and `robnb fetch` will verify its files again."
            ) from error

    def entry(self, path: str) -> Entry | None:
        """What was verified at this path below the folder."""
        return self._files.get(path)

    def accepted(self, asset: str) -> dict[str, int]:
        """The counts by pattern that were accepted for a data set."""
        return self._accepted.get(asset, {})

    def unchanged(self, path: str) -> bool:
        """Whether a file is still as it was when it was verified; it is read only if it was touched since."""
        entry, there = self._files[path], (self.folder / path).stat()
        if there.st_size != entry.bytes:
            return False
        return there.st_mtime_ns == entry.modified or hashes.sha256(self.folder / path) == entry.sha256

    def record(
        self, file: File, sha256: str, url: str = "", *, downloaded: bool = False, accepted: bool = False
    ) -> None:
        """Keep that a file was verified now, or accepted without that."""
        there = (self.folder / file.path).stat()
        self._files[file.path] = Entry(
            sha256=sha256,
            bytes=there.st_size,
            modified=there.st_mtime_ns,
            url=url,
            published=None if accepted else file.hash,
            downloaded=downloaded,
            accepted=accepted,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._write()

    def accept(self, asset: str, counts: dict[str, int]) -> None:
        """Keep that a data set with these counts was taken for whole."""
        self._accepted[asset] = counts
        self._write()

    def _write(self) -> None:
        from robnb.store import write_json  # it imports torch, which a listing can do without

        files: dict[str, Any] = {path: asdict(entry) for path, entry in sorted(self._files.items())}
        write_json(self._path, {"version": 1, "files": files, "accepted": self._accepted})
