"""How a backbone is made robust upstream: recipes, one module each.

A recipe is a frozen dataclass with a name, its published defaults, and two things it does: which views it makes
of an image, and what the loss is on them. ``RECIPES`` holds those that robnb can train; PRIME, ANT, DeepAugment
and adversarial training join it by adding a module and an entry.
"""

from __future__ import annotations

from robnb.augment.augmix import AugMix
from robnb.augment.regular import Recipe, Regular
from robnb.names import choose

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (Regular(), AugMix())}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; raises UserError with the choices otherwise."""
    return RECIPES[choose(name, RECIPES, "upstream recipe")]
