"""Timings of sweeps and trainings in; tables and sentences out. Every number and verdict is computed here."""

from __future__ import annotations

import pandas as pd

from robnb.speed.peer_sweep import PEER
from robnb.speed.stages import STAGES
from robnb.speed.sweep_speed import OURS
from robnb.speed.training_speed import FROZEN, ZERO_LR

#: How many times as many images a second ours should score as the peer, by the device that computes.
AIMS = {"cpu": 3.0, "cuda": 5.0}
#: How many times as many iterations a second fixed-feature training should make as with a learning rate of zero.
TRAINING_AIM = 1.5
#: A way to run a model may be the default if it changes no score by more, in points.
UNCHANGED = 0.05
#: mmdet rounds AP to a tenth of a percent.
ROUNDED = 0.05


def race_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Conditions x images per second of either engine, fastest round, and the ratio, for each case and size.

    Args:
        runs: `robnb.speed.sweep_speed.RACE_COLUMNS`.

    Returns:
        A row per case and number of images: images, conditions, ours, the peer's, ours / the peer's.
    """
    fastest = runs.groupby(["case", "images", "conditions", "engine"], sort=False)["seconds"].min().unstack()
    fastest = fastest.reset_index().rename_axis(columns=None)
    work = fastest["images"] * fastest["conditions"]
    frame = fastest[["case", "images", "conditions"]].copy()
    for engine in (OURS, PEER):
        frame[f"{engine} (1/s)"] = work / fastest[engine]
    return frame.assign(ratio=fastest[PEER] / fastest[OURS]).set_index("case")


def marginal_ratio(runs: pd.DataFrame, case: str) -> float:
    """The ratio for ever more images: what a further image costs the peer over what it costs us.

    NaN for one number of images, or where noise hides the cost of further ones.
    """
    fastest = runs[runs["case"] == case].groupby(["engine", "images"])["seconds"].min().unstack()
    if fastest.shape[1] < 2:
        return float("nan")
    further = fastest.iloc[:, -1] - fastest.iloc[:, 0]
    return float(further[PEER] / further[OURS]) if (further > 0).all() else float("nan")


def race_sentence(runs: pd.DataFrame, case: str, aim: float | None = None) -> str:
    """What `race_table` says about one case, and about the aim if there is one."""
    last = race_table(runs).loc[[case]].iloc[-1]
    verdict = f" (aim: {aim:g} times, {'reached' if last['ratio'] >= aim else 'missed'})" if aim else ""
    text = (
        f"{case}: ours scores {last[f'{OURS} (1/s)']:.2f} conditions x images a second, {PEER} "
        f"{last[f'{PEER} (1/s)']:.2f}: **{last['ratio']:.1f} times** as many{verdict}."
    )
    marginal = marginal_ratio(runs, case)
    return text if pd.isna(marginal) else f"{text} Of the cost of a further image alone it is {marginal:.1f} times."


def agreement_sentence(scores: pd.DataFrame) -> str:
    """Whether both engines scored the clean images alike, and how far apart the corrupted ones are.

    Args:
        scores: engine, metric, corruption, severity, value, as `robnb.speed.sweep_speed.race` gives them.
    """
    keys = ["metric", "corruption", "severity"]
    apart = scores.pivot(index=keys, columns="engine", values="value").pipe(
        lambda both: (both[OURS] - both[PEER]).abs()
    )
    corrupted = apart.drop("clean", level="corruption")
    clean = apart.drop(corrupted.index).max()
    equal = "equal up to mmdet's rounding to a tenth" if clean <= ROUNDED + 1e-6 else "**not equal**"
    text = f"On clean images both give the same AP: {equal} (largest difference {clean:.3f} points)."
    if corrupted.empty:
        return text
    return (
        f"{text} Under corruptions, which each draws for itself, they are {corrupted.mean():.1f} points apart in the "
        f"mean and {corrupted.max():.1f} at most."
    )


def stage_table(stages: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds per image and condition in each stage, a row per case and engine, with their sum.

    Args:
        stages: `robnb.speed.stages.COLUMNS`.
    """
    timed = stages.assign(ms=1000 * stages["seconds"] / (stages["images"] * stages["conditions"]))
    frame = timed.pivot(index=["case", "engine"], columns="stage", values="ms").reindex(columns=STAGES)
    frame = frame.reindex(pd.MultiIndex.from_product([stages["case"].unique(), [OURS, PEER]], names=["case", "engine"]))
    frame = frame.assign(sum=frame.sum(axis=1)).rename_axis(columns=None)
    return frame.rename(columns="{} (ms)".format)


def growth_table(growth: pd.DataFrame) -> pd.DataFrame:
    """`robnb.speed.sweep_speed.growth` with conditions x images per second, and time over that of the first row."""
    work = growth["images"] * growth["conditions"]
    frame = growth.assign(**{"1/s": work / growth["seconds"]})
    frame["work / first"] = work / work.iloc[0]
    frame["time / first"] = growth["seconds"] / growth["seconds"].iloc[0]
    return frame.set_index("what")


def training_table(iterations: pd.DataFrame) -> pd.DataFrame:
    """Iterations per second each way (median without the first), their ratio, and how far apart the losses are.

    Args:
        iterations: `robnb.speed.training_speed.COLUMNS`.
    """
    later = iterations[iterations["iteration"] > 0]
    seconds = later.groupby(["task", "way"], sort=False)["seconds"].median().unstack()
    losses = iterations.pivot(index=["task", "iteration"], columns="way", values="loss")
    apart = (losses[FROZEN] - losses[ZERO_LR]).abs().groupby("task").max()
    frame = pd.DataFrame({f"{way} (1/s)": 1 / seconds[way] for way in (FROZEN, ZERO_LR)})
    frame["ratio"] = seconds[ZERO_LR] / seconds[FROZEN]
    frame["loss, last"] = losses[FROZEN].groupby("task").last()
    frame["losses apart"] = apart
    return frame


def training_sentence(iterations: pd.DataFrame) -> str:
    """What `training_table` says about the aim, as a Markdown list."""
    lines = []
    for task, row in training_table(iterations).iterrows():
        verdict = "reached" if row["ratio"] >= TRAINING_AIM else "missed"
        lines.append(
            f"- {task}: frozen makes **{row['ratio']:.2f} times** as many iterations a second as {ZERO_LR} (aim: "
            f"{TRAINING_AIM:g} times, {verdict}); the losses differ by {row['losses apart']:.1g} at most."
        )
    return "\n".join(lines)


def option_table(options: pd.DataFrame) -> pd.DataFrame:
    """The largest change of each metric against the first option, in points, and how many times as fast it is.

    Args:
        options: `robnb.speed.sweep_speed.OPTION_COLUMNS`.

    Returns:
        A row per option. The change is that under the condition where it is largest, with its sign; NaN where the
        option could not be had.
    """
    order = options["option"].unique()
    done = options[options["metric"].notna()]
    keys = ["metric", "corruption", "severity"]
    change = done.pivot(index="option", columns=keys, values="value")
    change = change - change.loc[order[0]]
    largest = change.T.groupby(level="metric", sort=False).agg(lambda values: values.loc[values.abs().idxmax()]).T
    # Each sweep's seconds stand in every row of its metrics and conditions: count them once for each task.
    seconds = done.drop_duplicates(["option", "seconds"]).groupby("option")["seconds"].sum()
    frame = largest.reindex(order).rename_axis(columns=None)
    frame["speed / first"] = (seconds[order[0]] / seconds).reindex(order)
    return frame


def option_sentence(options: pd.DataFrame) -> str:
    """Which options change a score by more than `UNCHANGED`, and why others could not be tried: a Markdown list."""
    frame = option_table(options)
    lines = []
    for option, row in frame.iloc[1:].iterrows():
        reasons = options.loc[options["option"] == option, "reason"].dropna()
        if row.isna().all():
            lines.append(f"- {option} could not be tried: {reasons.iloc[0]}.")
            continue
        change, speed = row.drop("speed / first").abs().max(), row["speed / first"]
        verdict = "no score changes by more than" if change <= UNCHANGED else "a score changes by more than"
        default = "it could be the default" if change <= UNCHANGED and speed > 1 else "it stays off by default"
        lines.append(
            f"- {option}: {verdict} {UNCHANGED:g} points (largest {change:.3f}), {speed:.2f} times as fast: {default}."
        )
    return "\n".join(lines)
