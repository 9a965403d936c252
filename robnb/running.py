"""papermill's execution of a notebook, seen from the outside: how far it is, and two ways to fail."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError, strip_color
from tqdm import tqdm

import robnb.papermill_io  # noqa: F401  papermill reads percent files from here on, installed or not
from robnb.errors import UserError
from robnb.kernel import ThisPythonKernelManager

_TRACEBACK_LINES = 15


class RunFailed(Exception):
    """A notebook did not get to its end for a reason other than its input. ``notebook`` is what was executed of it."""

    notebook: Path | None = None


class Progress:
    """How far a notebook is: the section it is in, and the last line that its kernel printed. A subclass shows it.

    Args:
        label: what stands in place of a section until there is one.
        cells: how many the notebook has, with the one that papermill adds.
    """

    def __init__(self, label: str, cells: int) -> None:
        self.cells = cells
        self.cell = 0
        self.section = label
        self.line = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """The notebook is finished or has failed."""

    def cell_start(self, cell: Any, cell_index: int) -> None:
        """nbclient's ``on_cell_start``, called for every cell, prose included."""
        self.cell, self.line = cell_index, ""
        heading = re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            self.section = heading[1]
        self.show(now=bool(heading))

    def write(self, text: str) -> None:
        """What a cell prints: its last line is kept."""
        lines = [line.strip() for line in re.split(r"[\r\n]", strip_color(text)) if line.strip()]
        if lines:
            self.line = lines[-1]
            self.show(now=False)

    def flush(self) -> None:
        """papermill flushes what it writes to; there is nothing to do."""

    def finish(self) -> None:
        """Every cell was executed."""
        self.cell, self.line = self.cells, ""
        self.show(now=True)

    def show(self, now: bool) -> None:
        """Called at every change; ``now`` at those that should not wait."""
        raise NotImplementedError


class Bar(Progress):
    """A bar over the cells: redrawn in place on a terminal; in a log, a line per section and one a minute."""

    def __init__(self, label: str, cells: int) -> None:
        super().__init__(label, cells)
        self._live = sys.stderr.isatty()
        self._seconds = 0.2 if self._live else 60.0  # between two drawings
        self._drawn = time.monotonic()
        # Given to tqdm, because it draws nothing where a terminal (a container's, say) calls itself 0 wide.
        size = shutil.get_terminal_size() if self._live else os.terminal_size((160, 24))
        self._bar = tqdm(
            total=cells,
            desc=label,
            file=sys.stderr if self._live else io.StringIO(),
            ncols=size.columns,
            nrows=size.lines,
            bar_format="{desc} |{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        )

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, now: bool) -> None:
        """Draw it, unless it was drawn just before."""
        self._bar.n = self.cell
        self._bar.set_description_str(self.section[:40], refresh=False)
        self._bar.set_postfix_str(self.line[:70], refresh=False)
        if not now and time.monotonic() - self._drawn < self._seconds:
            return
        self._drawn = time.monotonic()
        if self._live:
            self._bar.refresh()
        else:
            print(self._bar, file=sys.stderr, flush=True)


def execute(
    source: Path, target: Path, parameters: dict[str, object], progress: Progress, timeout: int | None
) -> nbformat.NotebookNode:
    """Execute a percent file with papermill; ``target`` holds what has been executed so far, at any time.

    Raises:
        UserError: a cell raised one.
        RunFailed: a cell raised anything else or took longer than ``timeout`` seconds, or the kernel died.
    """
    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it logs is said by the bar or raised
    try:
        notebook = papermill.execute_notebook(
            _literal(source),
            _literal(target),
            parameters=parameters,
            progress_bar=False,
            stdout_file=progress,
            execution_timeout=timeout,
            on_cell_start=progress.cell_start,
            kernel_manager_class=ThisPythonKernelManager,
        )
    except PapermillExecutionError as error:
        if "".join(error.traceback[:1]).startswith(f"{UserError.__name__}: "):  # one of its subclasses as well
            raise UserError(error.evalue) from None
        lines = strip_color("\n".join(error.traceback)).strip().splitlines()[-_TRACEBACK_LINES:]
        raise RunFailed("\n".join([*lines, f"cell {error.exec_count} failed with {error.ename}."])) from None
    except DeadKernelError:
        _mark_unfinished(target)
        raise RunFailed("the kernel died in the middle of a cell; most often the machine ran out of memory.") from None
    except CellTimeoutError:
        _mark_unfinished(target)
        raise RunFailed(f"a cell took longer than the {timeout} s of --execution-timeout.") from None
    except (KeyboardInterrupt, SystemExit):
        # The cell's task is dropped unread; asyncio would print its traceback after our sentence.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise
    if notebook.metadata.papermill.exception:
        raise RunFailed("a cell called sys.exit(); the cells after it did not run.")
    progress.finish()
    return notebook


def _literal(path: Path) -> str:
    """papermill formats paths as templates."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _mark_unfinished(target: Path) -> None:
    """papermill says "completed" of every cell that a dead kernel did not get to. Say what is true."""
    notebook = nbformat.read(target, as_version=4)
    notebook.metadata.papermill["exception"] = True
    cells = [cell for cell in notebook.cells if cell.metadata.get("papermill", {}).get("start_time")]
    cells[-1].metadata.papermill.update(status="failed", exception=True)
    for cell in notebook.cells[notebook.cells.index(cells[-1]) + 1 :]:
        cell.metadata.setdefault("papermill", {})["status"] = "pending"
    nbformat.write(notebook, target)
