"""Making a miniworld once, whole or not at all, and verifying it ever after."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from robnb import seeding
from robnb.data.miniworld.manifest import verify, write_manifest
from robnb.data.miniworld.pieces import DIGITS, DigitPools
from robnb.data.miniworld.scenes import CROP_SIZE
from robnb.data.miniworld.writer import CLASSIFICATION_SIZE, Split, write_crops, write_detection, write_segmentation
from robnb.errors import UserError

#: Counts up whenever the same spec would give other bytes, so that an old folder is never taken for a new one.
FORMAT = 2


@dataclass(frozen=True)
class MiniworldSpec:
    """What a miniworld holds: its seed and how many images each split has. Image k is the same however many follow.

    The classification counts are at least 10, one image for each class; the scene counts are at least 1.

    Raises:
        UserError: a value is no integer, or too small.
    """

    seed: int = 0
    upstream_train: int = 6000
    upstream_val: int = 500
    detection_train: int = 700
    detection_val: int = 160
    segmentation_train: int = 700
    segmentation_val: int = 160
    classification_train: int = 2000
    classification_val: int = 500

    def __post_init__(self) -> None:
        for field in fields(self):
            value, task = getattr(self, field.name), field.name.split("_")[0]
            least = {"seed": 0, "upstream": len(DIGITS), "classification": len(DIGITS)}.get(task, 1)
            if type(value) is not int or value < least:
                raise UserError(f"miniworld's {field.name} is {value!r}: it must be an integer, {least} or more.")

    @property
    def folder_name(self) -> str:
        """``miniworld-`` and 12 hex digits of the spec and the format."""
        return f"miniworld-{seeding.digest('miniworld', FORMAT, *astuple(self)).hex()[:12]}"


def make_miniworld(spec: MiniworldSpec, root: Path, workers: int = 1) -> Path:
    """The folder of a miniworld below ``root``, made if it is not there yet, verified if it is.

    It is written to a hidden folder beside its place and renamed at the end, so a run that is killed leaves nothing
    that is ever read; what it left is removed by the next run. Processes may make the same one at once.

    Args:
        spec: what it holds. The bytes are a function of this and of the installed image libraries.
        root: an existing folder, or one that can be made.
        workers: threads. The bytes do not depend on it.

    Returns:
        ``root/miniworld-<hash>``, with ``upstream``, ``coco``, ``ADEChallengeData2016`` and ``classification``
        (see ``robnb.data.miniworld.writer``) and ``manifest.json``.

    Raises:
        UserError: a file of an existing one is missing or changed, or ``root`` cannot be written.
    """
    final = Path(root) / spec.folder_name
    if not final.exists():
        partial = final.with_name(f".{final.name}.{socket.gethostname()}.{os.getpid()}")
        try:
            _remove_left_over(final)
            partial.mkdir(parents=True)
            _write(spec, partial, workers)
            _move(partial, final)
        except OSError as error:
            raise UserError(f"cannot write a miniworld below {root} ({error}): choose another folder.") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    verify(final)
    return final


def _write(spec: MiniworldSpec, folder: Path, workers: int) -> None:
    digits = DigitPools(spec.seed)
    for part in ("train", "val"):

        def split(task: str, part: str = part) -> Split:
            return Split(spec.seed, task, part, getattr(spec, f"{task}_{part}"))

        write_crops(folder / "upstream", split("upstream"), digits, CROP_SIZE, workers)
        write_detection(folder / "coco", split("detection"), digits, workers)
        write_segmentation(folder / "ADEChallengeData2016", split("segmentation"), digits, workers)
        write_crops(folder / "classification", split("classification"), digits, CLASSIFICATION_SIZE, workers)
    write_manifest(folder, {"format": FORMAT, "spec": asdict(spec)})


def _move(partial: Path, final: Path) -> None:
    """Rename; where another process was faster, its folder (with the same bytes) stays."""
    try:
        partial.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def _remove_left_over(final: Path) -> None:
    """Remove what runs on this machine that are no longer alive had written of this miniworld."""
    for folder in final.parent.glob(f".{final.name}.{socket.gethostname()}.*"):
        process = int(folder.suffix[1:])
        if process == os.getpid() or not _is_alive(process):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, and someone else's
        return True
    return True
