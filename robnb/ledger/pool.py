"""All models of a profile together, whatever notebook they are from: those that saw the same test images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

import numpy as np
import pandas as pd

from robnb.evaluation.results import Evaluation
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel
from robnb.ledger.found import Chapter, Found
from robnb.metrics import ALL
from robnb.statistics import Results
from robnb.statistics.agreement import tau_b
from robnb.statistics.decomposition import decomposition
from robnb.statistics.draws import draws_of
from robnb.statistics.measured import Measured, summed
from robnb.statistics.quantities import MODEL
from robnb.statistics.resampling import percentiles
from robnb.statistics.trainings import per_training
from robnb.store import Store


@dataclass(frozen=True, eq=False)
class Pool:
    """Every model once, on resamples of the same images.

    Attributes:
        left_out: notebooks of which some models are not in it: their conditions, or how they were scored, are not those
            of most.
    """

    evaluations: tuple[Evaluation, ...]
    results: Results
    left_out: tuple[str, ...]
    resamples: int
    seed: int

    def pairs(self) -> pd.DataFrame:
        """The overall drop of each model minus that of each other on the same images.

        Intervals are those of `robnb.statistics.measured.Measured`: with several trainings they cover others too.

        Returns:
            ``backbone``, ``weights``, ``task``, ``regime``, ``metric``, ``baseline`` (backbone and weights of the
            other), ``difference`` (percentage points), ``low``, ``high``. Pairs without a difference, and of other
            training seeds, are left out.
        """
        summary = self.results.summary
        overall = summary[(summary["category"] == ALL) & summary["drop"].notna()]
        rows = []
        for where, group in overall.groupby(MODEL[2:], sort=False):
            drops = {(row.backbone, row.weights): self._drop(row.Index) for row in group.itertuples()}
            for other, one in permutations(drops, 2):
                if set(drops[one].trainings) == set(drops[other].trainings):
                    gap = summed([(1.0, drops[one]), (-1.0, drops[other])])
                    rows.append((*one, *where, other, gap.value, *gap.interval()))
        return pd.DataFrame(rows, columns=[*MODEL, "baseline", "difference", "low", "high"])

    @cached_property
    def _alone(self) -> pd.DataFrame:
        """The drop of each training, indexed by model, category and seed."""
        return per_training(self.results.scores).set_index([*MODEL, "category", "seed"])["drop"].sort_index()

    def _drop(self, row: int) -> Measured:
        about = self.results.summary.loc[row]
        trainings = self._alone.loc[tuple(about[[*MODEL, "category"]])].to_dict()
        images = int(self.results.scores.loc[self.results.scores["task"] == about["task"], "n_images"].max())
        return Measured(float(about["drop"]), self.results.draws["drop"][row], trainings, images)

    def decomposition(self) -> pd.DataFrame:
        """`robnb.statistics.decomposition` of all scores."""
        draws = [draws_of(one, self.resamples, self.seed, one.store) for one in self.evaluations]
        return decomposition(self.results.scores, np.concatenate(draws))


def pooled(found: Found, resamples: int, seed: int = 0) -> Pool:
    """Every model once, of the notebooks (in the profile's own parameters) whose conditions are those of most."""
    chapters = [chapter for (_, variation), chapter in found.chapters.items() if not variation]
    groups: dict[tuple, list[Chapter]] = defaultdict(list)
    for chapter in chapters:
        groups[chapter.outlook.conditions, chapter.outlook.replicates].append(chapter)
    (conditions, _), chosen = max(groups.items(), key=lambda group: len(group[1]))
    store = Store(chosen[0].outlook.store_root)
    evaluations = tuple(Evaluation(sweep, store) for sweep in _sweeps(chosen))
    grid = [(condition.corruption, condition.severity) for condition in conditions]
    results = Results.of(evaluations, grid, resamples=resamples, seed=seed, store=store)
    left_out = tuple(chapter.notebook for chapter in chapters if chapter not in chosen or _unlike(chapter, chosen))
    return Pool(evaluations, results, left_out, resamples, seed)


def by_severity(chapter: Chapter, resamples: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each severity alone and all together, for a notebook that was run with several.

    Returns:
        the overall rows of `robnb.statistics.Results.summary` with a column ``severity`` (0: the mean over all), and
        for each task, regime and metric Kendall's tau between the models' drops at the ``lowest`` severity and over
        all: ``models``, ``tau``, ``low``, ``high``, resampled on the same images.
    """
    severities = sorted({condition.severity for condition in chapter.outlook.conditions} - {0})
    alone = {severity: _at(chapter, [severity], resamples, seed) for severity in severities} | {0: chapter.results}
    parts = [one.summary[one.summary["category"] == ALL].assign(severity=s) for s, one in alone.items()]
    first, whole, rows = alone[severities[0]], chapter.results, []
    overall = whole.summary[whole.summary["category"] == ALL]
    for where, group in overall.groupby(MODEL[2:], sort=False):
        at = group.index.to_numpy()
        draws = tau_b(first.draws["drop"][at], whole.draws["drop"][at])
        point = tau_b(first.summary["drop"].to_numpy()[at, None], whole.summary["drop"].to_numpy()[at, None])[0]
        (low,), (high,) = percentiles(draws[None])
        rows.append((*where, severities[0], len(at), point, low, high))
    columns = [*MODEL[2:], "lowest", "models", "tau", "low", "high"]
    return pd.concat(parts, ignore_index=True), pd.DataFrame(rows, columns=columns)


def _at(chapter: Chapter, severities: list[int], resamples: int, seed: int) -> Results:
    """The same models at some of the severities."""
    outlook = replace(chapter.outlook, severities=severities)
    evaluations = [Evaluation(outlook.sweep_of(one.asked.models), one.store) for one in chapter.evaluations]
    grid = [(condition.corruption, condition.severity) for condition in outlook.conditions]
    return Results.of(evaluations, grid, resamples=resamples, seed=seed, store=Store(outlook.store_root))


def _sweeps(chapters: list[Chapter]) -> Iterator[Sweep]:
    """One for each task: the first chapter's, with the models of all chapters that score it in the same way."""
    by_task: dict[str, tuple[Chapter, dict[str, TrainedModel]]] = {}
    for chapter in chapters:
        for evaluation in chapter.evaluations:
            first, models = by_task.setdefault(evaluation.task, (chapter, {}))
            for model in evaluation.models:
                if _scored_alike(first, chapter, model):
                    models[model.key] = _plainer(models.get(model.key, model), model)
    for first, models in by_task.values():
        yield first.outlook.sweep_of(_told_apart(models.values()))


def _unlike(chapter: Chapter, chosen: list[Chapter]) -> bool:
    """Whether some of its models cannot be among those of the others."""
    for evaluation in chapter.evaluations:
        first = next(one for one in chosen if any(e.task == evaluation.task for e in one.evaluations))
        if not all(_scored_alike(first, chapter, model) for model in evaluation.models):
            return True
    return False


def _scored_alike(first: Chapter, other: Chapter, model: TrainedModel) -> bool:
    """Whether a model's results are under the keys that the first chapter's way of scoring has."""
    one, two = (chapter.outlook.sweep_of([model]) for chapter in (first, other))
    return [one.spec(model, panel).key for panel in one.panels] == [two.spec(model, panel).key for panel in two.panels]


def _plainer(one: TrainedModel, other: TrainedModel) -> TrainedModel:
    """Of two names for one model the one that says less: ``prime``, not ``prime, lr 0.04`` where that is the usual."""
    return min(one, other, key=lambda model: len(model.backbone.weights))


def _told_apart(models: Iterable[TrainedModel]) -> list[TrainedModel]:
    """Of several that a table would call the same, the first."""
    named = {}
    for model in models:
        named.setdefault((model.called, model.regime, model.seed), model)
    return list(named.values())
