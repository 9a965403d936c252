"""The ledger's tables and sentences, for reading."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from robnb.tables.labels import several_regimes, title
from robnb.tables.scores import cell

#: The background of each verdict's cell; the words say the same.
_VERDICTS = {"holds": "#cdeccd", "does not hold": "#f8cfc0", "undecided": "#eeeeee", "not run": "#ffffff"}


def in_full(frame: pd.DataFrame) -> Styler:
    """A table with long texts, nothing of them cut off and verdicts on a background of their own."""
    left = [{"selector": "th, td", "props": "text-align: left; vertical-align: top; max-width: 26em"}]
    shown = frame.style.hide(axis="index").set_table_styles(left).set_properties(**{"white-space": "normal"})
    return shown.map(lambda value: f"background-color: {_VERDICTS[value]}; color: #111" if value in _VERDICTS else "")


def pair_sentences(pairs: pd.DataFrame) -> str:
    """How many pairs of models are told apart, for each score.

    Args:
        pairs: the drop of every model minus that of every other, with ``low`` and ``high``; each pair both ways round.
    """
    regimes = several_regimes(pairs)
    lines = []
    for (task, regime, metric), group in pairs.groupby(["task", "regime", "metric"], sort=False):
        apart = int(((group["low"] > 0) | (group["high"] < 0)).sum()) // 2
        where = title(task, regime, metric, regimes=regimes)
        lines.append(f"- {where}: {apart} of {len(group) // 2} pairs of models are told apart.")
    return "\n".join(lines) or "There are no two models to compare."


def left_out_sentence(notebooks: Sequence[str]) -> str:
    """Which notebooks' models are not all among those of the others, and why."""
    if not notebooks:
        return "All models of all notebooks are here."
    return f"**Not all models are here:** {', '.join(notebooks)} scored some under other conditions or in another way."


def severity_sentences(agreement: pd.DataFrame) -> str:
    """Whether the order of the drops at the lowest severity is that over all, from `tau` with its interval."""
    regimes = several_regimes(agreement)
    lines = []
    for row in agreement.itertuples():
        where = title(row.task, row.regime, row.metric, regimes=regimes)
        said = "undefined" if pd.isna(row.tau) else cell(row.tau, row.low, row.high, 2)
        lines.append(f"- {where}: tau = {said} between severity {row.lowest} and all, over {row.models} models.")
    return "\n".join(lines)


def variance_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Each source's share of the variance of single drops, for reading; what was not varied says so.

    Args:
        shares: as `robnb.statistics.decomposition.decomposition` gives it.
    """
    regimes = several_regimes(shares)
    where = [title(*row, regimes=regimes) for row in shares[["task", "regime", "metric"]].itertuples(index=False)]
    cells = [_share(row.share, row.deviation, row.models) for row in shares.itertuples()]
    told = shares.assign(score=where, cell=cells)
    table = told.pivot(index="score", columns="source", values="cell")
    table = table.reindex(index=dict.fromkeys(where), columns=dict.fromkeys(shares["source"])).rename_axis(columns=None)
    table.insert(0, "models", told.groupby("score")["models"].first())
    return table


def _share(share: float, deviation: float, models: int) -> str:
    if pd.isna(share):
        return "not varied" if models else "no model has a drop"
    return f"{share:.0f} % ({deviation:.1f} points)"
