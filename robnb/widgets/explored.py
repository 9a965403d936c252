"""What the results explorer shows of a choice: numbers, figure, table and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from robnb import tables
from robnb.errors import UserError
from robnb.evaluation.results import Evaluation
from robnb.metrics import ALL
from robnb.names import CATEGORIES, CLEAN
from robnb.plots.scores import QUANTITY_TITLES, quantity_by_category
from robnb.statistics import Results
from robnb.statistics.draws import under
from robnb.tables.scores import with_bounds

#: (backbone, weights).
Model = tuple[str, str]
#: (task, metric).
Score = tuple[str, str]
#: A choice of all that there is: of regimes or corruptions, and of severities.
EVERY, EVERY_SEVERITY = "", 0


@dataclass(frozen=True)
class Choice:
    """What is to be seen.

    Attributes:
        score: (task, metric).
        regime: how the backbones were used; `EVERY` for each way that the task was learnt in.
        corruptions: a category or a single corruption; `EVERY` for all corruptions together and each category.
        severity: one alone; `EVERY_SEVERITY` for the mean over all that were scored.
        quantity: "P", "mPC", "rPC" or "drop".
        models: (backbone, weights) of each.
    """

    score: Score
    regime: str
    corruptions: str
    severity: int
    quantity: str
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Explored:
    """Results, and those of some of their conditions, which are made when they are asked for and then kept."""

    results: Results
    evaluations: Sequence[Evaluation]
    seed: int
    _alone: dict[tuple[str, str, int], pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises a UserError unless the results are of these evaluations and this seed."""
        if len(self.results.scores) != sum(len(one.scores) for one in self.evaluations) or not self._same_clean():
            raise UserError(
                "the results are not of these evaluations and this seed: give what study.results was given, and "
                "study.seed."
            )

    def _same_clean(self) -> bool:
        """Whether the first task's clean scores have the same intervals when they are made again."""
        task = self.evaluations[0].task
        scores = self.results.scores[self.results.scores["task"] == task]
        ours = scores.loc[scores["corruption"] == CLEAN, ["value", "low", "high"]].reset_index(drop=True)
        return ours.equals(self._of(task, {(CLEAN, 0)}).scores[ours.columns])

    @cached_property
    def names(self) -> dict[Model, str]:
        """What each model is called among all of them."""
        labelled = tables.with_labels(self.results.summary)
        return dict(zip(_models(labelled), labelled["model"], strict=True))

    @property
    def scores(self) -> list[Score]:
        """(task, metric) of everything that was scored."""
        return list(dict.fromkeys(self.results.summary[["task", "metric"]].itertuples(index=False, name=None)))

    def regimes(self, score: Score) -> list[str]:
        """How backbones were used for a score."""
        return list(dict.fromkeys(self._rows(self.results.summary, score)["regime"]))

    def models(self, score: Score, regime: str) -> list[Model]:
        """Who has a score."""
        return list(dict.fromkeys(_models(self._rows(self.results.summary, score, regime))))

    def conditions(self, task: str, severity: int = EVERY_SEVERITY, corruption: str = EVERY) -> list[tuple[str, int]]:
        """(corruption, severity) that a task was scored under, without clean; all, or those of one severity or name."""
        scores = self.results.scores[self.results.scores["task"] == task]
        pairs = sorted(set(zip(scores["corruption"], scores["severity"].map(int), strict=True)) - {(CLEAN, 0)})
        return [(c, s) for c, s in pairs if severity in (EVERY_SEVERITY, s) and corruption in (EVERY, c)]

    def summary(self, choice: Choice) -> pd.DataFrame:
        """The rows of `Results.summary` for a choice; where it is of one category or corruption, "all" is that one."""
        task, _ = choice.score
        single = choice.corruptions if choice.corruptions not in (EVERY, *CATEGORIES) else EVERY
        summary = self.results.summary
        if single or choice.severity:
            key = (task, single, choice.severity)
            if key not in self._alone:
                chosen = {(CLEAN, 0), *self.conditions(task, choice.severity, single)}
                self._alone[key] = self._of(task, chosen).summary
            summary = self._alone[key]
        rows = self._rows(summary, choice.score, choice.regime)
        rows = rows[[model in choice.models for model in _models(rows)]]
        if choice.corruptions:
            of = choice.corruptions if choice.corruptions in CATEGORIES else ALL
            return rows[rows["category"] == of].assign(category=ALL)
        return rows

    def _of(self, task: str, conditions: set[tuple[str, int]]) -> Results:
        """The results of a task under some conditions, on the same resamples, whose scores are in the store."""
        parts = [under(evaluation, conditions) for evaluation in self.evaluations if evaluation.task == task]
        resamples = self.results.draws["drop"].shape[1]
        return Results.of(parts, sorted(conditions), resamples, self.seed, self.evaluations[0].store)

    @staticmethod
    def _rows(summary: pd.DataFrame, score: Score, regime: str = EVERY) -> pd.DataFrame:
        task, metric = score
        rows = summary[(summary["task"] == task) & (summary["metric"] == metric)]
        return rows[rows["regime"] == regime] if regime else rows

    def figure(self, choice: Choice) -> Figure:
        """The chosen quantity with its intervals."""
        rows = self.summary(choice)
        categories = {ALL: called(choice.corruptions)}
        if choice.quantity == "P":
            categories = {ALL: "clean images"}
        elif not choice.corruptions:
            categories = {name: name for name in (*CATEGORIES, ALL) if name in set(rows["category"])}
        return quantity_by_category(rows, choice.quantity, categories, self.results.summary)

    def table(self, choice: Choice) -> pd.DataFrame:
        """Every quantity with its interval, and the chosen one by category, as `robnb.tables.overview` has the drop."""
        rows = self.summary(choice)
        overall = rows[rows["category"] == ALL]
        parts = [tables.overview(overall).assign(model=[self.names[model] for model in _models(overall)])]
        columns, quantity = with_bounds([choice.quantity]), choice.quantity
        for name in () if quantity == "P" else CATEGORIES:  # the clean score is the same in all of them
            of = rows[rows["category"] == name]
            if not of.empty:
                numbers = tables.overview(of.assign(category=ALL))[columns]
                parts.append(numbers.set_axis([c.replace(quantity, f"{quantity} {name}") for c in columns], axis=1))
        return pd.concat(parts, axis=1)

    def said(self, choice: Choice) -> str:
        """What the figure shows, in words."""
        task, metric = choice.score
        several = len(self.regimes(choice.score)) > 1 and bool(choice.regime)
        parts = [QUANTITY_TITLES[choice.quantity], tables.title(task, choice.regime, metric, regimes=several)]
        return "; ".join(parts if choice.quantity == "P" else [*parts, self.corrupted(choice)])

    def corrupted(self, choice: Choice) -> str:
        """How the images were corrupted, in words."""
        severities = sorted({severity for _, severity in self.conditions(choice.score[0], choice.severity)})
        mean = "mean of severities" if len(severities) > 1 else "severity"
        return f"{called(choice.corruptions)}, {mean} {', '.join(map(str, severities))}"

    def images(self, task: str) -> int:
        """How many test images a task was scored on."""
        return int(self.results.scores.loc[self.results.scores["task"] == task, "n_images"].max())


def _models(rows: pd.DataFrame) -> list[Model]:
    return list(zip(rows["backbone"], rows["weights"], strict=True))


def called(corruptions: str) -> str:
    """A category, a corruption or `EVERY` in words."""
    return corruptions.replace("_", " ") or "all corruptions"
