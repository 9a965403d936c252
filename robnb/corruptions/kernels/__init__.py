"""The arithmetic of the corruptions, each piece stated twice: in torch for any device, and in numba for the CPU.

The torch function is the definition; the decorator `on_cpu` puts the faster one in its place where the tensors are on
the CPU. The numba functions use no fast-math and no library functions whose last digit depends on the processor: the
CPU's pixels are the same bytes on every machine. The two agree to rounding (a test compares them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import torch

_torch_only: ContextVar[bool] = ContextVar("torch_only", default=False)


def on_cpu(compiled: Callable[..., torch.Tensor]) -> Callable[[Callable[..., torch.Tensor]], Callable]:
    """Let ``compiled`` stand in for the decorated torch function where its tensors are on the CPU.

    Both take the same arguments; the device is that of the first argument.
    """

    def decorate(definition: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        @wraps(definition)
        def call(first: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
            use = compiled if uses_compiled(first) else definition
            return use(first, *arguments, **options)

        return call

    return decorate


def uses_compiled(tensor: torch.Tensor) -> bool:
    """Whether the compiled functions work on this tensor."""
    return tensor.device.type == "cpu" and not _torch_only.get()


@contextmanager
def torch_only() -> Iterator[None]:
    """Run the torch definitions on the CPU too: what a GPU would compute, where there is none."""
    token = _torch_only.set(True)
    try:
        yield
    finally:
        _torch_only.reset(token)
