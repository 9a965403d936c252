"""The corruptions: the package's own pixels, from keyed noise, at every size, on any worker."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.filters import gaussian
from skimage.util import random_noise

from robnb import seeding
from robnb.corruptions import Condition, conditions, corrupt
from robnb.errors import UserError
from robnb.names import CATEGORIES, CORRUPTIONS, SEVERITIES, VALIDATION_CORRUPTIONS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pkg_resources
    import imagecorruptions
    import imagecorruptions.corruptions as package

ALL = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
#: The same pixels whatever the key.
WITHOUT_DRAWS = {
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg_compression",
    "gaussian_blur",
    "saturate",
}
#: These raise, or do not follow numpy's seed, in the package as installed.
BROKEN = {"glass_blur", "gaussian_blur", "fog", "impulse_noise"}
#: A higher severity of these may be nearer to the original: fewer passes with a wider reach (glass_blur), fewer but
#: larger flakes (snow), another picture and another weight of the image (frost), a rougher mist (fog), grey first
#: and garish later (saturate), mud in place of water (spatter).
NOT_MONOTONE = {"glass_blur", "snow", "frost", "fog", "saturate", "spatter"}


def photograph(height: int, width: int, name: str = "astronaut") -> np.ndarray:
    """(height, width, 3) uint8 RGB: a real photograph, scaled."""
    return np.array(Image.fromarray(getattr(skimage.data, name)()).resize((width, height), Image.Resampling.BOX))


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
        assert np.array_equal(corrupt(image, name, severity, image_id="x"), from_package(image, name, severity, "x")), (
            severity
        )


@pytest.mark.parametrize("name", ["glass_blur", "gaussian_blur", "fog"])
def test_pixels_are_the_repaired_packages(name: str, repaired_package: None) -> None:
    image = photograph(48, 70)
    for severity in SEVERITIES:
        assert np.array_equal(corrupt(image, name, severity, image_id="x"), from_package(image, name, severity, "x")), (
            severity
        )


def test_impulse_noise_is_the_packages_with_a_keyed_rng(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photograph(48, 70)
    for severity in SEVERITIES:
        rng = seeding.generator("corrupt", 0, "x", "impulse_noise", severity, 0)
        keyed = SimpleNamespace(random_noise=lambda *a, rng=rng, **k: random_noise(*a, rng=rng, **k))
        monkeypatch.setattr(package, "sk", SimpleNamespace(util=keyed))
        expected = imagecorruptions.corrupt(image, severity, "impulse_noise")
        assert np.array_equal(corrupt(image, "impulse_noise", severity, image_id="x"), expected)


@pytest.mark.parametrize("size", [(32, 32), (33, 57), (57, 33), (64, 64), (128, 160)])
def test_every_corruption_runs_quietly_at_every_size(size: tuple[int, int], capfd: pytest.CaptureFixture) -> None:
    image = photograph(*size)
    original = image.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ALL:
            for severity in SEVERITIES:
                out = corrupt(image, name, severity, image_id="x")
                assert (out.shape, out.dtype) == (image.shape, np.uint8), (name, severity)
                assert out.flags.c_contiguous and out.flags.writeable and not np.shares_memory(out, image)
                assert not np.array_equal(out, image), (name, severity)
    assert np.array_equal(image, original)
    assert capfd.readouterr() == ("", "")


def test_a_large_photograph_and_a_strided_view_run() -> None:
    image = photograph(427, 640)
    for name in ALL:
        severity = 2 if name == "glass_blur" else 3  # 2: a single pass over the pixels
        assert corrupt(image, name, severity, image_id="x").shape == image.shape
    for view in (image[::-3, ::4], np.asfortranarray(image[:64, :64])):
        for name in ("frost", "glass_blur", "jpeg_compression"):
            expected = corrupt(view.copy(order="C"), name, 1, image_id="x")
            assert np.array_equal(corrupt(view, name, 1, image_id="x"), expected)


@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_image_stays_free_of_artefacts(value: int) -> None:
    image = np.full((40, 50, 3), value, dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ALL:
            for severity in SEVERITIES:
                corrupt(image, name, severity, image_id="x")
    for name in ("defocus_blur", "motion_blur", "contrast", "elastic_transform", "pixelate"):
        # Weights that add up to 1 but for rounding may lose one level when fractions are cut off.
        assert np.abs(corrupt(image, name, 3, image_id="x").astype(int) - value).max() <= 1, name


def test_spatter_without_a_drop_leaves_the_image_as_it_is() -> None:
    image = photograph(32, 32)
    spattered = [corrupt(image, "spatter", 1, image_id=str(i)) for i in range(300)]
    dry = [np.abs(out.astype(int) - image).max() <= 1 for out in spattered]
    assert 0 < sum(dry) < 30
    assert min(int(out.max()) for out in spattered) > 0


@pytest.mark.parametrize("name", ALL)
def test_draws_are_a_function_of_the_key(name: str) -> None:
    image = photograph(40, 48)
    base = corrupt(image, name, 3, image_id="a")
    np.random.seed(1)
    before = np.random.get_state()
    assert np.array_equal(corrupt(image, name, 3, image_id="a"), base)
    after = np.random.get_state()
    assert np.array_equal(before[1], after[1]) and before[2:] == after[2:]
    others = [
        corrupt(image, name, 3, image_id="b"),
        corrupt(image, name, 3, image_id="a", seed=1),
        corrupt(image, name, 3, image_id="a", replicate=1),
    ]
    for i, first in enumerate([base, *others]):
        for second in others[i:]:
            assert np.array_equal(first, second) == (name in WITHOUT_DRAWS)


def test_the_installed_package_and_its_libraries_are_left_alone() -> None:
    corrupt(photograph(32, 32), "fog", 1, image_id="x")
    assert package.np is np
    assert package.gaussian is gaussian
    assert package.sk.util.random_noise is random_noise
    assert not hasattr(np, "float_")


class Corrupted(torch.utils.data.Dataset):
    """The 15 corruptions of one photograph; ``order`` says which comes first."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[str, np.ndarray]:
        return self.order[index], corrupt(photograph(64, 64), self.order[index], 3, image_id="x")


@pytest.mark.parametrize("workers", [0, 2])
def test_pixels_are_the_same_on_any_worker_in_any_order(workers: int) -> None:
    expected = {name: corrupt(photograph(64, 64), name, 3, image_id="x") for name in CORRUPTIONS}
    for order in (CORRUPTIONS, CORRUPTIONS[::-1]):
        loader = torch.utils.data.DataLoader(Corrupted(order), batch_size=4, num_workers=workers)
        loaded = {name: image.numpy() for names, images in loader for name, image in zip(names, images, strict=True)}
        assert loaded.keys() == expected.keys()
        assert all(np.array_equal(loaded[name], expected[name]) for name in expected)


def test_pixels_are_the_same_on_threads() -> None:
    image = photograph(64, 64)
    jobs = [(name, str(i)) for i in range(4) for name in ("gaussian_noise", "impulse_noise", "glass_blur", "frost")]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: corrupt(image, job[0], 3, image_id=job[1]), jobs))
    for (name, image_id), out in zip(jobs, together, strict=True):
        assert np.array_equal(out, corrupt(image, name, 3, image_id=image_id))


@pytest.mark.parametrize("picture", ["astronaut", "chelsea"])
@pytest.mark.parametrize("name", ALL)
def test_distance_grows_with_severity(name: str, picture: str) -> None:
    image = photograph(96, 96, picture)
    distances = [
        np.mean([np.abs(corrupt(image, name, s, image_id=str(i)).astype(float) - image).mean() for i in range(2)])
        for s in SEVERITIES
    ]
    assert distances[0] > 0.5
    assert distances[4] > distances[0]
    if name not in NOT_MONOTONE:
        assert np.all(np.diff(distances) > 0), distances


def test_conditions_start_clean_and_keep_their_order() -> None:
    assert conditions(["fog", "snow"], [3, 1]) == (
        Condition("clean", 0),
        Condition("fog", 3),
        Condition("fog", 1),
        Condition("snow", 3),
        Condition("snow", 1),
    )
    assert [c.corruption for c in conditions(["benchmark"], [1])[1:]] == list(CORRUPTIONS)
    assert len(conditions(["benchmark"], SEVERITIES)) == 76
    assert [c.corruption for c in conditions(["digital"], [5])[1:]] == list(CATEGORIES["digital"])
    assert conditions(("spatter",), (2,))[1] == Condition("spatter", 2)
    assert conditions([], []) == (Condition("clean", 0),)


@pytest.mark.parametrize(
    ("corruptions", "severities", "message"),
    [
        (["fog", "fog"], [1], "corruption 'fog' is named more than once"),
        (["fog"], [1, 1], "severity 1 is named more than once"),
        (["gausian_noise"], [1], "did you mean 'gaussian_noise'"),
        (["clean"], [1], "unknown corruption or set of them 'clean'"),
        (["digitl"], [1], "unknown corruption or set of them 'digitl': did you mean 'digital'"),
        (["noise", "shot_noise"], [1], "corruption 'shot_noise' is named more than once"),
        (["fog"], [6], "severity must be an integer from 1 to 5, got 6"),
        (["fog"], [True], "got True"),
        (["fog"], [], "no severity was given"),
    ],
)
def test_conditions_refuses(corruptions: list[str], severities: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        conditions(corruptions, severities)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "fogg"}, "unknown corruption 'fogg': did you mean 'fog'"),
        ({"name": "clean"}, "unknown corruption 'clean'"),
        ({"severity": 0}, "severity must be an integer from 1 to 5, got 0"),
        ({"severity": True}, "got True"),
        ({"severity": 2.0}, r"got 2\.0"),
        ({"image": np.zeros((31, 64, 3), np.uint8)}, "at least 32 x 32 pixels, got 31 x 64"),
        ({"image": np.zeros((3, 64, 64), np.uint8)}, r"got uint8 \(3, 64, 64\)"),
        ({"image": np.zeros((64, 64), np.uint8)}, r"got uint8 \(64, 64\)"),
        ({"image": np.zeros((64, 64, 3), np.float32)}, "got float32"),
        ({"image": Image.new("RGB", (64, 64))}, "got Image"),
        ({"image_id": ""}, "image_id must be a text that is not empty, got ''"),
        ({"image_id": 7}, "got 7: pass the image's id as text"),
        ({"seed": np.int64(1)}, "seed must be an int"),
        ({"replicate": None}, "replicate must be an int, got None"),
    ],
)
def test_corrupt_refuses(change: dict[str, object], message: str) -> None:
    arguments = {"image": np.zeros((32, 32, 3), np.uint8), "name": "fog", "severity": 1, "image_id": "x", **change}
    with pytest.raises(UserError, match=message):
        corrupt(**arguments)
