"""P, mPC, rPC and drop, computed from the long results table.

One row of ``scores`` is one measurement: backbone, weights, task, regime, metric, seed (of the training), corruption,
severity, replicate (which draw of the corruption), value (percent, higher is better), n_images. The clean score is a
row like any other, with corruption ``clean``, severity 0 and replicate 0.

    P     score on clean images
    mPC   mean over corruptions of (the mean over severities of) the score under corruption; draws are averaged first
    rPC   mPC / P            drop = 1 - rPC, both in percent

The definitions are Michaelis et al. 2019 (arXiv:1907.07484) and the paper's section 3.1. Nothing here reads a
file or knows a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from robnb.errors import UserError
from robnb.names import CATEGORIES, CLEAN

#: What identifies a scored model under one metric.
SCORED = ["backbone", "weights", "task", "regime", "metric", "seed"]
#: The columns of the long results table.
COLUMNS = [*SCORED, "corruption", "severity", "replicate", "value", "n_images"]
#: Decimals to which two means of the same numbers agree, whatever order they were summed in: beyond, nothing differs.
DECIMALS = 9
#: The category name under which `summarise` gives the mean over all corruptions.
ALL = "all"


def require_grid(scores: pd.DataFrame, conditions: Iterable[tuple[str, int]]) -> None:
    """Check that every scored model has every condition once per replicate, over one number of images per task.

    Raises:
        UserError: lists what is missing (or doubled), because a mean over a partial grid is a wrong number.
    """
    replicates = 1 if scores.empty else int(scores["replicate"].max()) + 1
    wanted = [(c, s, r) for c, s in conditions for r in range(1 if c == CLEAN else replicates)]
    problems = []
    for scored, rows in scores.groupby(SCORED, sort=False):
        model = "/".join(map(str, scored))
        have = list(zip(rows["corruption"], rows["severity"], rows["replicate"], strict=True))
        problems += [f"{model}: {_cell(*cell)} missing" for cell in wanted if cell not in have]
        problems += [f"{model}: {_cell(*cell)} twice" for cell in sorted(set(have)) if have.count(cell) > 1]
    for task, counts in scores.groupby("task")["n_images"]:
        if counts.nunique() > 1:
            problems.append(f"{task}: scored on different numbers of images ({sorted(map(int, counts.unique()))})")
    if scores.empty:
        problems.append("no scores at all")
    if problems:
        shown = "; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
        raise UserError(f"the results grid is incomplete: {shown}. Run the notebook again to fill it.")


def _cell(corruption: str, severity: int, replicate: int) -> str:
    return f"{corruption} severity {severity}" + (f" replicate {replicate}" if replicate else "")


def summarise(scores: pd.DataFrame, conditions: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """P, mPC, rPC and drop for every scored model, overall and per category of corruptions.

    Returns one row per model and category ("all", then those of the four that ``conditions`` cover), with the
    columns of `SCORED` and category, P, mPC, rPC, drop (percent). rPC and drop are NaN where P is zero: no
    share of nothing is known.

    Raises:
        UserError: the grid is incomplete.
    """
    require_grid(scores, conditions)
    clean = scores[scores["corruption"] == CLEAN].set_index(SCORED)["value"]
    corrupted = scores[scores["corruption"] != CLEAN]
    # Severities first, so that a corruption measured at more severities does not weigh more; draws before them.
    per_severity = corrupted.groupby([*SCORED, "corruption", "severity"], sort=False)["value"].mean().reset_index()
    per_corruption = per_severity.groupby([*SCORED, "corruption"], sort=False)["value"].mean().reset_index()
    groups = {ALL: set(per_corruption["corruption"])} | {name: set(members) for name, members in CATEGORIES.items()}
    parts = []
    for category, members in groups.items():
        chosen = per_corruption[per_corruption["corruption"].isin(members)]
        if not chosen.empty:
            mean = chosen.groupby(SCORED, sort=False)["value"].mean().rename("mPC").reset_index()
            parts.append(mean.assign(category=category))
    summary = pd.concat(parts, ignore_index=True)
    summary["P"] = clean.loc[pd.MultiIndex.from_frame(summary[SCORED])].to_numpy()
    summary["rPC"] = 100 * summary["mPC"] / summary["P"].where(summary["P"] > 0)
    summary["drop"] = 100 - summary["rPC"]
    return summary[[*SCORED, "category", "P", "mPC", "rPC", "drop"]]
