"""How many threads this process computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numba
import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """torch, OpenCV and numba compute on one thread meanwhile."""
    before = torch.get_num_threads(), cv2.getNumThreads(), numba.get_num_threads()
    set_threads(1, 1, 1)
    try:
        yield
    finally:
        set_threads(*before)


def set_threads(for_torch: int, for_cv2: int, for_numba: int) -> None:
    """From now on, for the libraries that have threads of their own."""
    torch.set_num_threads(for_torch)
    cv2.setNumThreads(for_cv2)
    numba.set_num_threads(for_numba)


@contextmanager
def one_core_free() -> Iterator[None]:
    """torch computes on one thread less meanwhile, but on one at least: another thread has work as well.

    OpenMP's threads wait for each other by spinning. With one more busy thread than there are cores, each of their
    steps can take a time slice of the system.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
