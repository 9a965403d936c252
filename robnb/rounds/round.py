"""A round: everything that a profile lists, executed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robnb.rounds.display import Display
from robnb.rounds.entries import Entry
from robnb.rounds.journal import Journal
from robnb.rounds.lanes import Outcome, execute
from robnb.runner import alone, writable


def run_all(entries: Sequence[Entry], folder: Path, lanes: int, timeout: int | None = None) -> list[Outcome]:
    """Execute a round, or what a killed one has left of it.

    Args:
        folder: the profile's outputs, with the journal of the round.
        lanes: how many notebooks run at once.
        timeout: seconds that one cell may take; None for no limit.

    Returns:
        The outcome of each entry, in their order.

    Raises:
        UserError: the folder cannot be written, or another round runs in it.
    """
    with alone(writable(folder), "all notebooks"), Display(len(entries)) as display:
        journal = Journal(folder)
        outcomes = execute(entries, min(lanes, len(entries)), journal, display, timeout)
        if all(outcome.how != "failed" for outcome in outcomes):
            journal.remove()
        return sorted(outcomes, key=lambda outcome: entries.index(outcome.entry))
