"""ANT against its definition: the generator, the exact norm, and the game of generator and classifier in a training."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from pictures import photograph
from scipy import optimize, stats
from torch import nn
from torch.nn import functional

from robnb import launch, training
from robnb.augment import recipe_named
from robnb.augment.ant import ANT1X1, ANT3X3, Ant, NoiseGame, NoiseGenerator, noised
from robnb.augment.recipe import Setting
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.models.architectures import ARCHITECTURES
from robnb.models.classifier import Classifier
from robnb.models.execution import Execution
from robnb.pretrain import PretrainSpec, pretrain
from robnb.pretrain import train as training_of_pretrain
from robnb.recipes.budget import Budget
from robnb.store import Store
from robnb.training import Resumable


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Everything here is small, and on a busy machine threads that wait for each other take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generator_of(kernel: int, spread: float | None = None) -> NoiseGenerator:
    """A fresh one, or one with larger random weights and biases, which is far from the identity."""
    generator = NoiseGenerator(kernel, seeded())
    if spread is not None:
        with torch.no_grad():
            for i, weights in enumerate(generator.parameters()):
                weights.copy_(spread * torch.randn(weights.shape, generator=seeded(i)))
    return generator


# ---- The generator


@pytest.mark.parametrize(("kernel", "numbers"), [(1, 983), (3, 4183)])
def test_a_fresh_generator_gives_standard_gaussian_noise(kernel, numbers):
    generator = generator_of(kernel)
    weights = torch.cat([layer.weight.detach().flatten() for layer in generator.layers]).double().numpy()
    assert sum(weight.numel() for weight in generator.parameters()) == numbers
    assert stats.kstest(weights / 0.01, "norm").pvalue > 0.01
    assert all(layer.bias.abs().max() == 0 for layer in generator.layers)
    noise = generator.sample(torch.empty(16, 3, 40, 52), seeded(1)).detach()
    assert noise.shape == (16, 3, 40, 52) and noise.dtype == torch.float32
    assert stats.kstest(noise.flatten().double().numpy()[:50000], "norm").pvalue > 0.01
    channels = noise.transpose(0, 1).flatten(1).double().numpy()
    np.testing.assert_allclose(np.cov(channels), np.eye(3), atol=0.02)
    beside = np.corrcoef(noise[..., 1:].flatten(), noise[..., :-1].flatten())[0, 1]
    assert abs(beside) < 0.01, "no correlation between neighbours"


@pytest.mark.parametrize("kernel", [1, 3])
def test_noise_of_a_pixel_depends_on_its_neighbourhood_alone(kernel):
    generator, side = generator_of(kernel, 0.5), 9 + 2 * (kernel // 2)
    z = torch.randn((1, 3, side, side), generator=seeded(9), requires_grad=True)
    (gradient,) = torch.autograd.grad(generator(z)[0, :, 4, 5].sum(), z)
    expected = torch.zeros(side, side, dtype=torch.bool)
    expected[4 : 4 + kernel, 5 : 5 + kernel] = True  # the place in z, which has a margin
    assert torch.equal(gradient[0].abs().sum(dim=0) > 0, expected)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_network_is_the_definition_written_out(kernel):
    """In float64 with numpy, on more images than a block of the CPU holds."""
    generator, margin = generator_of(kernel, 0.3), kernel // 2
    z = torch.randn((5, 3, 160 + 2 * margin, 140 + 2 * margin), generator=seeded(9))
    noise = generator(z).detach().numpy()
    hidden, height, width = z.double().numpy(), 160, 140
    for i, layer in enumerate(generator.layers):
        weights, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
        size = weights.shape[-1]
        rows, columns = hidden.shape[2] - size + 1, hidden.shape[3] - size + 1
        hidden = bias[:, None, None] + sum(
            np.einsum("oc,nchw->nohw", weights[:, :, y, x], hidden[:, :, y : y + rows, x : x + columns])
            for y in range(size)
            for x in range(size)
        )
        hidden = np.maximum(hidden, 0) if i < 3 else hidden
    expected = hidden + z.numpy()[:, :, margin : margin + height, margin : margin + width]
    np.testing.assert_allclose(noise, expected, atol=1e-4 * np.abs(expected).max())


def test_initial_weights_take_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    assert torch.equal(generator_of(1).layers[0].weight, generator_of(1).layers[0].weight)
    assert torch.equal(before, torch.get_rng_state())


# ---- The exact norm


def pictures() -> torch.Tensor:
    """(6, 3, 48, 48) float32: photographs, a bright and a dark one of them, white, black, grey."""
    photographs = [photograph(48, 48, name).astype(np.float32) / 255 for name in ("astronaut", "coffee", "chelsea")]
    photographs[1], photographs[2] = 0.9 + 0.1 * photographs[1], 0.05 * photographs[2]
    flat = [np.full((48, 48, 3), value, np.float32) for value in (1.0, 0.0, 0.5)]
    return torch.from_numpy(np.stack([*photographs, *flat])).permute(0, 3, 1, 2).contiguous()


def distances(images: torch.Tensor, others: torch.Tensor) -> np.ndarray:
    return (images.double() - others.double()).flatten(1).norm(dim=1).numpy()


def reference(image: np.ndarray, noise: np.ndarray, norm: float) -> np.ndarray:
    """By bracketing eta, in float64."""

    def moved(eta: float) -> np.ndarray:
        return np.clip(image + eta * noise, 0, 1) - image

    return image + moved(optimize.brentq(lambda eta: np.linalg.norm(moved(eta)) - norm, 0, 1e4, xtol=1e-12))


@pytest.mark.parametrize("rms", [0.01, 0.1, ANT1X1.rms])
@pytest.mark.parametrize("kind", ["gaussian", "heavy tails", "few pixels", "one sign"])
def test_the_norm_is_exact_after_clipping(rms, kind):
    images, norm = pictures(), rms * math.sqrt(3 * 48 * 48)
    noise = torch.randn(images.shape, generator=seeded())
    noise = {
        "gaussian": noise,
        "heavy tails": noise.sign() * (3 * noise).exp(),
        "few pixels": noise * (torch.rand(noise.shape, generator=seeded(1)) < 0.4),
        "one sign": noise.abs() * torch.tensor([1, 1, 1, -1, 1, 1])[:, None, None, None],
    }[kind]
    room = torch.where(noise > 0, 1 - images, images).where(noise != 0, 0.0)
    within = room.double().flatten(1).norm(dim=1).numpy() > 1.001 * norm
    assert within.sum() >= 2
    result = noised(images, noise, norm)
    assert result.dtype == torch.float32 and result.min() >= 0 and result.max() <= 1
    np.testing.assert_allclose(distances(result, images)[within], norm, rtol=1e-6)
    for i in np.flatnonzero(within):
        expected = reference(images[i].double().numpy(), noise[i].double().numpy(), norm)
        np.testing.assert_allclose(result[i].numpy(), expected, atol=2e-6)


def test_out_of_reach_every_value_with_noise_goes_all_the_way():
    images = torch.full((2, 3, 8, 8), 0.75)
    noise = torch.randn(images.shape, generator=seeded())
    noise[:, :, 0] = 0
    noise[1, :, 1] = 1e-30  # too small to be squared in float32
    result = noised(images, noise.requires_grad_(), 100.0)
    assert torch.equal(result[0], torch.where(noise[0] > 0, 1.0, torch.where(noise[0] < 0, 0.0, images[0])))
    assert torch.equal(result[1, :, 0], images[1, :, 0])
    (gradient,) = torch.autograd.grad(result.square().sum(), noise)
    assert gradient.abs().max() == 0
    assert torch.equal(noised(images, torch.zeros_like(images), 1.0), images), "no noise, no way to go"


def test_images_do_not_depend_on_their_neighbours_in_the_batch():
    images = pictures()
    noise = torch.randn(images.shape, generator=seeded())
    alone = torch.cat([noised(images[i : i + 1], noise[i : i + 1], 10.0) for i in range(len(images))])
    torch.testing.assert_close(noised(images, noise, 10.0), alone, atol=1e-6, rtol=0)


def test_the_gradient_in_the_noise_is_that_of_the_function():
    """Eta's own included, against finite differences in float64."""
    images = torch.rand((3, 3, 4, 4), generator=seeded(), dtype=torch.float64)
    noise = torch.randn(images.shape, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda noise: noised(images, noise, 2.0), noise)
    clipped = noised(images, noise.detach(), 2.0)
    assert 0.05 < ((clipped == 0) | (clipped == 1)).double().mean() < 0.9, "some are clipped, some are not"
    (gradient,) = torch.autograd.grad((clipped_sum := noised(images, noise, 2.0)).square().sum(), noise)
    along = (gradient * noise.detach()).flatten(1).sum(dim=1)
    assert clipped_sum.requires_grad
    torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-10, rtol=0)  # longer noise is the same noise


# ---- The game


class Stripes(nn.Module):
    """A small classifier with BatchNorm that tells coarse stripes from fine ones, along and across."""

    def __init__(self) -> None:
        super().__init__()
        first, second = (nn.Sequential(nn.Conv2d(n, 8, 3), nn.BatchNorm2d(8), nn.ReLU()) for n in (3, 8))
        self.layers = nn.Sequential(first, second)
        self.last = nn.Linear(8, 4)
        self.seen: list[torch.Tensor] = []

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images.detach())
        return self.last(self.layers(images).mean(dim=(2, 3)))


def batch(seed: int, count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Stripes of random phase, colour and contrast: uint8 (count, 3, 16, 16), labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    y, x = np.mgrid[:16, :16]
    place = np.where((labels % 2 == 0)[:, None, None], x, y) * np.where(labels < 2, 0.6, 1.6)[:, None, None]
    waves = np.sin(place + rng.uniform(0, 6, (count, 1, 1)))[:, None] * rng.uniform(0.3, 1, (count, 3, 1, 1))
    noise = 0.1 * rng.normal(size=(count, 3, 16, 16))
    return torch.from_numpy(np.clip(127 + 100 * (waves + noise), 0, 255).astype(np.uint8)), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def _trained() -> Stripes:
    torch.manual_seed(0)
    model = Stripes()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(80):
        images, labels = batch(step)
        optimizer.zero_grad()
        functional.cross_entropy(model.logits(images / 255), labels).backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return model


@pytest.fixture
def model(_trained) -> Stripes:
    copied = copy.deepcopy(_trained)
    copied.seen.clear()
    return copied


def game_of(model, recipe: Ant = ANT1X1, iterations: int = 8) -> NoiseGame:
    return recipe.augmenter(model, Setting(iterations, 16))


def played(game: NoiseGame, first: int, last: int) -> list[torch.Tensor]:
    """The views of iterations, each with draws of its own, as in a training."""
    views = []
    for iteration in range(first, last):
        torch.manual_seed(iteration)
        views.append(game.views(*batch(iteration)))
    return views


def mean_loss(model: Stripes, generator: NoiseGenerator) -> float:
    """On held-out images with noise of the recipe's norm."""
    was, losses = model.training, []
    model.eval()
    with torch.no_grad():
        for seed in range(1000, 1005):
            images, labels = batch(seed)
            noise = generator.sample(images, seeded(seed))
            noisy = noised(images / 255, noise, ANT1X1.rms * math.sqrt(3 * 16 * 16))
            losses.append(functional.cross_entropy(model.logits(noisy), labels).item())
    model.train(was)
    return float(np.mean(losses))


@pytest.mark.parametrize("recipe", [ANT1X1, ANT3X3], ids=["1x1", "3x3"])
def test_a_generator_that_has_learned_hurts_more_than_gaussian_noise_of_the_same_norm(model, recipe):
    """A fresh one that has learned on one batch, on images that it has not seen; and more steps hurt more."""
    recipe = replace(recipe, fresh_share=30.0, renewals=1)
    losses = [mean_loss(model, generator_of(recipe.kernel))]
    for iterations in (1, 3):
        game = game_of(model, recipe, iterations)
        played(game, 0, 1)
        losses.append(mean_loss(model, game.history[0]))
    assert losses[0] < 0.8 * losses[1] < losses[1] < losses[2]


def test_the_running_generator_goes_on_learning(model):
    game = game_of(model, replace(ANT1X1, renewals=1, fresh_share=0.01), 40)
    played(game, 0, 40)
    assert mean_loss(model, game.current) > 1.1 * mean_loss(model, game.history[0])


@pytest.mark.parametrize("begun", [False, True])
def test_shares_of_the_batch(model, monkeypatch, begun):
    """20 of 40 with noise of the current generator in the first period; then 12, and 4 of each of two earlier ones."""
    game = game_of(model, iterations=6)
    played(game, 0, 4 if begun else 1)
    sampled, sample = [], NoiseGenerator.sample

    def noted(self: NoiseGenerator, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        sampled.append((self, len(images)))
        return sample(self, images, draws)

    monkeypatch.setattr(NoiseGenerator, "sample", noted)
    images, labels = batch(5)
    (view,) = game.views(images, labels)
    mixing = sampled[1:]  # the first is the running generator's own step
    assert sampled[0] == (game.current, 40)
    assert view.shape == images.shape and view.dtype == torch.float32 and view.min() >= 0 and view.max() <= 1
    moved = distances(view, images / 255)
    np.testing.assert_allclose(moved[moved > 0], ANT1X1.rms * math.sqrt(3 * 16 * 16), rtol=1e-6)
    assert (moved > 0).sum() == 20
    if begun:
        assert [count for _, count in mixing] == [12, 4, 4]
        assert mixing[0][0] is game.current
        earlier = [generator for generator, _ in mixing[1:]]
        assert len(game.history) == 3 and all(any(one is kept for kept in game.history) for one in earlier)
        assert earlier[0] is not earlier[1]
    else:
        assert mixing == [(game.current, 20)]


def test_which_images_get_noise_and_which_history_is_replayed_is_drawn(model):
    game = game_of(model, replace(ANT1X1, renewals=40, top_lr=1e-9), 40)
    images, labels = batch(5)
    moved, parts = np.zeros(40), []
    for iteration in range(40):
        torch.manual_seed(iteration)
        moved += distances(game.views(images, labels)[0], images / 255) > 0
        parts += [generator for generator, _ in game._parts(40, seeded(iteration))[1:]]
    assert stats.chisquare(moved).pvalue > 0.01 and moved.std() > 0
    assert len({id(generator) for generator in parts}) > 20, "from all of the history, not the last of it"


def test_periods_renew_the_generator_and_the_history_keeps_the_fresh_ones(model):
    game = game_of(model, replace(ANT1X1, renewals=3, fresh_share=1.5), 6)
    steps = []
    for iteration in range(6):
        model.seen.clear()
        played(game, iteration, iteration + 1)
        steps.append(len(model.seen))
        assert len(game.history) == iteration // 2 + 1
        same = [
            torch.equal(a, b) for a, b in zip(game.current.parameters(), game.history[-1].parameters(), strict=True)
        ]
        assert not any(same), "the running one has moved on since it was fresh"
        assert {int(state["step"]) for state in game.optimizer.state.values()} == {iteration % 2 + 1}
    assert steps == [4, 1, 4, 1, 4, 1], "three fresh steps for two iterations, and one in each"
    fresh = [one.layers[0].weight for one in game.history]
    assert not torch.equal(fresh[0], fresh[1]) and not torch.equal(fresh[1], fresh[2])
    assert not any(weight.requires_grad for one in game.history for weight in one.parameters())


def test_passes_are_what_the_attacks_cost(model):
    recipe = replace(ANT1X1, renewals=3, fresh_share=0.5)
    game = game_of(model, recipe, 12)
    played(game, 0, 12)
    assert recipe.passes == pytest.approx(1 + 2 / 3 * len(model.seen) / 12)
    assert ANT1X1.passes == pytest.approx(1 + 2 / 3 * 1.25)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_classifier_is_left_as_it_was(frozen, training):
    """No gradient, no statistics, the mode of every layer; and the loss then gives every layer its gradient."""
    classifier = Classifier(ARCHITECTURES["resnet_nano"], 4, frozen=frozen).train(training)
    game = ANT1X1.augmenter(classifier, Setting(4, 16))
    classifier.learn_by(ANT1X1, game, Execution())
    modes = [module.training for module in classifier.modules()]
    before = copy.deepcopy(classifier.state_dict())
    images, labels = batch(0)
    game.views(images, labels)
    assert [module.training for module in classifier.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    classifier(images, labels, mode="loss")["loss"].backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in classifier.parameters())
    assert classifier.head.weight.requires_grad


def test_the_classifier_attacks_in_eval_mode(model):
    modes, logits = [], model.logits
    model.logits = lambda images: modes.append(model.layers[0][1].training) or logits(images)
    played(game_of(model), 0, 1)
    assert modes == [False] * 2 and model.training


def test_half_precision_leaves_the_norm_exact(model):
    game = game_of(model)
    images, labels = batch(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (view,) = game.views(images, labels)
    moved = distances(view, images / 255)
    assert view.dtype == torch.float32
    np.testing.assert_allclose(moved[moved > 0], ANT1X1.rms * math.sqrt(3 * 16 * 16), rtol=1e-6)
    generator, z = generator_of(3, 0.3), torch.randn((2, 3, 18, 18), generator=seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        noise = generator(z)
    assert noise.dtype == torch.float32 and torch.equal(noise, generator(z))


def test_equal_seeds_give_equal_games(model):
    first, again = played(game_of(model), 0, 8), played(game_of(model), 0, 8)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    torch.manual_seed(99)
    assert not torch.equal(game_of(model).views(*batch(0)), first[0])


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_game_goes_on_from_its_state(model, tmp_path, at):
    whole = game_of(model)
    expected = played(whole, 0, 8)
    begun = game_of(model)
    played(begun, 0, at)
    torch.save(begun.state_dict(), tmp_path / "state.pth")
    played(begun, at, 8)  # shares nothing with the other
    resumed = game_of(model)
    resumed.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    other = game_of(model)
    other.load_state_dict(resumed.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(played(resumed, at, 8), expected[at:], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(played(other, at, 8), expected[at:], strict=True))
    assert resumed.iteration == 8 and len(resumed.history) == len(whole.history)


# ---- What it is published with, and how that is scaled


def test_published_values_at_the_published_length():
    recipe = replace(ANT3X3, renewals=120, fresh_share=1000 / 18302)
    plan = recipe.plan(120 * 18302)
    assert (plan.fresh_steps, plan.fresh_lr, plan.lr) == (1000, pytest.approx(5e-4), pytest.approx(1e-4))
    assert [i for i in range(60000) if plan.renews(i)] == [0, 18302, 36604, 54906]
    assert recipe.rms * math.sqrt(3 * 224 * 224) == pytest.approx(135)
    assert (recipe.share_current, recipe.share_history, recipe.replayed, recipe.parent) == (0.3, 0.2, 2, "regular")
    assert (ANT1X1.kernel, ANT3X3.kernel) == (1, 3)


@pytest.mark.parametrize("iterations", [1, 3, 4, 10, 350, 5000])
def test_shorter_trainings_are_scaled(iterations):
    """Rate times steps is as published where the highest rate allows, and periods are equal to one iteration."""
    plan = ANT1X1.plan(iterations)
    begins = [i for i in range(iterations) if plan.renews(i)]
    assert len(begins) == min(4, iterations) and begins[0] == 0
    lengths = np.diff([*begins, iterations])
    assert lengths.max() - lengths.min() <= 1
    assert plan.fresh_steps == max(1, round(iterations / 16))
    assert plan.fresh_lr == pytest.approx(min(0.02, 0.5 / plan.fresh_steps))
    assert plan.lr == pytest.approx(min(0.02, 1.8302 * 4 / iterations))


def test_recipes_are_found_by_name():
    assert recipe_named("ant1x1") is ANT1X1 and recipe_named("ant3x3") is ANT3X3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 5}, "ANT's kernel is 5: give 1 or 3"),
        ({"rms": 0.0}, "ANT's rms is 0.0: give the size of the noise, between 0 and 1"),
        ({"rms": 135.0}, "ANT's rms is 135.0"),
        ({"share_current": 0.9}, r"shares of a batch are 0.9 and 0.2: give two of at least 0 that sum to at most 1"),
        ({"share_history": -0.1}, "shares of a batch are 0.3 and -0.1"),
        ({"replayed": 0}, "ANT's replayed is 0: give 1 or more"),
        ({"renewals": 0}, "ANT's renewals is 0: give 1 or more"),
        ({"lr": 0.0}, "ANT's lr is 0.0: give a positive number"),
        ({"fresh_share": math.nan}, "ANT's fresh_share is nan: give a positive number"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        Ant(**change)


# ---- In a training


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> TaskData:
    """The upstream pictures of a small miniworld."""
    return small.study(tmp_path_factory.mktemp("outputs")).tasks["upstream"]


def spec_of(data: TaskData, recipe: str = "ant3x3", **changes) -> PretrainSpec:
    return PretrainSpec("resnet_nano", recipe, data.fingerprint, 32, Budget(8, 12, 0.01), 0, **changes)


def test_a_training_that_was_stopped_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    """After three of eight iterations it has a checkpoint; it stops after the fifth, and goes on with the fourth."""
    monkeypatch.setitem(training.fit.__kwdefaults__, "checkpoint_every", 3)
    undisturbed = pretrain(spec_of(data), data, Store(tmp_path / "a"))
    inherited, done = Resumable.after_train_iter, []

    def stop(self, runner, batch_idx, **rest):
        inherited(self, runner, batch_idx, **rest)
        done.append(batch_idx)
        if len(done) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Resumable, "after_train_iter", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain(spec_of(data), data, Store(tmp_path / "b"))
    resumed = pretrain(spec_of(data), data, Store(tmp_path / "b"))
    assert done == [0, 1, 2, 3, 4, 3, 4, 5, 6, 7]
    assert undisturbed.read_bytes() == resumed.read_bytes()
    plain = pretrain(spec_of(data, "regular"), data, Store(tmp_path / "a"))
    first, second = (torch.load(path, weights_only=True) for path in (undisturbed, plain))
    assert not torch.equal(first["head.weight"], second["head.weight"])


def one_of_two(spec: PretrainSpec, data: TaskData, folder: Path) -> None:
    """Called in each process: trains, and keeps its own weights and generators."""
    fit = training_of_pretrain.fit

    def fit_and_keep(model, *arguments, **options):
        fit(model, *arguments, **options)
        kept = {"model": model.state_dict(), "game": options["beside"].state_dict()}
        torch.save(kept, folder / f"rank-{os.environ['RANK']}.pth")
        return model

    training_of_pretrain.fit = fit_and_keep
    (folder / "scratch").mkdir(exist_ok=True)
    training_of_pretrain.train(spec, data, folder, 0, parent=None, start=None, networks={})


def tensors_of(value) -> list[torch.Tensor]:
    """All that are anywhere in a state."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]


@pytest.mark.slow
def test_two_processes_play_with_the_same_generators(data, tmp_path, monkeypatch):
    """They see other images and draw other noise; generators, their optimizer, history and classifier are equal."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    given = {"spec": spec_of(data, processes=2), "data": data, "folder": tmp_path}
    launch.together(one_of_two, given, 2, tmp_path)
    first, second = (torch.load(tmp_path / f"rank-{rank}.pth", weights_only=True) for rank in (0, 1))
    assert first["game"]["iteration"] == 8 and len(first["game"]["history"]) == 4
    ours, theirs = tensors_of(first), tensors_of(second)
    assert len(ours) == len(theirs) and len(tensors_of(first["game"])) == 8 * 5 + 8 * 3
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    fresh, current = first["game"]["history"][-1], first["game"]["current"]
    assert not any(torch.equal(fresh[name], current[name]) for name in fresh)
