"""Making the copies: every image under every condition that is not finished yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from robnb.copies import pool, work
from robnb.copies.files import UNFINISHED, total_hash, trouble_said_clearly, write_whole
from robnb.copies.record import Record, Settings, describe
from robnb.copies.source import Source
from robnb.corruptions import Condition
from robnb.errors import UserError
from robnb.progress import bar


@dataclass(frozen=True)
class Written:
    """What a run left: how many image files it was asked for, how many of them it made, the hash over the copy."""

    files: int
    made: int
    sha256: str


def write_copies(
    source: Source, folder: Path, conditions: Sequence[Condition], settings: Settings, workers: int = 1
) -> Written:
    """Make ``folder/<corruption>/<severity>/``, a corrupted copy of ``source`` for every condition.

    Finished images are kept and never made again, so that an interrupted run goes on when it is repeated, and
    conditions can be added later. The result does not depend on ``workers``.

    Args:
        source: from ``open_source`` with the same file format as ``settings``.
        folder: new, empty, or with a copy of the same source and settings.
        conditions: without clean.
        workers: processes.

    Raises:
        UserError: the folder is inside the source, in use, of other settings or not writable, an image cannot be
            decoded or is too small, or the disk is full.
    """
    folder = Path(folder)
    if type(workers) is not int or workers < 1:
        raise UserError(f"workers is {workers!r}: give a positive number of processes.")
    if folder.resolve().is_relative_to(source.root.resolve()):
        raise UserError(f"{folder} is inside the source {source.root}: choose a folder outside it.")
    annotations = {name: hashlib.sha256(source.annotation(name)).hexdigest() for name in source.annotations}
    with _alone_in(folder):
        record = Record(folder, describe(settings, _about(source, annotations)))
        try:
            jobs = _jobs(source, record, conditions, settings)
            made = _make(jobs, record, len(source.images) * len(conditions), workers)
            _write_annotations(source, folder, conditions)
            total = record.finish(len(source.images), annotations)
        finally:
            record.close()
    return Written(len(source.images) * len(conditions), made, total)


def _about(source: Source, annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": source.kind,
        "split": source.split,
        "images": len(source.images),
        "names_sha256": total_hash((image.file, image.image_id) for image in source.images),
        "annotations_sha256": total_hash(sorted(annotations.items())),
    }


def _jobs(source: Source, record: Record, conditions: Sequence[Condition], settings: Settings) -> list[work.Job]:
    """What is missing. The first image whose pixels are known is read again, to tell a source of the same names."""
    _remove_unfinished(record.folder)
    finished = {condition: record.finished(f"{condition.corruption}/{condition.severity}") for condition in conditions}
    jobs = []
    for image in source.images:
        missing = tuple(condition for condition in conditions if image.target not in finished[condition])
        known = record.sources.get(image.file)
        jobs.append(work.Job(source.root / image.file, image, record.folder, missing, settings, known))
    for job in [job for job in jobs if job.source_hash][:1]:
        work.read_source(job)
    return [job for job in jobs if job.conditions]


def _remove_unfinished(folder: Path) -> None:
    """Files that a killed run was writing; their images may not be asked for this time."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        path.unlink()


def _make(jobs: list[work.Job], record: Record, files: int, workers: int) -> int:
    """Do the jobs and return how many files they made; ``files`` is how many there will be."""
    todo = sum(len(job.conditions) for job in jobs)
    with bar(files, "corrupt", files - todo) as shown, closing(pool.results(work.make, jobs, workers)) as results:
        for made in results:
            record.add(made)
            shown.update(len(made.pixels))
    return todo


def _write_annotations(source: Source, folder: Path, conditions: Sequence[Condition]) -> None:
    """Copied, not linked: a copy can be moved, and editing it leaves the source alone."""
    for name in source.annotations:
        content = source.annotation(name)
        for condition in conditions:
            path = folder / condition.corruption / str(condition.severity) / name
            if not path.exists():
                write_whole(path, content)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".lock")
    with trouble_said_clearly(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:  # an OSError
            raise UserError(f"another robnb is writing to {folder}: wait for it, or choose another folder.") from error
    try:
        yield
    finally:
        lock.release()
