"""Published hashes, as the catalogue writes them: ``sha256:``, ``sha256-8:``, ``md5:`` or ``sha1:``, then digits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

#: Digits of each form.
DIGITS = {"sha256": 64, "sha256-8": 8, "md5": 32, "sha1": 40}
_FORM = re.compile(r"(sha256|sha256-8|md5|sha1):([0-9a-f]+)")


def parse(published: str) -> tuple[str, str]:
    """The algorithm as hashlib names it, and the digits (of sha256-8 only the first eight).

    Raises:
        ValueError: not of one of the four forms.
    """
    match = _FORM.fullmatch(published)
    if match is None or len(match[2]) != DIGITS[match[1]]:
        raise ValueError(f"not a published hash: {published!r}")
    return match[1].removesuffix("-8"), match[2]


def digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """The hexadecimal digests of a file by each algorithm, read once."""
    states = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for state in states.values():
                state.update(block)
    return {name: state.hexdigest() for name, state in states.items()}


def sha256(path: Path) -> str:
    """The file's sha256, 64 hexadecimal digits."""
    return digests(path, ["sha256"])["sha256"]


def mismatch(found: dict[str, str], published: str) -> str:
    """What is wrong with a file's digests, as ``md5 is ..., expected ...``; "" if they are as published."""
    algorithm, expected = parse(published)
    if found[algorithm].startswith(expected):
        return ""
    return f"its {algorithm} is {found[algorithm]}, expected {expected}{'...' if len(expected) == 8 else ''}"
