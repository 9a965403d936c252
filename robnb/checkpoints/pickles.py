"""What a pickle would import, found without running any of it."""

from __future__ import annotations

import contextlib
import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

#: What torch rebuilds plain tensors from, and what it takes with ``weights_only=True`` beside them.
_PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter"
    r"|torch\.(cuda\.)?\w+(Storage|Tensor)|torch\.storage\.\w+Storage|torch\.serialization\._get_layout"
    r"|torch\.(Tensor|Size|device|strided|bool|b?float\d\w*|u?int\d+|complex\d+)"
    r"|_codecs\.encode|builtins\.(set|complex|bytearray)"
)

#: torch's older format is five pickles in a row: a magic number, the protocol, the machine, the object, its storages.
_LEGACY_PICKLES = 5


def wanted(path: Path) -> tuple[str, ...]:
    """The names that unpickling a torch file would import, other than those of plain tensors, sorted.

    A file that is cut short gives those before the cut; one that is no pickle gives none.
    """
    names: set[str] = set()
    # The bytes are anybody's: zip, zlib and pickletools raise many kinds, and what was found until then stands.
    with contextlib.suppress(Exception), open(path, "rb") as file:
        for name in _imports(file):
            names.add(name.replace("__builtin__", "builtins"))
    return tuple(sorted(name for name in names if not _PLAIN.fullmatch(name)))


def _imports(file: IO[bytes]) -> Iterator[str]:
    if not zipfile.is_zipfile(file):
        file.seek(0)
        for _ in range(_LEGACY_PICKLES):
            yield from _globals(file)
        return
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            if member.endswith(".pkl"):
                yield from _globals(io.BytesIO(archive.read(member)))


def _globals(file: IO[bytes]) -> Iterator[str]:
    """``module.name`` of one pickle, whichever of the three instructions names it."""
    strings: list[str] = []  # pushed so far; the newest protocol takes module and name from the stack
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif isinstance(argument, str):
            strings.append(argument)
        elif opcode.name == "MEMOIZE" and strings:
            memo[len(memo)] = strings[-1]
        elif "PUT" in opcode.name and strings:
            memo[argument] = strings[-1]
        elif "GET" in opcode.name and argument in memo:
            strings.append(memo[argument])
