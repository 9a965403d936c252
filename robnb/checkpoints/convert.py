"""Writing a published file again as one flat, complete state dict."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

import robnb
from robnb.checkpoints import swin
from robnb.checkpoints.files import NeedsCode
from robnb.checkpoints.flat import fitted, refusal, source_model, whole
from robnb.checkpoints.isolated import unpickle as unpickle_apart
from robnb.checkpoints.layouts import Layout, backbone_part, layout
from robnb.checkpoints.plain import Checkpoint, read
from robnb.checkpoints.strict import Report, compare, misfit
from robnb.errors import UserError


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        report: against the source architecture; of a detector or segmentor, its backbone's.
        checkpoint: as read.
        layout: what it was.
        architecture: what the tensors were held to.
        dst: the new file.
        source_sha256: of the file read.
        unpickled: True where a process of its own had to unpickle it.
    """

    report: Report
    checkpoint: Checkpoint
    layout: Layout
    architecture: str
    dst: Path
    source_sha256: str
    unpickled: bool


def convert(src: Path, dst: Path, architecture: str | None = None, *, unpickle: bool = False) -> Conversion:
    """Write a file's network as a flat file, complete, or refuse and write nothing.

    A classifier gets torchvision's or timm's names (see `flat`). A whole detector or segmentor keeps its own; one of
    the Swin authors' older repositories gets those of mmdet and mmseg. Its backbone is held to its architecture, its
    heads are passed on.

    Args:
        dst: ends in ``.safetensors`` (with what it was made from in its metadata) or ``.pth``; replaced if it exists.
        architecture: as in `flat`; told from the shapes if not given.
        unpickle: let a process of its own unpickle a file that holds more than tensors (see `isolated`).

    Raises:
        UserError: as `read` and `flat`; another suffix; the architecture cannot be told.
    """
    src, dst = Path(src), Path(dst)
    if dst.suffix not in (".safetensors", ".pth"):
        raise UserError(f"{dst} names no format to write: let it end in .safetensors or .pth.")
    if src.is_file() and dst.exists() and src.samefile(dst):
        raise UserError(f"{dst} is the file to convert: give it another name.")
    checkpoint, unpickled = _read(src, unpickle)
    found = layout(checkpoint.tensors)
    named = told(checkpoint, found, architecture)
    tensors, report = complete(checkpoint, found, named)
    sha256 = sha256_of(src)
    described = {
        "format": "pt",
        "architecture": named,
        "layout": str(found),
        "source": src.name,
        "source_sha256": sha256,
        "source_container": checkpoint.container,
        "source_prefix": checkpoint.prefix,
        "robnb": robnb.__version__,
    }
    write(tensors, dst, described)
    return Conversion(report, checkpoint, found, named, dst, sha256, unpickled)


def told(checkpoint: Checkpoint, found: Layout, architecture: str | None) -> str:
    """The architecture asked for, or the one that the shapes tell.

    Raises:
        UserError: they do not tell it.
    """
    if architecture or found.architecture:
        return architecture or found.architecture or ""
    if reason := refusal(found):
        raise UserError(f"{checkpoint.path} {reason}.")
    names = ", ".join(list(checkpoint.tensors)[:3])
    raise UserError(
        f"{checkpoint.path} does not tell its architecture ({found}; its tensors: {names}, ...): "
        f"name it with --arch, e.g. resnet50 or a timm model."
    )


def complete(checkpoint: Checkpoint, found: Layout, architecture: str) -> tuple[dict[str, torch.Tensor], Report]:
    """The tensors to write and how those of the network (a detector's backbone) match; UserError if not all do."""
    if found.family not in ("detector", "segmentor"):
        return fitted(checkpoint, architecture)
    backbone = backbone_part(checkpoint.tensors)
    comparable = swin.to_timm(backbone) if swin.style_of(backbone) else backbone
    report = compare(source_model(architecture, {})[1], comparable)
    if not report.complete:
        raise UserError(misfit(report, checkpoint.path, f"a {found.family} with the backbone {architecture}"))
    return whole(checkpoint.tensors), report


def write(tensors: Mapping[str, torch.Tensor], dst: Path, described: dict[str, str]) -> None:
    """Write tensors under ``dst`` at once: it is there whole or not at all. ``.pth`` files hold the tensors alone."""
    dst.parent.mkdir(parents=True, exist_ok=True)
    own = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}  # neither format copes with views
    with _replacing(dst) as unfinished:
        if dst.suffix == ".safetensors":
            save_file(own, unfinished, metadata=described)
            _order_metadata(unfinished)
        else:
            torch.save(own, unfinished)


def _order_metadata(path: Path) -> None:
    """safetensors writes its metadata in any order; in one order the same file is the same bytes for everybody."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(ordered) <= length:  # the rest is filled up with spaces, as the format allows
            file.seek(8)
            file.write(ordered.ljust(length))


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _replacing(dst: Path) -> Iterator[Path]:
    unfinished = dst.with_name(f".{dst.name}.{os.getpid()}.unfinished")
    try:
        unfinished.touch()
        mode = stat.S_IMODE(unfinished.stat().st_mode)
        yield unfinished
        unfinished.chmod(mode)  # safetensors makes files that nobody else can read
        os.replace(unfinished, dst)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(src: Path, unpickle: bool) -> tuple[Checkpoint, bool]:
    try:
        return read(src), False
    except NeedsCode:
        if not unpickle:
            raise
    with tempfile.TemporaryDirectory(prefix="robnb-unpickle-") as folder:
        tensors, home = Path(folder) / "tensors.pth", Path(folder) / "home"
        home.mkdir()
        unpickle_apart(src, tensors, home)
        return replace(read(tensors), path=src), True
