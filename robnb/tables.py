"""Frames in, tables out: what a notebook shows, beside what the paper printed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from robnb import reference
from robnb.metrics import ALL
from robnb.names import CATEGORIES

#: How the paper calls its backbones, and what ours are called beside them.
_WEIGHTS = {
    "regular": "Regular", "augmix": "AugMix", "ant3x3": "ANT", "deepaug_augmix": "DeepAug+", "prime": "PRIME",
}  # fmt: skip
_SWINS = {
    "swin_nano": "Swin (nano)",
    "swin_mini": "Swin (mini)",
    "swin_tiny": "Swin-T",
    "swin_small": "Swin-S",
    "swin_base": "Swin-B",
}
METRIC_TITLES = {"box_AP": "box AP", "mask_AP": "mask AP", "mIoU": "mIoU", "top1": "top-1"}
TASK_TITLES = {
    "upstream": "Upstream classification",
    "detection": "Detection and instance segmentation",
    "segmentation": "Semantic segmentation",
    "classification": "Downstream classification",
}


def label(backbone: str, weights: str) -> str:
    """A model's name in tables and figures: the recipe for a ResNet, the size for a Swin."""
    if backbone in _SWINS:
        return _SWINS[backbone]
    return _WEIGHTS.get(weights, weights)


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column ``model`` in front, made of backbone and weights."""
    names = [label(b, w) for b, w in zip(frame["backbone"], frame["weights"], strict=True)]
    return pd.concat([pd.Series(names, index=frame.index, name="model"), frame], axis=1)


def overview(summary: pd.DataFrame) -> pd.DataFrame:
    """One row per scored model: P, mPC, rPC, drop, and the drop in each category; percent.

    Takes what `robnb.metrics.summarise` gives; the order of models and tasks stays.
    """
    labelled = with_labels(summary)
    keys = ["task", "regime", "metric", "model"]
    overall = labelled[labelled["category"] == ALL].set_index(keys)[["P", "mPC", "rPC", "drop"]]
    by_category = labelled[labelled["category"] != ALL].pivot(index=keys, columns="category", values="drop")
    present = [category for category in CATEGORIES if category in by_category]
    drops = by_category[present].rename(columns=lambda category: f"drop {category}")
    return overall.join(drops).reset_index()


def beside_paper(summary: pd.DataFrame, metric: str, profile: str) -> pd.DataFrame:
    """Drop per category of our fixed-feature models and of the paper's (tables 1 and 2); percent.

    Outside the paper profile the two are measured in different worlds (other data, other backbones): the column
    ``world`` says so, and what can be compared is the order and the direction, not the size.
    """
    ours = with_labels(summary[summary["metric"] == metric])
    ours = ours.pivot(index="model", columns="category", values="drop").reindex(ours["model"].unique())
    paper = reference.fixed_feature_drops().query("metric == @metric")
    printed = paper.pivot(index="model", columns="category", values="drop").reindex(paper["model"].unique())
    if set(CATEGORIES) <= set(printed):
        sizes = {category: len(members) for category, members in CATEGORIES.items()}
        printed[ALL] = sum(printed[c] * n for c, n in sizes.items()) / sum(sizes.values())
    world = "this run" if profile == "paper" else f"this run ({profile}: another world)"
    source = f"{reference.TITLE}, {paper['table'].iloc[0]}"
    both = pd.concat({world: ours, source: printed}, names=["world", "model"])
    return both[[category for category in (*CATEGORIES, ALL) if category in both]]


def against_baseline(summary: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """How each model's drop compares with the baseline's; columns task, regime, metric, model, fewer, of, difference.

    ``fewer`` counts the categories (``of`` how many) in which the model drops less than the baseline;
    ``difference`` is its overall drop minus the baseline's, in percentage points: negative is more robust.
    """
    rows = []
    for (task, regime, metric), group in with_labels(summary).groupby(["task", "regime", "metric"], sort=False):
        drops = group.pivot(index="model", columns="category", values="drop")
        for model in group["model"].unique():
            if model != baseline:
                difference = drops.loc[model] - drops.loc[baseline]
                fewer = int((difference.drop(ALL) < 0).sum())
                rows.append((task, regime, metric, model, fewer, len(difference) - 1, difference[ALL]))
    return pd.DataFrame(rows, columns=["task", "regime", "metric", "model", "fewer", "of", "difference"])


def sentences(comparison: pd.DataFrame, baseline: str) -> str:
    """`against_baseline` as a Markdown list, one computed sentence per model and metric."""
    lines = []
    for row in comparison.itertuples():
        direction = "less" if row.difference < 0 else "more"
        lines.append(
            f"- {TASK_TITLES[row.task]}, {METRIC_TITLES[row.metric]}: **{row.model}** loses {abs(row.difference):.1f} "
            f"percentage points {direction} than {baseline} overall, and less in {row.fewer} of {row.of} categories."
        )
    return "\n".join(lines)


def rank_agreement(summary: pd.DataFrame) -> pd.DataFrame:
    """The overall drop of every model, a column per task and metric, with its rank behind it.

    1 loses least; equal drops share the better rank; a drop that is not defined (P is 0) has none.
    """
    labelled = with_labels(summary[summary["category"] == ALL])
    columns = labelled["task"] + " " + labelled["metric"]
    drops = labelled.assign(column=columns).pivot(index="model", columns="column", values="drop")
    drops = drops.reindex(index=labelled["model"].unique(), columns=columns.unique())
    ranked = {}
    for column in drops:
        ranked[column] = drops[column]
        ranked[f"{column} rank"] = drops[column].rank(method="min").astype("Int64")
    return pd.DataFrame(ranked)


def save(frame: pd.DataFrame, folder: Path, name: str, *, index: bool = False) -> Path:
    """Write ``<folder>/<name>.csv`` in full precision; returns the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=index)
    return path
