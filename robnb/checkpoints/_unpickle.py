"""Run as ``python -I _unpickle.py SRC DST SECONDS`` by `robnb convert --unpickle`: unpickles, writes tensors only.

It imports nothing of robnb. Classes that are not installed here are replaced by empty ones, because what is of
interest is the tensors beside them.
"""

import contextlib
import pickle
import sys
import types
from typing import Any

import torch


class _Absent(dict):
    """Stands for an object of a class that is not installed: takes whatever the pickle gives it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Its content is of no interest."""

    def append(self, item: Any) -> None:
        """As a list's."""

    def extend(self, items: Any) -> None:
        """As a list's."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The thing itself, or an empty class."""
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name, (_Absent,), {"__module__": module})


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


def _tensors(value: Any) -> Any:
    """Nested dicts of tensors; anything else as the name of its type, so that its key is still told."""
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    if isinstance(value, torch.Tensor):
        # A subclass or a tensor with hooks would be pickled with its class again.
        return torch.empty_like(value, device="cpu").copy_(value.detach()).as_subclass(torch.Tensor)
    if isinstance(value, dict):
        return {str(key): _tensors(item) for key, item in value.items()}
    return type(value).__name__


def _limit(seconds: int) -> None:
    """Processor time, no core dump, and files of 64 GiB at most, where the platform can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for what, limit in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 64 << 30),
            (resource.RLIMIT_NOFILE, 256),
        ):
            resource.setrlimit(what, (limit, limit))


def main(src: str, dst: str, seconds: str) -> None:
    """Read, reduce, write."""
    _limit(int(seconds))
    unpickling = types.ModuleType("unpickling")  # torch asks it for its name too
    vars(unpickling).update(Unpickler=_Unpickler, load=_load)
    content = torch.load(src, map_location="cpu", weights_only=False, pickle_module=unpickling)
    torch.save(_tensors(content), dst)


if __name__ == "__main__":
    main(*sys.argv[1:])
