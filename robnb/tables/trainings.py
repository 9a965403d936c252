"""Upstream recipes over several trainings: beside Regular of the same cost, what they cost, and under attack.

As everywhere, no order is claimed where an interval holds zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from robnb.metrics import ALL
from robnb.tables.labels import ARM, name, with_labels
from robnb.tables.scores import UNDEFINED, cell

#: What is written in place of an interval over trainings where there is one training only.
ONE_TRAINING = "one training"
_MODEL = ["backbone", "weights"]
_SHOWN = ("P", "mPC", "drop")
#: What a difference of drops allows to say of a recipe.
_VERDICTS = {
    "less": "lowers it",
    "more": "raises it",
    "open": "not told apart",
    "same": "the same scores",
    "unknown": "not known",
}


def beside_controls(
    over: pd.DataFrame, controls: Mapping[tuple[str, str], tuple[str, str]], differences: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Each recipe, below it Regular of the same cost and their paired difference; what has no control, alone.

    Args:
        over: one task's, of `robnb.statistics.trainings.over_trainings`.
        controls: the control of each recipe, both as (backbone, weights).
        differences: of P, mPC and drop, each of `robnb.statistics.trainings.differences_over_trainings`.

    Returns:
        ``recipe``, ``model`` (itself, its control, "difference"), ``trainings``, and ``P``, ``mPC``, ``drop`` as
        text with intervals: percent, and percentage points in a difference.
    """
    overall = with_labels(over[over["category"] == ALL]).set_index(_MODEL)
    gaps = {name: _overall(frame).set_index(_MODEL) for name, frame in differences.items()}
    rows = []
    for model in overall.index:
        if ARM in model[1]:  # trained for a comparison alone, and shown with its recipes
            continue
        called = overall.loc[model, "model"]
        rows.append((called, called, *_scores(overall.loc[model])))
        if model in controls:
            control = overall.loc[controls[model]]
            own = {name: frame.loc[model] for name, frame in gaps.items()}
            rows.append((called, control["model"], *_scores(control)))
            rows.append((called, "difference", own["drop"]["seeds"], *(_difference(own[name]) for name in _SHOWN)))
    return pd.DataFrame(rows, columns=["recipe", "model", "trainings", *_SHOWN])


def _overall(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["category"] == ALL]


def _scores(row: pd.Series) -> tuple[object, ...]:
    """How many trainings, and the quantities' cells."""
    return row["seeds"], *(_cell(row[q], row[f"{q}_low"], row[f"{q}_high"], row["seeds"]) for q in _SHOWN)


def _difference(row: pd.Series | tuple) -> str:
    return _cell(row["difference"], row["low"], row["high"], row["seeds"])


def _cell(value: float, low: float, high: float, trainings: int) -> str:
    """``12.3 [10.1, 14.8]``, or ``12.3 [one training]``."""
    shown = cell(value, low, high)
    return shown.replace(f"[{UNDEFINED}]", f"[{ONE_TRAINING}]") if trainings < 2 else shown


def cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """What a training costs, alone and in times of Regular's of the same network; means over trainings, as text.

    Args:
        costs: ``backbone``, ``weights``, ``passes`` (of single images, forward and backward) and ``seconds`` of each
            training.

    Returns:
        ``model``, ``trainings``, ``thousand passes``, ``of Regular's``, ``minutes``, ``of Regular's minutes``; no text
        where Regular of that network is not there.
    """
    mean = costs.groupby(_MODEL, sort=False)[["passes", "seconds"]].mean()
    regular = mean[mean.index.get_level_values("weights") == "regular"].droplevel("weights")
    relative = mean / regular.reindex(mean.index.get_level_values("backbone")).to_numpy()
    shown = mean.index.to_frame(index=False).assign(
        trainings=costs.groupby(_MODEL, sort=False).size().to_numpy(),
        passes=[f"{passes / 1000:,.1f}" for passes in mean["passes"]],
        times=[_times(value) for value in relative["passes"]],
        minutes=[f"{seconds / 60:.1f}" for seconds in mean["seconds"]],
        times_as_long=[_times(value) for value in relative["seconds"]],
    )
    titles = {"passes": "thousand passes", "times": "of Regular's", "times_as_long": "of Regular's minutes"}
    return with_labels(shown).drop(columns=_MODEL).rename(columns=titles)


def _times(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2f}"


def recipe_sentences(
    differences: Mapping[str, pd.DataFrame],
    controls: Mapping[tuple[str, str], tuple[str, str]],
    images: int,
    length: str = "for the same compute",
) -> str:
    """Whether recipes lower the drop of Regular that was trained as long: a headline and a Markdown list.

    Args:
        differences: of P, mPC and drop, each of `robnb.statistics.trainings.differences_over_trainings`.
        controls: the control of each recipe that is to be spoken of, both as (backbone, weights).
        images: test images of each score.
        length: how long the controls were trained, in words.
    """
    rows = with_labels(differences["drop"], beside=controls.values())
    rows = rows[[model in controls for model in _pairs(rows)]]
    if rows.empty:
        return "There is no such recipe to compare."
    found, lines = {}, []
    for (backbone, weights), own in rows.groupby(_MODEL, sort=False):
        (overall,) = _overall(own).to_dict("records")
        found[overall["model"]] = _VERDICTS[_answer(overall)]
        others = [_overall(differences[q]).set_index(_MODEL).loc[backbone, weights] for q in ("P", "mPC")]
        clean, corrupted = (_difference(other) for other in others)
        against = name(controls[backbone, weights], rows)
        lines.append(
            f"- **{overall['model']}**, drop minus that of {against}: {_difference(overall)} percentage points, "
            f"{found[overall['model']]} ({_counted(overall['seeds'], 'training')}, {images} test images). "
            f"P differs by {clean}, mPC by {corrupted}.{_by_category(own)}"
        )
    question = f"**Does it lower the drop, beside Regular trained {length}?**"
    return "\n".join([f"{question} {_listed(found)}", "", *lines])


def _pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(frame["backbone"], frame["weights"], strict=True))


def _answer(row: Mapping) -> str:
    """A key of `_VERDICTS`."""
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return "unknown"
    if row["low"] == row["high"] == 0:
        return "same"
    return "less" if row["high"] < 0 else "more" if row["low"] > 0 else "open"


def _by_category(rows: pd.DataFrame) -> str:
    """In which categories the recipe loses less, more, or neither; nothing where there is no second category."""
    single = rows[rows["category"] != ALL].to_dict("records")
    said = {"less": "less", "more": "more", "open": "not told apart", "same": "the same"}
    parts = [
        f"{words} in {', '.join(row['category'] for row in single if _answer(row) == answer)}"
        for answer, words in said.items()
        if any(_answer(row) == answer for row in single)
    ]
    return f" By category: {'; '.join(parts)}." if len(single) > 1 and parts else ""


def _listed(found: Mapping[str, str]) -> str:
    """``Lowers it: 2 of 3 (AugMix, PRIME). Not told apart: 1 of 3 (ANT).``"""
    models = {verdict: [m for m, said in found.items() if said == verdict] for verdict in _VERDICTS.values()}
    return " ".join(
        f"{verdict[0].upper()}{verdict[1:]}: {len(named)} of {len(found)} ({', '.join(named)})."
        for verdict, named in models.items()
        if named
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def attack_table(attacked: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under attack, a row per model and a column per radius, as text with intervals; percent.

    Args:
        attacked: of `robnb.statistics.trainings.attacked_over_trainings`.
    """
    rows = with_labels(attacked)
    shown = rows.assign(cell=[_accuracy(row) for row in rows.to_dict("records")])
    wide = shown.pivot(index="model", columns="eps", values="cell").reindex(shown["model"].unique())
    return wide.rename(columns="within {:g}".format).rename_axis(columns=None).reset_index()


def attack_sentences(attacked: pd.DataFrame, differences: pd.DataFrame, baseline: tuple[str, str], classes: int) -> str:
    """What models keep where an attack breaks the baseline, so that it only guesses: a headline and a Markdown list.

    Args:
        attacked: of `robnb.statistics.trainings.attacked_over_trainings`.
        differences: of `robnb.statistics.trainings.attack_differences`, to the same baseline.
        baseline: (backbone, weights).
        classes: how many there are to guess from.
    """
    rows = with_labels(attacked).assign(key=_pairs(attacked))
    own = rows[(rows["key"] == baseline) & (rows["eps"] > 0)].sort_values("eps")
    if own.empty:
        return "There was no attack."
    clean = rows[(rows["key"] == baseline) & (rows["eps"] == 0) & (rows["top1"] <= 100 / classes)]
    if not clean.empty:
        return f"{clean['model'].iloc[0]} only guesses without an attack too, so there is nothing to break."
    broken = own[own["top1"] <= 100 / classes]
    at = (own.tail(1) if broken.empty else broken).to_dict("records")[0]
    there, gaps = rows[rows["eps"] == at["eps"]], differences[differences["eps"] == at["eps"]].set_index(_MODEL)
    said = {"less": "fewer", "more": "more", "open": "not told apart", "same": "the same"}
    said["unknown"] = "not told apart by one training"
    lines = [
        f"- **{row['model']}** gets {_accuracy(row)} % right there, {_difference(gaps.loc[row['key']])} percentage "
        f"points beside {at['model']}: {said[_answer(gaps.loc[row['key']])]}."
        for row in there[there["key"] != baseline].to_dict("records")
    ]
    return "\n".join([_broken(at, 100 / classes), "", *lines])


def _accuracy(row: Mapping) -> str:
    return _cell(row["top1"], row["low"], row["high"], row["seeds"])


def _broken(row: Mapping, guessing: float) -> str:
    """Whether the attack within that row's radius leaves the model nothing but guessing."""
    model, radius, kept = row["model"], f"{row['eps']:g}", f"{_accuracy(row)} % of the images right"
    if row["top1"] <= guessing:
        return f"**Within {radius} the attack breaks {model}**: it gets {kept}, where guessing gets {guessing:.0f} %."
    return (
        f"**No radius breaks {model}**: within {radius}, the largest, it still gets {kept}, where guessing "
        f"gets {guessing:.0f} %. Larger radii would tell more."
    )
