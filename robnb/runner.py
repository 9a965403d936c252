"""Execute one notebook with one profile's parameters, and leave it, its HTML and its products in one folder.

    <outputs>/<profile>/<name>/<name>.ipynb, <name>.html, summary.csv, figures/*.png

A variation, a run with other parameters than the profile's, goes to ``<outputs>/<profile>/<name>@<variation>/``. The
first two files are written here, the others by the notebook. What is at these names is always a finished run: a running
notebook is kept under another name, a failed one as ``<name>.failed.ipynb``.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import yaml

from robnb.errors import UserError
from robnb.names import choose
from robnb.parameters import check_parameters, notebook_parameters, products_folder
from robnb.running import Bar, Progress, RunFailed, execute


@dataclass(frozen=True)
class Products:
    """Where a finished run left what it made; ``summary`` is None if the notebook wrote no table."""

    notebook: Path
    html: Path
    summary: Path | None
    figures: list[Path]


def find_notebook(name: str, notebooks: Path) -> Path:
    """The percent file that is called ``name`` or is the only one whose name begins so (``01``).

    Raises:
        UserError: none is, or several are.
    """
    names = sorted(path.stem for path in notebooks.glob("*.py"))
    wanted = name.removesuffix(".py").removeprefix("notebooks/")
    matching = [wanted] if wanted in names else [other for other in names if wanted and other.startswith(wanted)]
    if len(matching) > 1:
        raise UserError(f"{name!r} could be {' or '.join(matching)}: write more of the name.")
    return notebooks / f"{matching[0] if matching else choose(wanted, names, 'notebook')}.py"


def load_parameters(name: str, profile: str, params: Path) -> dict[str, object]:
    """What ``params/<profile>/<name>.yaml`` holds.

    Raises:
        UserError: there is no such profile, it has no file for this notebook, or the file is not a YAML mapping.
    """
    choose(profile, sorted(folder.name for folder in params.glob("*") if folder.is_dir()), "profile")
    path = params / profile / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"the profile {profile} has no parameters for {name}: write {path}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML ({' '.join(str(error).split())}): correct it.") from None
    if values is not None and not isinstance(values, dict):
        raise UserError(f"{path} should hold `name: value` lines.")
    return values or {}


@dataclass(frozen=True)
class Job:
    """A notebook with everything that a run of it is given, checked.

    ``folder`` is where its products go; its name tells a variation from the notebook itself.
    """

    source: Path
    folder: Path
    parameters: dict[str, object]


def prepare(
    name: str,
    profile: str,
    outputs: Path,
    *,
    notebooks: Path,
    params: Path,
    overrides: dict[str, object] | None = None,
    origin: str = "-p",
    variation: str = "",
) -> Job:
    """Find a notebook and check what it is to be run with. Nothing is written.

    Args:
        overrides: parameters that go before those of the profile's file.
        origin: where the overrides come from, for the sentence that refuses one.
        variation: a name for what the overrides make of the notebook; its products go to a folder of their own.

    Raises:
        UserError: there is no such notebook, profile or parameter, or a value does not fit.
    """
    source = find_notebook(name, notebooks)
    name = source.stem
    values = load_parameters(name, profile, params)
    defaults = notebook_parameters(source)
    check_parameters(values, defaults, f"params/{profile}/{name}.yaml")
    check_parameters(overrides or {}, defaults, origin)
    for given in sorted({"profile", "outputs", "variation"} & (overrides or {}).keys()):
        raise UserError(f"{origin} {given} cannot be set: use --{given}.")
    if "variation" in values:
        raise UserError(f"params/{profile}/{name}.yaml: variation cannot be set there: use --variation.")
    if variation and "variation" not in defaults:
        raise UserError(f"{name} has no parameter variation, so it has no variations: leave out --variation.")
    fixed = {"profile": profile, "outputs": str(outputs), **({"variation": variation} if variation else {})}
    check_parameters(fixed, defaults, source.name)
    folder = products_folder(str(outputs), profile, name, variation)
    return Job(source, folder, {**values, **(overrides or {}), **fixed})


def run(job: Job, *, timeout: int | None = None, progress: Callable[[str, int], Progress] = Bar) -> Products:
    """Execute a notebook; see the module's docstring for where everything goes.

    Args:
        timeout: seconds that one cell may take; None for no limit.
        progress: what shows how far it is, made with a label and the number of cells.

    Raises:
        UserError: bad input, found by a cell, or a folder that cannot be written or is written by another run.
        RunFailed: a cell raised anything else, took too long, or the kernel died.
    """
    with alone(writable(job.folder), "this notebook"):
        return _execute_into(job, timeout, progress)


def _execute_into(job: Job, timeout: int | None, progress: Callable[[str, int], Progress]) -> Products:
    from robnb.notebook_page import as_html  # nbconvert takes a while to load, which other commands need not wait for

    name, folder = job.source.stem, job.folder
    running, failed, final = (folder / f"{name}{suffix}.ipynb" for suffix in (".running", ".failed", ""))
    cells = len(jupytext.read(job.source, fmt="py:percent").cells) + 1  # papermill adds one with what it injects
    try:
        with progress(folder.name, cells) as shown:
            notebook = execute(job.source, running, job.parameters, shown, timeout)
    except RunFailed as error:
        running.replace(failed)
        error.notebook = failed
        raise
    finally:
        running.unlink(missing_ok=True)
    notebook.metadata.papermill["output_path"] = str(final)
    html = final.with_suffix(".html")
    for path, text in ((final, nbformat.writes(notebook)), (html, as_html(notebook))):
        running.write_text(text, encoding="utf-8")
        running.replace(path)
    failed.unlink(missing_ok=True)
    summary = folder / "summary.csv"
    figures = sorted((folder / "figures").glob("*.png"))
    return Products(final, html, summary if summary.is_file() else None, figures)


def writable(folder: Path) -> Path:
    """The folder, made if it was not there.

    Raises:
        UserError: nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(
            f"cannot write to the outputs folder {folder} ({error.strerror}): give another one with --outputs."
        ) from None


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Keep two runs from writing the same folder; the system drops the lock when its holder ends, however it does.

    Raises:
        UserError: ``another robnb is running <what> into <folder>: ...``
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another robnb is running {what} into {folder}: wait for it, or give another --outputs."
            ) from None
        yield
