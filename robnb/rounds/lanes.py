"""Several notebooks at once, each in a process of its own that ends with this one, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from robnb.cores import cores
from robnb.rounds.display import Display
from robnb.rounds.entries import Entry
from robnb.rounds.journal import Journal

_MOST = 4  # by default; with its kernel a lane takes a gigabyte and a half
_GRACE = 30  # seconds that an ended lane gets to shut its kernel down
_TICK = 0.5  # seconds between two drawings


@dataclass(frozen=True)
class Outcome:
    """How a notebook of a round ended.

    ``how`` is "finished", "failed" or "read from before"; ``seconds`` of wall time; ``says`` and ``bad_input`` are of a
    failed one.
    """

    entry: Entry
    how: str
    seconds: float = 0.0
    says: str = ""
    bad_input: bool = False


def default_lanes() -> int:
    """One where there is a GPU, which the notebooks would share; otherwise one for each core, four at most."""
    if shutil.which("nvidia-smi"):
        return 1
    import torch  # here, because it takes seconds

    return 1 if torch.cuda.is_available() else min(_MOST, cores())


class Lane:
    """A notebook that is being executed.

    Args:
        state: what its result depends on, as `Journal.state` gives it.
        events: gets (this lane, what it says) for each line, and (this lane, None) when its process ends.
        environment: of the process.
    """

    def __init__(
        self, entry: Entry, state: str, timeout: int | None, events: queue.Queue, environment: dict[str, str]
    ) -> None:
        self.entry, self.state = entry, state
        self._started = time.monotonic()
        self._said: dict[str, object] = {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process does
        job = entry.job
        described = {"source": str(job.source), "folder": str(job.folder), "parameters": job.parameters}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robnb.rounds.lane", json.dumps({**described, "timeout": timeout}, default=str)],
            stdin=subprocess.PIPE,  # open as long as this process lives
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            start_new_session=True,  # Ctrl-C is this process's business: it ends its lanes
        )
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    def _listen(self, events: queue.Queue) -> None:
        for line in self._process.stdout:
            said = json.loads(line)
            self._said = said.get("outcome", self._said)
            events.put((self, said))
        events.put((self, None))

    def outcome(self) -> Outcome:
        """How it ended; called when it has."""
        code, seconds = self._process.wait(), time.monotonic() - self._started
        if self._said.get("finished"):
            return Outcome(self.entry, "finished", seconds)
        says = str(self._said.get("says") or self._last_words(code))
        return Outcome(self.entry, "failed", seconds, says, bool(self._said.get("bad_input")))

    def _last_words(self, code: int) -> str:
        if code < 0:
            return f"its process was killed (signal {-code}); most often the machine ran out of memory."
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return "\n".join([*lines[-15:], f"its process ended with exit code {code}."])

    def end(self) -> None:
        """Ask the process to end, with its kernel."""
        self._process.terminate()

    def wait(self) -> None:
        """Until it has ended, but not for ever."""
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def execute(
    entries: Sequence[Entry], lanes: int, journal: Journal, display: Display, timeout: int | None
) -> list[Outcome]:
    """Execute notebooks, ``lanes`` at once; returns their outcomes in the order in which they ended.

    What the journal has is not executed again; what finishes is noted there. A failed notebook stops no other.
    """
    environment = {"OMP_NUM_THREADS": str(max(1, cores() // lanes)), **os.environ}
    events: queue.Queue = queue.Queue()
    waiting, running, outcomes = list(entries), set(), []
    try:
        while waiting or running:
            while len(running) < lanes and (entry := _next(waiting, running)):
                waiting.remove(entry)
                if journal.has(entry):
                    display.ended(entry.name, "read from before")
                    outcomes.append(Outcome(entry, "read from before"))
                    continue
                running.add(Lane(entry, journal.state(entry), timeout, events, environment))
                display.started(entry.name)
            if running and (ended := _ended(events, display)):
                running.remove(ended)
                outcomes.append(_noted(ended, journal, display))
        return outcomes
    finally:
        for lane in running:
            lane.end()
        for lane in running:
            lane.wait()


def _next(waiting: list[Entry], running: set[Lane]) -> Entry | None:
    """The first that may start: what comes after all others waits until nothing else is left."""
    others = any(not entry.after_all for entry in [*waiting, *(lane.entry for lane in running)])
    return next((entry for entry in waiting if not (entry.after_all and others)), None)


def _ended(events: queue.Queue, display: Display) -> Lane | None:
    """Show the next thing that a lane says; the lane, if it has ended."""
    with contextlib.suppress(queue.Empty):
        lane, said = events.get(timeout=_TICK)
        if said is None:
            return lane
        if "outcome" not in said:
            display.at(lane.entry.name, **said)
    display.tick()
    return None


def _noted(ended: Lane, journal: Journal, display: Display) -> Outcome:
    outcome = ended.outcome()
    if outcome.how == "finished":
        journal.note(outcome.entry, ended.state)
        display.ended(outcome.entry.name, "finished")
    else:
        display.ended(outcome.entry.name, f"failed: {outcome.says.splitlines()[-1]}")
    return outcome
