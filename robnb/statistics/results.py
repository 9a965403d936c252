"""What a study found, with its uncertainty: tables for notebooks, made of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robnb.errors import UserError
from robnb.metrics import ALL, DECIMALS, require_grid
from robnb.statistics.agreement import tau_b
from robnb.statistics.draws import Evaluated, draws_of
from robnb.statistics.quantities import BOUNDS, MODEL, QUANTITIES, quantities
from robnb.statistics.resampling import deviation, interval, percentiles
from robnb.statistics.variance import VARIED, across_replicates, across_seeds
from robnb.store import Store

#: (backbone, weights).
Model = tuple[str, str]
_WHERE = ["task", "regime", "metric"]
_UPSTREAM = {"task": "upstream", "metric": "top1"}
_DRAWN_DECIMALS = 4  # draws are kept as float32: drops that differ by less than this, in percentage points, are a tie


@dataclass(frozen=True)
class Results:
    """Scores and what is computed from them, each with its 95 % bootstrap interval over test images (see `interval`).

    The intervals cover the choice of test images. They do not cover another training seed, nor another draw of the
    corruptions: `variance` shows those beside it. Every score is in percent, every difference in percentage points.

    Attributes:
        scores: the columns of `robnb.metrics.COLUMNS`, ``low`` and ``high``.
        summary: ``backbone``, ``weights``, ``task``, ``regime``, ``metric``, ``seeds``, ``category``, ``P``, ``mPC``,
            ``rPC``, ``drop``, and ``<quantity>_low`` and ``<quantity>_high`` for each of the four. Training seeds are
            averaged (``seeds`` says how many): P and mPC first, and from them rPC and drop. ``category`` is "all",
            then those of the four that are covered. rPC and drop are NaN where P is 0. Resamples in which P is 0 have
            no rPC and no drop: their intervals leave such resamples out, and are NaN where these are more than 5 %.
        draws: each of P, mPC, rPC and drop in every resample, float64 (rows of ``summary``, resamples).
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    draws: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        evaluations: Sequence[Evaluated],
        conditions: Sequence[tuple[str, int]],
        resamples: int = 1000,
        seed: int = 0,
        store: Store | None = None,
    ) -> Results:
        """Resample the test images of every evaluation and aggregate each resample like the scores themselves.

        Args:
            evaluations: of one task each; equal fingerprints mean equal test images, which are resampled alike.
            conditions: (corruption, severity) that every model must have, clean included.
            resamples: how many; at least 40.
            seed: of the bootstrap.
            store: keeps the draws of every score, so that the next call reads them.

        Raises:
            UserError: an incomplete grid, too few resamples, or nothing evaluated.
        """
        if not evaluations:
            raise UserError("nothing was evaluated: evaluate at least one model.")
        for evaluation in evaluations:
            require_grid(evaluation.scores, conditions)
        scores = pd.concat([evaluation.scores for evaluation in evaluations], ignore_index=True)
        draws = np.concatenate([draws_of(evaluation, resamples, seed, store) for evaluation in evaluations])
        low, high = interval(draws, scores["value"].to_numpy(float), BOUNDS["P"])
        points = quantities(scores, scores[["value"]].to_numpy(float))
        resampled = quantities(scores, draws).values
        columns = {name: points.values[name][:, 0] for name in QUANTITIES}
        for name in QUANTITIES:
            columns[f"{name}_low"], columns[f"{name}_high"] = interval(resampled[name], columns[name], BOUNDS[name])
        return cls(scores.assign(low=low, high=high), points.rows.assign(**columns), resampled)

    def differences(self, baseline: Model | Mapping[Model, Model]) -> pd.DataFrame:
        """Each model's drop minus the baseline's on the same images, resample by resample.

        The interval of the paired difference is usually much narrower than the two intervals suggest, because both
        models find the same images hard. It excludes 0 where the models differ on images like these.

        Args:
            baseline: (backbone, weights) that every other model is compared with, or such a baseline for each model
                to be compared; where it was not evaluated the difference is NaN.

        Returns:
            ``backbone``, ``weights``, ``task``, ``regime``, ``metric``, ``category``, ``difference`` (percentage
            points; below 0 the model loses less than the baseline), ``low``, ``high``.

        Raises:
            UserError: a baseline was not evaluated at all.
        """
        models = list(zip(self.summary["backbone"], self.summary["weights"], strict=True))
        if not isinstance(baseline, Mapping):
            baseline = dict.fromkeys((model for model in models if model != tuple(baseline)), tuple(baseline))
        for needed in baseline.values():
            if needed not in models:
                known = ", ".join(dict.fromkeys(".".join(model) for model in models))
                raise UserError(f"the baseline {'.'.join(needed)} was not evaluated: choose from {known}.")
        where = list(self.summary[[*_WHERE, "category"]].itertuples(index=False, name=None))
        row_of = {(model, place): row for row, (model, place) in enumerate(zip(models, where, strict=True))}
        compared = np.array([row for row, model in enumerate(models) if model in baseline], int)
        against = np.array([row_of.get((baseline[models[row]], where[row]), -1) for row in compared], int)
        nan = np.full((1, self.draws["drop"].shape[1]), np.nan)
        draws = np.concatenate([self.draws["drop"], nan])  # row -1
        points = np.append(self.summary["drop"].to_numpy(), np.nan)
        difference = points[compared] - points[against]
        low, high = interval(draws[compared] - draws[against], difference)
        keys = self.summary.loc[compared, [*MODEL, "category"]].reset_index(drop=True)
        return keys.assign(difference=difference, low=low, high=high)

    def agreement(self) -> pd.DataFrame:
        """Kendall's tau-b between the models' overall drop upstream (top-1) and on each downstream task.

        1: who loses less upstream loses less downstream; 0: no relation; -1: the reverse. The interval resamples the
        test images of both tasks, each independently of the other. It says what other images would have changed for
        *these* models, not what other models would show. Its centre lies closer to 0 than the value where
        drops are close, because noise in ranks hides agreement.

        Returns:
            One row per downstream task, regime and metric: ``task``, ``regime``, ``metric``, ``models`` (with a drop in
            both: one that scores nothing on clean images has none, and is left out), ``tau``, ``low``, ``high``; NaN
            with fewer than two models, a drop that is undefined in a resample, or nothing but ties.
        """
        overall = self.summary[self.summary["category"] == ALL]
        defined = overall["drop"].notna()
        is_upstream = defined & (overall[list(_UPSTREAM)] == list(_UPSTREAM.values())).all(axis=1)
        upstream = {(row.backbone, row.weights): row.Index for row in overall[is_upstream].itertuples()}
        rows = []
        for where, group in overall[overall["task"] != _UPSTREAM["task"]].groupby(_WHERE, sort=False):
            models = {row: (b, w) for row, b, w in zip(group.index, group["backbone"], group["weights"], strict=True)}
            here = [row for row, model in models.items() if model in upstream and defined[row]]
            there = [upstream[models[row]] for row in here]
            points = self.summary["drop"].to_numpy()[:, None].round(DECIMALS)
            draws = self.draws["drop"].round(_DRAWN_DECIMALS)
            (low,), (high,) = percentiles(tau_b(draws[there], draws[here])[None])
            rows.append((*where, len(here), *tau_b(points[there], points[here]), low, high))
        return pd.DataFrame(rows, columns=[*_WHERE, "models", "tau", "low", "high"])

    def variance(self) -> pd.DataFrame:
        """Where the uncertainty of the overall mPC and drop comes from, as standard deviations in percentage points.

        Returns:
            One row per model, metric and ``quantity`` ("mPC", "drop"), with ``seeds``, ``replicates`` and

            - ``images``: over bootstrap resamples of the test images, for the averages in ``summary``;
            - ``corruptions``: over corruption draws (replicates), each alone on the same images;
            - ``training``: over training seeds, each alone on the same images.

            The last two are for *one* draw and *one* seed, and NaN where there is no second, or where one is NaN.
        """
        overall = self.summary[self.summary["category"] == ALL]
        replicates, seeds = across_replicates(self.scores), across_seeds(self.scores)
        models = pd.MultiIndex.from_frame(overall[MODEL])
        parts = []
        for quantity in VARIED:
            part = overall[[*MODEL, "seeds"]].assign(
                replicates=int(self.scores["replicate"].max()) + 1,
                quantity=quantity,
                images=deviation(self.draws[quantity][overall.index]),
                corruptions=replicates[quantity].reindex(models).to_numpy(),
                training=seeds[quantity].reindex(models).to_numpy(),
            )
            parts.append(part)
        return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
