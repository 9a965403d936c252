"""PRIME's three primitives against independent statements: scipy's filters, double sums in numpy, moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pictures import photograph
from scipy import ndimage, stats

from robnb.augment.prime import diffeomorphism
from robnb.augment.prime.colour import ColourMaps, SmoothColour
from robnb.augment.prime.diffeomorphism import Diffeomorphism, Displacement
from robnb.augment.prime.filters import Filters, RandomFilter
from robnb.errors import UserError

#: A frequency f makes an error of 1e-7 in the pixel one of about 3e-7 f in the curve.
FLOAT32 = 3e-4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(height: int = 40, width: int = 52) -> torch.Tensor:
    """(3, 3, height, width) uint8."""
    names = ("astronaut", "coffee", "chelsea")
    return torch.stack([torch.from_numpy(photograph(height, width, name)).permute(2, 0, 1) for name in names])


# --- filters


def test_a_filter_is_scipys_correlation_with_zeros_outside():
    images = photographs()
    kernels = torch.randn((3, 3, 3), generator=seeded())
    filtered = Filters(kernels)(images)
    for image, kernel, result in zip(images.double() / 255, kernels.double(), filtered, strict=True):
        expected = [ndimage.correlate(channel, kernel.numpy(), mode="constant") for channel in image.numpy()]
        np.testing.assert_allclose(result, np.clip(expected, 0, 1), atol=1e-6)
    assert torch.equal(filtered, Filters(kernels)(images.float() / 255))


def test_the_released_delta_moves_the_picture_and_the_papers_does_not():
    image = photographs()[:1]
    shifted = RandomFilter(sigma=0).draw(1, seeded())(image)
    assert torch.equal(shifted[..., :-1, :-1], image[..., 1:, 1:] / 255)
    assert not shifted[..., -1, :].any() and not shifted[..., :, -1].any()
    assert torch.equal(RandomFilter(sigma=0, delta="centre").draw(1, seeded())(image), image / 255)


def test_an_unknown_place_is_refused():
    with pytest.raises(UserError, match="did you mean 'centre'"):
        RandomFilter(delta="center")


def test_kernels_are_noise_of_one_spread_per_call_around_a_delta():
    generator = seeded()
    calls = torch.stack([RandomFilter().draw(50, generator).kernels for _ in range(2000)]).double()
    assert calls[:, :, 2, 2].mean().item() == pytest.approx(1, abs=0.03)
    noise = calls.clone()
    noise[:, :, 2, 2] -= 1
    assert noise.mean((0, 1)).abs().max() < 0.03
    assert noise.var().item() == pytest.approx(4**2 / 3, rel=0.05)
    sigmas = noise.flatten(1).std(dim=1).numpy()  # from 450 values each: known to 3 percent
    assert stats.kstest(sigmas, stats.uniform(0, 4).cdf).statistic < 0.04
    one_row = noise[:, 0].flatten(1)
    assert (one_row / torch.from_numpy(sigmas)[:, None]).var().item() == pytest.approx(1, abs=0.03)


# --- colour


def direct_sum(x: np.ndarray, first: int, coefficients: np.ndarray) -> np.ndarray:
    """(R, 3, H, W) float64 with coefficients (R, 3, K)."""
    total = x.copy()
    for j in range(coefficients.shape[-1]):
        total += coefficients[:, :, j, None, None] * np.sin((first + j) * np.pi * x)
    return np.clip(total, 0, 1)


@pytest.mark.parametrize("shape", [(2, 3, 40, 52), (1, 3, 300, 400), (150, 3, 30, 30)])  # one block and several
@pytest.mark.parametrize(("first", "terms"), [(1, 1), (1, 20), (37, 2), (481, 20)])
def test_a_colour_map_is_the_direct_sum(shape: tuple[int, ...], first: int, terms: int):
    x = torch.rand(shape, generator=seeded())
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    coefficients = math.sqrt(0.05) * torch.randn((shape[0], 3, terms), generator=seeded(1))
    mapped = ColourMaps(first, coefficients)(x).double().numpy()
    error = np.abs(mapped - direct_sum(x.double().numpy(), first, coefficients.double().numpy()))
    assert error.max() < 1e-6 * (first + terms) + 1e-6
    assert (mapped >= 0).all() and (mapped <= 1).all()
    assert mapped[0, 0, 0, :2] == pytest.approx([0, 1], abs=FLOAT32)  # every sine is zero there


@pytest.mark.parametrize("first", [1, 481])
def test_bytes_go_through_an_exact_table(first: int):
    images = photographs(300, 400)
    coefficients = math.sqrt(0.05) * torch.randn((3, 3, 20), generator=seeded())
    maps = ColourMaps(first, coefficients)
    expected = direct_sum(images.double().numpy() / 255, first, coefficients.double().numpy())
    assert np.abs(maps(images).double().numpy() - expected).max() < 1e-7
    assert (maps(images) - maps(images.float() / 255)).abs().max() < FLOAT32


def test_a_colour_map_of_pixels_up_to_255_is_the_pixel_clamped():
    """What the released code of the transfer does: at whole numbers every sine is zero."""
    maps = SmoothColour().draw(3, seeded())
    images = photographs().float()
    assert torch.allclose(maps(images), images.clamp(0, 1), atol=1e-4)


def test_frequencies_and_coefficients_are_drawn_as_published():
    generator = seeded()
    calls = [SmoothColour().draw(4, generator) for _ in range(6000)]
    first = np.array([call.first for call in calls])
    terms = np.array([call.coefficients.shape[-1] for call in calls])
    assert first.min() == 1 and terms.max() == 20 and terms.min() == 1 and (first + terms).max() <= 501
    # first ~ U{1..cut}, cut ~ U{1..500}: P(first = k) = sum over cut >= k of 1 / cut, over 500.
    harmonic = np.cumsum(1 / np.arange(500, 0, -1))[::-1] / 500
    assert stats.kstest(first, lambda k: np.cumsum(harmonic)[np.clip(k, 1, 500).astype(int) - 1]).statistic < 0.03
    assert np.mean(terms == 20) == pytest.approx(np.mean([max(0, cut - 19) / cut for cut in range(1, 501)]), abs=0.02)
    variances = np.array([call.coefficients.double().square().mean().item() for call in calls if call.first > 1])
    assert variances.mean() == pytest.approx(0.05 / 2, rel=0.05)
    pooled = torch.cat([call.coefficients.flatten() for call in calls]).double()
    assert pooled.mean().abs().item() < 0.001
    assert pooled.square().mean().item() == pytest.approx(0.025, rel=0.05)


def test_channels_and_rows_have_curves_of_their_own_and_share_the_frequencies():
    maps = SmoothColour().draw(4, seeded())
    assert len({tuple(curve.tolist()) for curve in maps.coefficients.flatten(0, 1)}) == 12
    assert maps.of(torch.tensor([2])).first == maps.first
    assert torch.equal(maps.of(torch.tensor([2])).coefficients, maps.coefficients[2:3])


def test_without_a_bandwidth_all_frequencies_up_to_the_cut_take_part():
    lengths = [SmoothColour(9, 0.01, None).draw(1, seeded(seed)).coefficients.shape[-1] for seed in range(200)]
    assert set(lengths) == set(range(1, 10))
    assert {SmoothColour(9, 0.01, None).draw(1, seeded(seed)).first for seed in range(20)} == {1}


# --- diffeomorphism


def double_sum(coefficients: np.ndarray, height: int, width: int) -> np.ndarray:
    cut = len(coefficients)
    result = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y, x = row / (height - 1), column / (width - 1)
            for i in range(1, cut + 1):
                for j in range(1, cut + 1):
                    if i**2 + j**2 < (cut + 0.5) ** 2:
                        wave = math.sin(i * math.pi * x) * math.sin(j * math.pi * y)
                        result[row, column] += coefficients[i - 1, j - 1] / math.hypot(i, j) * wave
    return result


@pytest.mark.parametrize("cut", [2, 5])
@pytest.mark.parametrize("size", [(9, 9), (8, 13)])
def test_a_displacement_is_the_double_sum_and_the_image_sampled_by_scipy(cut: int, size: tuple[int, int]):
    height, width = size
    across, down = torch.randn((2, cut, cut), generator=seeded())
    image = torch.rand((1, 3, height, width), generator=seeded(1))
    cut_, side, heat = cut + 1e-6, min(size), 0.7
    t1 = 1 / (math.pi * side**2 * math.log(cut_))
    t2 = max(t1, 4 / (math.pi**3 * cut_**2 * math.log(cut_)))
    scale = math.sqrt(heat * (t2 - t1) + t1)
    dx = scale * width * double_sum(across.double().numpy(), height, width)
    dy = scale * height * double_sum(down.double().numpy(), height, width)
    y = np.clip(np.arange(height)[:, None] - dy, 0, height - 1)
    x = np.clip(np.arange(width) - dx, 0, width - 1)
    assert np.hypot(dx, dy).max() > 0.3
    expected = [ndimage.map_coordinates(channel, [y, x], order=1) for channel in image[0].double().numpy()]
    np.testing.assert_allclose(Displacement(heat, across, down)(image)[0], expected, atol=2e-5)


def test_the_border_stays_and_beyond_it_the_border_is_repeated():
    across = torch.randn((30, 30), generator=seeded())
    u = diffeomorphism.field(across, 40, 52)
    assert max(u[0].abs().max(), u[-1].abs().max(), u[:, 0].abs().max(), u[:, -1].abs().max()) < 1e-4
    image = photographs()[:1].float()
    far = diffeomorphism.warp(image, torch.full((40, 52), 1000.0), torch.zeros(40, 52))
    assert torch.equal(far, image[..., :1].expand_as(image))
    far = diffeomorphism.warp(image, torch.zeros(40, 52), torch.full((40, 52), -1000.0))
    assert torch.equal(far, image[..., -1:, :].expand_as(image))


def test_no_displacement_is_the_identity_and_a_constant_image_stays_constant():
    image = photographs()[:1].float() / 255
    assert torch.equal(diffeomorphism.warp(image, torch.zeros(40, 52), torch.zeros(40, 52)), image)
    for seed in range(5):
        constant = torch.full((2, 3, 33, 47), 0.3)
        assert torch.equal(Diffeomorphism().draw(2, seeded(seed))(constant), constant)


@pytest.mark.parametrize(("side", "cut"), [(224, 2), (224, 30), (500, 10)])
def test_the_coldest_field_moves_the_centre_by_about_half_a_pixel(side: int, cut: int):
    """What the temperature range is for, by its authors: rms 1/2 pixel at the coldest, from sum 1/r^2 ~ pi/2 ln cut."""
    coldest, hottest = diffeomorphism.temperatures(side, cut)
    assert coldest <= hottest
    generator = seeded()
    centre = [
        diffeomorphism.field(torch.randn((cut, cut), generator=generator), 33, 33)[8:25, 8:25] for _ in range(200)
    ]
    rms = side * math.sqrt(coldest) * torch.stack(centre).square().mean().sqrt().item()
    assert 0.2 < rms < 0.8


def test_cuts_and_temperatures_follow_the_arcsine_distribution():
    generator = seeded()
    calls = [Diffeomorphism(2, 12).draw(1, generator) for _ in range(4000)]
    assert {len(call.across) for call in calls} == set(range(2, 13))
    assert stats.kstest([call.heat for call in calls], stats.beta(0.5, 0.5).cdf).statistic < 0.03
    # highest ~ U{3..12}, cut = floor(2 + b (highest - 1)), b ~ Beta(1/2, 1/2)
    below = [np.mean([stats.beta(0.5, 0.5).cdf((k - 1) / (top - 1)) for top in range(3, 13)]) for k in range(2, 13)]
    seen = [np.mean([len(call.across) <= k for call in calls]) for k in range(2, 13)]
    assert np.abs(np.array(seen) - below).max() < 0.03
    pooled = torch.cat([torch.stack([call.across, call.down]).flatten() for call in calls])
    assert stats.kstest(pooled.numpy()[:20000], "norm").statistic < 0.015


def test_one_field_serves_the_whole_batch():
    image = photographs()[:1]
    moved = Diffeomorphism().draw(4, seeded())(image.expand(4, -1, -1, -1))
    assert (moved == moved[:1]).all() and not torch.equal(moved[:1], image / 255)
