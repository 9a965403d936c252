"""The engines that are timed: ours, and three by others, each the way its user calls it.

Nothing here makes another's engine faster. imagecorruptions is run as installed, repaired only where it raises: not
the ``engine="reference"`` of `robnb.corruptions.corrupt`, which draws in blocks and keeps decoded pictures.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from robnb.corruptions import corrupt, corrupt_batch

OURS = "ours"
PACKAGE = "imagecorruptions"
NUMBA_VERSION = "imagecorruptions, numba"
TORCH_UNCERTAINTY = "torch-uncertainty"
#: torch-uncertainty's classes that are not called as the corruption is.
_CLASSES = {"elastic_transform": "Elastic", "jpeg_compression": "JPEGCompression", "saturate": "Saturation"}

#: What is timed: it makes ``Engine.images`` images and takes nothing.
Call = Callable[[], object]


@dataclass(frozen=True)
class Engine:
    """One column of the table.

    Attributes:
        title: the column's heading.
        prepare: (uint8 RGB image (H, W, 3), corruption, severity) -> the call to be timed. What a user does once
            for a whole data set belongs here. May raise anything where the engine cannot.
        images: how many images one call makes.
        foreign: not ours; where it raises, its cell stays empty and the reason is kept.
    """

    title: str
    prepare: Callable[[np.ndarray, str, int], Call]
    images: int = 1
    foreign: bool = True


def ours() -> Engine:
    """`corrupt`, one image a call, another image_id (another draw) each time."""

    def prepare(image: np.ndarray, name: str, severity: int) -> Call:
        ids = itertools.count()
        return lambda: corrupt(image, name, severity, image_id=str(next(ids)))

    return Engine(OURS, prepare, foreign=False)


def ours_batched(size: int) -> Engine:
    """`corrupt_batch` of ``size`` images on the CPU, other draws each time."""

    def prepare(image: np.ndarray, name: str, severity: int) -> Call:
        return batch_call(torch.from_numpy(np.stack([image] * size)), name, severity)

    return Engine(f"{OURS}, batch of {size}", prepare, images=size, foreign=False)


def batch_call(images: torch.Tensor, name: str, severity: int) -> Call:
    """A call that corrupts the images, uint8 (N, H, W, 3) on any device, with other draws each time."""
    ids = itertools.count()
    return lambda: corrupt_batch(images, name, severity, image_ids=[str(next(ids)) for _ in range(len(images))])


def package() -> Engine:
    """imagecorruptions from PyPI, as installed and made to run."""
    return _imagecorruptions(PACKAGE, load_package())


def numba_version(path: Path) -> Engine:
    """The GitHub version of imagecorruptions, unrepaired; ``path`` is its corruptions.py, with ``frost/`` beside it."""
    return _imagecorruptions(NUMBA_VERSION, _private_copy(path))


def _imagecorruptions(title: str, module: ModuleType) -> Engine:
    def prepare(image: np.ndarray, name: str, severity: int) -> Call:
        function = getattr(module, name)
        # What imagecorruptions.corrupt does behind its checks.
        return lambda: np.uint8(function(Image.fromarray(image), severity))

    return Engine(title, prepare)


def load_package() -> ModuleType:
    """The installed package's corruptions, with what numpy 2 and scikit-image 0.19 took away given back.

    Repaired: ``np.float_`` (fog) and ``gaussian(multichannel=)`` (glass_blur, gaussian_blur). Draws come from numpy's
    global generator.
    """
    spec = importlib.util.find_spec("imagecorruptions")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'imagecorruptions'", name="imagecorruptions")
    module = _private_copy(Path(spec.submodule_search_locations[0]) / "corruptions.py")
    # A module of its own, because glass_blur looks up np.random for every pixel: that must cost what it always does.
    module.np = ModuleType("numpy")
    vars(module.np).update(vars(np), random=np.random, float_=np.float64)
    gaussian = module.gaussian

    def with_multichannel(*args: Any, multichannel: bool = False, **kwargs: Any) -> np.ndarray:
        return gaussian(*args, channel_axis=-1 if multichannel else None, **kwargs)

    module.gaussian = with_multichannel
    return module


def _private_copy(path: Path) -> ModuleType:
    """A corruptions.py that finds its frost pictures beside it and prints nothing."""
    spec = importlib.util.spec_from_file_location("robnb_timed_imagecorruptions", path)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        # It imports pkg_resources and an old scipy name, and both warn.
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    module.resource_filename = lambda _package, resource: str(path.parent / resource)
    module.print = lambda *_message: None
    return module


def torch_uncertainty() -> Engine:
    """torch-uncertainty's transforms on one float32 image (3, H, W) in 0..1, its native input.

    Making the transform and converting from and to uint8 are not timed.

    Raises:
        ImportError: the package is not installed, or lacks something that it needs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("torch_uncertainty.transforms.corruption")

    def prepare(image: np.ndarray, name: str, severity: int) -> Call:
        transform = _transform(module, name)(severity)
        tensor = torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255)).contiguous()
        return lambda: transform(tensor)

    return Engine(TORCH_UNCERTAINTY, prepare)


def _transform(module: ModuleType, name: str) -> Any:
    title = _CLASSES.get(name) or name.title().replace("_", "")
    if not hasattr(module, title):
        raise NotImplementedError(f"it has no {name}")
    return getattr(module, title)
