"""The README: what it names is there, and what it says to type is understood."""

import re
import shlex
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, ROOT

from robnb.cli import _understood

README = (ROOT / "README.md").read_text()
#: Lines of the command in blocks; what follows a # is a comment, and one that ends with a backslash goes on.
COMMANDS = re.findall(r"^ {4}(robnb (?:.*\\\n)*[^#\n]+)", README, re.M)


def test_the_tour_has_every_notebook():
    tour = re.search(r"^## The notebooks$(.+?)^## ", README, re.M | re.S)[1]
    assert sorted(re.findall(r"^\| `(\w+)`", tour, re.M)) == [path.stem for path in NOTEBOOKS]


def test_every_file_that_it_names_is_there():
    named = re.findall(r"`((?:robnb|tests|params|notebooks)/[\w./]+)`", README)
    named += re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line):
    words = shlex.split(line.replace("\\\n", " "))[1:]
    assert _understood(words).command
    if words[0] in ("run", "plan", "export") and words[1] != "all":
        assert any(path.stem.startswith(words[1]) for path in NOTEBOOKS)


def test_every_make_target_is_one():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^ {4}|`)make (?:[A-Z]+=\S+ )*([a-z]\w*)", README, re.M))
    assert {"demo", "test", "lab", "nbval"} <= named <= targets


def test_there_is_no_private_path():
    assert "/work/" not in README and str(Path.home()) + "/" not in README
