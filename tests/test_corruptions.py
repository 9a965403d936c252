"""The corruptions, by either engine: pixels are a function of the key, at every size, on any worker, in any batch."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import photograph
from PIL import Image

from robnb.corruptions import ENGINES, VERSION, Condition, conditions, corrupt, corrupt_batch
from robnb.corruptions.kernels import torch_only
from robnb.errors import UserError
from robnb.names import CATEGORIES, CORRUPTIONS, SEVERITIES, VALIDATION_CORRUPTIONS

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
#: A higher severity of these may be nearer to the original: fewer passes with a wider reach (glass_blur), fewer but
#: larger flakes (snow), another picture and another weight of the image (frost), a rougher mist (fog), grey first
#: and garish later (saturate), mud in place of water (spatter).
NOT_MONOTONE = {"glass_blur", "snow", "frost", "fog", "saturate", "spatter"}


#: The start of the SHA-256 of the pixels of a fixed image and key, at severity 3.
PINNED = {
    "gaussian_noise": "a0af9d27efc3",
    "shot_noise": "6ae73be47aac",
    "impulse_noise": "d0e4bbcc0ca6",
    "defocus_blur": "e9642bc8611f",
    "glass_blur": "3b495a4b7f66",
    "motion_blur": "e3eaa0e5d415",
    "zoom_blur": "25ffff502cc7",
    "snow": "79f762d840fb",
    "frost": "64c7562a64ed",
    "fog": "db09a522aa15",
    "brightness": "19abe4a16a2e",
    "contrast": "eba751fd68c2",
    "elastic_transform": "fb74b7440774",
    "pixelate": "a9c378079e06",
    "jpeg_compression": "dab32dc0e091",
    "speckle_noise": "3f2cc1a9702f",
    "gaussian_blur": "a0a56c16582e",
    "spatter": "d47ba3fa1cb7",
    "saturate": "2529411bb703",
}
each_engine = pytest.mark.parametrize("engine", ENGINES)


@each_engine
@pytest.mark.parametrize("size", [(32, 32), (33, 57), (57, 33), (64, 64), (128, 160), (300, 33)])
def test_every_corruption_runs_quietly_at_every_size(
    size: tuple[int, int], engine: str, capfd: pytest.CaptureFixture
) -> None:
    image = photograph(*size)
    original = image.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ALL:
            for severity in SEVERITIES:
                out = corrupt(image, name, severity, image_id="x", engine=engine)
                assert (out.shape, out.dtype) == (image.shape, np.uint8), (name, severity)
                assert out.flags.c_contiguous and out.flags.writeable and not np.shares_memory(out, image)
                assert not np.array_equal(out, image), (name, severity)
    assert np.array_equal(image, original)
    assert capfd.readouterr() == ("", "")


@each_engine
def test_a_strided_view_is_as_good_as_a_copy(engine: str) -> None:
    image = photograph(427, 640)
    for view in (image[::-3, ::4], np.asfortranarray(image[:64, :64])):
        for name in ("gaussian_noise", "frost", "glass_blur", "contrast", "jpeg_compression"):
            expected = corrupt(view.copy(order="C"), name, 1, image_id="x", engine=engine)
            assert np.array_equal(corrupt(view, name, 1, image_id="x", engine=engine), expected)


@each_engine
def test_a_read_only_image_is_taken_without_a_warning(engine: str) -> None:
    image = np.asarray(Image.fromarray(photograph(40, 50)))
    assert not image.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("contrast", "jpeg_compression", "pixelate"):
            assert corrupt(image, name, 1, image_id="x", engine=engine).flags.writeable


@each_engine
def test_a_grey_image_is_one_with_three_equal_channels(engine: str) -> None:
    grey = photograph(40, 50)[..., 0]
    expected = corrupt(np.stack([grey] * 3, axis=-1), "fog", 2, image_id="x", engine=engine)
    for given in (grey, grey[..., None]):
        assert np.array_equal(corrupt(given, "fog", 2, image_id="x", engine=engine), expected)


@each_engine
@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_image_stays_free_of_artefacts(value: int, engine: str) -> None:
    image = np.full((40, 50, 3), value, dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ALL:
            for severity in SEVERITIES:
                corrupt(image, name, severity, image_id="x", engine=engine)
    for name in ("defocus_blur", "motion_blur", "contrast", "elastic_transform", "pixelate"):
        # Weights that add up to 1 but for rounding may lose one level when fractions are cut off.
        assert np.abs(corrupt(image, name, 3, image_id="x", engine=engine).astype(int) - value).max() <= 1, name


@each_engine
def test_spatter_without_a_drop_leaves_the_image_as_it_is(engine: str) -> None:
    image = photograph(32, 32)
    spattered = [corrupt(image, "spatter", 1, image_id=str(i), engine=engine) for i in range(300)]
    dry = [np.abs(out.astype(int) - image).max() <= 1 for out in spattered]
    assert 0 < sum(dry) < 30
    assert min(int(out.max()) for out in spattered) > 0


@each_engine
@pytest.mark.parametrize("name", ALL)
def test_draws_are_a_function_of_the_key(name: str, engine: str) -> None:
    image = photograph(40, 48)
    base = corrupt(image, name, 3, image_id="a", engine=engine)
    np.random.seed(1)
    before, torch_before = np.random.get_state(), torch.random.get_rng_state()
    assert np.array_equal(corrupt(image, name, 3, image_id="a", engine=engine), base)
    after = np.random.get_state()
    assert np.array_equal(before[1], after[1]) and before[2:] == after[2:]
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    others = [
        corrupt(image, name, 3, image_id="b", engine=engine),
        corrupt(image, name, 3, image_id="a", seed=1, engine=engine),
        corrupt(image, name, 3, image_id="a", replicate=1, engine=engine),
    ]
    every = [base, *others]
    for i, first in enumerate(every):
        for second in every[i + 1 :]:
            assert np.array_equal(first, second) == (name in WITHOUT_DRAWS)


@pytest.mark.parametrize("name", ALL)
def test_an_image_comes_out_of_any_batch_as_it_does_alone(name: str) -> None:
    pictures = [photograph(45, 70), photograph(45, 70, "chelsea"), photograph(45, 70, "rocket")]
    images, ids = torch.from_numpy(np.stack(pictures)), ["a", "b", "c"]
    before = images.clone()
    for severity in SEVERITIES:
        alone = [corrupt(picture, name, severity, image_id=i) for picture, i in zip(pictures, ids, strict=True)]
        for order in ([0, 1, 2], [2, 0, 1], [1]):
            batch = corrupt_batch(images[order], name, severity, image_ids=[ids[i] for i in order])
            assert batch.dtype == torch.uint8
            assert all(np.array_equal(out, alone[i]) for out, i in zip(batch.numpy(), order, strict=True))
    assert torch.equal(images, before)
    channels_first = images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)  # the same values, other strides
    assert torch.equal(
        corrupt_batch(channels_first, name, 3, image_ids=ids), corrupt_batch(images, name, 3, image_ids=ids)
    )


@pytest.mark.parametrize("name", ALL)
def test_a_gpu_would_give_the_same_pixels_from_the_same_key(name: str) -> None:
    """Its functions, run on the CPU: draws and pixels; and alone as in a batch."""
    images = torch.from_numpy(np.stack([photograph(90, 131), photograph(90, 131, "chelsea")]))
    for severity in SEVERITIES:
        compiled = corrupt_batch(images, name, severity, image_ids=["a", "b"])
        with torch_only():
            plain = corrupt_batch(images, name, severity, image_ids=["a", "b"])
            second = corrupt_batch(images[1:], name, severity, image_ids=["b"])
        assert torch.equal(second[0], plain[1])
        difference = (compiled.int() - plain.int()).abs()
        assert (difference <= 1).float().mean() >= 0.999 and difference.max() <= 3, severity


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares a GPU with the CPU, and there is no GPU")
def test_a_gpu_gives_the_same_pixels_from_the_same_key() -> None:
    images = torch.from_numpy(np.stack([photograph(480, 640), photograph(480, 640, "chelsea")]))
    for name in ALL:
        for severity in SEVERITIES:
            on_cpu = corrupt_batch(images, name, severity, image_ids=["a", "b"])
            on_gpu = corrupt_batch(images.cuda(), name, severity, image_ids=["a", "b"])
            assert on_gpu.is_cuda
            difference = (on_cpu.int() - on_gpu.cpu().int()).abs()
            assert (difference <= 1).float().mean() >= 0.999, (name, severity)


def test_an_empty_batch_stays_empty() -> None:
    assert corrupt_batch(torch.zeros((0, 40, 50, 3), dtype=torch.uint8), "fog", 1, image_ids=[]).shape == (0, 40, 50, 3)


def test_the_pixels_of_a_key_change_only_with_the_engines_version() -> None:
    """On any machine. Who changes them raises ``VERSION``, says it in CHANGELOG.md, and pins the new ones here."""
    assert VERSION == 1
    image = np.arange(40 * 48 * 3, dtype=np.uint32).reshape(40, 48, 3).astype(np.uint8)
    digests = {name: hashlib.sha256(corrupt(image, name, 3, image_id="x")).hexdigest()[:12] for name in PINNED}
    assert digests == PINNED


DIGESTS = """
import hashlib, json
from pictures import photograph
from robnb.corruptions import corrupt
from robnb.corruptions.engine import FAST
image = photograph(120, 171)
conditions = [(name, severity) for name in FAST for severity in (1, 3, 5)]
print(json.dumps([hashlib.sha256(corrupt(image, *c, image_id="x")).hexdigest() for c in conditions]))
"""


def test_pixels_are_the_same_on_any_processor(tmp_path: Path) -> None:
    """This one, and one without its vector instructions: other code is compiled and chosen, and the bytes are equal."""
    plain = {
        "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path),
        "ATEN_CPU_CAPABILITY": "default", "OPENCV_IPP": "disabled",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,AVX,FMA3,FP16",
    }  # fmt: skip
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", DIGESTS], capture_output=True, check=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **environment},
        ).stdout
        for environment in ({}, plain)
    ]  # fmt: skip
    assert len(json.loads(outputs[0])) == 3 * len(ALL)
    assert outputs[0] == outputs[1]


class Corrupted(torch.utils.data.Dataset):
    """The 15 corruptions of one photograph; ``order`` says which comes first."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[str, np.ndarray]:
        return self.order[index], corrupt(photograph(64, 64), self.order[index], 3, image_id="x")


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (1, "spawn")])
def test_pixels_are_the_same_on_any_worker_in_any_order(workers: int, start: str | None) -> None:
    expected = {name: corrupt(photograph(64, 64), name, 3, image_id="x") for name in CORRUPTIONS}
    for order in (CORRUPTIONS, CORRUPTIONS[::-1]):
        loader = torch.utils.data.DataLoader(
            Corrupted(order), batch_size=4, num_workers=workers, multiprocessing_context=start
        )
        loaded = {name: image.numpy() for names, images in loader for name, image in zip(names, images, strict=True)}
        assert loaded.keys() == expected.keys()
        assert all(np.array_equal(loaded[name], expected[name]) for name in expected)


@each_engine
def test_pixels_are_the_same_on_threads(engine: str) -> None:
    image = photograph(64, 64)
    jobs = [(name, str(i)) for i in range(4) for name in ("gaussian_noise", "impulse_noise", "glass_blur", "frost")]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: corrupt(image, job[0], 3, image_id=job[1], engine=engine), jobs))
    for (name, image_id), out in zip(jobs, together, strict=True):
        assert np.array_equal(out, corrupt(image, name, 3, image_id=image_id, engine=engine))


@pytest.mark.parametrize("picture", ["astronaut", "chelsea"])
@pytest.mark.parametrize("name", ALL)
def test_distance_grows_with_severity(name: str, picture: str) -> None:
    image = photograph(96, 96, picture)
    distances = [
        np.mean([np.abs(corrupt(image, name, s, image_id=str(i)).astype(float) - image).mean() for i in range(8)])
        for s in SEVERITIES
    ]
    assert distances[0] > 0.5
    assert distances[4] > distances[0] or name == "frost"  # its pictures differ more than its severities
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
        ({"image": np.zeros((64, 64, 2), np.uint8)}, r"got uint8 \(64, 64, 2\)"),
        ({"image": np.zeros((64, 64, 4), np.uint8)}, r"got uint8 \(64, 64, 4\)"),
        ({"image": np.zeros((64,), np.uint8)}, r"got uint8 \(64,\)"),
        ({"image": np.full((64, 64, 3), np.nan)}, r"got float64"),
        ({"image": np.zeros((64, 16), np.uint8)}, "at least 32 x 32 pixels, got 64 x 16"),
        ({"engine": "fats"}, "unknown engine 'fats': did you mean 'fast'"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "fogg"}, "unknown corruption 'fogg': did you mean 'fog'"),
        ({"severity": 6}, "severity must be an integer from 1 to 5, got 6"),
        ({"images": torch.zeros((2, 3, 64, 64), dtype=torch.uint8)}, r"got uint8 \(2, 3, 64, 64\)"),
        ({"images": torch.zeros((64, 64, 3), dtype=torch.uint8)}, r"got uint8 \(64, 64, 3\)"),
        ({"images": torch.full((2, 64, 64, 3), torch.nan)}, "got float32"),
        ({"images": torch.zeros((2, 64, 31, 3), dtype=torch.uint8)}, "at least 32 x 32 pixels, got 64 x 31"),
        ({"images": np.zeros((2, 64, 64, 3), np.uint8)}, "torch tensor .*, got ndarray"),
        ({"image_ids": ["a"]}, "one text for each of the 2 images, got 1"),
        ({"image_ids": "ab"}, "got the text 'ab'"),
        ({"image_ids": ["a", 2]}, "image_id must be a text that is not empty, got 2"),
        ({"seed": 1.0}, r"seed must be an int, got 1\.0"),
        ({"replicate": "1"}, "replicate must be an int, got '1'"),
    ],
)
def test_corrupt_batch_refuses(change: dict[str, object], message: str) -> None:
    images = torch.zeros((2, 32, 32, 3), dtype=torch.uint8)
    arguments = {"images": images, "name": "fog", "severity": 1, "image_ids": ["a", "b"], **change}
    with pytest.raises(UserError, match=message):
        corrupt_batch(**arguments)
