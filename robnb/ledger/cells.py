"""One number of one model, as claims name it: what was measured there, and what the paper printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from robnb import reference
from robnb.errors import UserError
from robnb.ledger.found import Chapter, Found
from robnb.ledger.roles import PRIME
from robnb.metrics import ALL
from robnb.names import CATEGORIES
from robnb.published import CASCADE, PRIME_ARM
from robnb.statistics.measured import Measured
from robnb.tables import ARM
from robnb.tables.labels import METRIC_TITLES, REGIME_TITLES, TASK_TITLES


@dataclass(frozen=True)
class Cell:
    """P, mPC or drop of a model of a notebook.

    Attributes:
        role: of the backbone, see `robnb.ledger.roles`.
        arm: how it was transferred where that varies, such as "lr 0.01".
        category: of the corruptions.
    """

    quantity: str
    notebook: str
    role: str
    task: str
    metric: str
    regime: str
    category: str = ALL
    arm: str = ""

    @property
    def model(self) -> str:
        """The model in words."""
        return self.role + (ARM + self.arm if self.arm else "")

    @property
    def regime_in_words(self) -> str:
        """How its backbone was used."""
        return REGIME_TITLES.get(self.regime, "as pretrained")

    @property
    def where(self) -> str:
        """What was scored, in words."""
        category = "" if self.category == ALL else f", {self.category}"
        return f"{TASK_TITLES[self.task, self.metric]}, {METRIC_TITLES[self.metric]}{category}"

    def model_in(self, found: Found) -> tuple[Chapter, tuple[str, str]]:
        """The notebook's results, and what its model is called there.

        Raises:
            UserError: the notebook was not run, or has no such model.
        """
        chapter = found.chapters.get((self.notebook, ""))
        if chapter is None:
            raise UserError(found.absent[self.notebook])
        model = chapter.models.get((self.role, self.arm, self.task, self.regime))
        if model is None:
            raise UserError(f"{self.notebook} has no {self.model} on {self.task}, {self.regime}.")
        return chapter, model

    def measured(self, found: Found) -> Measured:
        """What the store has.

        Raises:
            UserError: as of `model_in`, or no corruption of the category was among the notebook's.
        """
        chapter, model = self.model_in(found)
        key = (*model, self.task, self.regime, self.metric, self.category)
        if key not in chapter.rows:
            raise UserError(f"{self.notebook} has no corruption of the category {self.category}.")
        row, results = chapter.rows[key], chapter.results
        return Measured(
            value=float(results.summary[self.quantity].iloc[row]),
            draws=results.draws[self.quantity][row],
            trainings=chapter.trainings.loc[key, self.quantity].to_dict(),
            images=chapter.images[self.task],
        )

    def printed(self) -> float | None:
        """What the paper prints there; None where it prints no number."""
        if self.notebook.startswith("01"):
            return _of_tables_1_and_2(self)
        return _of_tables_4_and_5(self) if self.notebook.startswith("06") else None


def check_comparable(cells: Sequence[Cell], found: Found) -> None:
    """Whether a difference between these cells is one between the models, and not between what was done with them.

    Raises:
        UserError: two detectors of different kinds, or corrupted scores under different conditions.
    """
    there = [(cell, *cell.model_in(found)) for cell in cells]
    kinds = {CASCADE in weights.split(ARM): cell for cell, _, (_, weights) in there}
    if len(kinds) > 1:
        raise UserError(
            f"the detector of {kinds[True].model} is a Cascade Mask R-CNN, that of {kinds[False].model} none."
        )
    under = {chapter.outlook.conditions: cell.notebook for cell, chapter, _ in there if cell.quantity != "P"}
    if len(under) > 1:
        raise UserError(f"{' and '.join(under.values())} were not run with the same corruptions and severities.")


def _of_tables_1_and_2(cell: Cell) -> float | None:
    if cell.quantity != "drop":
        return None
    if cell.category == ALL:  # not printed, but made of what is
        sizes = {category: len(members) for category, members in CATEGORIES.items()}
        parts = {category: replace(cell, category=category).printed() for category in sizes}
        known = None not in parts.values()
        return sum(parts[c] * n for c, n in sizes.items()) / sum(sizes.values()) if known else None
    table = reference.fixed_feature_drops().query("metric == @cell.metric and category == @cell.category")
    there = table.loc[table["model"] == cell.role, "drop"]
    return float(there.iloc[0]) if len(there) else None


def _of_tables_4_and_5(cell: Cell) -> float | None:
    named = {"": "PRIME", PRIME_ARM: "PR-PRIME"}.get(cell.arm)
    if cell.role != PRIME or cell.category != ALL or named is None:
        return None
    table = reference.prime_during_transfer().query("metric == @cell.metric and model == @named")
    return float(table[cell.quantity].iloc[0]) if len(table) and cell.quantity in table else None
