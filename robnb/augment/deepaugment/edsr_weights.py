"""The 17 distortions of EDSR's weights, in the order of DeepAugment's release (EDSR_distort_imagenet.py).

Each works on residual blocks: ``body.<i>.body.0`` is a block's first convolution, ``body.<i>.body.2`` its second.
Blocks are drawn among those of the 16 that the release draws from; a network of another depth has the block at the
same share of its depth. Numbers of blocks and filters are shares too: 5 of 16 blocks, 32 of 64 filters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from robnb.augment.deepaugment.draws import Weights, coins, noise, share

#: Residual blocks of the network that the release distorts, and distortions that it draws for each copy.
PUBLISHED_BLOCKS, DRAWN = 16, 3
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_EDGES = ((-1.0, -1.0, -1.0), (-1.0, 8.0, -1.0), (-1.0, -1.0, -1.0))
#: What the release draws a block from; the last of the 16 is in none.
_BY_THREE, _FROM_ONE, _BY_FOUR, _ALL = range(0, 10, 3), range(1, 10, 3), range(1, 12, 4), range(15)
#: Changes a dict of weights; takes the number of blocks.
Distortion = Callable[[Weights, int, np.random.Generator], None]


def _first(block: int) -> str:
    return f"body.{block}.body.0.weight"


def _second(block: int) -> str:
    return f"body.{block}.body.2.weight"


def _bias(weight: str) -> str:
    return weight.replace("weight", "bias")


def _block(rng: np.random.Generator, among: range, blocks: int) -> int:
    return int(rng.choice(among)) * blocks // PUBLISHED_BLOCKS


def _some(rng: np.random.Generator, blocks: int) -> list[int]:
    """The release's five draws with replacement."""
    return [_block(rng, _ALL, blocks) for _ in range(share(5, blocks, PUBLISHED_BLOCKS))]


def _some_convolutions(rng: np.random.Generator, blocks: int) -> list[str]:
    return [_first(block) if rng.integers(2) == 0 else _second(block) for block in _some(rng, blocks)]


def flip_filters(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """Both convolutions' filters and biases in reverse order."""
    block = _block(rng, _BY_THREE, blocks)
    for name in (_first(block), _second(block)):
        weights[name], weights[_bias(name)] = weights[name].flip(0), weights[_bias(name)].flip(0)


def negate(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution and its biases."""
    name = _first(_block(rng, _FROM_ONE, blocks))
    weights[name], weights[_bias(name)] = -weights[name], -weights[_bias(name)]


def zero(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution and its biases."""
    name = _first(_block(rng, _BY_THREE, blocks))
    weights[name], weights[_bias(name)] = torch.zeros_like(weights[name]), torch.zeros_like(weights[_bias(name)])


def negative_gelu(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """w -> -GELU(w) in both convolutions."""
    block = _block(rng, _BY_THREE, blocks)
    for name in (_first(block), _second(block)):
        weights[name] = -functional.gelu(weights[name])


def times_laplacian(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution's kernels, tap by tap, times the Laplacian."""
    name = _first(_block(rng, _BY_THREE, blocks))
    weights[name] = weights[name] * torch.tensor(_LAPLACIAN)


def times_edges(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution's kernels, tap by tap, times 8 in the centre and -1 around."""
    name = _first(_block(rng, _BY_THREE, blocks))
    weights[name] = weights[name] * torch.tensor(_EDGES)


def multiply(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The second convolution times 1 + 4 u r: u ~ U(0, 1) once, r ~ U(0, 1) for each weight.

    The release writes 1 + 2 u (2 rand_like(w - 1)); rand_like looks at the shape of its argument alone.
    """
    name = _second(_block(rng, _BY_THREE, blocks))
    weights[name] = weights[name] * (1 + 4 * float(rng.random()) * noise(rng, weights[name]))


def mirror_and_negate(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution's kernels are mirrored left to right, the second's weights negated."""
    block = _block(rng, _BY_THREE, blocks)
    weights[_first(block)], weights[_second(block)] = weights[_first(block)].flip(-1), -weights[_second(block)]


def shift_kernels(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution's filters, as images of their input channels, through a convolution of random shifts.

    Each input channel has one shift by at most a tap each way and one sign. As in the release all outputs share
    them, so that a filter ends with the same kernel for every input channel.
    """
    name = _first(_block(rng, _BY_FOUR, blocks))
    kernels = torch.zeros_like(weights[name])
    for channel in range(len(kernels)):
        y, x = rng.integers(3, size=2)
        kernels[:, channel, y, x] = float(rng.choice((1, -1)))
    weights[name] = functional.conv2d(weights[name], kernels, padding=1)


def convolve_with_noise(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The first convolution's filters through a convolution with taps (2 u r - 1) / 6, u drawn once, r for each tap."""
    name = _first(_block(rng, _BY_THREE, blocks))
    kernels = (2 * noise(rng, weights[name]) * float(rng.random()) - 1) / 6
    weights[name] = functional.conv2d(weights[name], kernels, padding=1)


def convolve_with_averages(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The second convolution's filters through a convolution; each of its kernels is Dirichlet(0.1, ..., 0.1)."""
    name = _second(_block(rng, _BY_FOUR, blocks))
    kernels = rng.dirichlet([0.1] * 9, size=tuple(weights[name].shape[:2])).astype(np.float32)
    weights[name] = functional.conv2d(weights[name], torch.from_numpy(kernels).view_as(weights[name]), padding=1)


def add_noise(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """The second convolution plus U(-0.5, 0.5)."""
    name = _second(_block(rng, _ALL, blocks))
    weights[name] = weights[name] + noise(rng, weights[name]) - 0.5


def rotate(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """Quarter turns of some convolutions: of their kernels, or of the table of filters and input channels."""
    for name in _some_convolutions(rng, blocks):
        turns, plane = int(rng.integers(1, 4)), (2, 3) if rng.integers(2) == 0 else (0, 1)
        weights[name] = torch.rot90(weights[name], turns, plane)


def random_signs(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """Every weight of some first convolutions is negated with odds of one half."""
    for name in map(_first, _some(rng, blocks)):
        weights[name] = weights[name] * (2 * coins(rng, weights[name]) - 1)


def random_zeros(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """Every weight of some first convolutions is zeroed with odds of one half."""
    for name in map(_first, _some(rng, blocks)):
        weights[name] = weights[name] * coins(rng, weights[name])


def negate_filters(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """As many filters as are half of them are drawn, with replacement, and negated once, in some first convolutions."""
    for name in map(_first, _some(rng, blocks)):
        changed = weights[name].clone()
        drawn = np.unique(rng.integers(len(changed), size=share(32, len(changed), 64)))
        changed[drawn] = -changed[drawn]
        weights[name] = changed


def keep_largest_tap(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """Every kernel of some convolutions keeps its largest tap, sign and all; the others become zero."""
    for name in _some_convolutions(rng, blocks):
        taps = weights[name].flatten(2)
        largest = taps.max(dim=2, keepdim=True)
        weights[name] = torch.zeros_like(taps).scatter(2, largest.indices, largest.values).view_as(weights[name])


#: By the release's numbers, 0 to 16.
EDSR_WEIGHTS: tuple[Distortion, ...] = (
    flip_filters, negate, zero, negative_gelu, times_laplacian, times_edges, multiply, mirror_and_negate,
    shift_kernels, convolve_with_noise, convolve_with_averages, add_noise, rotate, random_signs, random_zeros,
    negate_filters, keep_largest_tap,
)  # fmt: skip


def distort_edsr(weights: Weights, blocks: int, rng: np.random.Generator) -> None:
    """Three draws of the 17, with replacement, one after the other."""
    for option in rng.integers(len(EDSR_WEIGHTS), size=DRAWN):
        EDSR_WEIGHTS[option](weights, blocks, rng)
