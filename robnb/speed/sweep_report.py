"""Timings of sweeps and trainings in; tables and sentences out. Every number and verdict is computed here."""

from __future__ import annotations

import pandas as pd

from robnb.augment.recipe import REGULAR
from robnb.speed.peer_sweep import PEER
from robnb.speed.recipes import FLOAT32, HELPER
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
#: A way to train helps if it makes so many times as many steps a second: less is hard to tell from noise.
HELPS = 1.05


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


def recipe_table(steps: pd.DataFrame) -> pd.DataFrame:
    """What a training image costs by each recipe in float32: means over the steps.

    Args:
        steps: `robnb.speed.recipes.COLUMNS`; Regular is among the recipes.

    Returns:
        A row per recipe: images per second; the time over Regular's; what that should be by counting the passes; and
        milliseconds per image in which the recipe makes its views, and of all the rest.
    """
    plain = steps[steps["way"] == FLOAT32]
    total = plain.groupby("recipe", sort=False)[["images", "seconds", "views"]].sum()
    each = total["seconds"] / total["images"]
    views = total["views"] / total["images"]
    frame = pd.DataFrame({"images/s": 1 / each, "time / regular": each / each[REGULAR.name]})
    frame["passes"] = plain.groupby("recipe")["passes"].first()
    return frame.assign(**{"views (ms)": 1000 * views, "the rest (ms)": 1000 * (each - views)})


def recipe_sentence(steps: pd.DataFrame) -> str:
    """What `recipe_table` says beside what counting the passes says, and helper networks' part, as a Markdown list."""
    table, lines = recipe_table(steps), []
    for recipe, row in table.drop(REGULAR.name).iterrows():
        share = 100 * row["views (ms)"] / (row["views (ms)"] + row["the rest (ms)"])
        lines.append(
            f"- {recipe}: **{row['time / regular']:.2f} times** Regular's time, {row['passes']:.2f} by counting passes;"
            f" {share:.0f} % of it makes the views."
        )
    helping = steps[steps["way"] == HELPER].groupby("recipe", sort=False)[["seconds", "images"]].sum()
    for network, (seconds, images) in helping.iterrows():
        times = seconds / images * table.loc[REGULAR.name, "images/s"]
        lines.append(
            f"- The helper network {network} is trained once for all backbones: an image takes {times:.2f} times "
            "Regular's time."
        )
    return "\n".join(lines)


def slowest_recipe(steps: pd.DataFrame) -> str:
    """The recipe whose images take longest."""
    return str(recipe_table(steps)["time / regular"].idxmax())


def execution_table(steps: pd.DataFrame) -> pd.DataFrame:
    """Images per second of each recipe run each way, and how many times as fast as in float32 that is.

    Args:
        steps: `robnb.speed.recipes.COLUMNS`; float32 comes first.

    Returns:
        A row per way, two columns per recipe; NaN where a way could not be had.
    """
    order = steps["way"].unique()
    frame = pd.DataFrame(index=pd.Index(order, name="way"))
    for recipe in steps["recipe"].unique():
        total = steps[steps["recipe"] == recipe].groupby("way")[["images", "seconds"]].sum(min_count=1)
        rate = (total["images"] / total["seconds"]).reindex(order)
        frame[f"{recipe} (images/s)"], frame[f"{recipe} / {FLOAT32}"] = rate, rate / rate[FLOAT32]
    return frame


def execution_sentence(steps: pd.DataFrame) -> str:
    """Which ways help, and why others could not be tried: a Markdown list."""
    table, failed = execution_table(steps), steps[steps["seconds"].isna()]
    lines = []
    for way, row in table.iloc[1:].iterrows():
        faster = {recipe: row[f"{recipe} / {FLOAT32}"] for recipe in steps["recipe"].unique()}
        helped = [recipe for recipe, times in faster.items() if times >= HELPS]
        times = ", ".join(f"{recipe} {times:.2f} times" for recipe, times in faster.items() if pd.notna(times))
        if times:
            verdict = f"it helps {' and '.join(helped)}" if helped else "it does not help here"
            lines.append(f"- {way}: {times} as fast as in {FLOAT32}: {verdict}.")
        for one in failed[failed["way"] == way].itertuples():
            lines.append(f"- {way} could not be tried with {one.recipe}: {one.reason}.")
    return "\n".join(lines)
