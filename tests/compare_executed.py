"""Execute the finished notebooks of a profile again and compare what every cell prints with nbval: `make nbval`.

    python tests/compare_executed.py [NOTEBOOK ...] [--profile P] [--outputs DIR]

The notebooks are those of ``params/<profile>/all.yaml``, as `robnb run` left them. One that is not there, or was
executed with other cells or parameters than it has now, is executed first. A change in the package does not count:
that the tables come out as they did before is what is compared.

The second execution is of copies, whose products go to a temporary folder and are dropped. It shares the profile's
store and data, so that finished work is read and not repeated. Options of pytest go into PYTEST_ADDOPTS.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbval.plugin import coalesce_streams, get_sanitize_patterns
from papermill.parameterize import parameterize_notebook

from robnb.cli.notebook import add_outputs, outputs_of
from robnb.errors import UserError
from robnb.names import choose
from robnb.rounds.entries import Entry, prepare_all
from robnb.rounds.lanes import default_lanes
from robnb.rounds.round import run_all

SANITIZE = Path(__file__).with_name("nbval.cfg")
#: What nbval.cfg makes of bars.
PROGRESS = "PROGRESS"
#: The tag of the cell that papermill adds.
INJECTED = "injected-parameters"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 if every cell prints what it did, 1 if one does not, 2 if there is nothing to compare with."""
    parser = argparse.ArgumentParser(description="Execute finished notebooks again and compare what the cells print.")
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="as 02_full_network@severities (default: all)")
    parser.add_argument("--profile", default="smoke", metavar="P", help="a folder of params/ (default: smoke)")
    add_outputs(parser)
    given = parser.parse_args(arguments)
    try:
        code = compare(chosen(given), outputs_of(given) / given.profile)
    except UserError as error:
        print(f"robnb: {error}", file=sys.stderr)
        return 2
    if code:
        print(f"robnb: if the new output is right, keep it: robnb run all --profile {given.profile}", file=sys.stderr)
    return min(code, 1)


def chosen(given: argparse.Namespace) -> list[Entry]:
    """The entries of the profile's list that are called by name, or all."""
    entries = prepare_all(given.profile, outputs_of(given), given.root)
    names = [choose(name, [entry.name for entry in entries], "notebook") for name in given.names]
    return [entry for entry in entries if not names or entry.name in names]


def compare(entries: Sequence[Entry], folder: Path) -> int:
    """Compare every entry; ``folder`` is the profile's. Returns pytest's exit code.

    Raises:
        UserError: a notebook is there without outputs, or cannot be executed.
    """
    bring_up_to_date(entries, folder)
    with tempfile.TemporaryDirectory(prefix="robnb-nbval-") as scratch:
        copies = Path(scratch) / folder.name
        copies.mkdir()
        for shared in ("store", "data"):
            if (folder / shared).is_dir():
                (copies / shared).symlink_to(folder / shared)
        for path in folder.glob("*/provenance.json"):  # some notebooks read with what the others were run
            (copies / path.parent.name).mkdir()
            shutil.copy(path, copies / path.parent.name)
        targets = [copy(entry, Path(scratch)) for entry in entries]
        return nbval(targets, Path(scratch))


def executed(entry: Entry) -> Path:
    """Where `robnb run` leaves it."""
    return entry.job.folder / f"{entry.job.source.stem}.ipynb"


def bring_up_to_date(entries: Sequence[Entry], folder: Path) -> None:
    """Execute what is not there or not as it is now; with it what comes after all others, because it reads them."""
    stale = [entry for entry in entries if not up_to_date(entry)]
    stale += [entry for entry in entries if stale and entry.after_all and entry not in stale]
    if not stale:
        return
    lanes = default_lanes() if len(stale) > 1 else 1
    for outcome in run_all(stale, folder, lanes):
        if outcome.how == "failed":
            raise UserError(f"{outcome.entry.name} failed, so that there is nothing to compare with: {outcome.says}")


def up_to_date(entry: Entry) -> bool:
    """Whether it was executed with the cells, tags and parameters that it has now.

    Raises:
        UserError: it has no outputs. nbval would compare nothing, and pass.
    """
    if not executed(entry).is_file():
        return False
    notebook = nbformat.read(executed(entry), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if not any(cell.outputs for cell in code) or any(cell.execution_count is None for cell in code):
        raise UserError(
            f"{executed(entry)} was never executed, or its outputs were cleared, so there is nothing to compare "
            "with: delete it, and it will be executed."
        )
    given = notebook.metadata.get("papermill", {}).get("parameters")
    return given == json.loads(json.dumps(entry.job.parameters)) and _cells(notebook) == _cells(
        jupytext.read(entry.job.source, fmt="py:percent")
    )


def _cells(notebook: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """Source and tags of what was written by hand."""
    cells = [(cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    return [(source, tags) for source, tags in cells if INJECTED not in tags]


def copy(entry: Entry, scratch: Path) -> Path:
    """The executed notebook with its products going elsewhere, and without outputs that are progress alone."""
    notebook = nbformat.read(executed(entry), as_version=4)
    notebook = parameterize_notebook(notebook, {**entry.job.parameters, "outputs": str(scratch)})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in coalesce_streams(cell.outputs) if not is_progress(output)]
    target = scratch / entry.job.folder.parent.name / entry.name / executed(entry).name
    target.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, target)
    return target


def is_progress(output: nbformat.NotebookNode) -> bool:
    """Whether a stream has nothing but bars in it. nbval cannot compare one that is only on one side."""
    if output.output_type != "stream":
        return False
    text = output.text
    for pattern, replacement in get_sanitize_patterns(SANITIZE.read_text()):
        text = re.sub(pattern, replacement, text)
    return text == PROGRESS


def nbval(notebooks: Sequence[Path], scratch: Path) -> int:
    """pytest's exit code; it also fails where there is nothing to test."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(SANITIZE)]
    command += [] if sys.stdout.isatty() else ["--color=no"]
    command += [f"--rootdir={scratch}", *(str(path.relative_to(scratch)) for path in notebooks)]
    silent = {**os.environ, "TQDM_DISABLE": "1"}  # the other side has no bars either
    return subprocess.run(command, cwd=scratch, env=silent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
