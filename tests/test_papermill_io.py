"""The plain papermill command reads percent files, through the entry point alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tiny
from click.testing import CliRunner
from papermill.cli import papermill as papermill_command

from robnb.errors import UserError
from robnb.papermill_io import as_ipynb, handler
from robnb.parameters import notebook_parameters

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


def papermill(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_command_executes_a_percent_file_with_a_params_file(tmp_path):
    tiny.make(tmp_path, 'print(f"{lr=} {steps=}")')
    done = papermill("notebooks/01_tiny.py", "out.ipynb", "-f", "params/smoke/01_tiny.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "does not end in" not in done.stderr
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[-1].outputs[0].text == "lr=0.01 steps=3\n"
    assert "jupytext" not in notebook.metadata


def test_the_command_lists_the_parameters_with_their_comments(tmp_path):
    tiny.make(tmp_path)
    done = papermill("--help-notebook", tmp_path / "notebooks/01_tiny.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "step size" in done.stdout


@pytest.mark.filterwarnings("ignore:The specified file")  # our own filter is in place where pytest sets none
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_help_of_every_notebook_explains_every_parameter(path):
    """papermill reads the cell with expressions of its own, which a second `=` in a line or a `#` in a text confuse."""
    done = CliRunner().invoke(papermill_command, ["--help-notebook", str(path)])
    assert done.exit_code == 0, done.output
    listed = re.findall(r"^  (\w+): (.+) \(default (.+?)\)(?:\n {34}| {2,})(\S.*)$", done.stdout, re.MULTILINE)
    assert {name: ast.literal_eval(default) for name, _, default, _ in listed} == notebook_parameters(path)
    assert all(kind != "Unknown type" for _, kind, default, _ in listed if default != "None")
    assert "Unable to parse" not in done.output


def test_an_unknown_parameter_ends_with_the_notebooks_own_sentence(tmp_path):
    """papermill itself only logs it. Its own traceback ends with what our notebooks say of it."""
    checks = 'from robnb.parameters import taken_from\ntaken_from(globals(), ["profile", "outputs", "lr", "steps"])'
    tiny.make(tmp_path, checks)
    done = papermill("notebooks/01_tiny.py", "out.ipynb", "-p", "stepz", 7, cwd=tmp_path)
    assert done.returncode == 1
    sentence = "unknown parameter 'stepz': did you mean 'steps'? Choose from lr, outputs, profile, steps."
    assert done.stderr.rstrip().endswith(f'Exception encountered at "In [4]":\nUserError: {sentence}')


def test_notebooks_that_are_ipynb_already_are_left_to_papermill(tmp_path):
    tiny.make(tmp_path, "print(steps)")
    (tmp_path / "in.ipynb").write_text(as_ipynb((tmp_path / "notebooks/01_tiny.py").read_text()))
    done = papermill("in.ipynb", "out.ipynb", "-p", "steps", 7, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0].text == "7\n"


def test_a_source_is_never_written_over(tmp_path):
    source = tmp_path / "01.py"
    source.write_text("# %%\n1\n")
    with pytest.raises(UserError, match=r"give a path that ends in \.ipynb"):
        handler.write("{}", str(source))
    assert source.read_text() == "# %%\n1\n"


def test_a_percent_file_without_a_header_gets_the_kernel_papermill_needs():
    notebook = nbformat.reads(as_ipynb('# %% tags=["parameters"]\na = 1\n'), as_version=4)
    assert notebook.metadata.kernelspec == {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert notebook.cells[0].metadata.tags == ["parameters"]


@pytest.mark.parametrize("first", ["papermill", "robnb.papermill_io", "papermill.iorw"])
def test_either_import_order_works(first):
    code = f"import {first}, papermill.iorw as io; print(type(io.papermill_io.get_handler('x.py')).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "PercentHandler", done.stderr
