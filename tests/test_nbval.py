"""`make nbval` on small notebooks, by the real nbval; tests/test_everything.py has the real ones."""

from pathlib import Path

import compare_executed
import jupytext
import nbformat
import pytest
import tiny

TABLE = """\
import pandas as pd
from robnb.progress import bar
table = pd.DataFrame({"backbone": ["regular", "ant3x3"], "drop": [31.25, 17.5 * steps]})
folder = Path(outputs) / profile / "01_tiny"
store = Path(outputs) / profile / "store"
if not store.exists():
    store.mkdir()
    with bar(2, "train") as shown:
        shown.update(2)
table.to_csv(folder / "summary.csv")
table"""


def compare(root: Path, *arguments: str) -> int:
    return compare_executed.main(["--root", str(root), *arguments])


def products(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("outputs/**/*") if path.is_file()}


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    """A notebook that had not been executed when it was compared, as in a new checkout."""
    root = tiny.make(tmp_path_factory.mktemp("nbval"), TABLE)
    (root / "params/smoke/all.yaml").write_text("notebooks: [01_tiny]\n")
    assert compare(root) == 0
    return root


@pytest.fixture
def notebook(executed):
    """The path of the executed notebook; what a test does to it is undone."""
    path = executed / "outputs/smoke/01_tiny/01_tiny.ipynb"
    before = path.read_text()
    yield path
    path.write_text(before)


def plant(path: Path, old: str, new: str) -> None:
    """Change what a cell of an executed notebook has printed."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_notebook_that_is_not_there_is_executed_and_then_compared(executed, notebook):
    """The first execution showed a bar where the second reads what is there; that is no difference."""
    assert "train: 100%" in notebook.read_text()


def test_comparing_leaves_the_products_as_they_are(executed, capfd):
    """The second execution writes as well: its files, too, but not here."""
    before = products(executed)
    assert "outputs/smoke/01_tiny/summary.csv" in before
    assert compare(executed) == 0
    assert "5 passed" in capfd.readouterr().out
    assert products(executed) == before


def test_one_changed_digit_in_a_table_fails_and_names_the_cell(executed, notebook, capfd):
    plant(notebook, "<td>31.25</td>", "<td>31.26</td>")
    assert compare(executed) == 1
    captured = capfd.readouterr()
    assert "FAILED smoke/01_tiny/01_tiny.ipynb::Cell 4" in captured.out and "1 failed, 4 passed" in captured.out
    assert "mismatch 'text/html'" in captured.out and "31.26" in captured.out
    assert "if the new output is right, keep it: robnb run all --profile smoke" in captured.err


def clear_outputs(path: Path) -> None:
    """As JupyterLab does."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, path)


def convert_alone(path: Path) -> None:
    """What jupytext makes of a percent file: a notebook that was never executed."""
    source = path.parents[3] / "notebooks/01_tiny.py"
    jupytext.write(jupytext.read(source), path)


@pytest.mark.parametrize("unexecuted", [clear_outputs, convert_alone])
def test_a_notebook_without_outputs_is_refused(executed, notebook, unexecuted, capfd):
    """nbval itself would compare nothing and pass."""
    unexecuted(notebook)
    assert compare(executed) == 2
    captured = capfd.readouterr()
    assert "01_tiny.ipynb was never executed, or its outputs were cleared" in captured.err
    assert "test session starts" not in captured.out


def test_what_was_executed_with_other_parameters_is_executed_again(executed, notebook):
    """Otherwise the comparison would be of another notebook than the one in git."""
    params = executed / "params/smoke/01_tiny.yaml"
    before = params.read_text()
    params.write_text("steps: 5\n")
    assert compare(executed) == 0
    assert nbformat.read(notebook, as_version=4).metadata.papermill.parameters["steps"] == 5
    params.write_text(before)


@pytest.mark.parametrize(
    ("cell", "arguments", "says"),
    [
        ("1 / 0", [], "01_tiny failed, so that there is nothing to compare with: "),
        ("1", ["02_tiny"], "unknown notebook '02_tiny': did you mean '01_tiny'?"),
        ("1", ["--profile", "smoek"], "unknown profile 'smoek': did you mean 'smoke'?"),
    ],
    ids=["failing", "notebook", "profile"],
)
def test_nothing_to_compare_with_ends_with_2(tmp_path, cell, arguments, says, capfd):
    tiny.make(tmp_path, cell)
    (tmp_path / "params/smoke/all.yaml").write_text("notebooks: [01_tiny]\n")
    assert compare(tmp_path, *arguments) == 2
    assert says in capfd.readouterr().err
