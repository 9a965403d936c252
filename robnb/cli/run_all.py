"""``robnb run all``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robnb.cli.notebook import outputs_of, overrides_of
from robnb.cli.text import table
from robnb.errors import UserError

if TYPE_CHECKING:
    from robnb.rounds.lanes import Outcome


def run(arguments: argparse.Namespace) -> int:
    """Execute everything that the profile lists, print how it ended, and write the page.

    Returns:
        0 if all finished, 2 if bad input is all that failed, otherwise 1.
    """
    if arguments.variation:
        raise UserError("--variation goes with one notebook: those of all are in params/<profile>/all.yaml.")
    if arguments.lanes is not None and arguments.lanes < 1:
        raise UserError(f"--lanes is {arguments.lanes}: give the number of notebooks at once, 1 or more.")
    from robnb.rounds.entries import prepare_all  # here, so that --help and --version do not wait for it
    from robnb.rounds.lanes import default_lanes
    from robnb.rounds.round import run_all

    root, outputs, profile = arguments.root, outputs_of(arguments), arguments.profile
    entries = prepare_all(profile, outputs, root, overrides_of(arguments))
    lanes = default_lanes() if arguments.lanes is None else arguments.lanes
    outcomes = run_all(entries, outputs / profile, lanes, arguments.execution_timeout)
    failed = [outcome for outcome in outcomes if outcome.how == "failed"]
    for outcome in failed:
        print(f"robnb: {outcome.entry.name}: {outcome.says}", file=sys.stderr)
    print(_summary(outcomes))
    from robnb import report  # now, because it takes memory that the lanes need

    print(f"\npage  {report.write(profile, outputs, root)}")
    if failed:
        return 2 if all(outcome.bad_input for outcome in failed) else 1
    return 0


def _summary(outcomes: Sequence[Outcome]) -> str:
    rows = [
        (
            outcome.entry.name,
            outcome.how,
            "" if outcome.how == "read from before" else f"{outcome.seconds / 60:.1f}",
            _where(outcome),
        )
        for outcome in outcomes
    ]
    return table(("notebook", "", "minutes", "where"), rows, right=[2])


def _where(outcome: Outcome) -> Path:
    """What there is to open: the notebook as a page, or as far as it got."""
    job = outcome.entry.job
    suffixes = (".failed.ipynb",) if outcome.how == "failed" else (".html",)
    there = [path for suffix in suffixes if (path := job.folder / f"{job.source.stem}{suffix}").exists()]
    return there[0] if there else job.folder
