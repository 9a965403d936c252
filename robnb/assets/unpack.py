"""Archives, unpacked so that nothing lands outside its folder and nothing half-unpacked looks whole."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from robnb.errors import UserError
from robnb.progress import bar

MB = 1_000_000


class Refused(Exception):
    """A member that an honest archive does not have."""


@dataclass(frozen=True)
class Member:
    """A file of an archive: its path, its content, and how far into the archive it is, in bytes."""

    path: PurePosixPath
    open: Callable[[], BinaryIO]
    position: int


def unpack(archive: Path, folder: Path, expected: tuple[str, ...]) -> None:
    """Unpack a zip or tar (also compressed) so that the ``expected`` paths lie in ``folder``.

    If the archive has a folder of its own around them, that is left out. Only plain files are unpacked: links and
    devices are refused, and so are paths that lead elsewhere. Everything is unpacked beside its place first, and
    renamed into it at the end; what is there already under the same name is replaced.

    Raises:
        UserError: the archive is truncated, damaged, unsafe or another one, or the disk is full. Then nothing is left.
    """
    beside = folder / f".unpacking-{archive.name}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        with _damage_said_clearly(archive):
            _extract(archive, beside)
        _move(_around(beside, archive, expected), folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(archive: Path, into: Path) -> None:
    total = -(-archive.stat().st_size // MB)
    made = set()
    with closing(bar(total, f"unpacking {archive.name}", unit="MB")) as shown:
        for member in _members(archive):
            target = into / member.path
            try:
                if target.parent not in made:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.add(target.parent)
                with member.open() as source, target.open("xb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
            except (FileExistsError, NotADirectoryError) as error:
                raise Refused(f"{member.path} is there twice") from error
            shown.update(member.position // MB - shown.n)
        shown.update(total - shown.n)


def _members(archive: Path) -> Iterator[Member]:
    """Every file of an archive in order; directories come of themselves."""
    if zipfile.is_zipfile(archive):
        return _of_zip(archive)
    with archive.open("rb") as file:
        if file.read(2) == b"PK":  # a zip without its end, where its list of members is
            raise zipfile.BadZipFile("no end")
    return _of_tar(archive)


def _of_zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        needed, free = sum(info.file_size for info in opened.infolist()), shutil.disk_usage(archive.parent).free
        if needed > free:
            raise UserError(
                f"{archive} unpacks to {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free there; free some, and "
                "fetch again."
            )
        for info in opened.infolist():
            if info.flag_bits & 1:
                raise Refused(f"{info.filename!r} is encrypted")
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused(f"{info.filename!r} is a link or a device")
            path = _safe(info.filename)
            if not info.is_dir():
                yield Member(path, lambda info=info: opened.open(info), info.header_offset + info.compress_size)


def _of_tar(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:*") as opened:
        while (info := opened.next()) is not None:
            opened.members.clear()  # tarfile keeps what it has read; ImageNet-C's archives have up to 750,000 members
            if not (info.isreg() or info.isdir()):
                raise Refused(f"{info.name!r} is a link or a device")
            path = _safe(info.name)
            if info.isreg():
                yield Member(path, lambda info=info: opened.extractfile(info), file.tell())
        opened.fileobj.seek(opened.offset)
        if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end")  # tarfile takes a missing end for an end


def _safe(name: str) -> PurePosixPath:
    """A member's path, if it stays in the folder that it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in (path.parts[0] if path.parts else ""):
        raise Refused(f"{name!r} leads out of the folder")
    return path


def _around(unpacked: Path, archive: Path, expected: tuple[str, ...]) -> Path:
    """The folder that holds the expected paths: the one unpacked into, or the only one in it."""
    for candidate in (unpacked, *sorted(path for path in unpacked.iterdir() if path.is_dir())):
        if all((candidate / path).exists() for path in expected):
            return candidate
    absent = [path for path in expected if not (unpacked / path).exists()]
    there = sorted(path.name for path in unpacked.iterdir())[:5]
    raise UserError(
        f"{archive} is whole but does not hold {', '.join(absent)} (it holds {', '.join(there) or 'nothing'}); "
        "delete it, and fetch again."
    )


def _move(source: Path, target: Path) -> None:
    """Rename what is in one folder into another, folder by folder where they exist already."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        there = target / path.name
        if path.is_dir() and there.is_dir():
            _move(path, there)
        else:
            os.replace(path, there)


@contextlib.contextmanager
def _damage_said_clearly(archive: Path) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise UserError(f"{archive} was not unpacked: its member {error}; delete it and fetch it again.") from error
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{archive} is truncated or damaged; delete it, and fetch it again.") from error
