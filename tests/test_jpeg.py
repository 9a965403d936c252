"""The JPEG and pixelate kernels give the very pixels of Pillow, at any size, quality, factor and batch."""

import io
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from skimage import data

from robnb.corruptions.kernels import torch_only
from robnb.corruptions.kernels.boxes import pixelate
from robnb.corruptions.kernels.jpeg import jpeg_round_trip

SIZES = [(32, 32), (33, 57), (57, 33), (47, 33), (40, 56), (427, 640), (480, 640), (33, 300), (224, 224)]
QUALITIES = (25, 18, 15, 10, 7, 50, 75, 95)
FACTORS = (0.6, 0.5, 0.4, 0.3, 0.25)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test here is of what the CPU does, and of what another device does."""
    with torch_only() if request.param == "torch" else nullcontext():
        yield


def pictures(height: int, width: int) -> np.ndarray:
    """Two photographs, noise, grey noise and noise of the eight corners of the colour cube: (5, height, width, 3)."""
    generator = np.random.default_rng([height, width])
    photographs = [np.asarray(Image.fromarray(p).resize((width, height))) for p in (data.astronaut(), data.chelsea())]
    noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    grey = np.repeat(noise[..., :1], 3, axis=2)
    saturated = generator.choice(np.array([0, 255], dtype=np.uint8), (height, width, 3))
    return np.stack([*photographs, noise, grey, saturated])


def pillow_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def pillow_pixelate(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((int(width * factor), int(height * factor)), Image.BOX)
    return np.asarray(small.resize((width, height), Image.NEAREST))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width"), [*SIZES, (300, 33)])
def test_jpeg_is_pillows_to_the_bit(height: int, width: int, device: str) -> None:
    images = pictures(height, width)
    batch = torch.from_numpy(images).to(device)
    for quality in QUALITIES:
        ours = jpeg_round_trip(batch, quality).cpu().numpy()
        for picture, image in enumerate(images):
            np.testing.assert_array_equal(ours[picture], pillow_jpeg(image, quality), f"{picture=} {quality=}")


def test_jpeg_is_pillows_at_every_place_in_a_block_where_an_image_can_end() -> None:
    image = pictures(64, 64)[2]
    for height, width in product(range(32, 49, 3), range(32, 49)):
        part = np.ascontiguousarray(image[:height, :width])
        ours = jpeg_round_trip(torch.from_numpy(part)[None], 75)[0].numpy()
        np.testing.assert_array_equal(ours, pillow_jpeg(part, 75), f"{height=} {width=}")


def test_jpeg_is_pillows_at_every_quality() -> None:
    image = pictures(64, 80)[4]
    for quality in range(1, 101):
        ours = jpeg_round_trip(torch.from_numpy(image)[None], quality)[0].numpy()
        np.testing.assert_array_equal(ours, pillow_jpeg(image, quality), f"{quality=}")


@pytest.mark.parametrize(("level", "expected"), [(128, 128), (130, 130), (131, 132), (125, 124), (0, 0), (255, 255)])
def test_jpeg_of_one_grey_level_by_hand(level: int, expected: int) -> None:
    """At quality 50 the mean less 128 is kept in steps of 16 / 8 = 2 levels, and halves go away from zero."""
    image = torch.full((1, 32, 48, 3), level, dtype=torch.uint8)
    assert jpeg_round_trip(image, 50).unique().tolist() == [expected]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixelate_is_pillows_to_the_bit(height: int, width: int, device: str) -> None:
    images = pictures(height, width)
    batch = torch.from_numpy(images).to(device)
    for factor in FACTORS:
        ours = pixelate(batch, factor).cpu().numpy()
        for picture, image in enumerate(images):
            np.testing.assert_array_equal(ours[picture], pillow_pixelate(image, factor), f"{picture=} {factor=}")


def test_pixelate_is_pillows_at_every_width() -> None:
    """Positions that fall on a pixel's edge are rounded as Pillow rounds them."""
    image = pictures(32, 700)[2]
    for width, factor in product(range(32, 701), FACTORS):
        part = np.ascontiguousarray(image[:, :width])
        ours = pixelate(torch.from_numpy(part)[None], factor)[0].numpy()
        np.testing.assert_array_equal(ours, pillow_pixelate(part, factor), f"{width=} {factor=}")


@pytest.mark.parametrize(("height", "width"), [(300, 33), (640, 200), (66, 32), (67, 33), (69, 33)])
def test_pixelate_takes_the_rows_of_tall_images_first(height: int, width: int) -> None:
    """The order is written out, two one-way calls of Pillow, so that this holds with versions before 13 too."""
    images = pictures(height, width)
    for image, factor in product(images, FACTORS):
        small_height, small_width = int(height * factor), int(width * factor)
        sizes = [(small_width, height), (small_width, small_height)]
        if height - small_height > 2 * (width - small_width):
            sizes[0] = (width, small_height)
        small = Image.fromarray(image)
        for size in sizes:
            small = small.resize(size, Image.BOX)
        expected = np.asarray(small.resize((width, height), Image.NEAREST))
        ours = pixelate(torch.from_numpy(image)[None], factor)[0].numpy()
        np.testing.assert_array_equal(ours, expected, f"{factor=}")
        if int(PIL.__version__.split(".")[0]) >= 13:
            np.testing.assert_array_equal(ours, pillow_pixelate(image, factor), f"{factor=}")


def test_pixelate_by_hand() -> None:
    """Half size is the mean of 2 x 2 pixels, rounded half up after each pass: 0, 1 and 1, 2 give 1 and 2, then 2."""
    block = torch.tensor([[0, 1], [1, 2]], dtype=torch.uint8)
    images = block.repeat(16, 16)[None, :, :, None].expand(2, -1, -1, 3)
    assert pixelate(images, 0.5).unique().tolist() == [2]


@pytest.mark.parametrize(("kernel", "setting"), [(jpeg_round_trip, 10), (pixelate, 0.3)])
def test_a_batch_gives_what_each_image_gives_alone(kernel, setting: float) -> None:
    images = torch.from_numpy(pictures(47, 61))
    before = images.clone()
    together = kernel(images, setting)
    alone = torch.cat([kernel(image[None], setting) for image in images])
    assert together.shape == images.shape and together.dtype == torch.uint8
    assert torch.equal(together, alone)
    assert torch.equal(images, before), "the input is left as it was"


@pytest.mark.parametrize(("kernel", "setting"), [(jpeg_round_trip, 10), (pixelate, 0.3)])
def test_views_that_are_not_contiguous_are_taken(kernel, setting: float) -> None:
    images = torch.from_numpy(pictures(64, 48))
    flipped = images.permute(0, 2, 1, 3)
    assert torch.equal(kernel(flipped, setting), kernel(flipped.contiguous(), setting))
