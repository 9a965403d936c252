"""What a round has finished so far, so that the same command after a kill does not execute it again.

The store keeps finished work anyway; this saves reading it, and a notebook that times something is not timed twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from robnb.rounds.entries import Entry

PACKAGE = Path(__file__).parents[1]


def sources() -> str:
    """A hash of the robnb package: every source and every table that comes with it."""
    found = sorted(path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".yaml"})
    return _hash([(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")) for path in found])


class Journal:
    """The file ``.all.json`` of a profile's outputs. It is removed when everything in a round has finished."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".all.json"
        self._sources = sources()
        try:
            self._finished: dict[str, dict[str, Any]] = json.loads(self._path.read_text())
        except (OSError, ValueError):  # it only saves time
            self._finished = {}

    def has(self, entry: Entry) -> bool:
        """Whether this was finished in this round, with the same notebook, parameters and package.

        What comes after all others counts only while these are the same: it has read them.
        """
        there = (entry.job.folder / f"{entry.job.source.stem}.ipynb").is_file()
        return there and self._finished.get(entry.name, {}).get("of") == self.state(entry)

    def note(self, entry: Entry, state: str) -> None:
        """It has finished, and is of this `state`: the one when it began, whatever has been edited meanwhile."""
        self._finished[entry.name] = {"of": state, "ended": time.time(), "after_all": entry.after_all}
        unfinished = self._path.with_suffix(".part")
        with contextlib.suppress(OSError):  # a full disk ends the notebook that needs it, and no other
            unfinished.write_text(json.dumps(self._finished, indent=1) + "\n")
            unfinished.replace(self._path)

    def remove(self) -> None:
        """The round is complete: the next one executes everything."""
        self._path.unlink(missing_ok=True)

    def state(self, entry: Entry) -> str:
        """A hash of what its result depends on, as it is now."""
        read = {name: was["ended"] for name, was in self._finished.items() if not was["after_all"]}
        source = entry.job.source.read_text(encoding="utf-8")
        return _hash([self._sources, source, entry.job.parameters, read if entry.after_all else {}])


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
