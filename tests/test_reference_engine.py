"""The reference engine: the imagecorruptions package's own pixels, from keyed noise."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import photograph
from skimage.filters import gaussian
from skimage.util import random_noise

from robnb import seeding
from robnb.corruptions import corrupt
from robnb.names import CATEGORIES, CORRUPTIONS, SEVERITIES, VALIDATION_CORRUPTIONS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pkg_resources
    import imagecorruptions
    import imagecorruptions.corruptions as package

ALL = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
#: These raise, or do not follow numpy's seed, in the package as installed.
BROKEN = {"glass_blur", "gaussian_blur", "fog", "impulse_noise"}


def from_engine(image: np.ndarray, name: str, severity: int, image_id: str = "x") -> np.ndarray:
    return corrupt(image, name, severity, image_id=image_id, engine="reference")


@pytest.fixture
def repaired_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed package with its broken calls put right for one test."""
    monkeypatch.setattr(np, "float_", np.float64, raising=False)
    monkeypatch.setattr(
        package,
        "gaussian",
        lambda image, *a, multichannel=False, **k: gaussian(image, *a, channel_axis=-1 if multichannel else None, **k),
    )


def from_package(image: np.ndarray, name: str, severity: int, image_id: str) -> np.ndarray:
    """The installed package's pixels, its global generator set to where ours starts."""
    before = np.random.get_state()
    np.random.set_state(seeding.random_state("corrupt", 0, image_id, name, severity, 0).get_state())
    try:
        return imagecorruptions.corrupt(image, severity, name)
    finally:
        np.random.set_state(before)


@pytest.mark.parametrize("subset", ["noise", "blur", "weather", "digital", "common", "validation"])
def test_names_are_the_packages(subset: str) -> None:
    ours = {**CATEGORIES, "common": CORRUPTIONS, "validation": VALIDATION_CORRUPTIONS}[subset]
    assert list(ours) == imagecorruptions.get_corruption_names(subset)


@pytest.mark.parametrize("name", [name for name in ALL if name not in BROKEN])
def test_pixels_are_the_installed_packages(name: str) -> None:
    image = photograph(48, 70)
    for severity in SEVERITIES:
        assert np.array_equal(from_engine(image, name, severity), from_package(image, name, severity, "x")), severity


@pytest.mark.parametrize("name", ["glass_blur", "gaussian_blur", "fog"])
def test_pixels_are_the_repaired_packages(name: str, repaired_package: None) -> None:
    image = photograph(48, 70)
    for severity in SEVERITIES:
        assert np.array_equal(from_engine(image, name, severity), from_package(image, name, severity, "x")), severity


def test_impulse_noise_is_the_packages_with_a_keyed_rng(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photograph(48, 70)
    for severity in SEVERITIES:
        rng = seeding.generator("corrupt", 0, "x", "impulse_noise", severity, 0)
        keyed = SimpleNamespace(random_noise=lambda *a, rng=rng, **k: random_noise(*a, rng=rng, **k))
        monkeypatch.setattr(package, "sk", SimpleNamespace(util=keyed))
        expected = imagecorruptions.corrupt(image, severity, "impulse_noise")
        assert np.array_equal(from_engine(image, "impulse_noise", severity), expected)


def test_the_installed_package_and_its_libraries_are_left_alone() -> None:
    from_engine(photograph(32, 32), "fog", 1)
    assert package.np is np
    assert package.gaussian is gaussian
    assert package.sk.util.random_noise is random_noise
    assert not hasattr(np, "float_")
