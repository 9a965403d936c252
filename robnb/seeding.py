"""Randomness as a function of a key, never of the order of calls.

Everything random in robnb starts from a key such as ``("corrupt", seed, image_id, "fog", 1)``. Equal keys
give equal draws in any process, on any worker, in any order; different keys give independent ones.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_TYPE_TAG = {bool: "b", int: "i", float: "f", str: "s", type(None): "n"}


def digest(*key: bool | int | float | str | None) -> bytes:
    """32 bytes that identify a key of plain values. ``1``, ``1.0``, ``"1"`` and ``True`` are four different keys.

    Raises:
        TypeError: a part is not a plain value (numpy scalars included: they would hash by their repr).
    """
    for part in key:
        if type(part) not in _TYPE_TAG:
            raise TypeError(f"a key is made of plain values, not {type(part).__name__}: {part!r}")
    text = json.dumps([[_TYPE_TAG[type(part)], part] for part in key])
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def seed_of(*key: bool | int | float | str | None) -> int:
    """A seed in [0, 2**32), the range that numpy's and Python's global generators take."""
    return int.from_bytes(digest(*key)[:4], "little")


def generator(*key: bool | int | float | str | None) -> np.random.Generator:
    """A counter-based (Philox) generator of its own for this key."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest(*key)[:16], "little")))


def random_state(*key: bool | int | float | str | None) -> np.random.RandomState:
    """The legacy generator for this key, for libraries that draw with numpy's old interface."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(list(digest(*key)))))


def seed_everything(*key: bool | int | float | str | None) -> None:
    """Set the global generators of Python, numpy and torch (every device) from this key."""
    seed = seed_of(*key)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def seeded(*key: bool | int | float | str | None) -> Iterator[None]:
    """Run a block under this key's global generators, then put back the ones that were there.

    For code that is not ours and draws from global state. CUDA generators are left alone: such code runs
    on the CPU.
    """
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    seed = seed_of(*key)
    random.seed(seed)
    np.random.seed(seed)
    torch.random.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])
