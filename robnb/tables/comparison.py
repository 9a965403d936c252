"""Models against a baseline and tasks against each other: what the intervals allow to say, in computed sentences.

The rule of every sentence: where an interval holds zero, no order is claimed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from robnb.metrics import ALL
from robnb.tables.labels import several_regimes, title, with_labels
from robnb.tables.scores import UNDEFINED, cell, with_intervals

_SCORED_TASK = ["task", "regime", "metric"]


def against_baseline(differences: pd.DataFrame, baseline: tuple[str, str] | str, scores: pd.DataFrame) -> pd.DataFrame:
    """How each model's drop compares with the baseline's on the same images; one row per model and metric.

    Args:
        differences: paired differences with their intervals, as `robnb.statistics.Results` gives them.
        baseline: (backbone, weights); or words, where each model has a baseline of its own.
        scores: the long results table; the numbers of images come from it.

    Returns:
        task, regime, metric, model, difference (its overall drop minus the baseline's, percentage points; negative
        is more robust), difference_low, difference_high (95 %), n_images, and in how many categories (``of``) the
        whole interval lies below zero (``less``) or above it (``more``).
    """
    rows = []
    labelled = with_labels(differences, beside=[] if isinstance(baseline, str) else [baseline])
    is_baseline = [model == baseline for model in zip(labelled["backbone"], labelled["weights"], strict=True)]
    labelled = labelled[~np.array(is_baseline, bool)]
    tasks = labelled.groupby(_SCORED_TASK, sort=False)
    groups = [of_model for _, task in tasks for of_model in task.groupby("model", sort=False)]
    for model, group in groups:
        overall = group[group["category"] == ALL].iloc[0]
        single = group[group["category"] != ALL]
        rows.append(
            {
                **overall[_SCORED_TASK],
                "model": model,
                "difference": overall["difference"],
                "difference_low": overall["low"],
                "difference_high": overall["high"],
                "n_images": int(scores.loc[scores["task"] == overall["task"], "n_images"].max()),
                "less": int((single["high"] < 0).sum()),
                "more": int((single["low"] > 0).sum()),
                "of": len(single),
            }
        )
    return pd.DataFrame(rows)


def sentences(comparison: pd.DataFrame, baseline: str) -> str:
    """`against_baseline` as a Markdown list: one sentence per model and metric, and no order where none is known.

    Args:
        comparison: of models other than the baseline.
        baseline: its name in the sentences.
    """
    if comparison.empty:
        return f"There is no model beside {baseline} to compare."
    regimes = several_regimes(comparison)
    return "\n".join(
        f"- {title(row.task, row.regime, row.metric, regimes=regimes)}: {_verdict(row, baseline)}"
        for row in comparison.itertuples()
    )


def _verdict(row: tuple, baseline: str) -> str:
    """What one row of `against_baseline` says, as a sentence or two."""
    if pd.isna(row.difference):
        return (
            f"**{row.model}** and {baseline} cannot be compared: a drop is {UNDEFINED} where the clean score is 0 or "
            "not there."
        )
    if pd.isna(row.difference_low) or pd.isna(row.difference_high):
        return (
            f"the drops of **{row.model}** and {baseline} differ by {_points(row.difference)} percentage points, "
            f"but the interval is {UNDEFINED}, so the difference cannot be told from zero with {row.n_images} test "
            "images."
        )
    numbers = (
        f"{_points(row.difference)} percentage points [{_points(row.difference_low)}, {_points(row.difference_high)}]"
    )
    if row.difference_low <= 0 <= row.difference_high:
        said = (
            f"**{row.model}** and {baseline} are not told apart: their drops differ by {numbers}, which cannot be "
            f"told from zero with {row.n_images} test images."
        )
    else:
        direction = "less" if row.difference_high < 0 else "more"
        said = (
            f"**{row.model}** loses {direction} than {baseline}: their drops differ by {numbers} on {row.n_images} "
            "test images."
        )
    if row.of < 2:
        return said
    open_ones = row.of - row.less - row.more
    return f"{said} By category: less in {row.less} of {row.of}, more in {row.more}, not told apart in {open_ones}."


def _points(value: float) -> str:
    """One decimal, or as many as it takes (three at most) that what is not zero does not read as zero."""
    digits = next((d for d in (1, 2, 3) if round(value, d) != 0), 1)
    return f"{value:z.{digits}f}"


def rank_agreement(agreement: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau between the models' upstream drop and each downstream drop, with its 95 % interval, for reading.

    Takes the agreement of `robnb.statistics.Results`: task, regime, metric, models, tau, low, high.
    """
    named = agreement.rename(columns={"low": "tau_low", "high": "tau_high"})
    return with_intervals(named, digits=2).assign(answer=[_answer(row) for row in agreement.itertuples()])


def agreement_sentences(agreement: pd.DataFrame) -> str:
    """The paper's question, answered as far as the intervals go: a headline and a Markdown list."""
    question = "**Does the order of the drops upstream reappear downstream?**"
    if agreement.empty:
        return f"{question} Nothing downstream was scored."
    answers = pd.Series([_answer(row) for row in agreement.itertuples()])
    counts = [f"{answer} ({n} of {len(answers)} scores)" for answer, n in answers.value_counts(sort=False).items()]
    regimes = several_regimes(agreement)
    lines = []
    for row, said in zip(agreement.itertuples(), answers, strict=True):
        where = title(row.task, row.regime, row.metric, regimes=regimes)
        lines.append(f"- {where}: {tau_in_words(row)} between {row.models} models: {said}.")
    return "\n".join([f"{question} Downstream: {'; '.join(counts)}.", "", *lines])


def tau_in_words(row: tuple) -> str:
    """``tau = 0.33 [-1.00, 1.00]``, from a row (a named tuple) of the agreement table."""
    if pd.isna(row.tau):
        return f"tau is {UNDEFINED}"
    return f"tau = {cell(row.tau, row.low, row.high, 2)}"


def _answer(row: tuple) -> str:
    """yes or no only where the whole interval of tau lies on one side of zero."""
    if pd.isna(row.tau) or pd.isna(row.low) or pd.isna(row.high) or row.low <= 0 <= row.high:
        return "cannot be told"
    if row.high < 0:
        return "no, reversed"
    return "yes, in full" if row.low == 1 else "yes, at least in part"


def variance_table(variance: pd.DataFrame) -> pd.DataFrame:
    """Where the uncertainty comes from, for reading: standard deviations of mPC and drop in percentage points.

    Takes the variance of `robnb.statistics.Results`. What was not varied says so: it is unknown, not zero.
    """
    shown = with_labels(variance).drop(columns=["backbone", "weights", "replicates"])
    once = {"corruptions": ("replicates", "one draw only"), "training": ("seeds", "one training only")}
    for source in ("images", "corruptions", "training"):
        shown[source] = shown[source].map("{:.2f}".format).where(shown[source].notna(), UNDEFINED)
    for source, (count, said) in once.items():
        shown[source] = shown[source].mask(variance[count] == 1, said)
    return shown
