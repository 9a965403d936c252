"""The distortions of the CAE's weights, in the order of DeepAugment's release (CAE_distort_imagenet.py).

Each changes one or two of the layers that make the latent and decode it. The release numbers its 21 layers from the
input; here the ninth, number 8 there, is the first of `LAYERS`. Numbers of filters are those for the published width of
128, and shares of it in other networks. A "filter" is an entry of the first dimension, which in the transposed
convolution is an input channel, as in the release.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from robnb.augment.deepaugment.draws import Weights, coins, noise, share

PUBLISHED_WIDTH = 128
#: What may be changed: numbers 8 to 15 of the release.
LAYERS = (
    "latent", "grow.0", "grow.2", "decoder.0.body.0", "decoder.0.body.2", "decoder.1.body.0", "decoder.1.body.2",
    "decoder.2.body.0",
)  # fmt: skip
_MOST, _LATER, _DECODER = LAYERS[:6], LAYERS[2:6], LAYERS[3:]
#: Changes a dict of weights; takes the width of the network.
Distortion = Callable[[Weights, int, np.random.Generator], None]


def _layer(rng: np.random.Generator, among: tuple[str, ...]) -> tuple[str, str]:
    layer = among[rng.integers(len(among))]
    return f"{layer}.weight", f"{layer}.bias"


def _each(weights: Weights, names: tuple[str, str], filters: np.ndarray, change: Callable) -> None:
    """Change filters and their biases one after the other; one that is drawn twice is changed twice."""
    for name in names:
        changed = weights[name].clone()
        for k in filters.tolist():
            changed[k] = change(changed[k])
        weights[name] = changed


def flip_filters(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """A layer's filters and biases in reverse order.

    The release draws a second layer and turns it twice, by a slip in a name, so that it stays as it is.
    """
    for name in _layer(rng, _DECODER):
        weights[name] = weights[name].flip(0)


def negate_filters(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """12 filters with their biases, drawn with replacement; one that is drawn twice is as before."""
    names = _layer(rng, _MOST)
    drawn = rng.integers(len(weights[names[0]]), size=share(12, width, PUBLISHED_WIDTH))
    _each(weights, names, drawn, torch.neg)


def zero_filters(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """25 filters with their biases, drawn with replacement."""
    names = _layer(rng, _MOST)
    drawn = rng.integers(len(weights[names[0]]), size=share(25, width, PUBLISHED_WIDTH))
    _each(weights, names, drawn, torch.zeros_like)


def negative_gelu(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """w -> -GELU(w) in 25 filters and their biases, drawn with replacement."""
    names = _layer(rng, _LATER)
    drawn = rng.integers(len(weights[names[0]]), size=share(25, width, PUBLISHED_WIDTH))
    _each(weights, names, drawn, lambda values: -functional.gelu(values))


def multiply(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """Two layers, drawn with replacement, times 1 + 8 u r: u ~ U(0, 1) for each layer, r for each weight.

    The release writes 1 + 2 u (4 rand_like(w - 1)); rand_like looks at the shape of its argument alone.
    """
    for _ in range(2):
        name, _ = _layer(rng, _MOST)
        weights[name] = weights[name] * (1 + 8 * float(rng.random()) * noise(rng, weights[name]))


def mask(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """Every weight of a layer times 0 or 1, or else times -1 or 1, with even odds."""
    name, _ = _layer(rng, _MOST)
    ones = coins(rng, weights[name])
    weights[name] = weights[name] * (ones if rng.random() < 0.5 else 2 * ones - 1)


def rotate(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """One to three quarter turns of a layer's kernels."""
    name, _ = _layer(rng, _MOST)
    weights[name] = torch.rot90(weights[name], int(rng.integers(1, 4)), (2, 3))


def negate_a_fifth(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """A fifth of the filters are drawn with replacement and negated once; their biases stay."""
    name, _ = _layer(rng, _MOST)
    changed = weights[name].clone()
    drawn = np.unique(rng.integers(len(changed), size=len(changed) // 5))
    changed[drawn] = -changed[drawn]
    weights[name] = changed


#: By the release's numbers, 0 to 7. It has a number 8, which keeps the largest tap of every kernel and is never drawn.
CAE_WEIGHTS: tuple[Distortion, ...] = (
    flip_filters, negate_filters, zero_filters, negative_gelu, multiply, mask, rotate, negate_a_fifth,
)  # fmt: skip


def distort_cae(weights: Weights, width: int, rng: np.random.Generator) -> None:
    """One of the eight."""
    CAE_WEIGHTS[rng.integers(len(CAE_WEIGHTS))](weights, width, rng)
