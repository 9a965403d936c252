"""The recipes that need nothing but their images, as recipes: names, costs, and that a network learns by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from pictures import photograph

from robnb.augment import RECIPES, recipe_named
from robnb.augment.prime import PRIME, PRIME_JSD
from robnb.augment.recipe import Recipe, Setting
from robnb.errors import UserError
from robnb.models.architectures import architecture_named
from robnb.models.classifier import Classifier
from robnb.models.execution import Execution
from robnb.threads import one_thread
from robnb.training import initialise


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On pictures this small, more would only wait for each other."""
    with one_thread():
        yield


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs() -> torch.Tensor:
    """(4, 3, 32, 32) uint8."""
    pictures = [photograph(32, 32, name) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    return torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures])


def test_recipes_are_found_by_name():
    assert {"regular", "augmix", "prime", "prime_jsd"} <= set(RECIPES)
    for name in RECIPES:
        assert recipe_named(name).name == name
    with pytest.raises(UserError, match="did you mean 'augmix'"):
        recipe_named("augmx")


def test_regular_is_one_view_and_cross_entropy():
    recipe, images = recipe_named("regular"), photographs()
    assert (recipe.passes, recipe.parent, recipe.networks) == (1, "", ())
    assert torch.equal(recipe.views(images, seeded()), images[None])
    logits, labels = torch.randn((1, 5, 3), generator=seeded()), torch.tensor([0, 1, 2, 0, 1])
    expected = -torch.log_softmax(logits[0], 1)[torch.arange(5), labels].mean()
    assert recipe.loss(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_prime_is_a_recipe():
    assert (PRIME.passes, PRIME_JSD.passes) == (1, 3)
    assert PRIME.parent == PRIME_JSD.parent == "regular"
    assert recipe_named("prime") is PRIME and recipe_named("prime_jsd") is PRIME_JSD
    changed = replace(PRIME, name="mine", width=2)
    assert isinstance(changed, Recipe) and (changed.name, changed.width, changed.parent) == ("mine", 2, "regular")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["regular", "augmix", "prime", "prime_jsd"])
def test_a_nano_network_learns_by_it(name: str, precision: str):
    recipe, images, labels = recipe_named(name), photographs(), torch.tensor([0, 1, 2, 3])
    model = initialise(partial(Classifier, architecture_named("resnet_nano"), 4), 0)
    model.learn_by(recipe, recipe.augmenter(model, Setting(20, 32)), Execution(precision)).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    def clean() -> float:
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(model.logits(images), labels).item()

    before = clean()
    for _ in range(20):
        loss = model(images, labels, mode="loss")["loss"]
        assert loss.dtype == torch.float32 and loss.isfinite()
        optimiser.zero_grad()
        loss.backward()
        assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)
        optimiser.step()
    assert clean() < 0.7 * before
