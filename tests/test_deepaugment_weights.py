"""DeepAugment's distortions of weights, each against what the release's does, written out another way.

The weights are those of a network of the published depth, with few filters unless the number of filters matters.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from robnb.augment.deepaugment import cae_weights, edsr_weights
from robnb.augment.deepaugment.cae import CAE
from robnb.augment.deepaugment.cae_weights import CAE_WEIGHTS, LAYERS, distort_cae
from robnb.augment.deepaugment.edsr import EDSR
from robnb.augment.deepaugment.edsr_weights import EDSR_WEIGHTS, distort_edsr
from robnb.threads import one_thread

Arrays = dict[str, np.ndarray]
BY_THREE, FROM_ONE, BY_FOUR, ALL = {0, 3, 6, 9}, {1, 4, 7}, {1, 5, 9}, set(range(15))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On tensors this small, more would only wait for each other."""
    with one_thread():
        yield


def edsr_body(filters: int = 3, channels: int = 3, blocks: int = 16) -> dict[str, torch.Tensor]:
    """Random weights of residual blocks; none of them is zero."""
    rng = np.random.default_rng(0)
    shapes = {"weight": (filters, channels, 3, 3), "bias": (filters,)}
    names = product(range(blocks), (0, 2), shapes)
    return {
        f"body.{i}.body.{j}.{part}": torch.tensor(rng.normal(size=shapes[part]), dtype=torch.float32)
        for i, j, part in names
    }


def cae_layers() -> dict[str, torch.Tensor]:
    """The layers that may change: as many filters as published, and few input channels."""
    rng = np.random.default_rng(0)
    shapes = {name: (128, 3, 3, 3) for name in LAYERS}
    shapes |= {"latent": (32, 3, 5, 5), "grow.0": (64, 3, 3, 3), "grow.2": (64, 6, 2, 2)}
    biases = {name: 128 if name == "grow.2" else shape[0] for name, shape in shapes.items()}
    weights = {f"{name}.weight": rng.normal(size=shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": rng.normal(size=size) for name, size in biases.items()}
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in weights.items()}


def changes(distort: Callable, weights: dict, size: int, seed: int) -> Arrays:
    """What a distortion makes of the tensors that it changes; none is changed in place."""
    before = {name: tensor.clone() for name, tensor in weights.items()}
    after = dict(weights)
    distort(after, size, np.random.default_rng(seed))
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    return {name: after[name].numpy() for name in after if after[name] is not weights[name]}


def of_blocks(number: int, weights: dict, seeds: int = 60, blocks: int = 16) -> list[Arrays]:
    return [changes(EDSR_WEIGHTS[number], weights, blocks, seed) for seed in range(seeds)]


def drawn_blocks(made: list[Arrays]) -> set[int]:
    return {int(name.split(".")[1]) for one in made for name in one}


def places(made: list[Arrays]) -> set[str]:
    """Which tensors of a block change: "0.weight" is the first convolution's, "2.weight" the second's."""
    return {name.split("body.")[2] for one in made for name in one}


def minus_gelu(w: np.ndarray) -> np.ndarray:
    return -w * ndtr(w)


EXACT = [
    (0, BY_THREE, {"0.weight": lambda w: w[::-1], "0.bias": lambda w: w[::-1],
                   "2.weight": lambda w: w[::-1], "2.bias": lambda w: w[::-1]}),
    (1, FROM_ONE, {"0.weight": lambda w: -w, "0.bias": lambda w: -w}),
    (2, BY_THREE, {"0.weight": lambda w: 0 * w, "0.bias": lambda w: 0 * w}),
    (3, BY_THREE, {"0.weight": minus_gelu, "2.weight": minus_gelu}),
    (4, BY_THREE, {"0.weight": lambda w: w * [[0, 1, 0], [1, -4, 1], [0, 1, 0]]}),
    (5, BY_THREE, {"0.weight": lambda w: w * [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]}),
    (7, BY_THREE, {"0.weight": lambda w: w[..., ::-1], "2.weight": lambda w: -w}),
]  # fmt: skip


@pytest.mark.parametrize(("number", "blocks", "expected"), EXACT)
def test_edsr_distortions_that_are_a_function_of_the_weights(number, blocks, expected):
    weights = edsr_body()
    made = of_blocks(number, weights)
    assert drawn_blocks(made) == blocks
    for one in made:
        assert {name.split("body.")[2] for name in one} == set(expected) and len(one) == len(expected)
        for name, values in one.items():
            wanted = expected[name.split("body.")[2]](weights[name].numpy())
            assert values == pytest.approx(wanted, abs=1e-6)


def test_edsr_6_multiplies_by_one_plus_four_u_r():
    weights = edsr_body(8, 8)
    made = of_blocks(6, weights, 200)
    assert drawn_blocks(made) == BY_THREE and places(made) == {"2.weight"}
    factors = np.stack([values / weights[name].numpy() for one in made for name, values in one.items()]) - 1
    assert factors.min() > -1e-6 and factors.max() < 4
    tops = factors.max(axis=(1, 2, 3, 4))  # 4 u
    assert tops.mean() == pytest.approx(2, abs=0.25) and tops.min() < 0.3 and tops.max() > 3.7
    assert (factors.mean(axis=(1, 2, 3, 4)) / tops).mean() == pytest.approx(0.5, abs=0.01)


def test_edsr_8_sums_shifted_and_signed_channels_into_every_channel():
    weights = edsr_body(2, 2)
    made = of_blocks(8, weights, 12)
    assert drawn_blocks(made) == BY_FOUR and places(made) == {"0.weight"}

    def shifted(plane: np.ndarray, y: int, x: int, sign: int) -> np.ndarray:
        return sign * np.pad(plane, ((0, 0), (1, 1), (1, 1)))[:, y : y + 3, x : x + 3]

    ways = list(product(range(3), range(3), (1, -1)))
    for one in made:
        ((name, values),) = one.items()
        w = weights[name].numpy()
        assert np.array_equal(values[:, 0], values[:, 1])
        candidates = (shifted(w[:, 0], *a) + shifted(w[:, 1], *b) for a, b in product(ways, ways))
        assert min(np.abs(values[:, 0] - candidate).max() for candidate in candidates) < 1e-5


def kernels(filters: np.ndarray, convolved: np.ndarray) -> np.ndarray:
    """The convolution (O, C, 3, 3) that makes filters (F, O, 3, 3) of filters (F, C, 3, 3), by least squares."""
    padded = np.pad(filters.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = [padded[:, :, y : y + 3, x : x + 3].reshape(len(filters), -1) for y, x in product(range(3), range(3))]
    outputs = [convolved[:, :, y, x] for y, x in product(range(3), range(3))]
    solved = np.linalg.lstsq(np.concatenate(rows), np.concatenate(outputs), rcond=None)[0]
    return solved.T.reshape(convolved.shape[1], filters.shape[1], 3, 3)


@pytest.mark.parametrize(("number", "blocks", "place"), [(9, BY_THREE, "0.weight"), (10, BY_FOUR, "2.weight")])
def test_edsr_9_and_10_convolve_filters_with_random_kernels(number, blocks, place):
    """More filters than channels, so that the kernels can be found."""
    weights = edsr_body(24, 2)
    made = of_blocks(number, weights, 60)
    assert drawn_blocks(made) == blocks and places(made) == {place}
    found = np.stack([kernels(weights[name].numpy(), values) for one in made for name, values in one.items()])
    if number == 9:
        u_r = (6 * found + 1) / 2  # u r, with r ~ U(0, 1)
        assert u_r.min() == pytest.approx(0, abs=0.01) and u_r.max() < 1
        tops = u_r.max(axis=(1, 2, 3, 4))
        assert tops.mean() == pytest.approx(0.5, abs=0.1) and tops.min() < 0.1 and tops.max() > 0.9
        assert (u_r.mean(axis=(1, 2, 3, 4)) / tops).mean() == pytest.approx(0.5, abs=0.01)
    else:
        assert found.min() > -1e-5 and found.sum(axis=(-2, -1)) == pytest.approx(1, abs=1e-5)
        # Dirichlet(a, ..., a) of n: the squares sum to (1 + a) / (1 + n a) on average.
        assert np.square(found).sum(axis=(-2, -1)).mean() == pytest.approx(1.1 / 1.9, abs=0.01)


def test_edsr_11_adds_half_a_unit_at_most():
    weights = edsr_body(8, 8)
    made = of_blocks(11, weights, 200)
    assert drawn_blocks(made) == ALL and places(made) == {"2.weight"}
    added = np.stack([values - weights[name].numpy() for one in made for name, values in one.items()])
    assert np.abs(added).max() == pytest.approx(0.5, abs=1e-3)
    assert added.mean() == pytest.approx(0, abs=2e-3) and added.std() == pytest.approx(12**-0.5, abs=2e-3)


def test_edsr_12_turns_kernels_or_the_table_of_channels():
    weights = edsr_body(blocks=4)  # where one convolution is drawn
    made = of_blocks(12, weights, 200, blocks=4)
    assert places(made) == {"0.weight", "2.weight"}
    turns = Counter()
    for one in made:
        ((name, values),) = one.items()
        ways = product((1, 2, 3), ((2, 3), (0, 1)))
        fits = [way for way in ways if np.array_equal(values, np.rot90(weights[name].numpy(), *way))]
        turns.update(fits)
    assert len(turns) == 6 and turns.total() == 200 and min(turns.values()) > 15


@pytest.mark.parametrize(("number", "least"), [(13, -1), (14, 0)])
def test_edsr_13_and_14_keep_half_of_the_weights(number, least):
    """The other half is negated (13) or zeroed (14)."""
    weights = edsr_body(16, 16, blocks=4)
    made = of_blocks(number, weights, 60, blocks=4)
    assert places(made) == {"0.weight"}
    kept = np.stack([values / weights[name].numpy() for one in made for name, values in one.items()])
    assert np.unique(kept).tolist() == [least, 1]
    assert (kept == 1).mean() == pytest.approx(0.5, abs=0.005)


def test_edsr_15_negates_the_filters_of_32_draws():
    weights = edsr_body(64, 2, blocks=4)
    made = of_blocks(15, weights, 100, blocks=4)
    assert places(made) == {"0.weight"}
    negated = []
    for one in made:
        ((name, values),) = one.items()
        signs = (values / weights[name].numpy()).reshape(64, -1)
        assert (signs == signs[:, :1]).all() and set(np.unique(signs)) == {-1, 1}
        negated.append((signs[:, 0] == -1).sum())
    assert max(negated) <= 32 and np.mean(negated) == pytest.approx(64 * (1 - (63 / 64) ** 32), abs=1)


def test_edsr_16_keeps_the_largest_tap():
    weights = edsr_body(blocks=4)
    made = of_blocks(16, weights, 40, blocks=4)
    assert places(made) == {"0.weight", "2.weight"}
    for one in made:
        ((name, values),) = one.items()
        for before, after in zip(weights[name].numpy().reshape(-1, 9), values.reshape(-1, 9), strict=True):
            assert after[before.argmax()] == before.max() and np.count_nonzero(after) == 1


@pytest.mark.parametrize("number", [12, 13, 14, 15, 16])
def test_edsr_draws_five_of_the_published_blocks(number):
    """With replacement, from all but the last; a block that is drawn once again may be left as it was."""
    weights = edsr_body()
    made = of_blocks(number, weights, 200)
    assert drawn_blocks(made) == ALL
    counts = Counter(len(one) for one in made)
    assert max(counts) == 5 and counts[5] > counts[3]
    convolutions = 15 if number in (13, 14, 15) else 30
    distinct = np.prod(1 - np.arange(5) / convolutions)
    assert counts[5] / 200 == pytest.approx(distinct, abs=0.12)


def test_blocks_of_another_depth_are_at_the_same_share_of_it():
    made = [changes(EDSR_WEIGHTS[0], edsr_body(blocks=4), 4, seed) for seed in range(40)]
    assert drawn_blocks(made) == {0, 1, 2}  # 0, 3, 6, 9 of 16
    made = [changes(EDSR_WEIGHTS[11], edsr_body(blocks=4), 4, seed) for seed in range(100)]
    assert drawn_blocks(made) == {0, 1, 2, 3}


def recorded(monkeypatch, module: object, name: str, count: int) -> list[int]:
    """Replaces a list of distortions by as many that note their number."""
    calls = []
    monkeypatch.setattr(module, name, tuple(lambda *_, k=k: calls.append(k) for k in range(count)))
    return calls


def test_three_edsr_distortions_are_drawn_with_replacement(monkeypatch):
    assert len(EDSR_WEIGHTS) == 17
    calls, rng = recorded(monkeypatch, edsr_weights, "EDSR_WEIGHTS", 17), np.random.default_rng(0)
    for _ in range(3000):
        distort_edsr({}, 16, rng)
    assert len(calls) == 9000
    assert np.bincount(calls, minlength=17) / 9000 == pytest.approx(1 / 17, abs=0.01)
    distinct = np.mean([len(set(calls[i : i + 3])) == 3 for i in range(0, 9000, 3)])
    assert distinct == pytest.approx(16 * 15 / 17**2, abs=0.03)


def test_one_of_eight_cae_distortions_is_drawn(monkeypatch):
    """The release has a ninth, which it never draws; it is not in the list."""
    assert len(CAE_WEIGHTS) == 8
    calls, rng = recorded(monkeypatch, cae_weights, "CAE_WEIGHTS", 8), np.random.default_rng(0)
    for _ in range(2000):
        distort_cae({}, 128, rng)
    assert len(calls) == 2000
    assert np.bincount(calls, minlength=8) / 2000 == pytest.approx(1 / 8, abs=0.03)


#: Layers of the CAE by the release's numbers: 8 makes the latent, the decoder's blocks begin with 11.
CAE_LAYERS = dict(zip(range(8, 16), LAYERS, strict=True))


@pytest.mark.parametrize(("number", "layers"), [(0, range(11, 16)), (3, range(10, 14)), *(
    (number, range(8, 14)) for number in (1, 2, 4, 5, 6, 7)
)])  # fmt: skip
def test_cae_layers_that_are_drawn_from(number, layers):
    made = [changes(CAE_WEIGHTS[number], cae_layers(), 128, seed) for seed in range(80)]
    assert {name.rsplit(".", 1)[0] for one in made for name in one} == {CAE_LAYERS[i] for i in layers}
    of_one = [{name.rsplit(".", 1)[0] for name in one} for one in made]
    assert {len(layers) for layers in of_one} == ({1, 2} if number == 4 else {1})


def filters(weights: dict, one: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The filters of the layer that changed before and after, flat, and whether each one changed."""
    ((name, after),) = [(name, values) for name, values in one.items() if name.endswith("weight")]
    before = weights[name].numpy().reshape(len(after), -1)
    after = after.reshape(before.shape)
    return before, after, (before != after).any(axis=1)


def test_cae_0_reverses_filters_and_biases():
    weights = cae_layers()
    for seed in range(20):
        one = changes(CAE_WEIGHTS[0], weights, 128, seed)
        assert len(one) == 2
        assert all(np.array_equal(values, weights[name].numpy()[::-1]) for name, values in one.items())


def test_cae_1_negates_filters_that_are_drawn_an_odd_number_of_times():
    weights = cae_layers()
    counts = []
    for seed in range(60):
        one = changes(CAE_WEIGHTS[1], weights, 128, seed)
        before, after, changed = filters(weights, one)
        assert np.array_equal(after[changed], -before[changed])
        ((name, biases),) = [(name, values) for name, values in one.items() if name.endswith("bias")]
        assert np.array_equal(np.flatnonzero(biases == -weights[name].numpy()), np.flatnonzero(changed))
        counts.append(changed.sum())
    assert max(counts) == 12 and {count % 2 for count in counts} == {0}


def test_cae_2_zeroes_the_filters_of_25_draws():
    weights = cae_layers()
    shares = []
    for seed in range(60):
        one = changes(CAE_WEIGHTS[2], weights, 128, seed)
        _, after, changed = filters(weights, one)
        assert not after[changed].any() and changed.sum() <= 25
        (biases,) = [values for name, values in one.items() if name.endswith("bias")]
        assert np.array_equal(np.flatnonzero(biases == 0), np.flatnonzero(changed))
        shares.append(changed.sum() / (len(changed) * (1 - (1 - 1 / len(changed)) ** 25)))
    assert np.mean(shares) == pytest.approx(1, abs=0.03)


def test_cae_3_is_minus_gelu_once_for_every_draw():
    weights = cae_layers()
    for seed in range(20):
        before, after, changed = filters(weights, changes(CAE_WEIGHTS[3], weights, 128, seed))
        powers = [minus_gelu(before[changed])]
        for _ in range(7):
            powers.append(minus_gelu(powers[-1]))
        fits = np.stack([np.abs(power - after[changed]).max(axis=1) < 1e-5 for power in powers])
        assert fits.any(axis=0).all()
        assert (1 + fits.argmax(axis=0)).sum() == 25


def test_cae_4_multiplies_two_layers_by_one_plus_eight_u_r():
    weights = cae_layers()
    once = []
    for seed in range(200):
        one = changes(CAE_WEIGHTS[4], weights, 128, seed)
        assert all(name.endswith("weight") for name in one)
        if len(one) == 2:
            once += [(values / weights[name].numpy() - 1).ravel() for name, values in one.items()]
    assert len(once) / 400 == pytest.approx(5 / 6, abs=0.1)
    tops = np.array([factors.max() for factors in once])  # 8 u
    assert min(factors.min() for factors in once) > -1e-6 and tops.max() < 8
    assert tops.mean() == pytest.approx(4, abs=0.4) and tops.min() < 0.3 and tops.max() > 7.7
    assert np.mean([factors.mean() for factors in once] / tops) == pytest.approx(0.5, abs=0.02)


def test_cae_5_masks_with_zeros_or_signs():
    weights = cae_layers()
    kinds = Counter()
    for seed in range(200):
        ((name, values),) = changes(CAE_WEIGHTS[5], weights, 128, seed).items()
        kept = values / weights[name].numpy()
        kinds[tuple(np.unique(kept + 0.0))] += 1
        assert (kept == 1).mean() == pytest.approx(0.5, abs=0.06)
    assert set(kinds) == {(0, 1), (-1, 1)} and kinds[0, 1] == pytest.approx(100, abs=25)


def test_cae_6_turns_kernels():
    weights = cae_layers()
    turns = Counter()
    for seed in range(90):
        ((name, values),) = changes(CAE_WEIGHTS[6], weights, 128, seed).items()
        turns.update(k for k in range(4) if np.array_equal(values, np.rot90(weights[name].numpy(), k, (2, 3))))
    assert set(turns) == {1, 2, 3} and turns.total() == 90


def test_cae_7_negates_the_filters_of_a_fifth_as_many_draws():
    weights = cae_layers()
    for seed in range(60):
        one = changes(CAE_WEIGHTS[7], weights, 128, seed)
        before, after, changed = filters(weights, one)
        assert len(one) == 1 and np.array_equal(after[changed], -before[changed])
        assert 0.6 * (len(changed) // 5) <= changed.sum() <= len(changed) // 5


def test_numbers_of_filters_are_shares_of_the_width():
    """25 of a width of 128 are 3 of a width of 16; 32 of 64 filters of an EDSR are 8 of 16."""
    layers = {name: tensor.detach() for name, tensor in CAE(width=16).named_parameters()}
    made = [changes(CAE_WEIGHTS[2], layers, 16, seed) for seed in range(40)]
    assert max(filters(layers, one)[2].sum() for one in made) == 3
    body = edsr_body(16, 2, blocks=4)
    made = of_blocks(15, body, 60, blocks=4)
    assert 7 <= max(filters(body, one)[2].sum() for one in made) <= 8


def test_the_networks_have_the_tensors_that_are_distorted():
    for network, list_, size in ((EDSR(), EDSR_WEIGHTS, 4), (CAE(), CAE_WEIGHTS, 16)):
        weights = {name: tensor.detach() for name, tensor in network.named_parameters()}
        for distort in list_:
            for seed in range(10):
                assert set(changes(distort, weights, size, seed)) <= set(weights)
