"""A complaint stays one sentence wherever it is raised, and wherever a notebook that meets it is run."""

import subprocess
import sys

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from torch.utils.data import DataLoader, Dataset

from robnb.errors import UserError
from robnb.papermill_io import as_ipynb

SENTENCE = "cannot decode the image a.jpg: delete it and fetch it again."
#: A notebook whose second cell raises it, in a function of a kind of its own.
NOTEBOOK = """\
# %%
from robnb.errors import UserError
class Undecodable(UserError):
    pass
def read(path):
    raise Undecodable(f"cannot decode the image {path}: delete it and fetch it again.")

# %%
read("a.jpg")
"""


class Broken(Dataset):
    """Cannot read its only image."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise UserError(SENTENCE)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_worker_does_not_wrap_the_sentence_in_its_traceback(workers):
    with pytest.raises(UserError) as caught:
        next(iter(DataLoader(Broken(), num_workers=workers)))
    assert str(caught.value) == SENTENCE


def test_a_notebook_shows_the_sentence_in_place_of_a_traceback():
    """What a kernel sends is what JupyterLab shows; the debugger still knows where it was raised."""
    text = NOTEBOOK + "\n# %%\nimport sys, traceback\ntraceback.extract_tb(sys.last_traceback)[-1].name\n"
    notebook = nbformat.reads(as_ipynb(text), as_version=4)
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=60).execute()
    (shown,), (raised_in,) = notebook.cells[1].outputs, notebook.cells[2].outputs
    assert shown.output_type == "error" and shown.traceback == [f"UserError: {SENTENCE}"]
    assert raised_in.data["text/plain"] == "'read'"


@pytest.mark.parametrize(
    "program",
    [
        ["papermill", "--no-progress-bar", "x.py", "out.ipynb"],
        # -rN: pytest's summary would repeat it, which is cut at 80 characters, but not where CI is set.
        ["pytest", "--nbval-lax", "--color=no", "-rN", "x.ipynb"],
    ],
    ids=["papermill", "nbval"],
)
def test_the_programs_that_run_notebooks_show_it_once_and_none_of_our_frames(tmp_path, program):
    (tmp_path / "x.py").write_text(NOTEBOOK)
    jupytext.write(jupytext.read(tmp_path / "x.py"), tmp_path / "x.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", *program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert said.count(f"UserError: {SENTENCE}") == 1
    assert "Cell In" not in said and "---->" not in said and "in read(" not in said
