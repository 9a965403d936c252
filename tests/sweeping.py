"""Runs a sweep in a process of its own, to be killed: ``python sweeping.py JOB`` with commands from stdin.

It loads everything once. For each line of commands it forks a child per command: ``run STORE`` does the sweep,
``kill STORE SECONDS`` does it and is killed after so long. It answers with what became of each: ok, failed or killed.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Sweeper:
    """The process, seen from the test."""

    def __init__(self, folder: Path, *arguments: Any, **options: Any) -> None:
        job = folder / "job.pickle"
        job.write_bytes(pickle.dumps((arguments, options)))
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def do(self, *commands: str) -> list[str]:
        """One child for each command (``run STORE`` or ``kill STORE SECONDS``), all at the same time."""
        self.process.stdin.write("\t".join(commands) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def contents(store: Path) -> dict[str, bytes]:
    """What a sweep leaves in its store, without what tells when and how fast it was made."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.glob("sweep/*/*"))
        if path.name not in ("provenance.json", "speed.json")
    }


def serve(job: Path) -> None:
    """Fork children as the lines ask."""
    from robnb import threads
    from robnb.evaluation import compute, sweep

    threads.set_threads(1, 1, 1)
    (models, data, grid), options = pickle.loads(job.read_bytes())
    for line in sys.stdin:
        children = [
            fork(command.split(), compute, sweep, (models, data, grid), options) for command in line.split("\t")
        ]
        print(*(end(*child) for child in children), flush=True)


def fork(command: list[str], compute: Any, sweep: Any, arguments: tuple, options: dict) -> tuple[int, float | None]:
    """Start a child; returns its process and when to kill it."""
    verb, store, *seconds = command
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            computed = sweep.compute
            sweep.compute = lambda job: (noted(store, job.number), computed(job))[1]
            sweep.sweep(*arguments, sweep.Store(Path(store)), **options)
            code = 0
        finally:
            os._exit(code)
    return child, time.monotonic() + float(seconds[0]) if verb == "kill" else None


def noted(store: str, number: int) -> None:
    """Keep a list of the shards that were begun, over all processes."""
    with Path(f"{store}.begun").open("a") as file:
        file.write(f"{number}\n")


def end(child: int, deadline: float | None) -> str:
    """``ok``, ``failed`` or ``killed``."""
    if deadline is not None:
        time.sleep(max(0.0, deadline - time.monotonic()))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    return "ok" if os.waitstatus_to_exitcode(status) == 0 else "failed"


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
