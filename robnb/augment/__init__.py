"""How a backbone is made robust upstream: recipes, one module or folder each.

`robnb.augment.recipe` says what a recipe is, and `recipe_named` finds one. A new one is a frozen dataclass and an
entry here.
"""

from __future__ import annotations

from robnb.augment.adversarial import Adversarial, adversarial_named
from robnb.augment.ant import ANT1X1, ANT3X3
from robnb.augment.augmix import AugMix
from robnb.augment.deepaugment import DeepAugment, DeepAugmentAugMix
from robnb.augment.prime import PRIME, PRIME_JSD
from robnb.augment.recipe import REGULAR, Recipe
from robnb.names import choose

#: By name. Adversarial training has one for every radius, see `recipe_named`.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        REGULAR,
        AugMix(),
        ANT1X1,
        ANT3X3,
        PRIME,
        PRIME_JSD,
        DeepAugment(),
        DeepAugmentAugMix(),
    )
}


def is_recipe(name: str) -> bool:
    """Whether a recipe is called so. Raises a UserError for an adversarial training whose radius is none."""
    return name in RECIPES or adversarial_named(name) is not None


def recipe_named(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UserError: there is none, with the choices; or the radius of an adversarial training is not one.
    """
    adversarial = adversarial_named(name)
    return adversarial or RECIPES[choose(name, [*RECIPES, Adversarial().name], "upstream recipe")]
