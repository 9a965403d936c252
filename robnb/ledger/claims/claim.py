"""What a claim is, and the statements that most of them are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from robnb.ledger.cells import Cell
from robnb.ledger.found import Found
from robnb.ledger.verdicts import NOT_RUN, Outcome, Rules, Statement, Verdict, judged, outcome_of

FIXED, FULL, SIZE, EPS, RATE, IN_TRANSFER = (
    "01_fixed_feature", "02_full_network", "03_model_size", "04_adversarial_priors", "05_finetuning_lr", "06_prime",
)  # fmt: skip
_BOX, _MASK = ("detection", "box_AP"), ("detection", "mask_AP")
_MIOU = ("segmentation", "mIoU")
#: What "COCO and ADE20K" mean where the paper names no metric: box AP and mIoU.
TWO = (_BOX, _MIOU)
#: And where it means instance segmentation too.
THREE = (_BOX, _MASK, _MIOU)


@dataclass(frozen=True)
class Claim:
    """One checkable claim of the paper.

    Attributes:
        id: C1 to C25.
        section: where the paper makes it.
        says: it, in our words.
        about: the notebooks that it is about.
        statements: what it consists of, given what was found (the radii, rates and sizes that a study has).
        check: makes the verdict, for a claim that is not about measured numbers.
        takes: what a study has to have for it, where it may have none of its statements.
        quote: some of the paper's own words, where they matter.
        note: how we read it, where it can be read in more than one way.
    """

    id: str
    section: str
    says: str
    about: tuple[str, ...]
    statements: Callable[[Found], Sequence[Statement]] = lambda _: ()
    check: Callable[[Found], Verdict] | None = None
    takes: str = ""
    quote: str = ""
    note: str = ""

    def judge(self, found: Found, rules: Rules) -> tuple[Verdict, list[Outcome]]:
        """The verdict, and each statement with what was measured."""
        if self.check is not None:
            return self.check(found), []
        each = [outcome_of(statement, found, rules) for statement in self.statements(found)]
        if not each:
            absent = [found.absent[name] for name in self.about if name in found.absent]
            return Verdict(NOT_RUN, absent[0] if absent else f"it takes {self.takes}."), []
        return judged(each, rules), each


def transferred(
    notebook: str, role: str, scored: tuple[str, str], quantity: str = "drop", *, category: str = "all", arm: str = ""
) -> Cell:
    """A cell of a downstream task, in the regime of the notebook."""
    regime = "fixed_feature" if notebook == FIXED else "full_network"
    return Cell(quantity, notebook, role, *scored, regime, category, arm)


def upstream(notebook: str, role: str, quantity: str = "drop") -> Cell:
    """A cell of the backbone itself."""
    return Cell(quantity, notebook, role, "upstream", "top1", "pretrained")


def compared(one: Cell, other: Cell, expected: str) -> Statement:
    """That one cell's number minus the other's lies where it is expected."""
    if one.model == other.model:
        pair = f"{one.model}, {one.regime_in_words} - {other.regime_in_words}"
    else:
        pair = f"{one.model} - {other.model}"
    said = f"{one.where}: {one.quantity} of {pair}"
    return Statement(said, ((1.0, one), (-1.0, other)), expected)


def trend(cells: Mapping[float, Cell], along: str, expected: str) -> Statement:
    """That the least-squares slope of a number over the positions 0, 1, 2, ... of some models lies below or above 0.

    Args:
        cells: by what the models differ in, in its order.
        along: what that is.
    """
    middle = (len(cells) - 1) / 2
    spread = sum((place - middle) ** 2 for place in range(len(cells)))
    weights = [(place - middle) / spread for place in range(len(cells))]
    first, steps = next(iter(cells.values())), ", ".join(f"{step:g}" for step in cells)
    said = f"{first.where}: slope of {first.quantity} from one {along} to the next ({steps})"
    return Statement(said, tuple(zip(weights, cells.values(), strict=True)), expected)


def gained(one: Cell, baseline: str) -> tuple[tuple[float, Cell], ...]:
    """The terms of a cell minus the same of a baseline."""
    return (1.0, one), (-1.0, replace(one, role=baseline))
