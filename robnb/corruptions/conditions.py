"""The conditions of an evaluation: clean, and corruptions at severities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robnb.errors import UserError
from robnb.names import CATEGORIES, CLEAN, CORRUPTIONS, KNOWN_CORRUPTIONS, SEVERITIES, choose

#: The name of the 15 benchmark corruptions together, wherever a set of corruptions is chosen.
BENCHMARK = "benchmark"


@dataclass(frozen=True)
class Condition:
    """What the test images are put through: one corruption at one severity (1 to 5), or ``("clean", 0)``.

    Raises:
        UserError: unknown corruption, or a severity that is not one of its own.
    """

    corruption: str
    severity: int

    def __post_init__(self) -> None:
        if self.corruption != CLEAN:
            choose(self.corruption, KNOWN_CORRUPTIONS, "corruption")
            check_severity(self.severity)
        elif type(self.severity) is not int or self.severity != 0:
            raise UserError(f"the severity of {CLEAN!r} is 0, not {self.severity!r}.")


def conditions(corruptions: Sequence[str], severities: Sequence[int]) -> tuple[Condition, ...]:
    """The grid of an evaluation: clean first, then every corruption at every severity, in the order given.

    Args:
        corruptions: ids of corruptions, or of sets of them: ``"benchmark"`` (the 15) or a category (``"noise"``,
            ``"blur"``, ``"weather"``, ``"digital"``); an empty sequence leaves clean alone.
        severities: distinct integers in 1..5.

    Raises:
        UserError: unknown or repeated corruption, severity outside 1..5 or repeated, or no severity.
    """
    sets = {BENCHMARK: CORRUPTIONS, **CATEGORIES}
    known = (*sets, *KNOWN_CORRUPTIONS)
    corruptions = [
        name for given in corruptions for name in sets.get(choose(given, known, "corruption or set of them"), (given,))
    ]
    if corruptions and not severities:
        raise UserError("no severity was given: name at least one of 1, 2, 3, 4, 5.")
    grid = [Condition(corruption, severity) for corruption in corruptions for severity in severities]
    for values, what in ((corruptions, "corruption"), (severities, "severity")):
        repeated = {value for value in values if list(values).count(value) > 1}
        if repeated:
            raise UserError(f"{what} {repeated.pop()!r} is named more than once: name each only once.")
    return (Condition(CLEAN, 0), *grid)


def check_severity(severity: int) -> None:
    """Raises a UserError unless ``severity`` is an int from 1 to 5."""
    if type(severity) is not int or severity not in SEVERITIES:
        raise UserError(f"severity must be an integer from 1 to 5, got {severity!r}.")
