"""The imagecorruptions package 1.1.2 itself, on today's numpy and scikit-image, with keyed noise.

The package draws from numpy's global generator (impulse_noise from a fresh one of scikit-image) and calls things
that numpy 2 and scikit-image 0.19 and later no longer have. Nothing installed is edited or patched for it: its module
is loaded a second time under a private name, and that copy is given its own view of what it imports.

Repaired in the view: ``gaussian(multichannel=)`` (glass_blur, gaussian_blur), ``np.float_`` (fog), the generator of
``random_noise`` (impulse_noise), a division of zero by zero that turned images without a drop black (spatter 1 to 3),
and messages printed to stdout (zoom_blur, snow). Made faster with the same pixels: glass_blur's draws come in blocks,
and frost's pictures are decoded once. Everything else is the package's own, oddities included (glass_blur
copies pixels where it means to swap them, zoom_blur may darken a border, frost never uses its sixth picture).
"""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from robnb import seeding

#: How many of glass_blur's draws are made at once.
BLOCK = 4096


_record: ContextVar[list[Any] | None] = ContextVar("record", default=None)


@contextmanager
def recording() -> Iterator[list[Any]]:
    """Keep what the package draws meanwhile, in the order of drawing."""
    token = _record.set([])
    try:
        yield _record.get()
    finally:
        _record.reset(token)


def _noted(drawn: Any) -> Any:
    if (record := _record.get()) is not None:
        record.append(drawn)
    return drawn


class KeyedRandom:
    """One image's ``np.random``: a RandomState whose pairs of integers are drawn in blocks.

    ``randint(low, high, (n, 2))`` is the same stream as n calls with ``size=(2,)``, and glass_blur makes
    one such call per pixel.
    """

    def __init__(self, state: np.random.RandomState) -> None:
        self._state = state
        self._pairs: Iterator[list[int]] = iter(())

    def randint(self, low: int, high: int | None = None, size: tuple[int, ...] | None = None) -> Any:
        """As ``RandomState.randint``; every pair that one image asks for has the same bounds."""
        if size != (2,):
            return _noted(self._state.randint(low, high, size))
        pair = next(self._pairs, None)
        if pair is None:
            self._pairs = iter(_noted(self._state.randint(low, high, (BLOCK, 2))).tolist())
            pair = next(self._pairs)
        return pair

    def normal(self, *args: Any, **kwargs: Any) -> Any:
        """As ``RandomState.normal``."""
        return _noted(self._state.normal(*args, **kwargs))

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        """As ``RandomState.uniform``."""
        return _noted(self._state.uniform(*args, **kwargs))

    def poisson(self, *args: Any, **kwargs: Any) -> Any:
        """As ``RandomState.poisson``."""
        return _noted(self._state.poisson(*args, **kwargs))


class KeyedGenerator(np.random.Generator):
    """One image's generator for scikit-image's random_noise."""

    def random(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Generator.random``."""
        return _noted(super().random(*args, **kwargs))


class NumpyView(threading.local):
    """What the package's module sees as ``np``: numpy, with the ``random`` of the image that this thread corrupts."""

    float_ = np.float64
    random: KeyedRandom | None = None
    #: For scikit-image's random_noise.
    generator: np.random.Generator | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def max(self, array: Any, axis: tuple[int, ...] | None = None) -> Any:
        """numpy's, but never 0 along axes: spatter divides by it, and zero stays zero when divided by one."""
        peak = np.max(array, axis=axis)
        if axis is not None:
            peak[peak == 0] = 1
        return peak


class Cv2View:
    """What the package's module sees as ``cv2``: OpenCV, with every picture decoded once."""

    def __init__(self, cv2: ModuleType) -> None:
        self._cv2 = cv2
        self.imread = cache(cv2.imread)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cv2, name)


def corrupt(image: np.ndarray, name: str, severity: int, key: tuple[int | str, ...]) -> np.ndarray:
    """Corrupt one image; the arguments are taken as checked.

    Args:
        image: (H, W, 3) uint8 RGB, both sides at least 32 pixels.
        name: a corruption's id, which is also the name of the package's function.
        severity: 1 to 5.
        key: what the draws are a function of.

    Returns:
        (H, W, 3) uint8 RGB, a new array. Fractions are cut off, as in the package.
    """
    module = _package()
    module.np.random = KeyedRandom(seeding.random_state(*key))
    module.np.generator = KeyedGenerator(seeding.generator(*key).bit_generator)
    return np.array(getattr(module, name)(Image.fromarray(image), severity)).astype(np.uint8, order="C")


@cache
def _package() -> ModuleType:
    """A private copy of ``imagecorruptions.corruptions`` with its own view of what it imports."""
    spec = importlib.util.find_spec("imagecorruptions")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'imagecorruptions'", name="imagecorruptions")
    folder = Path(spec.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("robnb_imagecorruptions", folder / "corruptions.py")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        # It imports pkg_resources and an old scipy name, and both warn.
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    view = NumpyView()
    module.np = view
    module.cv2 = Cv2View(module.cv2)
    module.sk = SimpleNamespace(
        color=module.sk.color,
        util=SimpleNamespace(random_noise=_keyed_noise(module.sk.util.random_noise, view)),
    )
    module.gaussian = _with_multichannel(module.gaussian)
    module.resource_filename = lambda _package_name, resource: str(folder / resource)
    module.print = lambda *_message: None
    return module


def _keyed_noise(random_noise: Callable[..., np.ndarray], view: NumpyView) -> Callable[..., np.ndarray]:
    return lambda image, mode, amount: random_noise(image, mode=mode, amount=amount, rng=view.generator)


def _with_multichannel(gaussian: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """scikit-image's gaussian with the keyword that ``channel_axis`` has replaced."""

    def call(image: np.ndarray, *args: Any, multichannel: bool = False, **kwargs: Any) -> np.ndarray:
        return gaussian(image, *args, channel_axis=-1 if multichannel else None, **kwargs)

    return call
