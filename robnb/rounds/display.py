"""How far a round is: a block of lines that is redrawn in place on a terminal, a line for each event in a log."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass

_MINUTE = 60.0


@dataclass
class _At:
    """Where one running notebook is."""

    since: float
    section: str = "starting"
    line: str = ""
    cell: int = 0
    cells: int = 0
    shown: str = ""  # the section that a log has had last
    shown_at: float = 0.0


class Display:
    """A line for each event of a round, as a log shows it; a terminal has in addition what runs now.

    Args:
        total: how many notebooks the round has.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._running: dict[str, _At] = {}
        self._live = sys.stderr.isatty()
        self._drawn = 0  # lines of the block that stand above the cursor

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._draw([])

    def started(self, name: str) -> None:
        """A notebook has got its lane."""
        self._running[name] = _At(since=time.monotonic())
        self._event(f"{name} started", lasting=not self._live)

    def at(self, name: str, section: str, line: str, cell: int, cells: int) -> None:
        """A running notebook is in this section and has printed this last."""
        now, at = time.monotonic(), self._running[name]
        at.section, at.line, at.cell, at.cells = section, line, cell, cells
        if not self._live and section != at.shown and now - (at.shown_at or at.since) >= _MINUTE:
            at.shown, at.shown_at = section, now
            self._event(f"{name}: {section}")

    def ended(self, name: str, how: str) -> None:
        """A notebook is done: finished, failed or read from before."""
        at = self._running.pop(name, None)
        self._done += 1
        self._event(f"{name} {how}" + (f" in {clock(time.monotonic() - at.since)}" if at else ""))

    def tick(self) -> None:
        """Some time has passed."""
        if self._live:
            self._draw(self._block())

    def _event(self, text: str, lasting: bool = True) -> None:
        if lasting:
            self._draw([])
            print(f"{clock(time.monotonic() - self._started)}  {text}", file=sys.stderr, flush=True)
        self.tick()

    def _block(self) -> list[str]:
        headline = f"{self._done}/{self._total} notebooks, {clock(time.monotonic() - self._started)}"
        running = [
            f"  {name}  {at.cell}/{at.cells or '?'}  {at.section}" + (f": {at.line}" if at.line else "")
            for name, at in self._running.items()
        ]
        return [headline, *running]

    def _draw(self, lines: list[str]) -> None:
        """Put these lines in place of those that were drawn last."""
        if not lines and not self._drawn:
            return
        columns, rows = shutil.get_terminal_size()
        lines = lines[: rows - 1]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        text = "".join(f"{line[: columns - 1]}\x1b[K\n" for line in lines)
        sys.stderr.write(f"\r{up}{text}\x1b[J")
        sys.stderr.flush()
        self._drawn = len(lines)


def clock(seconds: float) -> str:
    """``12:34``, or ``1:02:03`` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes:02}:{rest:02}"
