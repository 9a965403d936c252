"""The arithmetic under the corruptions: against published vectors, scipy and plain loops; compiled against torch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from pictures import photograph
from scipy import stats

from robnb.corruptions import noise
from robnb.corruptions.kernels import filters, plasma, random, resampling, torch_only
from robnb.corruptions.kernels.shuffle import shuffle

GENERATOR = np.random.default_rng(1)
KEYS = torch.from_numpy(GENERATOR.integers(0, 2**32, (3, 4)))
PICTURE = torch.from_numpy(photograph(57, 83).astype(np.float32))[None]


@pytest.mark.parametrize(
    ("keys", "stream", "expected"),
    [
        # Random123's known answers for philox4x32-10, the counter being (position 0, stream, key[2], key[3]).
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ],
)
def test_words_are_philox(keys: tuple[int, ...], stream: int, expected: tuple[int, ...]) -> None:
    drawn = random.words(torch.tensor([keys]), stream, 4)
    assert tuple(int(word) & 0xFFFFFFFF for word in drawn[0]) == expected


def numpys_philox(key: np.ndarray, stream: int, blocks: int) -> np.ndarray:
    """The definition in Python's integers: uint32 (blocks, 4)."""
    out = []
    for block in range(blocks):
        x, (k0, k1) = [block, stream, int(key[2]), int(key[3])], (int(key[0]), int(key[1]))
        for _ in range(10):
            high0, low0 = divmod(0xD2511F53 * x[0], 2**32)
            high1, low1 = divmod(0xCD9E8D57 * x[2], 2**32)
            x = [high1 ^ x[1] ^ k0, low1, high0 ^ x[3] ^ k1, low0]
            k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
        out.append(x)
    return np.array(out, dtype=np.uint32)


@pytest.mark.parametrize("count", [1, 4, 63, 64])
def test_words_by_the_definition_compiled_and_in_torch(count: int) -> None:
    blocks = -(-count // 4)
    expected = np.stack([numpys_philox(key, 7, blocks).T.ravel()[:count] for key in KEYS.numpy()])
    compiled = random.words(KEYS, 7, count)
    with torch_only():
        plain = random.words(KEYS, 7, count)
    assert np.array_equal(compiled.numpy().view(np.uint32), expected)
    assert torch.equal(compiled, plain)


def test_uniform_normal_and_integers_are_what_they_are_called() -> None:
    count = 400_000
    assert stats.kstest(random.uniform(KEYS, 0, count)[0], stats.uniform(-1, 2).cdf).pvalue > 0.01
    normal = random.normal(KEYS, 1, count)
    assert stats.kstest(normal[1], "norm").pvalue > 0.01
    assert abs(float(stats.kurtosis(normal[2]))) < 0.03
    assert torch.corrcoef(normal).sub(torch.eye(3)).abs().max() < 0.01  # different keys
    assert np.abs(np.corrcoef(normal[0][:-1], normal[0][1:])[0, 1]) < 0.01  # neighbours
    quarter = count // 4  # the two halves of Box and Muller's pair
    assert np.abs(np.corrcoef(normal[0][:quarter], normal[0][quarter : 2 * quarter])[0, 1]) < 0.01
    assert float(normal.abs().max()) > 4.5
    counts = np.bincount(random.integers(KEYS, 2, count, 36)[0], minlength=36)
    assert len(counts) == 36 and stats.chisquare(counts).pvalue > 0.01
    assert not torch.equal(random.words(KEYS, 0, 64), random.words(KEYS, 1, 64))


def test_compiled_normals_are_torchs() -> None:
    compiled = random.normal(KEYS, 0, 100_001)
    with torch_only():
        assert (random.normal(KEYS, 0, 100_001) - compiled).abs().max() < 1e-5


@pytest.mark.parametrize("border", filters.BORDERS)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_borders_are_numpys(border: str, length: int) -> None:
    mode = {"nearest": "edge", "reflect": "symmetric", "mirror": "reflect"}[border]
    assert np.array_equal(filters.border_index(length, 7, border), np.pad(np.arange(length), 7, mode))


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "torch"])
@pytest.mark.parametrize(
    ("sigma", "truncate", "border"), [((0.7, 0.7), 4, "nearest"), ((6, 6), 4, "nearest"), ((0.57, 8.3), 3, "reflect")]
)
def test_gaussian_is_scipys(sigma: tuple[float, float], truncate: float, border: str, plain: bool) -> None:
    expected = scipy.ndimage.gaussian_filter(
        PICTURE[0].numpy().astype(np.float64), (*sigma, 0), mode=border, truncate=truncate
    )
    with torch_only() if plain else torch.no_grad():
        ours = filters.gaussian(PICTURE, sigma, truncate, border)
    assert np.abs(ours[0].numpy() - expected).max() < 1e-3


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "torch"])
def test_correlate_is_scipys_for_each_images_own_window(plain: bool) -> None:
    images = torch.cat([PICTURE, PICTURE.flip(1)])
    windows = GENERATOR.random((2, 9, 15)).astype(np.float32)
    windows[windows < 0.6] = 0
    with torch_only() if plain else torch.no_grad():
        ours = filters.correlate(images, torch.from_numpy(windows), "mirror")
    for image, window, out in zip(images.numpy(), windows, ours.numpy(), strict=True):
        expected = scipy.ndimage.correlate(image.astype(np.float64), window[..., None], mode="mirror")
        assert np.abs(out - expected).max() < 0.01  # of sums near 5,000


@pytest.mark.parametrize(("delta", "passes"), [(1, 2), (2, 1), (2, 3), (3, 2), (4, 2)])
def test_the_shuffle_is_the_loops(delta: int, passes: int) -> None:
    image = GENERATOR.integers(0, 256, (37, 45, 3), dtype=np.uint8)
    codes = GENERATOR.integers(0, 4 * delta**2, (1, passes, 37 - 2 * delta, 45 - 2 * delta), dtype=np.uint8)
    expected = image.copy()
    for once in codes[0]:
        for y in range(37 - delta, delta, -1):
            for x in range(45 - delta, delta, -1):
                dx, dy = divmod(int(once[y - delta - 1, x - delta - 1]), 2 * delta)
                expected[y, x] = expected[y + dy - delta, x + dx - delta]
    for plain in (False, True):
        with torch_only() if plain else torch.no_grad():
            assert np.array_equal(shuffle(torch.from_numpy(image)[None], torch.from_numpy(codes), delta)[0], expected)


@pytest.mark.parametrize("chain", ["down", "right"])
def test_the_shuffle_follows_a_chain_through_the_whole_image(chain: str) -> None:
    """Every pixel copies its neighbour that was passed before: one colour runs through, however long the way."""
    image = torch.from_numpy(GENERATOR.integers(0, 256, (1, 33, 40, 3), dtype=np.uint8))
    # delta 2: an offset of +1 is code 3, and 0 is code 2; the code is 4 * (dx + 2) + (dy + 2).
    codes = torch.full((1, 1, 29, 36), 4 * 2 + 3 if chain == "down" else 4 * 3 + 2, dtype=torch.uint8)
    compiled = shuffle(image, codes, 2)
    with torch_only():
        assert torch.equal(shuffle(image, codes, 2), compiled)
    if chain == "down":
        assert torch.equal(compiled[0, 3:32, 3:39], image[0, 32:33, 3:39].expand(29, -1, -1))
    else:
        assert torch.equal(compiled[0, 3:32, 3:39], image[0, 3:32, 39:40].expand(-1, 36, -1))


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "torch"])
@pytest.mark.parametrize("factor", [1.0, 1.03, 1.17, 1.3, 2.5, 4.5])
def test_zoom_is_scipys(factor: float, plain: bool) -> None:
    height, width = PICTURE.shape[1:3]
    rows, columns = (resampling.zoom_axis(side, factor) for side in (height, width))
    sizes = [int(np.ceil(side / factor)) for side in (height, width)]
    middle = tuple(slice((s - n) // 2, (s - n) // 2 + n) for s, n in zip((height, width), sizes, strict=True))
    expected = scipy.ndimage.zoom(PICTURE[0].numpy()[middle], (factor, factor, 1), order=1)
    assert np.abs(resampling.zoom(PICTURE, rows, columns)[0].numpy() - expected).max() < 1e-3
    with torch_only() if plain else torch.no_grad():
        mean = resampling.zoom_mean(PICTURE, [(rows, columns)])[0].numpy()
    assert np.abs(mean - (PICTURE[0].numpy() + expected[:height, :width]) / 2).max() < 1e-3


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "torch"])
def test_displace_is_scipys_far_beyond_the_edges_too(plain: bool) -> None:
    image = photograph(40, 33)
    dy, dx = GENERATOR.normal(0, 40, (2, 40, 33)).astype(np.float32)
    y, x, channel = np.meshgrid(np.arange(40), np.arange(33), np.arange(3), indexing="ij")
    expected = scipy.ndimage.map_coordinates(
        image.astype(np.float64), [y + dy[..., None], x + dx[..., None], channel], order=1, mode="reflect"
    )
    with torch_only() if plain else torch.no_grad():
        ours = resampling.displace(*(torch.from_numpy(part)[None] for part in (image, dy, dx)))
    assert np.abs(ours[0].numpy() - expected).max() < 1e-3


def test_plasma_is_the_same_compiled_and_in_torch_and_wraps_around() -> None:
    noise = torch.from_numpy(GENERATOR.uniform(-1, 1, (2, 64, 64)).astype(np.float32))
    compiled = plasma.plasma(noise, 1.7)
    with torch_only():
        assert (plasma.plasma(noise, 1.7) - compiled).abs().max() < 1e-2  # of 10,000
    assert float(compiled[0, 0, 0]) == 0
    # The middle of a 2 x 2 map whose only corner is 0: the draw alone, times the amplitude twice.
    assert torch.allclose(plasma.plasma(noise[:, :2, :2], 2.0)[:, 1, 1], noise[:, 1, 1] * 100**2)


def test_pick_is_the_poisson_quantile() -> None:
    table = noise.counts(2)
    bits = torch.from_numpy(GENERATOR.integers(-(2**31), 2**31, 20_000, dtype=np.int32))
    rows = torch.from_numpy(GENERATOR.integers(0, 256, 20_000, dtype=np.uint8))
    expected = stats.poisson.ppf((bits.numpy() + 2.0**31 + 0.5) / 2**32, rows.numpy() / 255 * 25)
    compiled = random.pick(bits, rows, table)
    with torch_only():
        assert torch.equal(random.pick(bits, rows, table), compiled)
    assert np.array_equal(compiled.numpy(), (np.clip(expected / 25, 0, 1) * 255).astype(np.uint8))
