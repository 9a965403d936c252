"""Static rules for notebooks/*.py and params/*/*.yaml. Nothing here executes a notebook."""

import ast
from pathlib import Path

import jupytext
import pytest

from robnb.parameters import check_parameters, notebook_parameters
from robnb.runner import load_parameters

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
PARAMS = sorted((ROOT / "params").glob("*/*.yaml"))
PROFILES = ("smoke", "mini", "paper")
MAX_LINES = 15
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list:
    return [cell for cell in jupytext.read(path, fmt="py:percent").cells if cell.cell_type == "code"]


def is_parameters(cell) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def test_there_is_something_to_check():
    assert [path.stem for path in NOTEBOOKS[:3]] == ["00_assets", "01_fixed_feature", "02_full_network"]
    assert PARAMS


@each_notebook
def test_the_header_names_the_kernel_and_nothing_else(path):
    lines = path.read_text().split("# ---\n")[1].splitlines()
    keys = [line.removeprefix("#").strip().split(":")[0] for line in lines]
    assert keys == ["jupyter", "kernelspec", "display_name", "language", "name"]
    assert "#     name: python3" in lines


@each_notebook
def test_parameters_are_literals_each_with_its_meaning(path):
    defaults = notebook_parameters(path)
    assert {"profile", "outputs"} <= set(defaults), "robnb run sets these"
    (cell,) = filter(is_parameters, code_cells(path))
    lines = cell.source.splitlines()
    for node in ast.parse(cell.source).body:
        assert "# " in lines[node.end_lineno - 1], f"{ast.unparse(node)}: say what it means in a comment behind it"


@each_notebook
def test_every_parameter_is_used(path):
    """By name, or all of them by handing over the notebook's globals()."""
    rest = [ast.parse(cell.source) for cell in code_cells(path) if not is_parameters(cell)]
    read = {node.id for tree in rest for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if "globals" not in read:
        assert set(notebook_parameters(path)) <= read


@each_notebook
def test_cells_are_thin(path):
    for cell in code_cells(path):
        if not is_parameters(cell):
            assert len(cell.source.splitlines()) <= MAX_LINES, cell.source
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, definitions)], cell.source


@each_notebook
def test_prose_comes_first_and_code_last(path):
    cells = jupytext.read(path, fmt="py:percent").cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert cells[-1].cell_type == "code"


#: Notebooks whose models cannot be made in miniworld: adversarially trained backbones, and what only the authors have.
PAPER_ONLY = {"04_adversarial_priors", "authors_models"}


@pytest.mark.parametrize("profile", PROFILES)
@each_notebook
def test_every_notebook_has_every_profile(path, profile):
    wanted = profile == "paper" or path.stem not in PAPER_ONLY
    assert (ROOT / "params" / profile / f"{path.stem}.yaml").is_file() is wanted


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_params_fit_their_notebook(path):
    values = load_parameters(path.stem, path.parent.name, ROOT / "params")
    check_parameters(values, notebook_parameters(ROOT / "notebooks" / f"{path.stem}.py"), str(path.relative_to(ROOT)))
    assert values.get("profile", path.parent.name) == path.parent.name
