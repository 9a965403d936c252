"""The ledger as tables: an entry for each claim and a row for each statement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from robnb.ledger.claims import CLAIMS, Claim
from robnb.ledger.found import Found
from robnb.ledger.verdicts import (
    ABOVE,
    BELOW,
    FAILS,
    HOLDS,
    NOT_ABOVE,
    NOT_RUN,
    UNDECIDED,
    VERDICTS,
    WITHIN,
    Outcome,
    Rules,
    Statement,
    Verdict,
    in_words,
    standing,
)
from robnb.tables import UNDEFINED

_COLUMNS = ["id", "section", "claim", "paper", "measured", "verdict", "why"]


@dataclass(frozen=True, eq=False)
class Entry:
    """A claim, judged."""

    claim: Claim
    verdict: Verdict
    outcomes: tuple[Outcome, ...]


def judge_all(found: Found, rules: Rules, claims: Sequence[Claim] = CLAIMS) -> list[Entry]:
    """Every claim with its verdict."""
    judged = [(claim, claim.judge(found, rules)) for claim in claims]
    return [Entry(claim, verdict, tuple(each)) for claim, (verdict, each) in judged]


def ledger(entries: Sequence[Entry], rules: Rules) -> pd.DataFrame:
    """A row for each claim, for reading.

    Returns:
        ``id``, ``section``, ``claim``, ``paper`` (what it printed, in the same terms), ``measured``, ``verdict``,
        ``why`` (with how the claim was read, where it can be read in more than one way).
    """
    rows = []
    for entry in entries:
        one, verdict = entry.claim, entry.verdict
        said = f"{one.says} (“{one.quote}”)" if one.quote else one.says
        paper, measured = _paper(entry.outcomes, rules), _measured(entry.outcomes, rules)
        why = f"{verdict.why.rstrip('.')}. {one.note}" if one.note else verdict.why
        rows.append((one.id, one.section, said, paper, measured, verdict.verdict, why))
    return pd.DataFrame(rows, columns=_COLUMNS)


def statements(entries: Sequence[Entry], rules: Rules) -> pd.DataFrame:
    """A row for each statement of each claim.

    Returns:
        ``id``, ``statement``, ``expected``, ``printed`` (by the paper; NaN where it prints none), ``value``, ``low``,
        ``high`` (95 %; percentage points), ``images``, ``trainings``, ``p_opposite``, ``p_so``, and ``alone``: how it
        stands when tested alone.
    """
    rows = []
    for entry in entries:
        for one in entry.outcomes:
            row = {"id": entry.claim.id, "statement": one.statement.says, "expected": one.statement.expected}
            printed = one.statement.printed()
            row |= {"printed": math.nan if printed is None else printed}
            if one.measured is not None:
                low, high = one.measured.interval()
                row |= {"value": one.measured.value, "low": low, "high": high, "images": one.measured.images}
                row |= {"trainings": len(one.measured.trainings)}
            rows.append(row | {"p_opposite": one.p_opposite, "p_so": one.p_so, "alone": standing(one, rules)})
    columns = ["id", "statement", "expected", "printed", "value", "low", "high", "images", "trainings"]
    return pd.DataFrame(rows, columns=[*columns, "p_opposite", "p_so", "alone"])


def counts(entries: Sequence[Entry]) -> str:
    """How many claims have each verdict, as a sentence."""
    verdicts = [entry.verdict.verdict for entry in entries]
    said = [f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS]
    return f"**Verdicts on {len(entries)} claims:** {', '.join(said)}."


def _as_expected(value: float, statement: Statement, rules: Rules) -> bool:
    return {
        BELOW: value < 0,
        ABOVE: value > 0,
        NOT_ABOVE: value <= rules.margin,
        WITHIN: abs(value) <= rules.margin,
    }[statement.expected]


def _paper(outcomes: Sequence[Outcome], rules: Rules) -> str:
    """What the paper printed, where it prints all numbers of the claim."""
    printed = [(one.statement, one.statement.printed()) for one in outcomes]
    if not printed or any(value is None for _, value in printed):
        return "no numbers"
    if len(printed) == 1:
        return f"{printed[0][1]:.1f}"
    agreeing = sum(_as_expected(value, statement, rules) for statement, value in printed)
    values = [value for _, value in printed]
    return f"{min(values):.1f} to {max(values):.1f}, {agreeing} of {len(values)} as claimed"


def _measured(outcomes: Sequence[Outcome], rules: Rules) -> str:
    """One number with its interval, or how many stand how when each is tested alone."""
    there = [one for one in outcomes if one.measured is not None]
    if not there:
        return ""
    if len(outcomes) == 1:
        return in_words(there[0].measured)
    alone = [standing(one, rules) for one in outcomes]
    words = {HOLDS: "as claimed", FAILS: "the other way", UNDECIDED: "open", NOT_RUN: "not run"}
    said = ", ".join(f"{alone.count(which)} {how}" for which, how in words.items() if which in alone)
    values = [one.measured.value for one in there if not math.isnan(one.measured.value)]
    span = f"{min(values):.1f} to {max(values):.1f}" if values else UNDEFINED
    return f"{span}; of {len(outcomes)}: {said}"
