"""What a store holds, read from its folders. Nothing is written, and no torch is needed.

<root>/<kind>/<key>/                 finished work
<root>/unfinished/<kind>-<key>/      begun work; its shards or its checkpoint are kept
<root>/unfinished/<kind>-<key>.lock  locked while a process is at it
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Holding:
    """One piece of work in a store, finished or begun.

    Attributes:
        folder: of its files; it need not exist where ``held`` is all that is known.
        spec, provenance: what the JSON files say; empty where they are missing or damaged.
        held: whether a process is at it now.
    """

    kind: str
    key: str
    folder: Path
    finished: bool
    spec: dict[str, Any] = field(hash=False)
    provenance: dict[str, Any] = field(hash=False)
    held: bool

    @property
    def damaged(self) -> bool:
        """Finished work always has a spec."""
        return self.finished and not self.spec

    @cached_property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in _files(self.folder))

    @cached_property
    def touched(self) -> float:
        """When one of its files was last written, in seconds since the epoch; 0 if there are none."""
        return max((path.stat().st_mtime for path in _files(self.folder)), default=0.0)

    @cached_property
    def shards(self) -> frozenset[int]:
        """The numbers of a sweep's shards that are there; their content is not looked at."""
        numbers = {path.name.partition("-")[0] for path in self.folder.glob("*.parquet")}
        return frozenset(int(number) for number in numbers if number.isdecimal())

    @property
    def shard_bytes(self) -> int:
        """Size of the shards."""
        return sum(path.stat().st_size for path in self.folder.glob("*.parquet"))

    @property
    def wanted_shards(self) -> int | None:
        """How many shards the finished sweep has; None where the spec does not tell."""
        if not {"images", "shard"} <= self.spec.keys():
            return None
        return -(-self.spec["images"] // self.spec["shard"])

    @property
    def speed(self) -> tuple[float, int] | None:
        """(seconds, images) that a sweep took, conditions and models counted; None where that was not kept."""
        noted = _json(self.folder / "speed.json")
        return (noted["seconds"], noted["images"]) if noted.get("images") else None

    @property
    def checkpoint(self) -> Path | None:
        """Of a training that was begun."""
        path = self.folder / "scratch" / "resume.pth"
        return path if path.is_file() else None


def holdings(root: Path) -> list[Holding]:
    """Everything in the store at ``root``, by kind and key; finished work first. Empty where there is no store."""
    root = Path(root)
    kinds = sorted(path for path in _entries(root) if path.is_dir() and path.name != "unfinished")
    finished = [_holding(kind.name, folder, True) for kind in kinds for folder in _entries(kind) if folder.is_dir()]
    begun = []
    for folder in _entries(root / "unfinished"):
        kind, dash, key = folder.name.partition("-")
        if folder.is_dir() and dash:
            begun.append(_holding(kind, folder, False, key))
    return finished + begun


def iteration_of(checkpoint: Path) -> int | None:
    """How many iterations a training's checkpoint has behind it; None if it cannot be read."""
    import torch  # here, because a listing without checkpoints need not wait for it

    try:
        return int(torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)["meta"]["iter"])
    except Exception:  # torch raises many kinds for a file that is being replaced or cut short
        return None


def _holding(kind: str, folder: Path, finished: bool, key: str = "") -> Holding:
    key = key or folder.name
    return Holding(
        kind=kind,
        key=key,
        folder=folder,
        finished=finished,
        spec=_json(folder / "spec.json"),
        provenance=_json(folder / "provenance.json"),
        held=not finished and _is_locked(folder.with_name(f"{kind}-{key}.lock")),
    )


def _is_locked(lock: Path) -> bool:
    """Whether a process holds it. Asking takes a shared lock for an instant, which keeps nobody from asking too."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such lock, or a file system without locks
        return False
    return False


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
