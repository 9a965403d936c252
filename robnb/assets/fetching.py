"""Fetch assets: download what is lacking, verify it, unpack it, and keep that in the lock file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from robnb.assets import hashes
from robnb.assets.download import Patience, download
from robnb.assets.kinds import Asset, File
from robnb.assets.lock import NAME, Lock
from robnb.assets.roots import Roots
from robnb.assets.states import PART, State, open_file, states
from robnb.assets.unpack import unpack
from robnb.errors import UserError


@dataclass(frozen=True)
class Fetched:
    """What came of one asset: its state now, and what went wrong, "" if nothing did."""

    state: State
    problem: str


def fetch(
    assets: Iterable[Asset],
    roots: Roots,
    *,
    keep_archives: bool = False,
    patience: Patience | None = None,
    say: Callable[[str], None] = print,
) -> list[Fetched]:
    """Bring every asset to its place, verified; one that fails does not keep the others from coming.

    What is there already is verified and not downloaded again. Archives that were downloaded are deleted once they
    are unpacked, unless ``keep_archives``; those that lay there before are left alone.
    """
    results = []
    for asset in assets:
        fetching = _Fetching(asset, roots, keep_archives, patience or Patience(), say)
        problem = fetching.run()
        results.append(Fetched(states([asset], roots)[0], problem))
    return results


@dataclass(frozen=True)
class _Fetching:
    asset: Asset
    roots: Roots
    keep_archives: bool
    patience: Patience
    say: Callable[[str], None]

    @property
    def folder(self) -> Path:
        return self.roots.folder(self.asset.root)

    def run(self) -> str:
        """Every file of the asset; returns what went wrong."""
        if not self.asset.files:
            return self._by_hand()
        if all(file.unpack and not open_file(self.asset, file, Lock(self.folder)) for file in self.asset.files):
            return ""  # unpacked already, perhaps where nothing can be written
        problems = []
        with _alone(self.folder, self.say):
            for file in self.asset.files:
                try:
                    self._bring(file)
                except UserError as error:
                    problems.append(str(error).rstrip("."))
                except OSError as error:
                    problems.append(f"{file.path} cannot be written to {self.folder}: {error.strerror or error}")
        return "; ".join(problems)

    def _by_hand(self) -> str:
        state = states([self.asset], self.roots)[0]
        if state.usable:
            return ""
        how = self.asset.manual.format(folder=self.folder)
        return f"{self.asset.title} lacks {', '.join(state.lacking)} and cannot be downloaded without you: {how}"

    def _bring(self, file: File) -> None:
        lock = Lock(self.folder)
        path = self.folder / file.path
        if file.unpack and not open_file(self.asset, file, lock):
            return
        if path.exists():
            self._verify(file, lock)
        else:
            self._download(file, lock)
        if file.unpack:
            self._unpack(file, lock)

    def _verify(self, file: File, lock: Lock) -> None:
        """Hold a file that is there already against what was published, or against what it was when it first came."""
        path, entry = self.folder / file.path, lock.entry(file.path)
        if entry and lock.unchanged(file.path) and (entry.accepted or entry.published == file.hash):
            return
        self.say(f"{file.path}: is there, being verified")
        wrong, found = "", hashes.digests(path, {"sha256", *([hashes.parse(file.hash)[0]] if file.hash else [])})
        if file.bytes is not None and path.stat().st_size != file.bytes:
            wrong = f"it has {path.stat().st_size:,} bytes, expected {file.bytes:,}"
        elif file.hash:
            wrong = hashes.mismatch(found, file.hash)
        elif entry:
            wrong = hashes.mismatch(found, f"sha256:{entry.sha256}")
        if wrong:
            raise UserError(f"{path} is there but is not the published file: {wrong}; delete it, and fetch again.")
        lock.record(file, found["sha256"])

    def _download(self, file: File, lock: Lock) -> None:
        path, entry = self.folder / file.path, lock.entry(file.path)
        if file.unpack and file.bytes is not None:
            self._enough_disk(file, path)
        came = download(file, path, self.patience, self.say)
        first = entry.sha256 if entry and not entry.accepted and not file.hash else came.sha256
        if came.sha256 != first:
            path.unlink()
            raise UserError(
                f"{file.url} has another file now than when it was first fetched on {entry.date[:10]} (sha256 "
                f"{came.sha256}, then {first}); to trust the new one, delete the entry {file.path} from "
                f"{lock.folder / NAME} and fetch again."
            )
        lock.record(file, came.sha256, came.url, downloaded=True)

    def _unpack(self, file: File, lock: Lock) -> None:
        unpack(self.folder / file.path, self.folder / file.unpack, file.unpacked)
        if open_file(self.asset, file, lock):
            lacking = ", ".join(states([self.asset], self.roots)[0].lacking)
            raise UserError(f"{file.path} was unpacked, but {self.asset.title} still lacks {lacking}; fetch it again.")
        if lock.entry(file.path).downloaded and not self.keep_archives:
            (self.folder / file.path).unlink()

    def _enough_disk(self, file: File, path: Path) -> None:
        """Room for the archive and for what is in it: images hardly shrink in an archive."""
        part = path.with_name(path.name + PART)
        needed = 2 * file.bytes - (part.stat().st_size if part.exists() else 0)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"{file.path} needs about {needed / 1e9:.1f} GB in {self.folder} to be downloaded and unpacked, and "
                f"{free / 1e9:.1f} GB are free; free some, or fetch to another disk with --data-root."
            )


@contextlib.contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One process at a time fetches into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".robnb-fetch.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another fetch into {folder}")
            lock.acquire()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another with --data-root.") from error
    try:
        yield
    finally:
        lock.release()
