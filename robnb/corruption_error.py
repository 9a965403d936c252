"""Corruption error: how much a classifier errs under corruption, next to a baseline.

Of a model f and a corruption c, with E the top-1 error (percent) and sums over the severities:

    CE            sum E(f, c, s) / sum E(baseline, c, s)
    relative CE   sum (E(f, c, s) - E(f, clean)) / sum (E(baseline, c, s) - E(baseline, clean))
    mCE           mean over corruptions of CE          relative mCE   mean over corruptions of relative CE

Source: Hendrycks & Dietterich 2019 (arXiv:1903.12261), section 4; their baseline is AlexNet. Nothing here reads a file
or knows a model.
"""

from __future__ import annotations

import pandas as pd

from robnb.errors import UserError
from robnb.metrics import DECIMALS, require_grid
from robnb.names import CLEAN

#: What identifies a classifier here; the baseline is looked up within the same task and regime.
_MODEL = ["backbone", "weights", "task", "regime", "seed"]


def corruption_error(scores: pd.DataFrame, baseline: tuple[str, str]) -> pd.DataFrame:
    """CE of every corruption, mCE and relative mCE of every classifier, in percent.

    Corruption draws are averaged first, and the training seeds of the baseline. A CE is NaN where the baseline makes
    no error, a relative one where corruption costs the baseline nothing; a mean over either is NaN too.

    Args:
        scores: long results table (`robnb.metrics.COLUMNS`); its top-1 rows count.
        baseline: (backbone, weights), scored in each of the tasks and regimes that the others are.

    Returns:
        Columns backbone, weights, task, regime, seed, mCE, relative_mCE, then the CE of each corruption; the baseline
        itself has 100 everywhere. Of a corruption that a task does not have, NaN.

    Raises:
        UserError: no top-1 rows, the baseline is missing in a task and regime, or a condition of a model is missing.
    """
    top1 = scores[scores["metric"] == "top1"]
    if top1.empty:
        raise UserError("there are no top-1 scores: corruption error is defined for upstream and classification.")
    parts = [_of_one(rows, baseline) for _, rows in top1.groupby(["task", "regime"], sort=False)]
    return pd.concat(parts, ignore_index=True)


def _of_one(top1: pd.DataFrame, baseline: tuple[str, str]) -> pd.DataFrame:
    """The same within one task and regime."""
    conditions = top1[["corruption", "severity"]].drop_duplicates()
    require_grid(top1, [(CLEAN, 0), *(c for c in conditions.itertuples(index=False, name=None) if c[0] != CLEAN)])
    drawn = top1.assign(error=100 - top1["value"]).groupby([*_MODEL, "corruption", "severity"], sort=False)["error"]
    errors = drawn.mean().unstack(["corruption", "severity"])  # a row per model, a column per condition
    of_baseline = errors[[index[:2] == tuple(baseline) for index in errors.index]].mean()
    if of_baseline.isna().all():
        task, regime = top1[["task", "regime"]].iloc[0]
        there = ", ".join(sorted({f"{index[0]}.{index[1]}" for index in errors.index}))
        raise UserError(f"the baseline {'.'.join(baseline)} was not scored on {task}, {regime}: choose from {there}.")
    summed, reference = _summed(errors), _summed(of_baseline.to_frame().T).iloc[0]
    above_clean = _summed(errors.sub(errors[CLEAN, 0], axis=0))
    reference_above = _summed((of_baseline - of_baseline[CLEAN, 0]).to_frame().T).iloc[0]
    of_corruption = 100 * summed / reference.where(reference.round(DECIMALS) > 0)
    relative = 100 * above_clean / reference_above.where(reference_above.round(DECIMALS) > 0)
    means = {"mCE": of_corruption.mean(axis=1, skipna=False), "relative_mCE": relative.mean(axis=1, skipna=False)}
    return pd.concat([pd.DataFrame(means), of_corruption], axis=1).rename_axis(columns=None).reset_index()


def _summed(errors: pd.DataFrame) -> pd.DataFrame:
    """Errors summed over the severities: a column per corruption, in the order of the table."""
    names = errors.columns.get_level_values("corruption")
    kept = [name for name in dict.fromkeys(names) if name != CLEAN]
    return pd.DataFrame({name: errors.loc[:, names == name].sum(axis=1) for name in kept})
