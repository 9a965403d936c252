"""Keyed randomness: equal keys, equal draws; anything else independent; global state left alone."""

import random

import numpy as np
import pytest
import torch

from robnb import seeding


def test_equal_keys_equal_draws_in_any_order():
    first = seeding.generator("a", 1).random(4)
    seeding.generator("b", 2).random(100)
    assert np.array_equal(first, seeding.generator("a", 1).random(4))
    assert np.array_equal(seeding.random_state("a").rand(3), seeding.random_state("a").rand(3))


@pytest.mark.parametrize("other", [("a", 2), ("a", "1"), ("a", 1.0), ("a", True), ("a1",), ("a", 1, None), (1, "a")])
def test_different_keys_are_different(other):
    assert seeding.digest("a", 1) != seeding.digest(*other)


def test_a_key_is_made_of_plain_values():
    with pytest.raises(TypeError, match="int64"):
        seeding.digest("a", np.int64(1))


def test_seeded_puts_everything_back():
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    with seeding.seeded("block"):
        inside = random.random(), np.random.rand(), torch.rand(1).item()
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    with seeding.seeded("block"):
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == inside != expected
