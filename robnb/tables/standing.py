"""Where a reader's own backbones stand among the others: places, and who loses more or less than they do.

As everywhere, no order is claimed where an interval holds zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from robnb.errors import UserError
from robnb.metrics import ALL, DECIMALS
from robnb.tables.labels import name, several_regimes, title, with_labels
from robnb.tables.scores import UNDEFINED, cell

_SCORED_TASK = ["task", "regime", "metric"]
_NOBODY = "none"


def models_of(yours: Sequence[str]) -> list[tuple[str, str]]:
    """The reader's backbones as (architecture, weights), from ``architecture.weights`` or ``architecture@file``.

    Raises:
        UserError: there is none, or one is unknown.
    """
    if not yours:
        raise UserError(
            "yours is empty: name at least one backbone, such as convnext_tiny.fb_in1k or resnet50@/data/mine.pth."
        )
    return list(dict.fromkeys(map(_model, yours)))


def _model(backbone: str) -> tuple[str, str]:
    from robnb.models.architectures import BackboneName  # here: it brings torch, which a table does not need

    named = BackboneName.parse(backbone)
    return named.architecture, named.weights


def introduction(yours: Sequence[str], backbones: Sequence[str]) -> str:
    """A sentence in Markdown: what tables and figures call the reader's backbones, and which others are beside them."""
    mine, all_of_them = models_of(yours), dict.fromkeys([*models_of(yours), *map(_model, backbones)])
    frame = pd.DataFrame(list(all_of_them), columns=["backbone", "weights"])
    called = dict(zip(all_of_them, with_labels(frame)["model"], strict=True))
    given = {_model(backbone): backbone for backbone in yours}
    own = ", ".join(f"**{called[model]}** (`{given[model]}`)" for model in mine)
    others = ", ".join(label for model, label in called.items() if model not in mine)
    return f"Yours: {own}. Beside {'it' if len(mine) == 1 else 'them'}: {others or 'no other'}."


def standing(summary: pd.DataFrame, differences: pd.DataFrame, model: tuple[str, str]) -> pd.DataFrame:
    """A model's place on every score, 1 for the one whose drop is lowest.

    Args:
        summary: of `robnb.statistics.Results`.
        differences: each other model's drop minus this one's, of `Results.differences`.
        model: (backbone, weights).

    Returns:
        ``model``, ``task``, ``regime``, ``metric``, ``drop``, ``drop_low``, ``drop_high``; ``place`` among ``of``
        models; ``best`` and ``worst``, the places that it may have as far as it is told apart from the others: each
        difference whose interval holds zero, or that is undefined, may go either way; and the names of the models that
        it loses ``less`` than, ``more`` than, and is not told apart from (``open``), as lists.
    """
    labelled = with_labels(differences, beside=zip(summary["backbone"], summary["weights"], strict=True))
    overall = labelled[labelled["category"] == ALL]
    rows = []
    for own in summary[summary["category"] == ALL].to_dict("records"):
        if (own["backbone"], own["weights"]) != model:
            continue
        others = overall[(overall[_SCORED_TASK] == [own[key] for key in _SCORED_TASK]).all(axis=1)]
        less, more = others["low"] > 0, others["high"] < 0  # of the others' drop minus this one's
        rows.append({
            "model": name(model, summary),
            **{key: own[key] for key in (*_SCORED_TASK, "drop", "drop_low", "drop_high")},
            "place": np.nan if np.isnan(own["drop"]) else 1 + int((others["difference"].round(DECIMALS) < 0).sum()),
            "best": 1 + int(more.sum()),
            "worst": 1 + len(others) - int(less.sum()),
            "of": 1 + len(others),
            "less": list(others.loc[less, "model"]),
            "more": list(others.loc[more, "model"]),
            "open": list(others.loc[~less & ~more, "model"]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def standing_table(standings: pd.DataFrame) -> pd.DataFrame:
    """`standing` for reading: the drop with its interval, the place with the range that the intervals leave."""
    regimes = several_regimes(standings)
    shown = [
        {
            "model": row.model,
            "score": title(row.task, row.regime, row.metric, regimes=regimes),
            "drop": cell(row.drop, row.drop_low, row.drop_high),
            "place": _place(row),
            **{
                heading: ", ".join(names) or _NOBODY
                for heading, names in {
                    "loses less than": row.less, "loses more than": row.more, "not told from": row.open,
                }.items()
            },
        }
        for row in standings.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(shown).set_index(["model", "score"])


def _place(row: tuple) -> str:
    """``2 of 5 [1 to 3]``."""
    place = UNDEFINED if pd.isna(row.place) else f"{row.place:.0f} of {row.of}"
    return f"{place} [{row.best} to {row.worst}]"


def standing_sentences(standings: pd.DataFrame) -> str:
    """How often a model loses less than each of the others downstream, as a Markdown list from `standing`."""
    downstream = standings[standings["task"] != "upstream"]
    lines = []
    for model, rows in downstream.groupby("model", sort=False):
        others = dict.fromkeys(other for row in rows.itertuples() for other in (*row.less, *row.more, *row.open))
        for other in others:
            found = {key: [other in names for names in rows[key]] for key in ("less", "more", "open")}
            less, more, unknown = (sum(of_key) for of_key in found.values())
            lines.append(
                f"- **{model}** loses less than {other} on {less} of {less + more + unknown} downstream scores and "
                f"more on {more}; on {unknown} they are not told apart.{_where(rows, found)}"
            )
    return "\n".join(lines) or "There is no other backbone to compare with."


def _where(rows: pd.DataFrame, found: dict[str, list[bool]]) -> str:
    """On which scores it loses less and more."""
    regimes = several_regimes(rows)
    titles = [title(row.task, row.regime, row.metric, regimes=regimes) for row in rows.itertuples()]
    said = [
        f"{key.capitalize()}: {'; '.join(which)}."
        for key in ("less", "more")
        if (which := [where for where, is_so in zip(titles, found[key], strict=True) if is_so])
    ]
    return "".join(f" {part}" for part in said)
