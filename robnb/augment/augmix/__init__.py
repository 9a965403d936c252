"""AugMix: mixed chains of operations and a consistency loss; see `robnb.augment.augmix.mixing`."""

from __future__ import annotations

from robnb.augment.augmix.mixing import AugMix, Draw
from robnb.augment.augmix.operations import OPERATIONS, Operation

__all__ = ["OPERATIONS", "AugMix", "Draw", "Operation"]
