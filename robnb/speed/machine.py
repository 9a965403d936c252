"""What a timing was measured on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

from robnb.cores import cores
from robnb.provenance import versions

#: What is timed, and what computes for it. Where one is not installed, it is not listed.
_PACKAGES = (
    "torch", "numpy", "opencv-python", "numba", "scipy", "scikit-image", "pillow", "imagecorruptions",
    "torch-uncertainty",
)  # fmt: skip


def machine() -> dict[str, str]:
    """Processor, cores that this process may use, GPU, and versions, each as text."""
    known = {
        "processor": processor(),
        "cores": str(cores()),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "Python": platform.python_version(),
    }
    return known | {name: version for name, version in versions(_PACKAGES).items() if version}


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model as Linux calls it, or as Python does where there is no ``/proc/cpuinfo``."""
    try:
        model = re.search(r"^model name\s*: *(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1] if model else platform.processor() or platform.machine()
