"""The upstream recipes against independent statements of their definitions."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import entropy

from robnb.augment import RECIPES, recipe_named
from robnb.augment.augmix import OPERATIONS, AugMix
from robnb.errors import UserError
from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


def test_recipes_are_found_by_name():
    assert set(RECIPES) == {"regular", "augmix"}
    with pytest.raises(UserError, match="did you mean 'augmix'"):
        recipe_named("augmx")


def test_regular_is_one_view_and_cross_entropy(image):
    recipe = recipe_named("regular")
    assert np.array_equal(recipe.views(image, np.random.default_rng(0)), image[None])
    logits, labels = torch.randn(1, 5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = -torch.log_softmax(logits[0], 1)[torch.arange(5), labels].mean()
    assert recipe.loss(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_augmix_views_are_the_image_and_two_mixtures(image):
    views = AugMix().views(image, np.random.default_rng(0))
    assert views.dtype == np.uint8 and views.shape == (3, *image.shape)
    assert np.array_equal(views[0], image)
    assert not np.array_equal(views[1], image) and not np.array_equal(views[1], views[2])
    assert np.array_equal(views, AugMix().views(image, np.random.default_rng(0)))


def test_augmix_mean_share_of_the_image_is_a_half(image):
    """m ~ Beta(1, 1): with chains that give black, a mixture is (1 - m) image, so half of it on average."""
    recipe = AugMix()
    black = (lambda picture, level, rng: Image.fromarray(np.zeros_like(np.asarray(picture))),)
    ratios = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robnb.augment.augmix.OPERATIONS", black)
        for seed in range(400):
            ratios.append(recipe.mix(image, np.random.default_rng(seed)).mean() / image.mean())
    assert np.mean(ratios) == pytest.approx(0.5, abs=0.05)
    assert np.std(ratios) == pytest.approx(12**-0.5, abs=0.03)


def test_augmix_loss_is_cross_entropy_plus_twelve_times_the_jensen_shannon_divergence():
    logits, labels = torch.randn(3, 6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    p = torch.softmax(logits, -1).numpy()
    divergence = entropy(p.mean(0), axis=-1) - entropy(p, axis=-1).mean(0)
    expected = -np.log(p[0][np.arange(6), labels]).mean() + 12 * divergence.mean()
    assert AugMix().loss(logits, labels).item() == pytest.approx(expected, rel=1e-9)
    same = logits[:1].expand(3, -1, -1)
    clean = -np.log(p[0][np.arange(6), labels]).mean()
    assert AugMix().loss(same, labels).item() == pytest.approx(clean, rel=1e-9)


def test_no_operation_is_a_test_corruption():
    names = {operation.__name__ for operation in OPERATIONS}
    assert len(names) == 9
    assert not names & {*CORRUPTIONS, *VALIDATION_CORRUPTIONS, "color", "sharpness"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_every_operation_keeps_size_and_draws_only_from_its_generator(operation, image):
    assert list(inspect.signature(operation).parameters) == ["picture", "level", "rng"]
    state = np.random.get_state()[1].copy()
    picture = Image.fromarray(image)
    results = [np.asarray(operation(picture, 2.9, np.random.default_rng(1))) for _ in range(2)]
    assert results[0].shape == image.shape and np.array_equal(*results)
    assert np.array_equal(state, np.random.get_state()[1])
    assert np.array_equal(np.asarray(picture), image)
