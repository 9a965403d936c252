"""Static rules for notebooks/*.py and params/*/*.yaml. Nothing here executes a notebook."""

import ast
from pathlib import Path

import jupytext
import pytest

from robnb.parameters import check_parameters, notebook_parameters
from robnb.runner import load_parameters
from robnb.study import Study
from robnb.upstream import pretrain_spec

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
#: all.yaml is of no notebook: it names what `robnb run all` executes.
PARAMS = sorted(path for path in (ROOT / "params").glob("*/*.yaml") if path.stem != "all")
PROFILES = ("smoke", "mini", "lab", "paper")
MAX_LINES = 15
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list:
    return [cell for cell in jupytext.read(path, fmt="py:percent").cells if cell.cell_type == "code"]


def is_parameters(cell) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def test_there_is_something_to_check():
    assert [path.stem for path in NOTEBOOKS[:3]] == ["00_assets", "00_inspect_corruptions", "00_pretrain"]
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


#: The profiles that a notebook lacks: nobody but the authors has the authors' models, the published backbones need no
#: pretraining, and a list of files or a timing is no other on a larger miniworld.
ABSENT = {
    "authors_models": {"smoke", "mini", "lab"}, "00_pretrain": {"paper"}, "00_assets": {"lab"}, "09_speed": {"lab"},
}  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
@each_notebook
def test_every_notebook_has_every_profile(path, profile):
    there = (ROOT / "params" / profile / f"{path.stem}.yaml").is_file()
    assert there is (profile not in ABSENT.get(path.stem, set()))


def test_the_notebooks_of_a_profile_share_their_backbones():
    """A backbone that two notebooks name has one key, so that it is trained once."""
    for profile in ("smoke", "mini", "lab"):
        found: dict[str, set[str]] = {}
        for path in NOTEBOOKS:
            if not path.stem.startswith("0") or not (ROOT / "params" / profile / f"{path.stem}.yaml").is_file():
                continue
            parameters = {**notebook_parameters(path), **load_parameters(path.stem, profile, ROOT / "params")}
            if parameters.get("data") != "miniworld":
                continue
            study = Study.from_notebook(path.stem, parameters)
            world = {name: count for name, count in study.miniworld.items() if name != "upstream_larger"}
            for name in study.backbones:
                larger = study.miniworld["upstream_larger"] if name.endswith("_larger") else None
                key = pretrain_spec(study, name, study.training_seeds[0], f"{sorted(world.items())} {larger}").key
                found.setdefault(name, set()).add(key)
        assert found and {name: keys for name, keys in found.items() if len(keys) > 1} == {}


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_params_fit_their_notebook(path):
    values = load_parameters(path.stem, path.parent.name, ROOT / "params")
    check_parameters(values, notebook_parameters(ROOT / "notebooks" / f"{path.stem}.py"), str(path.relative_to(ROOT)))
    assert values.get("profile", path.parent.name) == path.parent.name
