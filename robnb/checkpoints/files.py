"""A weights file of unknown origin, opened without running anything in it."""

from __future__ import annotations

import shlex
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from robnb.checkpoints.pickles import wanted
from robnb.errors import UserError

#: Why a harmless file may hold more than tensors, by the package that it would import.
REASONS = {
    "yacs": "a configuration was saved beside the weights, as Swin's training code does",
    "mmengine": "a training log was saved beside the weights, as mmengine does",
    "mmcv": "training records were saved beside the weights, as mmcv does",
    "numpy": "numbers of NumPy were saved beside the weights",
    "argparse": "command-line options were saved beside the weights",
    "omegaconf": "a configuration was saved beside the weights",
}


class NeedsCode(UserError):
    """A pickle that holds more than plain tensors. ``wanted`` is what it would import."""

    def __init__(self, path: Path, wanted: tuple[str, ...]) -> None:
        self.wanted = wanted
        why = next((reason for name, reason in REASONS.items() if any(w.startswith(name) for w in wanted)), "")
        names = ", ".join(wanted[:4]) + (f" and {len(wanted) - 4} more" if len(wanted) > 4 else "")
        target = path.with_name(path.name.split(".")[0] + ".safetensors")
        super().__init__(
            f"{path} is a pickle that would import {names}{f' ({why})' if why else ''}, and plain tensors need none of "
            f"it: it was not read; if you trust where it comes from, `robnb convert {shlex.quote(str(path))} "
            f"{shlex.quote(str(target))} --unpickle` reads it in a process of its own and keeps the tensors alone."
        )


def open_file(path: Path) -> tuple[Any, str]:
    """What the file holds (normally nested dicts of tensors), on the CPU, and its format, "torch" or "safetensors".

    A torch file may be of the zip format or the older one. It is read with ``weights_only=True``: nothing in it is
    executed.

    Raises:
        NeedsCode: it is a pickle that would import more than tensors need.
        UserError: it is missing, empty, cut short, a web page, or no checkpoint at all.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}: put the file there or correct its path.")
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}); put that right or give another file.") from error
    _refuse_strangers(path, head)
    if path.suffix == ".safetensors" or _is_safetensors(head):
        return _open_safetensors(path), "safetensors"
    if head.startswith(b"PK\x03\x04"):
        _refuse_other_archives(path)
    elif not head.startswith(b"\x80"):
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is neither a torch nor a safetensors file; fetch it again."
        )
    return _open_torch(path), "torch"


def _refuse_strangers(path: Path, head: bytes) -> None:
    """What is often found under the name of a weights file."""
    text = head.lstrip().lower()
    if not head:
        raise UserError(f"{path} cannot be read as a checkpoint: the file is empty; fetch it again.")
    if text.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is a git-lfs pointer, not the file it stands for; "
            f"run `git lfs pull` where it came from, or fetch it again."
        )
    if text.startswith(b"<"):
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is a web page saved under the name of the weights "
            f"(a quota or a login page, usually); open its address in a browser, or fetch it again."
        )
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")) or head[257:262] == b"ustar":
        raise UserError(f"{path} cannot be read as a checkpoint: it is a compressed archive; unpack it first.")


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of length, then JSON."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


def _open_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is no complete safetensors file (cut short?); fetch it again."
        ) from error


def _refuse_other_archives(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:  # its table of contents is damaged
        raise _cut_short(path) from error
    if "constants.pkl" in members:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is a TorchScript program; give the file of its state dict."
        )
    if "data.pkl" not in members:
        raise UserError(f"{path} cannot be read as a checkpoint: it is a zip archive of other files; unpack it first.")


def _open_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # before an error that says more
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is cut short, not its own or unsafe
        names = wanted(path)
        if names:
            raise NeedsCode(path, names) from error
        if "Unsupported" in str(error):
            raise NeedsCode(path, ("something in instructions that torch does not run",)) from error
        raise _cut_short(path) from error


def _cut_short(path: Path) -> UserError:
    return UserError(
        f"{path} cannot be read as a torch checkpoint of plain tensors: it is damaged or cut short; fetch it again."
    )
