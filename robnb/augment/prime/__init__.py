"""PRIME: random filters, colour curves and displacements, mixed; see `robnb.augment.prime.mixing`."""

from __future__ import annotations

from robnb.augment.prime.colour import ColourMaps, SmoothColour
from robnb.augment.prime.diffeomorphism import Diffeomorphism, Displacement
from robnb.augment.prime.filters import Filters, RandomFilter
from robnb.augment.prime.mixing import PRIME, PRIME_JSD, PRIME_TRANSFER, Draw, Prime

__all__ = [
    "PRIME", "PRIME_JSD", "PRIME_TRANSFER", "ColourMaps", "Diffeomorphism", "Displacement", "Draw", "Filters",
    "Prime", "RandomFilter", "SmoothColour",
]  # fmt: skip
