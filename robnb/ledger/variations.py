"""How far other parameters move the claims: the same ledger on each variation of the notebooks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from robnb.ledger.claims import CLAIMS
from robnb.ledger.entries import Entry, judge_all
from robnb.ledger.found import Found
from robnb.ledger.verdicts import Rules

#: Percentage points below which a number counts as the same: that of a model which a variation does not touch is.
_SAME = 1e-9
_COLUMNS = ["variation", "id", "statement", "own", "varied", "moved", "half_width"]


def judge_varied(found: Found, rules: Rules) -> dict[str, list[Entry]]:
    """For each variation that was run, the claims about its notebooks; in all others nothing was varied."""
    judged = {}
    for variation in found.variations:
        ran = {notebook for notebook, which in found.chapters if which == variation}
        about = [claim for claim in CLAIMS if ran & set(claim.about)]
        judged[variation] = judge_all(found.varied(variation), rules, about)
    return judged


def by_variation(own: Sequence[Entry], varied: Mapping[str, Sequence[Entry]]) -> pd.DataFrame:
    """The verdicts with the profile's own parameters, and under each variation that was run, for reading."""
    columns = {"own parameters": own, **varied}
    verdicts = {name: {one.claim.id: one.verdict.verdict for one in entries} for name, entries in columns.items()}
    table = pd.DataFrame(verdicts).reindex([claim.id for claim in CLAIMS])
    judged = table.drop(columns="own parameters").notna().any(axis=1)
    return table[judged].fillna("").rename_axis("id").reset_index()


def moves(own: Sequence[Entry], varied: Mapping[str, Sequence[Entry]]) -> pd.DataFrame:
    """A row for each statement under each variation, where both were measured.

    A variation may have statements that the profile's own parameters have not, such as one about another radius.

    Returns:
        ``variation``, ``id``, ``statement``, ``own`` and ``varied`` (its value with either parameters), ``moved``
        (varied - own; all in percentage points) and ``half_width``, that of the 95 % interval with the profile's own.
    """
    before = {(one.claim.id, said.statement.says): said.measured for one in own for said in one.outcomes}
    rows = []
    for variation, entries in varied.items():
        for entry in entries:
            for outcome in entry.outcomes:
                there, now = before.get((entry.claim.id, outcome.statement.says)), outcome.measured
                if there is not None and now is not None:
                    low, high = there.interval()
                    values = (there.value, now.value, now.value - there.value, (high - low) / 2)
                    rows.append((variation, entry.claim.id, outcome.statement.says, *values))
    return pd.DataFrame(rows, columns=_COLUMNS)


def moved(own: Sequence[Entry], varied: Mapping[str, Sequence[Entry]]) -> pd.DataFrame:
    """A row for each variation, for reading: how many statements it moves, how far, and which verdicts with them.

    ``of a half-width`` is the median move as a share of the statement's own uncertainty: below 1 the variation moves
    most statements by less than other test images would.
    """
    before = {one.claim.id: one.verdict.verdict for one in own}
    every, rows = moves(own, varied), []
    for variation, entries in varied.items():
        of_it = every[every["variation"] == variation]
        touched = of_it[of_it["moved"].abs() > _SAME]
        size = touched["moved"].abs()
        changed = [f"{e.claim.id}: {before[e.claim.id]}, now {e.verdict.verdict}" for e in entries
                   if e.verdict.verdict != before[e.claim.id]]  # fmt: skip
        row = {"variation": variation, "statements": len(of_it), "moved": len(touched)}
        row |= {"median (points)": size.median(), "largest (points)": size.max()}
        row |= {
            "of a half-width": (size / touched["half_width"]).median(),
            "verdicts": "; ".join(changed) or "the same",
        }
        rows.append(row)
    table = pd.DataFrame(rows, columns=["variation", "statements", "moved", "median (points)", "largest (points)",
                                        "of a half-width", "verdicts"])  # fmt: skip
    numbers = ["median (points)", "largest (points)", "of a half-width"]
    return table.assign(**{name: [_written(value) for value in table[name]] for name in numbers})


def _written(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"
