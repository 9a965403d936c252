"""The list of a miniworld's files with their sizes and hashes: what it is verified against and named by."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from robnb.errors import UserError

MANIFEST = "manifest.json"


def _walk(folder: str, prefix: str = "") -> Iterator[tuple[str, int]]:
    """(path with forward slashes, size) of every file below ``folder``, hidden ones left out: desktops leave them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry.stat().st_size


def _sha256(path: str) -> str:
    with open(path, "rb", buffering=0) as file:  # the files are small: one read each, ten thousand in 0.2 s
        return hashlib.sha256(file.read()).hexdigest()


def write_manifest(root: Path, about: dict[str, object]) -> None:
    """Write ``manifest.json``: ``about`` and, for every file below ``root``, its size in bytes and sha256."""
    files = {name: [size, _sha256(f"{root}/{name}")] for name, size in sorted(_walk(str(root)))}
    (root / MANIFEST).write_text(json.dumps({**about, "files": files}, indent=0) + "\n")


def verify(root: Path) -> None:
    """Check every file below ``root`` against its manifest: the list, the sizes and the hashes.

    Raises:
        UserError: a file is missing, changed or one too many; names the first such file.
    """
    try:
        expected = json.loads((root / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(root, MANIFEST, "is missing or unreadable") from error
    sizes = dict(_walk(str(root)))
    del sizes[MANIFEST]
    for name in sorted(sizes.keys() | expected.keys()):
        if name not in sizes:
            raise _damaged(root, name, "is missing")
        if name not in expected:
            raise _damaged(root, name, "does not belong there")
        if sizes[name] != expected[name][0]:
            raise _damaged(root, name, f"has {sizes[name]} bytes instead of {expected[name][0]}")
    for name, (_, sha) in expected.items():
        if _sha256(f"{root}/{name}") != sha:
            raise _damaged(root, name, "has changed")


def fingerprint(root: Path) -> str:
    """16 hex digits that stand for every byte of the miniworld at ``root``; for keys.

    Raises:
        UserError: there is no miniworld at ``root``.
    """
    try:
        return _sha256(f"{root}/{MANIFEST}")[:16]
    except OSError as error:
        raise UserError(f"no miniworld at {root}: make it with make_miniworld.") from error


def _damaged(root: Path, name: str, what: str) -> UserError:
    return UserError(f"the miniworld {root} is damaged: {name} {what}. Delete the folder {root} and make it again.")
