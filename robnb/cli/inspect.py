"""``robnb inspect``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robnb.cli.text import paragraph, size

if TYPE_CHECKING:
    from robnb.checkpoints import Inspection


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    inspect = commands.add_parser(
        "inspect",
        help="say what a weights file is and whether robnb can use it",
        description="Print format, container, prefix, layout, architecture and head of a weights file, and what robnb "
        "does with it or why it refuses. Nothing in it is executed. Exit code 0 if it is usable, 2 if not.",
        epilog="Example: robnb inspect ANT3x3_Model.pth",
    )
    inspect.add_argument("src", type=Path, metavar="SRC", help="a torch (.pth, .pt, .ckpt, .tar) or safetensors file")
    inspect.add_argument("--arch", metavar="NAME", help="hold it to this architecture (default: told from the shapes)")
    inspect.set_defaults(command=_inspect)


def _inspect(arguments: argparse.Namespace) -> int:
    from robnb.checkpoints import inspect

    found = inspect(arguments.src, arguments.arch)
    for name, value in _rows(found):
        print(paragraph(f"{name:14}{value}", " " * 14))
    return 0 if found.usable else 2


def _rows(found: Inspection) -> Iterator[tuple[str, str]]:
    checkpoint, layout = found.checkpoint, found.layout
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in found.dtypes.items())
    yield "file", f"{checkpoint.path}, {size(found.bytes)}"
    yield "sha256", found.sha256
    yield "format", checkpoint.format
    yield "container", checkpoint.container or "none (a flat state dict)"
    yield "prefix", checkpoint.prefix or "none"
    yield "layout", str(layout)
    yield "architecture", found.architecture or "not told by the shapes"
    yield "classes", str(layout.classes or "no classifier")
    yield "tensors", f"{len(checkpoint.tensors)} ({dtypes}), {found.parameters:,} numbers"
    if checkpoint.dropped:
        yield "left out", _few(checkpoint.dropped)
    if checkpoint.others:
        yield "beside it", _few(checkpoint.others)
    yield "usable" if found.usable else "refused", found.verdict


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
