"""DeepAugment's distortions of features and latents, each against what the release's does, and the networks alone."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

from robnb.augment.deepaugment import edsr_features
from robnb.augment.deepaugment.cae import CAE, binary
from robnb.augment.deepaugment.cae_latent import CAE_LATENT, CAELatent
from robnb.augment.deepaugment.draws import Draws, share
from robnb.augment.deepaugment.edsr import EDSR
from robnb.augment.deepaugment.edsr_features import BODY, HEAD, EDSRFeatures
from robnb.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On tensors this small, more would only wait for each other."""
    with one_thread():
        yield


def draws(seed: int = 0) -> Draws:
    return Draws.of(torch.Generator().manual_seed(seed))


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_draws_come_from_one_generator():
    one, same, other = draws(0), draws(0), draws(1)
    first = one.rng.random(), one.uniform((3,)).tolist()
    assert first == (same.rng.random(), same.uniform((3,)).tolist())
    assert first[0] != other.rng.random() and first[1] != other.uniform((3,)).tolist()


def test_numbers_are_shares_rounded_and_never_nothing():
    """(count, size, published size) -> count."""
    shares = {(5, 16, 16): 5, (12, 16, 128): 2, (25, 16, 128): 3, (5, 16, 64): 1, (3, 4, 16): 1, (5, 4, 64): 1}
    assert {numbers: share(*numbers) for numbers in shares} == shares


def channels(before: torch.Tensor, after: torch.Tensor) -> list[int]:
    """Which channel of ``before`` each channel of ``after`` is."""
    return [next(i for i, one in enumerate(before) if torch.equal(one, channel)) for channel in after]


def test_released_swaps_copy_up_to_five_channels():
    features, moved = normal(64, 4, 4), []
    for seed in range(40):
        order = channels(features, edsr_features.swap_channels(features, draws(seed)))
        moved.append(sum(k != i for i, k in enumerate(order)))
        assert len(set(order)) < 64 or moved[-1] == 0
    assert max(moved) == 5


def test_corrected_swaps_exchange_up_to_five_pairs():
    features, moved = normal(64, 4, 4), []
    for seed in range(40):
        order = channels(features, edsr_features.swap_channels(features, draws(seed), as_released=False))
        assert sorted(order) == list(range(64))
        moved.append(sum(k != i for i, k in enumerate(order)))
    assert max(moved) == 10


def test_pairs_are_a_share_of_the_channels():
    """Five of 64 are one of 16."""
    orders = [channels(normal(16, 2, 2), edsr_features.swap_channels(normal(16, 2, 2), draws(s))) for s in range(20)]
    assert max(sum(k != i for i, k in enumerate(order)) for order in orders) == 1


@pytest.mark.parametrize(("name", "value", "share"), [("zeros", 0, 0.05), ("signs", -1, 0.025)])
def test_a_few_values_are_zeroed_or_negated(name, value, share):
    features = normal(64, 40, 40)
    factors = getattr(edsr_features, name)(features, draws()) / features
    assert set((factors + 0.0).unique().tolist()) == {value, 1}
    assert (factors == value).float().mean().item() == pytest.approx(share, abs=0.002)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * ndtr(x)


def odds(name: str, ways: list[Callable[[np.ndarray], np.ndarray]]) -> list[float]:
    """How often a distortion of features is each of some functions."""
    features, count = normal(6, 5, 5), 300
    wanted = [way(features.numpy()) for way in ways]
    made = [getattr(edsr_features, name)(features, draws(seed)).numpy() for seed in range(count)]
    found = Counter(next(i for i, one in enumerate(wanted) if np.allclose(one, values, atol=1e-6)) for values in made)
    return [found[i] / count for i in range(len(ways))]


def test_the_activation_is_gelu_with_odds_of_two_thirds():
    assert odds("activate", [relu, gelu]) == pytest.approx([1 / 3, 2 / 3], abs=0.08)


def test_a_flip_reverses_channels_and_one_side():
    ways = [lambda x: x[::-1, ::-1], lambda x: x[::-1, :, ::-1]]
    assert odds("flip", ways) == pytest.approx([1 / 3, 2 / 3], abs=0.08)


class Times(nn.Module):
    """Multiplies, so that a product tells which of them were passed."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59)


def test_corrected_skips_leave_out_up_to_three_parts_but_the_first_two():
    body, one = nn.Sequential(*map(Times, PRIMES)), torch.ones(1, 1, 1, 1, dtype=torch.float64)
    everything = float(np.prod(PRIMES, dtype=float))
    left_out = []
    for seed in range(400):
        missing = round(everything / edsr_features.skip_blocks(body, one, draws(seed), False).item())
        left_out.append({i for i, prime in enumerate(PRIMES) if missing % prime == 0})
    assert {i for one in left_out for i in one} == set(range(2, 17))
    counts = Counter(map(len, left_out))
    assert set(counts) <= {1, 2, 3} and counts[3] / 400 == pytest.approx(14 * 13 / 15**2, abs=0.08)


def test_released_skips_are_the_last_part_that_is_kept():
    """In the release each part reads what the head made, so that only the last one counts."""
    body, one = nn.Sequential(*map(Times, PRIMES)), torch.ones(1, 1, 1, 1)
    last = Counter(edsr_features.skip_blocks(body, one, draws(seed)).item() for seed in range(400))
    assert set(last) <= {59, 53, 47, 43}
    assert last[59] / 400 == pytest.approx((14 / 15) ** 3, abs=0.06)


def features_of(head: list[str], body: list[str]) -> EDSRFeatures:
    return EDSRFeatures(
        np.array([HEAD.index(name) for name in head]), np.array([BODY.index(name) for name in body]), draws()
    )


@torch.no_grad()
def test_the_body_of_each_image_has_its_own_distortion_behind_five_of_16_blocks():
    body, features = EDSR(16, 8).body, 3 * normal(4, 8, 6, 6)
    made = features_of(["none"] * 4, ["none", "negate", "activate", "flip"]).through(body, features)
    middle, rest = body[:5](features), body[5:]
    assert torch.allclose(made[0], rest(middle)[0], atol=1e-5)
    assert torch.allclose(made[1], rest(-middle)[1], atol=1e-5)
    activated = [rest(torch.relu(middle))[2], rest(nn.functional.gelu(middle))[2]]
    assert any(torch.allclose(made[2], one, atol=1e-5) for one in activated)
    flipped = [rest(middle.flip(1, 2))[3], rest(middle.flip(1, 3))[3]]
    assert any(torch.allclose(made[3], one, atol=1e-5) for one in flipped)


@torch.no_grad()
def test_a_body_that_is_skipped_is_its_last_part_most_of_the_time():
    body, features = EDSR(16, 8).body, normal(40, 8, 6, 6)
    made = features_of(["none"] * 40, ["skip"] * 40).through(body, features)
    as_last = [torch.allclose(one, other, atol=1e-5) for one, other in zip(made, body[16](features), strict=True)]
    assert np.mean(as_last) == pytest.approx((14 / 15) ** 3, abs=0.2)


def test_options_of_head_and_body_are_drawn_evenly_for_each_image():
    drawn = EDSRFeatures.drawn(4000, draws(), as_released=True)
    assert np.bincount(drawn.head) / 4000 == pytest.approx(1 / 4, abs=0.03)
    assert np.bincount(drawn.body) / 4000 == pytest.approx(1 / 5, abs=0.03)
    assert (len(HEAD), len(BODY)) == (4, 5)


@torch.no_grad()
def test_an_image_without_distortion_is_as_if_none_were_there():
    network, images = EDSR(2, 8), torch.rand(2, 3, 8, 8)
    same = features_of(["none"] * 2, ["none"] * 2)
    assert torch.allclose(network(images, same), network(images), atol=1e-5)


# ---- The latent of the CAE


def test_nine_options_of_the_latent_are_drawn_evenly_for_each_image():
    drawn = CAELatent.drawn(9000, draws())
    assert np.bincount(drawn.options) / 9000 == pytest.approx(1 / 9, abs=0.02)
    assert len(CAE_LATENT) == 9


def test_latent_0_scales_the_code_by_three_to_seven():
    """And leaves the latent alone; ones become 3 + 4 u r, zeros stay."""
    code, tops = torch.tensor([0.0, 1.0]).repeat(2000).view(1, 4, 50, 20), []
    for seed in range(100):
        of_first = CAELatent(np.array([0]), draws(seed))
        assert torch.equal(of_first.latent(code), code)
        made = of_first.code(code)
        assert not made[code == 0].any() and made[code == 1].min() == pytest.approx(3, abs=0.02)
        tops.append(made.max().item())
        assert made[code == 1].mean() == pytest.approx(3 + (tops[-1] - 3) / 2, abs=0.1)
    assert np.mean(tops) == pytest.approx(5, abs=0.4) and min(tops) < 3.4 and 6.6 < max(tops) < 7
    for option in range(1, 9):
        assert torch.equal(CAELatent(np.array([option]), draws()).code(code), code)


@pytest.mark.parametrize(("number", "value", "share"), [(1, 0, 0.2), (2, -1, 0.1)])
def test_latent_1_and_2_zero_or_negate_places_in_all_channels(number, value, share):
    latent = normal(8, 100, 100)
    factors = CAE_LATENT[number](latent, draws()) / latent + 0.0
    assert torch.equal(factors, factors[:1].expand_as(factors))
    assert set(factors.unique().tolist()) == {value, 1}
    assert (factors == value).float().mean().item() == pytest.approx(share, abs=0.015)


def test_latent_3_permutes_the_first_ten_channels():
    latent, orders = normal(32, 4, 4), []
    for seed in range(20):
        orders.append(channels(latent, CAE_LATENT[3](latent, draws(seed))))
        assert orders[-1][10:] == list(range(10, 32)) and sorted(orders[-1][:10]) == list(range(10))
    assert len(set(map(tuple, orders))) == 20
    small = channels(latent[:16], CAE_LATENT[3](latent[:16], draws()))  # five of 16
    assert small[5:] == list(range(5, 16)) and small[:5] != list(range(5))


FLIPS = ((0,), (1,), (0, 1))


@pytest.mark.parametrize(("number", "all_channels"), [(4, False), (5, True)])
def test_latent_4_and_5_flip_channels_one_way(number, all_channels):
    latent, ways = normal(32, 5, 5), Counter()
    for seed in range(150):
        made = CAE_LATENT[number](latent, draws(seed))
        turned = [i for i in range(32) if not torch.equal(made[i], latent[i])]
        assert len(turned) == 32 if all_channels else len(turned) in (1, 3, 5)
        ways.update(way for way in FLIPS if all(torch.equal(made[i], latent[i].flip(way)) for i in turned))
    assert ways.total() == 150 and set(ways) == set(FLIPS) and min(ways.values()) == pytest.approx(50, abs=20)


def kernels(number: int, seed: int, size: int = 8) -> np.ndarray:
    """The convolution (out, in, 3, 3) that a distortion of the latent is: what it makes of single points."""
    answers = []
    for channel in range(size):
        latent = torch.zeros(size, 5, 5)
        latent[channel, 2, 2] = 1
        answers.append(CAE_LATENT[number](latent, draws(seed))[:, 1:4, 1:4].flip(1, 2).numpy())
    return np.stack(answers, axis=1)


def identity(size: int = 8) -> np.ndarray:
    return np.einsum("oi,y,x->oiyx", np.eye(size), [0, 1, 0], [0, 1, 0])


def test_latent_6_is_identity_and_noise():
    noise = np.stack([kernels(6, seed) - identity() for seed in range(10)])
    assert np.abs(noise).max() == pytest.approx(0.1, abs=1e-3)
    assert noise.std() == pytest.approx(0.2 / 12**0.5, abs=2e-3)


def test_latent_7_is_identity_and_a_tap_for_half_of_the_channels():
    found = np.stack([kernels(7, seed) for seed in range(60)])
    assert set(np.unique(found)) == {0, 1} and (found >= identity()).all()
    more = (found - identity()).sum(axis=(2, 3, 4))
    assert more.max() == 1
    assert more.mean() == pytest.approx(0.5 * (1 - 1 / 72), abs=0.06)  # a tap may be the identity's own
    assert ((found - identity()).sum(axis=(0, 1, 2)) > 0).all()


def test_latent_8_moves_channels_mostly_like_the_one_before():
    found = np.stack([kernels(8, seed) for seed in range(60)])
    assert (found.sum(axis=(3, 4)) == np.eye(8)).all()
    places = found.sum(axis=2).reshape(60, 8, 9).argmax(axis=2)
    assert set(places.ravel()) == set(range(9))
    assert (places[:, 1:] == places[:, :-1]).mean() == pytest.approx(0.8 + 0.2 / 9, abs=0.06)


def test_images_of_a_batch_have_latents_of_their_own():
    latent = normal(3, 16, 6, 6)
    made = CAELatent(np.array([5, 0, 2]), draws()).latent(latent)
    assert torch.equal(made[1], latent[1])
    assert torch.equal(made[2].abs(), latent[2].abs()) and not torch.equal(made[2], latent[2])
    assert any(torch.equal(made[0], latent[0].flip([axis + 1 for axis in way])) for way in FLIPS)


def test_the_code_is_binary_and_unbiased_and_lets_gradients_through():
    latent = torch.tensor([-1.0, -0.5, 0.0, 0.8, 1.0], requires_grad=True)
    code = binary(latent.expand(20000, 5), torch.Generator().manual_seed(0))
    assert set(code.round(decimals=6).unique().tolist()) == {0, 1}
    assert code.mean(dim=0).tolist() == pytest.approx([0, 0.25, 0.5, 0.9, 1], abs=0.01)
    code.mean(dim=0).sum().backward()
    assert latent.grad.tolist() == pytest.approx([0.5] * 5)


# ---- The networks


@pytest.mark.parametrize("network", [EDSR(), EDSR(2, 8, 4), EDSR(1, 4, 1), CAE(), CAE(8, 6)])
def test_images_go_in_and_come_out(network):
    assert network(torch.rand(2, 3, 16, 24)).shape == (2, 3, 16, 24)


def test_the_published_size_can_be_made():
    """EDSR's baseline that magnifies four times has 1.518 million parameters."""
    assert sum(tensor.numel() for tensor in EDSR(blocks=16, features=64, scale=4).parameters()) == 1_517_571
    assert CAE(width=128, latent=32).latent.weight.shape == (32, 128, 5, 5)
