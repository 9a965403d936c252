"""Ours beside what the paper printed."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from robnb import reference
from robnb.metrics import ALL
from robnb.names import CATEGORIES
from robnb.tables.labels import ARM, with_labels
from robnb.tables.scores import cell, with_bounds

#: Of tables 4 and 5.
_PRIME_METRICS = ("box_AP", "mIoU")
_PRIME_QUANTITIES = ("P", "mPC", "drop")


def beside_paper(summary: pd.DataFrame, metric: str, profile: str) -> pd.DataFrame:
    """Drop per category of our fixed-feature models and of the paper's (tables 1 and 2); percent, for reading.

    Ours carry their 95 % interval; the paper prints none. Outside the paper profile the two are measured in
    different worlds (other data, other backbones): the column ``world`` says so, and what can be compared is the
    order and the direction, not the size.
    """
    chosen = summary[(summary["metric"] == metric) & (summary["regime"] == "fixed_feature")]
    rows = with_labels(chosen)
    cells = [cell(*row) for row in rows[with_bounds(["drop"])].itertuples(index=False)]
    ours = rows.assign(cell=cells).pivot(index="model", columns="category", values="cell")
    paper = reference.fixed_feature_drops().query("metric == @metric")
    printed = paper.pivot(index="model", columns="category", values="drop").reindex(paper["model"].unique())
    if set(CATEGORIES) <= set(printed):
        sizes = {category: len(members) for category, members in CATEGORIES.items()}
        printed[ALL] = sum(printed[c] * n for c, n in sizes.items()) / sum(sizes.values())
    worlds = {
        _here(profile): ours.reindex(rows["model"].unique()),
        _there(paper): printed.map("{:.2f}".format),
    }
    both = pd.concat(worlds, names=["world", "model"])
    return both[[category for category in (*CATEGORIES, ALL) if category in ours]]


def prime_beside_paper(summary: pd.DataFrame, profile: str) -> pd.DataFrame:
    """P, mPC and drop of PRIME weights without and with PRIME in the transfer, ours and the paper's (tables 4 and 5).

    Percent, for reading. Where no model has PRIME weights, all of ours are shown.
    """
    chosen = summary[
        (summary["category"] == ALL) & summary["metric"].isin(_PRIME_METRICS) & (summary["regime"] == "full_network")
    ]
    has_prime = chosen["weights"].str.split(ARM).str[0] == "prime"
    rows = with_labels(chosen[has_prime] if has_prime.any() else chosen)
    ours = rows[["metric", "model"]].copy()
    for quantity in _PRIME_QUANTITIES:
        ours[quantity] = [cell(*row) for row in rows[with_bounds([quantity])].itertuples(index=False)]
    paper = reference.prime_during_transfer()
    printed = paper[["metric", "model", *_PRIME_QUANTITIES]].copy()
    printed[[*_PRIME_QUANTITIES]] = printed[[*_PRIME_QUANTITIES]].map("{:.2f}".format)
    worlds = {_here(profile): ours, _there(paper): printed}
    both = pd.concat([frame.assign(world=world) for world, frame in worlds.items()])
    return both.set_index(["metric", "world", "model"]).sort_index(level="metric", sort_remaining=False)


def sizes(millions: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """Millions of parameters of backbones, by (backbone, weights), as counted and as the paper's table 3 has them."""
    counted = pd.DataFrame(list(millions), columns=["backbone", "weights"])
    counted["million_parameters"] = list(millions.values())
    paper = reference.model_sizes().rename(
        columns={"model": "paper_model", "million_parameters": "paper_million_parameters"}
    )
    both = with_labels(counted).merge(paper, on=["backbone", "weights"], how="left")
    found = both.drop(columns=["backbone", "weights"])
    return found.astype({"paper_million_parameters": "Int64", "image_size": "Int64", "window": "Int64"})


def _here(profile: str) -> str:
    return "this run" if profile == "paper" else f"this run ({profile}: another world)"


def _there(paper: pd.DataFrame) -> str:
    return f"{reference.TITLE}, {' and '.join(paper['table'].unique())}"
