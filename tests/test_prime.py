"""PRIME's mixing against its definition, and the recipe that training uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import photograph
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

from robnb.augment import prime
from robnb.augment.augmix import AugMix
from robnb.augment.prime import mixing
from robnb.augment.prime.colour import SmoothColour
from robnb.augment.prime.diffeomorphism import Diffeomorphism
from robnb.augment.prime.filters import RandomFilter
from robnb.augment.prime.mixing import PRIME, PRIME_JSD, PRIME_TRANSFER, Prime
from robnb.errors import UserError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(height: int = 40, width: int = 52) -> torch.Tensor:
    """(3, 3, height, width) uint8."""
    names = ("astronaut", "coffee", "chelsea")
    return torch.stack([torch.from_numpy(photograph(height, width, name)).permute(2, 0, 1) for name in names])


def linear(images: torch.Tensor, of: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The slope of each image against its original, and the largest distance from that line."""
    slopes, residuals = [], []
    for y, x in zip(images.flatten(1).double().numpy(), of.flatten(1).double().numpy(), strict=True):
        slope, offset = np.polyfit(x, y, 1)
        slopes.append(slope), residuals.append(np.abs(y - slope * x - offset).max())
    return np.array(slopes), np.array(residuals)


# --- mixing


def test_published_values_and_presets():
    assert (PRIME.width, PRIME.depth, PRIME.consistency) == (3, -1, 0)
    assert PRIME.primitives == (Diffeomorphism(2, 500), SmoothColour(500, 0.05, 20), RandomFilter(4.0, "corner"))
    assert PRIME_TRANSFER.primitives == (SmoothColour(500, 0.05, 20), RandomFilter(4.0, "corner"))
    assert replace(PRIME_JSD, name="prime", consistency=0) == PRIME == Prime()
    assert len({hash(recipe) for recipe in (PRIME, PRIME_JSD, PRIME_TRANSFER)}) == 3
    assert set(prime.__all__) <= set(dir(prime))


def test_weights_are_dirichlet_and_shares_uniform_for_each_image():
    draw = PRIME_TRANSFER.draw(20000, seeded())
    weights = draw.weights.double()
    assert torch.allclose(weights.sum(1), torch.ones((), dtype=torch.float64), atol=1e-6)
    expected = (np.eye(3) - 1 / 3) / 12  # covariance of Dirichlet(1, 1, 1)
    np.testing.assert_allclose(weights.mean(0), np.full(3, 1 / 3), atol=0.01)
    np.testing.assert_allclose(np.cov(weights.numpy().T), expected, atol=0.002)
    assert stats.kstest(draw.share.numpy(), "uniform").statistic < 0.02


def test_depths_and_primitives_are_uniform_for_each_image_and_chain():
    draw = PRIME.draw(5000, seeded())
    assert draw.depths.shape == (15000,) and draw.choices.shape == (3, 15000)
    assert stats.chisquare(np.bincount(draw.depths, minlength=4)[1:]).pvalue > 0.001
    joint = np.bincount((draw.choices * torch.tensor([[1], [3], [9]])).sum(0), minlength=27)
    assert stats.chisquare(joint).pvalue > 0.001
    fixed = replace(PRIME, depth=2).draw(50, seeded())
    assert set(fixed.depths.tolist()) == {2} and len(fixed.transforms) == 2


@pytest.mark.parametrize("recipe", [PRIME, PRIME_TRANSFER, replace(PRIME, width=2, depth=1)])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_the_mixture_is_the_definition_written_out(recipe: Prime, as_bytes: bool):
    images = photographs() if as_bytes else photographs().float() / 255
    draw = recipe.draw(3, seeded())
    mixed = recipe.apply(images, draw)
    pixels = photographs().float() / 255
    for b in range(3):
        chains = []
        for row in range(b * recipe.width, (b + 1) * recipe.width):
            chain = pixels[b : b + 1]
            for step in range(draw.depths[row]):
                chain = draw.transforms[step][draw.choices[step, row]].of(torch.tensor([row]))(chain)
            chains.append(chain[0].double())
        mixture = sum(weight * chain for weight, chain in zip(draw.weights[b].double(), chains, strict=True))
        share = draw.share[b].double()
        expected = (1 - share) * pixels[b].double() + share * mixture
        assert (mixed[b] - expected).abs().mean() < 1e-4  # the mean, because a curve amplifies the last's rounding


def test_normalising_before_the_mixing_as_released_is_the_same():
    images = photographs().float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    draw = PRIME.draw(3, seeded())
    chains = PRIME._chains(images, draw, 0).unflatten(0, (3, 3))
    normalised = (draw.weights[..., None, None, None] * (chains - mean) / std).sum(1)
    share = draw.share[:, None, None, None]
    released = (1 - share) * (images - mean) / std + share * normalised
    assert torch.allclose((PRIME.apply(images, draw) - mean) / std, released, atol=1e-5)


def test_a_share_of_zero_is_the_image_and_of_one_has_nothing_of_it():
    images = photographs()
    draw = PRIME.draw(3, seeded())
    assert torch.equal(PRIME.apply(images, replace(draw, share=torch.zeros(3))), images.float() / 255)
    mixture = PRIME.apply(images, replace(draw, share=torch.ones(3)))
    half = PRIME.apply(images, replace(draw, share=torch.full((3,), 0.5)))
    assert torch.allclose(half, (images / 255 + mixture) / 2, atol=1e-6)


@pytest.mark.parametrize("recipe", [PRIME, PRIME_TRANSFER], ids=lambda recipe: recipe.name)
def test_mixtures_are_pictures_and_follow_from_the_seed(recipe: Prime):
    images = photographs()[:1].expand(6, -1, -1, -1)
    state = torch.random.get_rng_state()
    mixed = recipe(images, seeded())
    assert mixed.dtype == torch.float32 and mixed.shape == images.shape and not mixed.requires_grad
    assert mixed.min() >= -1e-6 and mixed.max() <= 1 + 1e-6
    assert torch.equal(mixed, recipe(images, seeded()))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(mixed, recipe(images, seeded(1)))
    assert len({image.numpy().tobytes() for image in mixed}) == 6


def test_autocast_changes_nothing():
    """mmengine runs the data preprocessor inside it."""
    with torch.autocast("cpu", torch.bfloat16):
        inside = PRIME(photographs(), seeded())
    assert torch.equal(inside, PRIME(photographs(), seeded()))


def test_no_gradient_is_kept_and_the_images_are_not_changed():
    images = (photographs().float() / 255).requires_grad_()
    before = images.detach().clone()
    assert not PRIME(images, seeded()).requires_grad
    assert torch.equal(images, before)


def test_an_images_mixture_does_not_depend_on_what_goes_through_with_it(monkeypatch: pytest.MonkeyPatch):
    images = photographs()
    draw = PRIME.draw(3, seeded())
    together = PRIME.apply(images, draw)
    alone = torch.cat([PRIME.apply(images[i : i + 1], draw, first=i) for i in range(3)])
    assert (together - alone).abs().mean() < 1e-4
    monkeypatch.setattr(mixing, "_PASS", 1)
    assert torch.equal(PRIME.apply(images, draw), alone)
    other_size = PRIME.apply(photographs(24, 30)[1:2], draw, first=1)
    assert other_size.shape == (1, 3, 24, 30)


def test_on_bytes_taken_for_pixels_it_only_darkens():
    """The released transfer: x -> (1 - m) x + m u with u in [0, 1]. On [0, 1] it does much more."""
    recipe = replace(PRIME_TRANSFER, depth=1)
    images = photographs().repeat(4, 1, 1, 1)
    draw = recipe.draw(12, seeded())
    released = recipe.apply(images.float(), draw)
    share = draw.share[:, None, None, None]
    rest = released - (1 - share) * images
    assert (rest >= -1e-4).all() and (rest <= share + 1e-4).all()
    slopes, residuals = linear(released, images)
    np.testing.assert_allclose(slopes, 1 - draw.share, atol=0.01)
    assert residuals.max() < 1 and (slopes > 0).all() and (slopes < 1).all()
    _, residuals = linear(255 * recipe.apply(images, draw), images)
    assert np.median(residuals) > 20


# --- the recipe


def test_views_and_loss_without_and_with_consistency():
    images, labels = photographs(), torch.tensor([0, 2, 1])
    views = PRIME.views(images, seeded())
    assert torch.equal(views, PRIME(images, seeded())[None])
    logits = torch.randn((3, 3, 4), generator=seeded())
    expected = torch.nn.functional.cross_entropy(logits[0], labels)
    assert PRIME.loss(logits[:1], labels).item() == pytest.approx(expected.item(), rel=1e-6)
    views = PRIME_JSD.views(images, seeded())
    assert views.shape == (3, *images.shape) and torch.equal(views[0], images / 255)
    assert not torch.equal(views[1], views[2])
    p = logits.softmax(-1)
    divergence = (p * (p / p.mean(0)).log()).sum(-1).mean(1).sum() * 12 / 3
    assert PRIME_JSD.loss(logits, labels).item() == pytest.approx((expected + divergence).item(), rel=1e-5)
    assert torch.equal(PRIME_JSD.loss(logits, labels), AugMix().loss(logits, labels))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"primitives": ()}, "give at least one"),
        ({"width": 0}, "give the number of chains to mix"),
        ({"depth": 0}, "give 1 or more, or -1"),
        ({"depth": -2}, "give 1 or more, or -1"),
        ({"consistency": -1.0}, "give 0"),
    ],
)
def test_bad_settings_are_refused(options: dict, sentence: str):
    with pytest.raises(UserError, match=sentence):
        Prime(**options)


def test_images_of_another_shape_are_refused():
    for shape in [(3, 8, 8), (1, 1, 8, 8), (0, 3, 8, 8)]:
        with pytest.raises(UserError, match="give it"):
            PRIME(torch.zeros(shape), seeded())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_everything_stays_on_the_images_device(dtype: torch.dtype):
    """Fake tensors have a device and no data, as meta ones do: what mixes devices, or looks at pixels, raises."""
    draw = PRIME.draw(3, seeded())
    with FakeTensorMode(allow_non_fake_inputs=True):
        for transforms in draw.transforms:
            for transform in transforms:
                out = transform.of(torch.tensor([0, 2]))(torch.empty((2, 3, 20, 24), dtype=dtype, device="cuda"))
                assert (out.device.type, out.dtype, out.shape) == ("cuda", torch.float32, (2, 3, 20, 24))
    mixed = PRIME.apply(torch.empty((3, 3, 20, 24), dtype=dtype, device="meta"), draw)
    assert (mixed.device.type, mixed.dtype, mixed.shape) == ("meta", torch.float32, (3, 3, 20, 24))
