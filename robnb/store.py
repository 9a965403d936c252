"""Every finished piece of work, kept under its key, and nothing half-written ever read.

Work is described by a frozen dataclass, its *spec*. The spec's hash is the key; the result is a folder

    <root>/<kind>/<key>/    spec.json, provenance.json and what the work produced

that is written under another name and renamed when it is complete. So a killed run goes on where it was, and two
notebooks (or machines that share the folder) use one result instead of making it twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from robnb import provenance
from robnb.errors import UserError


@dataclass(frozen=True)
class Spec:
    """Base of every spec. ``kind`` names its folder; ``version`` goes up when the same fields mean other work."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    def described(self) -> dict[str, Any]:
        """The spec as plain JSON values, with its kind and version."""
        return {"kind": self.kind, "version": self.version, **asdict(self)}

    @property
    def key(self) -> str:
        """16 hexadecimal digits that identify the work."""
        text = json.dumps(self.described(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Store:
    """A folder of finished work."""

    def __init__(self, root: Path) -> None:
        """Raises UserError when the folder cannot be made or written."""
        self.root = Path(root)
        try:
            (self.root / "unfinished").mkdir(parents=True, exist_ok=True)
            probe = self.root / "unfinished" / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write to the output folder {self.root}: {error.strerror}; choose another."
            ) from error

    def folder(self, spec: Spec) -> Path:
        """Where this work's result is, or will be."""
        return self.root / spec.kind / spec.key

    def has(self, spec: Spec) -> bool:
        """Whether this work is finished."""
        return self.folder(spec).is_dir()

    def read(self, spec: Spec, name: str = "result.json") -> Any:
        """One JSON file of a finished piece of work.

        Raises:
            UserError: the work is not finished, or its file was damaged from outside.
        """
        path = self.folder(spec) / name
        if not self.has(spec):
            raise UserError(f"{spec.kind} {spec.key} has not been computed yet; run the notebook that makes it.")
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged; delete the folder {path.parent} and run again.") from error

    @contextmanager
    def work(self, spec: Spec) -> Iterator[Path | None]:
        """A folder to do this work in; it becomes the result when the block ends without an exception.

        The folder survives a kill, so that a training finds its checkpoint there; its subfolder ``scratch`` and files
        that a kill left half-written (``.<name>.part``) are dropped at the end. Yields None when the work is finished
        already. A second process that wants the same work waits for the first.
        """
        unfinished = self._unfinished(spec)
        with self._alone(spec), _full_disk_said_clearly(self.root):
            if self.has(spec):
                yield None
                return
            (unfinished / "scratch").mkdir(parents=True, exist_ok=True)
            write_json(unfinished / "spec.json", spec.described())  # now, so that what a kill leaves can be told
            started = time.time()
            yield unfinished
            shutil.rmtree(unfinished / "scratch")
            for half_written in unfinished.rglob(".*.part"):
                half_written.unlink(missing_ok=True)
            write_json(unfinished / "provenance.json", provenance.stamp(seconds=time.time() - started))
            self.folder(spec).parent.mkdir(exist_ok=True)
            os.replace(unfinished, self.folder(spec))

    def reopen(self, spec: Spec) -> None:
        """Make finished work unfinished, with all its files: something in it was damaged from outside."""
        with self._alone(spec):
            if self.has(spec):
                shutil.rmtree(self._unfinished(spec), ignore_errors=True)
                os.replace(self.folder(spec), self._unfinished(spec))

    def _unfinished(self, spec: Spec) -> Path:
        return self.root / "unfinished" / f"{spec.kind}-{spec.key}"

    @contextmanager
    def _alone(self, spec: Spec) -> Iterator[None]:
        lock = FileLock(f"{self._unfinished(spec)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another run that is at {spec.kind} {spec.key}", flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def put(self, spec: Spec, result: Any) -> None:
        """Keep a small result as JSON, unless the same work is there already."""
        with self.work(spec) as folder:
            if folder is not None:
                write_json(folder / "result.json", result)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; NaN is refused, because a missing score must not look like a number."""
    unfinished = path.with_name(f".{path.name}-{os.getpid()}.part")
    unfinished.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    os.replace(unfinished, path)


@contextmanager
def _full_disk_said_clearly(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (28, 122):  # ENOSPC, EDQUOT
            raise
        raise UserError(f"no space left under {root}; free some and run again: finished work is kept.") from error
