"""Shards: the per-image results of a few images under a panel, in one Parquet file each.

    <NNNNN>-<16 hex digits>.parquet      the number of the shard, and a hash of the file's content

A file is written under another name and renamed, so it is whole or not there, and its name tells whether it is still
what was written. It has one row group for each condition of the panel, in the panel's order.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robnb.errors import UserError


def write(folder: Path, number: int, tables: Sequence[pa.Table]) -> Path:
    """Write a shard, a table for each condition.

    Two processes may compute one shard, and differ in rounding: then both files stay, and `files` has the first.

    Raises:
        OSError: it cannot be written (a full disk, the folder gone); nothing is left behind.
    """
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, tables[0].schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    content = buffer.getvalue()
    final = folder / f"{number:05d}-{_hash(content)}.parquet"
    unfinished = folder / f".{number:05d}-{os.getpid()}.part"
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, final)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    return final


def files(folder: Path) -> list[Path]:
    """The shards in a folder, one file for each number, in the order of their images."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.parquet")):
        found.setdefault(path.stem.partition("-")[0], path)
    return list(found.values())


def digest(folder: Path) -> str:
    """Identifies the content of all shards of a folder; only their names are read."""
    return _hash("".join(path.name for path in files(folder)).encode())


def whole(folder: Path) -> dict[int, Path]:
    """Number -> file of the shards in a folder whose content is what was written, one for each; others are deleted."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.parquet")):
        number, _, content = path.stem.partition("-")
        if not number.isdecimal() or int(number) in found or _hash(path.read_bytes()) != content:
            path.unlink()
        else:
            found[int(number)] = path
    return found


def read(folder: Path, row_group: int, columns: Sequence[str] | None = None) -> pa.Table:
    """One condition's rows from all shards of a folder, in the order of the images.

    Raises:
        UserError: a file has gone or is damaged.
    """
    parts = []
    for path in files(folder):
        try:
            with pq.ParquetFile(path) as file:
                parts.append(file.read_row_group(row_group, columns=None if columns is None else list(columns)))
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path} is damaged or gone; run again: it is computed anew.") from error
    return pa.concat_tables(parts)


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
