"""The architecture: imports inside robnb point down this list, never up or across.

A module or sub-package may import what stands above its own line here. Inside a sub-package its files may import each
other, but not in a circle.
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "robnb"
ORDER = [
    {"errors", "cores"},
    {"names", "seeding", "progress", "provenance", "threads"},
    {"reference", "parameters", "store"},
    {"assets", "data", "corruptions", "checkpoints", "recipes"},
    {"copies", "strength"},
    {"augment"},
    {"models"},
    {"launch"},
    {"training"},
    {"pretrain"},
    {"transfer"},
    {"distributed"},
    {"evaluation"},
    {"metrics"},
    {"statistics", "corruption_error"},
    {"export"},
    {"tables"},
    {"plots"},
    {"widgets"},
    {"speed"},
    {"settings"},
    {"published"},
    {"upstream"},
    {"study"},
    {"planning"},
    {"ledger"},
    {"papermill_io", "kernel"},
    {"running"},
    {"notebook_page"},
    {"runner"},
    {"rounds"},
    {"report"},
    {"needs"},
    {"cli"},
]
RANK = {module: rank for rank, layer in enumerate(ORDER) for module in layer}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def dotted(path: Path) -> str:
    """``data/coco.py`` is data.coco, ``data/__init__.py`` is data."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path) for path in FILES}


def imported(source: str) -> Iterator[str]:
    """The modules of robnb that a file imports, wherever in it, as dotted names below robnb."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("robnb.") for alias in node.names if alias.name.startswith("robnb."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports inside robnb are written out: from robnb.data import ..."
            parts = (node.module or "").split(".")
            for alias in node.names if parts[0] == "robnb" else []:
                full = ".".join([*parts[1:], alias.name])
                yield full if full in MODULES or len(parts) == 1 else ".".join(parts[1:])


def violations(module: str, source: str) -> list[str]:
    """What a file of the sub-package or module ``module`` imports from its own layer or a later one."""
    others = {name.split(".")[0] for name in imported(source)} - {module}
    return sorted(name for name in others & set(RANK) if RANK[name] >= RANK[module])


def test_the_list_is_complete():
    assert {dotted(path).split(".")[0] for path in FILES} == set(RANK)


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_imports_point_down(path):
    assert not violations(dotted(path).split(".")[0], path.read_text())


def test_files_of_a_sub_package_do_not_import_in_a_circle():
    graph = {dotted(path): {name for name in imported(path.read_text()) if name != dotted(path)} for path in FILES}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from robnb.study import Study", ["study"]),
        ("from robnb import plots", ["plots"]),
        ("import robnb.cli", ["cli"]),
        ("def f():\n    from robnb.evaluation.sweep import sweep", ["evaluation"]),
        ("from robnb.errors import UserError\nimport numpy\nfrom robnb import __version__, store", []),
    ],
)
def test_the_check_finds_what_it_should(source, found):
    assert violations("models", source) == found
