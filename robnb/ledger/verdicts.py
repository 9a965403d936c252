"""What makes a verdict of numbers: the statements that a claim consists of, and the rules.

A claim holds when every statement of it does, so:

- *holds*: each statement's opposite is rejected, one-sided at alpha / 2. With alpha 0.05 that is where its 95 %
  interval lies altogether on the claimed side. As all have to be, no correction is due: the chance that a false claim
  passes is alpha / 2 at most (Berger 1982, intersection-union test).
- *does not hold*: at least one statement is rejected, one-sided at alpha / 2 divided by the number of statements
  (Bonferroni): the more statements, the likelier one of them would look false by chance.
- *undecided* otherwise: these test images and trainings do not tell.
- *not run*: a number is missing, or two numbers cannot be compared, and what is there does not refute the claim.

Claims are judged one by one. Among many that are judged so, some verdicts are wrong by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robnb.errors import UserError
from robnb.ledger.cells import Cell, check_comparable
from robnb.ledger.found import Found
from robnb.statistics.measured import Measured, summed
from robnb.tables import UNDEFINED

HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)
#: Where a statement says that a number lies: below or above 0, or within the margin of what counts as no difference
#: (or not beyond it to the one side).
BELOW, ABOVE, WITHIN, NOT_ABOVE = "below 0", "above 0", "within the margin", "not above the margin"


@dataclass(frozen=True)
class Rules:
    """How verdicts are made.

    Attributes:
        alpha: two-sided level, in (0, 0.5).
        margin: percentage points of a score that "similar" and "hardly changes" allow; above 0.

    Raises:
        UserError: a value that is out of range.
    """

    alpha: float = 0.05
    margin: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise UserError(f"alpha is {self.alpha}: give a level between 0 and 0.5, such as 0.05.")
        if not self.margin > 0 or math.isinf(self.margin):
            raise UserError(f"margin is {self.margin}: give percentage points above 0.")


@dataclass(frozen=True)
class Statement:
    """That a weighted sum of cells, mostly a difference, lies somewhere.

    Attributes:
        says: it in words.
        terms: (weight, cell).
        expected: one of `BELOW`, `ABOVE`, `WITHIN` and `NOT_ABOVE`.
    """

    says: str
    terms: tuple[tuple[float, Cell], ...]
    expected: str

    def printed(self) -> float | None:
        """The paper's value; None where it does not print all of it."""
        values = [(weight, cell.printed()) for weight, cell in self.terms]
        return None if any(value is None for _, value in values) else sum(weight * value for weight, value in values)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A statement, tested on what was measured.

    Attributes:
        measured: None where a number is missing; ``lacking`` says which.
        p_opposite: of "it is not so"; ``p_so`` of "it is so": small values reject. NaN where nothing can be said.
    """

    statement: Statement
    measured: Measured | None
    p_opposite: float = math.nan
    p_so: float = math.nan
    lacking: str = ""


@dataclass(frozen=True)
class Verdict:
    """One of `VERDICTS`, and why."""

    verdict: str
    why: str


def outcome_of(statement: Statement, found: Found, rules: Rules) -> Outcome:
    """Test a statement on what was found."""
    try:
        check_comparable([cell for _, cell in statement.terms], found)
        measured = summed([(weight, cell.measured(found)) for weight, cell in statement.terms])
    except UserError as error:
        return Outcome(statement, None, lacking=str(error))
    below, above, margin = measured.p_not_below, measured.p_not_above, rules.margin
    opposite, so = {
        BELOW: lambda: (below(0), above(0)),
        ABOVE: lambda: (above(0), below(0)),
        NOT_ABOVE: lambda: (below(margin), above(margin)),
        WITHIN: lambda: (max(below(margin), above(-margin)), min(1.0, 2 * min(above(margin), below(-margin)))),
    }[statement.expected]()
    return Outcome(statement, measured, opposite, so)


def standing(one: Outcome, rules: Rules) -> str:
    """How a single statement stands, tested alone: `HOLDS`, `FAILS`, `UNDECIDED` or `NOT_RUN`."""
    return judged([one], rules).verdict


def judged(statements: Sequence[Outcome], rules: Rules) -> Verdict:
    """The verdict on a claim of some statements; see the module's docstring for the rules."""
    level, each = rules.alpha / 2, rules.alpha / 2 / len(statements)
    refuted = [one for one in statements if one.p_so <= each]
    shown = [one for one in statements if one.p_opposite <= level]
    missing = [one for one in statements if one.measured is None]
    if refuted:
        worst = min(refuted, key=lambda one: one.p_so)
        return Verdict(FAILS, f"{len(refuted)} of {len(statements)} the other way, most clearly: {described(worst)}")
    if missing:
        return Verdict(NOT_RUN, missing[0].lacking)
    if len(shown) == len(statements):
        everything = "both" if len(statements) == 2 else f"all {len(statements)}"
        return Verdict(HOLDS, f"{everything} as claimed" if len(statements) > 1 else described(shown[0]))
    closest = max(statements, key=lambda one: one.p_opposite if not math.isnan(one.p_opposite) else math.inf)
    if len(statements) == 1:
        return Verdict(UNDECIDED, described(closest))
    against = sum(one.p_so <= level for one in statements)
    other_way = f"{against} the other way if tested alone, " if against else ""
    counted = f"{len(shown)} of {len(statements)} as claimed, {other_way}the others open"
    return Verdict(UNDECIDED, f"{counted}; least clear: {described(closest)}")


def described(one: Outcome) -> str:
    """``Detection, box AP: drop of ANT - Regular: -3.2 [-5.0, -1.1] with 60 images``."""
    return f"{one.statement.says}: {in_words(one.measured)} with {one.measured.images} images"


def in_words(measured: Measured) -> str:
    """``-3.2 [-5.0, -1.1]``."""
    if math.isnan(measured.value):
        return UNDEFINED
    low, high = measured.interval()
    return f"{measured.value:.1f} [{UNDEFINED}]" if math.isnan(low) else f"{measured.value:.1f} [{low:.1f}, {high:.1f}]"
