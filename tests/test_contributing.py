"""CONTRIBUTING.md says how a corruption, a backbone, a recipe, a notebook and a claim are added: done, in a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import test_notebooks

ROOT = Path(__file__).parents[1]
PARTS = ["A corruption", "A backbone", "A recipe", "A notebook", "A claim"]
#: The first line of a block.
GOES_TO = re.compile(r"    # (?P<file>(robnb|notebooks|params)/\S+)(, in (?P<collection>\w+))?\n")
#: A line that closes what it is the end of, and nothing inside it.
CLOSES = re.compile(r"\s*[)\]}](  # fmt: skip)?")


def blocks() -> list[tuple[str, str, str, str]]:
    """(part, file, the collection that it is an entry of, text) of every block that says where it goes."""
    section = re.search(r"^## Adding to it$(.+?)^## ", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)[1]
    found, part = [], ""
    for line in section.splitlines(keepends=True):
        goes_to = GOES_TO.fullmatch(line)
        if line.startswith("### "):
            part = line.removeprefix("### ").strip()
        elif goes_to:
            found.append((part, goes_to["file"], goes_to["collection"] or "", []))
        elif line.startswith("    ") or (line == "\n" and found):
            found[-1][-1].append(line.removeprefix("    "))
    return [(*about, "".join(lines).strip("\n") + "\n") for *about, lines in found]


def entered(source: str, collection: str, entry: str) -> str:
    """A file with another entry at the end of one of its collections."""
    lines = source.splitlines()
    at = next(k for k, line in enumerate(lines) if re.match(rf"{collection}\b.*[(\[{{]$", line))
    end = next(k for k in range(at, len(lines)) if CLOSES.fullmatch(lines[k]) and lines[k][0] != " ")
    while CLOSES.fullmatch(lines[end - 1]):
        end -= 1
    return "\n".join([*lines[:end], *entry.splitlines(), *lines[end:]]) + "\n"


def put(path: Path, collection: str, text: str) -> None:
    """Do what a block says: a new file, an entry, an import, a line in place of that of its name, or lines below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text() if path.exists() else ""
    name = re.match(r"(\w+)[: ].*=", text)
    line = name and re.compile(rf"^{name[1]}\b.*\n", re.M)
    if collection:
        after = entered(before, collection, text)
    elif before and text.startswith("from "):
        after = before.replace("\nfrom robnb", f"\n{text}from robnb", 1)
    else:
        after = line.sub(lambda _: text, before, count=1) if line and line.search(before) else before + text
    assert after != before
    path.write_text(after)


def here(root: Path) -> dict[str, str]:
    """The environment in which the copy's package is the one that is imported."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(ROOT / "tests")])}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The package with everything in it that CONTRIBUTING.md adds."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "robnb", root / "robnb", ignore=shutil.ignore_patterns("__pycache__"))
    for _, path, collection, text in blocks():
        put(root / path, collection, text)
    return root


def python(root: Path, code: str) -> str:
    """What a program prints that imports the copy."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=here(root), cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_says_how_to_add_each():
    assert list(dict.fromkeys(part for part, *_ in blocks())) == PARTS


def test_the_added_notebook_keeps_the_rules(copy):
    (path,) = (copy / "notebooks").glob("*.py")
    test_notebooks.test_the_header_names_the_kernel_and_nothing_else(path)
    test_notebooks.test_parameters_are_literals_each_with_its_meaning(path)
    test_notebooks.test_every_parameter_is_used(path)
    test_notebooks.test_cells_are_thin(path)
    test_notebooks.test_prose_comes_first_and_code_last(path)


@pytest.mark.slow
def test_the_added_notebook_runs_with_all_that_was_added(copy):
    """By the real command: the new architecture learns by the new recipe and is scored under the new corruption."""
    command = [sys.executable, "-m", "robnb.cli", "run", "10", "--root", str(copy), "--profile", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, env=here(copy), cwd=copy, timeout=600)
    assert done.returncode == 0, done.stderr
    folder = copy / "outputs/smoke/10_uniform_noise"
    scores = pd.read_csv(folder / "scores.csv")
    assert set(scores["corruption"]) == {"clean", "uniform_noise", "gaussian_noise"}
    assert set(scores["backbone"]) == {"resnet_small"} and set(scores["weights"]) == {"regular", "gaussian"}
    assert (folder / "figures/differences.png").is_file()


def test_the_added_corruption_is_one_of_the_rest(copy):
    """It adds what it says, to one image as to many, and the reference engine does not have it."""
    code = """
import numpy as np, torch
import robnb
from robnb.corruptions import conditions, corrupt, corrupt_batch
from robnb.errors import UserError
grey = np.full((64, 64, 3), 128, np.uint8)
noisy = corrupt(grey, "uniform_noise", 1, image_id="a")
away = noisy.astype(int) - 128
assert -21 <= away.min() and away.max() <= 20 and abs(away.std() - 0.08 * 255 / 3**0.5) < 0.2, away.std()
both = corrupt_batch(torch.from_numpy(np.stack([grey, grey])), "uniform_noise", 1, image_ids=["b", "a"])
assert (both[1].numpy() == noisy).all() and (both[0] != both[1]).any()
assert len(conditions(["benchmark"], [1])) == 16
try:
    corrupt(grey, "uniform_noise", 1, image_id="a", engine="reference")
except UserError as error:
    print(error)
print(robnb.__file__)
"""
    refused, file = python(copy, code).splitlines()
    assert refused == "the imagecorruptions package has no uniform_noise: leave it out, or take engine fast."
    assert Path(file).is_relative_to(copy)


@pytest.mark.slow
def test_the_added_claim_holds_where_it_is_true_and_fails_in_the_mirror(copy):
    code = """
import worlds
from test_ledger import as_the_paper_says, reversed_world, verdicts
for truth in (as_the_paper_says, reversed_world):
    print(verdicts(worlds.found(truth))["C26"])
"""
    assert python(copy, code).splitlines() == ["holds", "does not hold"]
