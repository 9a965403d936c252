"""DeepAugment as a recipe: what a training sees of it, whatever its networks have learned."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robnb.augment import recipe_named
from robnb.augment.augmix import AugMix
from robnb.augment.deepaugment import NETWORKS, DeepAugment, DeepAugmentAugMix, Distorter, load_network, network_for
from robnb.augment.deepaugment.draws import Draws
from robnb.augment.recipe import Augmenter, Setting
from robnb.errors import UserError
from robnb.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On images this small, more would only wait for each other."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Random weights of both networks, as a training would keep them."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    for name in NETWORKS:
        torch.save(network_for(name, 32).state_dict(), folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in NETWORKS}


@pytest.fixture
def setting(files) -> Setting:
    return Setting(iterations=10, image_size=32, networks=files)


def pictures(count: int, side: int = 32) -> torch.Tensor:
    return torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def views(augmenter: Augmenter, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """What a training sees in an iteration whose draws begin with ``seed``."""
    torch.manual_seed(seed)
    return augmenter.views(images, torch.zeros(len(images), dtype=torch.int64))


def draws(seed: int = 0) -> Draws:
    return Draws.of(torch.Generator().manual_seed(seed))


def test_the_recipes_are_named_and_counted():
    plain, mixed = recipe_named("deepaug"), recipe_named("deepaug_augmix")
    assert (plain, mixed) == (DeepAugment(), DeepAugmentAugMix())
    assert (plain.parent, plain.networks, plain.redraw) == ("regular", ("edsr", "cae"), 0.05)
    assert (mixed.parent, mixed.networks, mixed.redraw) == ("regular", ("edsr", "cae"), 0.05)
    assert (plain.passes, mixed.passes) == (1, 3)


def test_a_view_is_float_in_the_unit_interval_and_wants_no_gradient(setting):
    made = views(DeepAugment().augmenter(None, setting), pictures(24))
    assert made.shape == (1, 24, 3, 32, 32) and made.dtype == torch.float32
    assert made.min() >= 0 and made.max() <= 1 and not made.requires_grad


def test_a_third_of_the_images_are_originals(setting):
    augmenter = DeepAugment().augmenter(None, setting)
    images = pictures(60)
    made = torch.stack([views(augmenter, images, seed)[0] for seed in range(12)])
    same = (made == images / 255).flatten(2).all(dim=2)
    assert same.float().mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert ((same.sum(dim=1) > 0) & (same.sum(dim=1) < 60)).all()


def test_the_networks_share_the_others_evenly(setting, monkeypatch):
    seen = dict.fromkeys(NETWORKS, 0)

    def count(self: Distorter, images: torch.Tensor, _: Draws) -> torch.Tensor:
        seen[type(self.network).__name__.lower()] += len(images)
        return images

    monkeypatch.setattr(Distorter, "__call__", count)
    augmenter = DeepAugment().augmenter(None, setting)
    for seed in range(30):
        views(augmenter, pictures(60), seed)
    assert [number / 1800 for number in seen.values()] == pytest.approx([1 / 3, 1 / 3], abs=0.03)


@pytest.mark.parametrize("name", ["deepaug", "deepaug_augmix"])
def test_equal_seeds_make_equal_views(setting, name):
    images = pictures(24)
    first = views(recipe_named(name).augmenter(None, setting), images)
    again = recipe_named(name).augmenter(None, setting)
    assert not torch.equal(views(again, images, 1), first)
    assert torch.equal(views(again, images), first), "what was drawn before does not matter"


def test_bytes_and_floats_are_the_same_images(setting):
    augmenter, images = DeepAugment().augmenter(None, setting), pictures(24)
    floats = images / 255
    assert torch.equal(views(augmenter, images), views(augmenter, floats))
    assert torch.equal(floats, images / 255), "the caller's images stay as they are"


def test_a_batch_of_one_and_an_augmenter_without_state(setting):
    augmenter = DeepAugment().augmenter(None, setting)
    assert all(views(augmenter, pictures(1), seed).shape == (1, 1, 3, 32, 32) for seed in range(6))
    assert augmenter.state_dict() == {}
    augmenter.load_state_dict({})


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_trained_network_is_never_distorted(files, name):
    network = load_network(name, files[name], 32)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    distorter = Distorter(network, 1.0, True)
    for seed in range(20):
        distorter(pictures(8) / 255, draws(seed))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(torch.equal(tensor, before[key]) for key, tensor in distorter.weights.items())
    assert not network.training and not any(tensor.requires_grad for tensor in network.parameters())


@pytest.mark.parametrize(("redraw", "expected"), [(0.0, 1.0), (0.05, 1 + 0.05 * 39), (1.0, 40.0)])
def test_weights_are_drawn_for_the_first_image_and_again_with_the_odds(files, monkeypatch, redraw, expected):
    network = load_network("edsr", files["edsr"], 32)
    sizes = []
    monkeypatch.setattr(network, "forward", lambda images, _: sizes.append(len(images)) or images)
    distorter = Distorter(network, redraw, True)
    for seed in range(40):
        distorter(torch.zeros(40, 3, 8, 8), draws(seed))
    assert sum(sizes) == 1600 and len(sizes) / 40 == pytest.approx(expected, abs=0.6)


def test_images_of_a_run_share_their_weights_and_keep_their_order(files, monkeypatch):
    """A network whose distorted weight adds a random number: the numbers tell the runs."""
    network = load_network("edsr", files["edsr"], 32)
    network.register_parameter("added", nn.Parameter(torch.zeros(()), requires_grad=False))
    monkeypatch.setattr(network, "distorted", lambda _, rng: {"added": torch.tensor(rng.random() / 2)})
    monkeypatch.setattr(network, "forward", lambda images, _: images + network.added)
    places = torch.arange(40).view(40, 1, 1, 1).expand(40, 3, 2, 2) / 80
    added = (Distorter(network, 0.1, True)(places, draws()) - places)[:, 0, 0, 0].numpy().round(5)
    changes = np.count_nonzero(np.diff(added))
    assert 1 <= changes <= 10 and len(np.unique(added)) == changes + 1


class Broken(nn.Module):
    """What it makes is no image."""

    def distorted(self, weights: dict, rng: np.random.Generator) -> dict:
        return dict(weights)

    def distortion(self, count: int, draws: Draws, as_released: bool) -> None:
        return None

    def forward(self, images: torch.Tensor, distortion: None) -> torch.Tensor:
        values = torch.tensor([torch.nan, torch.inf, -torch.inf, 7.0, -7.0, 0.25])
        return values.expand(len(images), 3, 1, 6)


def test_what_is_no_number_is_black_and_the_rest_is_clamped():
    made = Distorter(Broken(), 0.05, True)(torch.zeros(2, 3, 1, 6), draws())
    assert torch.equal(made, torch.tensor([0, 1, 0, 1, 0, 0.25]).expand(2, 3, 1, 6))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_around_it_changes_nothing(setting, precision):
    augmenter, images = DeepAugment().augmenter(None, setting), pictures(12)
    expected = views(augmenter, images)
    with torch.autocast("cpu", dtype=precision):
        made = views(augmenter, images)
    assert made.dtype == torch.float32 and torch.equal(made, expected)


def test_slips_of_the_release_can_be_put_right(setting):
    """The same draws, but other features."""
    images = pictures(40)
    released = views(DeepAugment().augmenter(None, setting), images)
    corrected = views(DeepAugment(as_released=False).augmenter(None, setting), images)
    assert not torch.equal(released, corrected)


def test_augmix_follows_deepaugment(setting):
    """The first view is DeepAugment's, in bytes as AugMix has it; the others are mixtures of it."""
    images = pictures(16)
    plain = views(DeepAugment().augmenter(None, setting), images)[0]
    made = views(DeepAugmentAugMix().augmenter(None, setting), images)
    assert made.shape == (3, 16, 3, 32, 32)
    assert torch.equal((255 * made[0]).round(), (255 * plain).round())
    assert not torch.equal(made[1], made[0]) and not torch.equal(made[1], made[2])
    logits, labels = torch.randn(3, 16, 5), torch.randint(5, (16,))
    assert DeepAugmentAugMix().loss(logits, labels) == AugMix().loss(logits, labels)


def test_the_slips_and_the_odds_are_in_the_recipe():
    with pytest.raises(UserError, match=r"DeepAugment's redraw is 1\.5: give odds"):
        DeepAugment(redraw=1.5)


def test_networks_that_are_missing_or_wrong(files, tmp_path):
    def augmenter(networks: dict[str, Path], size: int = 32) -> Augmenter:
        return DeepAugment().augmenter(None, Setting(10, size, networks))

    with pytest.raises(UserError, match=r"deepaug needs the helper network cae: train it"):
        augmenter({"edsr": files["edsr"]})
    with pytest.raises(UserError, match=r"no weights at .*nowhere.pth: put the file there"):
        augmenter({**files, "cae": tmp_path / "nowhere.pth"})
    with pytest.raises(UserError, match=r"edsr.pth is not of the helper network cae: delete the folder .* and run"):
        augmenter({**files, "cae": files["edsr"]})
    with pytest.raises(UserError, match=r"30 pixels do not fit the helper network cae: .* multiple of 4"):
        augmenter(files, 30)
    with pytest.raises(UserError, match=r"unknown helper network 'edrs': did you mean 'edsr'"):
        network_for("edrs", 32)


def test_a_file_of_another_size_is_refused(tmp_path):
    torch.save(NETWORKS["edsr"](features=8).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match="is not of the helper network edsr"):
        load_network("edsr", tmp_path / "weights.pth", 32)
