"""How many test images would give a wanted interval, from the evaluations that are finished."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from robnb.errors import UserError
from robnb.evaluation.results import Evaluation
from robnb.planning.outlook import Outlook
from robnb.statistics import Results, images_for
from robnb.statistics.planning import Z95
from robnb.statistics.resampling import deviation
from robnb.store import Store


def finished_evaluations(outlook: Outlook) -> tuple[list[Evaluation], list[str]]:
    """The evaluations of a notebook that are complete, and the models of the others.

    Only finished sweeps are read. A model whose sweep is not finished takes nothing from the others of its task.
    """
    evaluations, lacking = [], []
    for sweep in outlook.sweeps():
        done = tuple(model for model in sweep.models if outlook.is_scored(sweep, model))
        lacking += [str(model) for model in sweep.models if model not in done]
        if done:
            evaluations.append(Evaluation(outlook.sweep_of(done), Store(outlook.store_root)))
    return evaluations, lacking


def wanted_images(
    evaluations: Sequence[Evaluation], half_width: float, resamples: int, seed: int, store: Store
) -> pd.DataFrame:
    """The number of test images that would put a 95 % interval of +- ``half_width`` around each drop.

    Args:
        half_width: in percentage points of the drop.
        resamples, seed: of the bootstrap that the present intervals come from; its draws are kept in ``store``.

    Returns:
        One row per row of `robnb.statistics.Results.summary`: ``backbone``, ``weights``, ``task``, ``regime``,
        ``metric``, ``category``, ``images`` (now), ``half_width`` (now, percentage points), ``wanted``: NaN where
        the present images tell nothing (a drop that is not defined, or does not vary).

    Raises:
        UserError: ``half_width`` is not above 0.
    """
    if not (math.isfinite(half_width) and half_width > 0):
        raise UserError(f"half-width is {half_width:g}: it must be above 0 percentage points.")
    grid = [(condition.corruption, condition.severity) for condition in evaluations[0].conditions]
    results = Results.of(evaluations, grid, resamples=resamples, seed=seed, store=store)
    where = ["backbone", "weights", "task", "regime", "metric"]
    images = results.scores.groupby(where, sort=False)["n_images"].max()
    rows = results.summary[[*where, "category"]].copy()
    rows["images"] = images.reindex(pd.MultiIndex.from_frame(rows[where])).to_numpy()
    errors = deviation(results.draws["drop"])
    rows["half_width"] = Z95 * errors
    rows["wanted"] = [_images(half_width, error, now) for error, now in zip(errors, rows["images"], strict=True)]
    return rows


def _images(half_width: float, error: float, now: int) -> float:
    try:
        return images_for(half_width, error, now)
    except UserError:  # it says that these images do not tell
        return math.nan
