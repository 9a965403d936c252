"""The one way to read a pickle that is more than tensors: another process unpickles it and writes tensors only.

That process (`_unpickle.py` beside this file) has an empty temporary folder as its working directory and home, next to
nothing of our environment, no part of robnb, and limits on its time and on what it writes. It is still a process of
this user on this machine, with its files and its network: no sandbox. What it writes is read like any other file of
unknown origin, so at least this process runs nothing of the pickle.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from robnb.errors import UserError

_SCRIPT = Path(__file__).with_name("_unpickle.py")

#: Seconds until the process is ended, in wall time; it limits its own processor time to the same.
LIMIT = 900

#: What an interpreter may need to start at all.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


def unpickle(src: Path, dst: Path, folder: Path) -> None:
    """Unpickle ``src`` in a process of its own, which writes the tensors to ``dst``, a torch file of plain tensors.

    Args:
        folder: an empty folder for the process to be in.

    Raises:
        UserError: it failed, or took more than `LIMIT`; with its last words.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-I", "-B", str(_SCRIPT), str(src.resolve()), str(dst.resolve()), str(LIMIT)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        _, words = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{src} was being unpickled for {LIMIT} s and was stopped; look for another file.") from error
    finally:
        _end(process)
    if process.returncode != 0 or not dst.is_file():
        last = (words.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise UserError(
            f"{src} could not be unpickled ({last[:300].rstrip('.')}); convert it where the code that wrote it is "
            f"installed, or look for another file."
        )


def _end(process: subprocess.Popen[str]) -> None:
    """Ours and what it started: all of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
