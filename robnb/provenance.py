"""What made a result: versions, device, commit, time."""

from __future__ import annotations

import functools
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from robnb import __version__

PACKAGES = (
    "torch", "torchvision", "timm", "mmdet", "mmsegmentation", "mmengine", "mmcv-lite", "imagecorruptions",
    "numba", "numpy", "scipy", "scikit-image", "scikit-learn", "opencv-python", "pillow", "pycocotools",
    "faster-coco-eval", "pyarrow", "distributed",
)  # fmt: skip


@functools.cache
def environment() -> dict[str, Any]:
    """Package versions, Python, device and commit of this process; the same for all it makes."""
    return {
        "versions": {"robnb": __version__, **versions(PACKAGES)},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
    }


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The version of each package; None where it is not installed (or under another name, as OpenCV may be)."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def stamp(seconds: float) -> dict[str, Any]:
    """The environment with when a piece of work ended (UTC) and how long it took (wall time)."""
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"ended": ended, "seconds": round(seconds, 3), **environment()}


def device_name() -> str:
    """The first GPU's name, or the processor's."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.processor() or platform.machine()})"


def commit() -> str | None:
    """The commit of the checkout this package runs from, ``-dirty`` if changed; None outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None if described.returncode == 0 else None
