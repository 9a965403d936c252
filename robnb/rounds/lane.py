"""One lane of a round: a process that executes one notebook.

``python -m robnb.rounds.lane JOB``, where JOB is JSON (`robnb.rounds.lanes` writes it). On its stdout it says how far
the notebook is and at last how it ended, a line of JSON each. It ends when its stdin is closed, as the death of the
round's process does, and takes the kernel with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TextIO

from robnb import runner
from robnb.errors import UserError
from robnb.running import Progress

_SECONDS = 0.3  # between two lines that say how far it is


class Told(Progress):
    """Writes how far the notebook is as JSON."""

    def __init__(self, to: TextIO, label: str, cells: int) -> None:
        super().__init__(label, cells)
        self._to = to
        self._told = 0.0

    def show(self, now: bool) -> None:
        """Tell it, unless it was told just before."""
        if now or time.monotonic() - self._told >= _SECONDS:
            self._told = time.monotonic()
            _tell(self._to, {"section": self.section, "line": self.line, "cell": self.cell, "cells": self.cells})


def main() -> None:
    """Execute the notebook that the first argument describes."""
    job = json.loads(sys.argv[1])
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints, the kernel among it, is not for the round
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    _tell(told, {"outcome": _outcome(job, told)})


def _outcome(job: dict[str, object], told: TextIO) -> dict[str, object]:
    """How it ended: whether it finished, whether its input was bad, and what there is to say."""
    notebook = runner.Job(Path(job["source"]), Path(job["folder"]), job["parameters"])
    try:
        runner.run(notebook, timeout=job["timeout"], progress=partial(Told, told))
    except UserError as error:
        return {"finished": False, "bad_input": True, "says": str(error)}
    except runner.RunFailed as error:
        return {"finished": False, "bad_input": False, "says": str(error)}
    return {"finished": True, "bad_input": False, "says": ""}


def _tell(to: TextIO, what: dict[str, object]) -> None:
    print(json.dumps(what), file=to, flush=True)


def _end_with_stdin() -> None:
    while os.read(0, 1 << 12):
        pass
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)  # it may be waiting, and has to wake up


def _terminated(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)  # through the doors of any exception, so that the kernel is shut down


if __name__ == "__main__":
    main()
