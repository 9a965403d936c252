"""Which assets are there, whole and as they were published."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from robnb.assets import hashes
from robnb.assets.kinds import Asset, File
from robnb.assets.lock import Lock
from robnb.assets.roots import DEFAULT_DATA_ROOT, Roots, variable
from robnb.errors import UserError

#: What a download is called until it is whole and verified.
PART = ".part"


@dataclass(frozen=True)
class State:
    """How much of an asset is there.

    Attributes:
        asset: which one.
        state: ``verified`` (as published, or as it first came, and unchanged since), ``present`` (there, not verified
            by us), ``incomplete`` (begun, or a folder that lacks files), ``missing``, ``damaged`` (other bytes than
            were published or verified).
        lacking: what is missing or wrong, as paths below the asset's root, with a reason where that is not all.
        bytes_on_disk: size of the files as downloaded, parts included; unpacked folders are not measured.
        bytes_needed: still to be downloaded, as far as sizes are known.
        unknown: how many of the files still to be downloaded have no known size.
    """

    asset: Asset
    state: str
    lacking: tuple[str, ...]
    bytes_on_disk: int
    bytes_needed: int
    unknown: int

    @property
    def usable(self) -> bool:
        """Whether a notebook can go on with it."""
        return self.state in ("verified", "present")


def states(assets: Iterable[Asset], roots: Roots) -> list[State]:
    """The state of every asset; nothing is written, and files are hashed only if they were touched since verified.

    Raises:
        UserError: a lock file cannot be read.
    """
    locks: dict[Path, Lock] = {}
    found = []
    for asset in assets:
        folder = roots.folder(asset.root)
        lock = locks.setdefault(folder, Lock(folder))
        lacking, state = _unpacked(asset, lock) if asset.counts or _archived(asset) else _as_is(asset, lock)
        wanted = (
            [] if state in ("verified", "present") else [file for file in asset.files if open_file(asset, file, lock)]
        )
        found.append(State(asset, state, tuple(lacking), *_sizes(asset, wanted, folder)))
    return found


def require(assets: Iterable[Asset], roots: Roots) -> None:
    """Check that assets are there before anything is begun with them.

    Raises:
        UserError: one sentence that lists what is missing or damaged, where it belongs, and how to get it.
    """
    bad = [state for state in states(assets, roots) if not state.usable]
    if not bad:
        return
    listed = "; ".join(
        f"{state.asset.title}, {state.state}: {', '.join(str(roots.path(state.asset, path)) for path in state.lacking)}"
        for state in bad
    )
    variables = ", ".join(dict.fromkeys(variable(state.asset.root) for state in bad))
    raise UserError(
        f"{len(bad)} of the files and folders that this needs are not there: {listed}; get them with "
        f"`{_command(bad, roots)}`, or point {variables} or the parameters data_root and roots at the folders that "
        "hold them."
    )


def _command(bad: list[State], roots: Roots) -> str:
    """The command that brings these to where they are looked for."""
    keys = dict.fromkeys(state.asset.root for state in bad)
    moved = [f"{variable(key)}={roots.folder(key)}" for key in keys if key in roots.given]
    default = Path(roots.data_root).expanduser().absolute() == DEFAULT_DATA_ROOT
    where = [] if default else ["--data-root", str(roots.data_root)]
    return " ".join([*moved, "robnb fetch", *(state.asset.name for state in bad), *where])


def accept(asset: Asset, roots: Roots) -> None:
    """Take a data set or a weights file as it is for whole: a subset, or a stand-in. Recorded in the lock file.

    Raises:
        UserError: not even its files and folders are there.
    """
    folder = roots.folder(asset.root)
    lock = Lock(folder)
    absent = [path for path in asset.paths if not (folder / path).exists()]
    if absent:
        raise UserError(f"{asset.title} cannot be accepted without {', '.join(absent)}; put them into {folder}.")
    lock.accept(asset.name, {pattern: matching(folder, pattern) for pattern, _ in asset.counts})
    for file in asset.files:
        if not file.unpack:
            lock.record(file, hashes.sha256(folder / file.path), accepted=True)


def accepted_content(asset: Asset, roots: Roots) -> str:
    """Identifies what was accepted in an asset's place: the names and sizes of its files, and the content of tables.

    Returns:
        16 hexadecimal digits; "" where nothing was accepted: a release as it was published is known by its name.
    """
    folder = roots.folder(asset.root)
    if not Lock(folder).accepted(asset.name):
        return ""
    found = {path for pattern, _ in asset.counts for path in folder.glob(pattern)}
    about = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in sorted(found) if path.is_file()]
    alone = [folder / path for path in asset.paths]
    about += [(path.name, hashes.sha256(path)) for path in alone if path.is_file()]
    return hashlib.blake2b(repr(about).encode(), digest_size=8).hexdigest()


def open_file(asset: Asset, file: File, lock: Lock) -> bool:
    """Whether a file has still to be downloaded or unpacked."""
    if not file.unpack:
        return not (lock.folder / file.path).exists()
    return bool(lacking_of(file.unpacked, _counts(asset, lock, file.unpacked), lock.folder))


def lacking_of(paths: Iterable[str], counts: Mapping[str, int], folder: Path) -> list[str]:
    """Paths that do not exist, and patterns with fewer matches than counted."""
    absent = [path for path in paths if not (folder / path).exists()]
    short = []
    for pattern, count in counts.items():
        if not any(_below(pattern, path) for path in absent) and (found := matching(folder, pattern)) < count:
            short.append(f"{pattern} ({found:,} of {count:,})")
    return absent + short


def matching(folder: Path, pattern: str) -> int:
    """How many files and folders below ``folder`` match ``a/*/*.jpg``; hidden ones are not counted."""
    *parents, last = pattern.split("/")
    folders = [folder]
    for part in parents:
        folders = [parent / name for parent in folders for name in _named(parent, part)]
    return sum(len(_named(parent, last)) for parent in folders)


def _named(parent: Path, part: str) -> list[str]:
    if "*" not in part:
        return [part] if (parent / part).exists() else []
    try:
        names = os.listdir(parent)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if not name.startswith(".") and fnmatchcase(name, part)]


def _below(pattern: str, path: str) -> bool:
    return pattern == path or pattern.startswith(f"{path}/")


def _archived(asset: Asset) -> bool:
    return any(file.unpack for file in asset.files)


def _counts(asset: Asset, lock: Lock, paths: tuple[str, ...]) -> dict[str, int]:
    """The counts that belong to these paths; accepted ones stand for the published."""
    counts = {**dict(asset.counts), **lock.accepted(asset.name)}
    return {pattern: count for pattern, count in counts.items() if any(_below(pattern, path) for path in paths)}


def _unpacked(asset: Asset, lock: Lock) -> tuple[list[str], str]:
    """What a data set lacks, and its state."""
    lacking = lacking_of(asset.paths, _counts(asset, lock, asset.paths), lock.folder)
    if not lacking:
        known = asset.files and all(lock.entry(file.path) for file in asset.files) and not lock.accepted(asset.name)
        return [], "verified" if known else "present"
    begun = any((lock.folder / path).exists() for path in asset.paths)
    begun = begun or any(_on_disk(file, lock.folder) for file in asset.files)
    return lacking, "incomplete" if begun else "missing"


def _as_is(asset: Asset, lock: Lock) -> tuple[list[str], str]:
    """What is wrong with files that are used as they are, and the worst of their states."""
    each = [_file_state(file, lock) for file in asset.files]
    worst = max((state for _, state in each), key=["verified", "present", "incomplete", "missing", "damaged"].index)
    return [wrong for wrong, _ in each if wrong], worst


def _file_state(file: File, lock: Lock) -> tuple[str, str]:
    path, entry = lock.folder / file.path, lock.entry(file.path)
    if not path.exists():
        return file.path, "incomplete" if _on_disk(file, lock.folder) else "missing"
    if entry:
        if lock.unchanged(file.path):
            return "", "verified" if entry.published == file.hash and not entry.accepted else "present"
        return f"{file.path} (changed since it was verified on {entry.date[:10]})", "damaged"
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return f"{file.path} ({size:,} bytes instead of {file.bytes:,})", "damaged"
    return "", "present"


def _on_disk(file: File, folder: Path) -> int:
    """Bytes of a download, or of its part."""
    whole = folder / file.path
    return next((path.stat().st_size for path in (whole, whole.with_name(whole.name + PART)) if path.is_file()), 0)


def _sizes(asset: Asset, wanted: list[File], folder: Path) -> tuple[int, int, int]:
    there = {file: _on_disk(file, folder) for file in asset.files}
    needed = sum(max(file.bytes - there[file], 0) for file in wanted if file.bytes is not None)
    return sum(there.values()), needed, sum(file.bytes is None for file in wanted)
