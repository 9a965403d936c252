"""ANT: a small network learns the noise that hurts the classifier most; see `robnb.augment.ant.training`."""

from __future__ import annotations

from robnb.augment.ant.noise import NoiseGenerator
from robnb.augment.ant.plan import Plan
from robnb.augment.ant.projection import noised
from robnb.augment.ant.training import ANT1X1, ANT3X3, Ant, NoiseGame

__all__ = ["ANT1X1", "ANT3X3", "Ant", "NoiseGame", "NoiseGenerator", "Plan", "noised"]
