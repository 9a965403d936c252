"""Timings of sweeps in, figures out."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from robnb.speed.stages import STAGES
from robnb.speed.sweep_report import recipe_table, stage_table


def where_time_goes(stages: pd.DataFrame) -> Figure:
    """A bar for each engine, stacked from the milliseconds that an image under a condition spends in each stage.

    Args:
        stages: `robnb.speed.stages.COLUMNS`; each case is a panel with a scale of its own.
    """
    cases = list(stages["case"].unique())
    figure, axes = plt.subplots(
        1, len(cases), figsize=(4.2 * len(cases) + 1.2, 2.6), layout="constrained", squeeze=False
    )
    colours = dict(zip(STAGES, sns.color_palette("colorblind", len(STAGES)), strict=True))
    for axis, case in zip(axes[0], cases, strict=True):
        rows = stage_table(stages).loc[case].drop(columns="sum (ms)")
        rows.columns = list(STAGES)
        start = pd.Series(0.0, index=rows.index)
        for stage in STAGES:
            axis.barh(rows.index, rows[stage], left=start, color=colours[stage], label=stage, edgecolor="white")
            start += rows[stage]
        axis.invert_yaxis()
        axis.set(title=case, xlabel="ms per image and condition")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure


def growth(growth: pd.DataFrame) -> Figure:
    """Seconds of our sweep as the work grows, and with worker processes.

    Args:
        growth: `robnb.speed.sweep_speed.GROWTH_COLUMNS`.
    """
    work = growth["images"] * growth["conditions"]
    alone = growth["processes"] == 0
    end = growth["seconds"][alone].iloc[-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 2.9), layout="constrained")
    left.plot([0, work.max()], [0, end], color="0.7", linestyle="--", label="in proportion")
    sns.scatterplot(x=work[alone], y=growth["seconds"][alone], hue=growth["what"][alone], style=growth["what"][alone],
                    s=60, ax=left)  # fmt: skip
    left.legend(frameon=False, fontsize=8, title="")
    left.set(xlabel="conditions x images", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    largest = growth[work == work.max()]
    names = [
        "in this process" if count == 0 else f"{count} worker{'s' * (count > 1)}" for count in largest["processes"]
    ]
    right.barh(names, largest["seconds"], color=sns.color_palette("colorblind")[0])
    right.invert_yaxis()
    right.set(xlabel="seconds for all of both", title="where (starting the workers included)")
    return figure


def recipes(steps: pd.DataFrame) -> Figure:
    """A bar for each recipe over Regular's time, stacked from the making of views and the rest; a mark at the passes.

    Args:
        steps: `robnb.speed.recipes.COLUMNS`.
    """
    table = recipe_table(steps)
    share = table["views (ms)"] / (table["views (ms)"] + table["the rest (ms)"])
    views, colours = table["time / regular"] * share, sns.color_palette("colorblind")
    figure, axis = plt.subplots(figsize=(6.6, 0.9 + 0.34 * len(table)), layout="constrained")
    axis.barh(table.index, views, color=colours[1], label="making the views")
    axis.barh(table.index, table["time / regular"] - views, left=views, color=colours[0], label="learning from them")
    axis.scatter(table["passes"], table.index, marker="|", s=180, color="black", label="passes, counted", zorder=3)
    axis.invert_yaxis()
    axis.set(xlabel="time of a training image / Regular's")
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure
