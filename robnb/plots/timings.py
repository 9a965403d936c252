"""How long the corruptions take."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS
from robnb.plots.drawing import legend_outside


def speed(timings: pd.DataFrame) -> Figure:
    """Milliseconds per image of each engine (mean over severities), on a logarithmic scale; further left is faster.

    Args:
        timings: of one size, as `robnb.speed.timing.measure` gives them.
    """
    mean = timings.groupby(["engine", "corruption"], sort=False)["ms"].mean().reset_index()
    order = [name for name in (*CORRUPTIONS, *VALIDATION_CORRUPTIONS) if name in set(mean["corruption"])]
    engines = list(mean["engine"].unique())
    # A little below each other, because two engines often take the same time.
    offset = mean["engine"].map(lambda engine: 0.18 * (engines.index(engine) - (len(engines) - 1) / 2))
    rows = mean.assign(row=mean["corruption"].map(order.index) + offset).rename(columns={"engine": ""})
    figure, axis = plt.subplots(figsize=(8.6, 1.2 + 0.38 * len(order)), layout="constrained")
    axis.set_xscale("log")
    sns.scatterplot(rows, x="ms", y="row", hue="", style="", markers=list("os^Dv")[: len(engines)], s=42, ax=axis)
    for place in range(1, len(order)):
        border = order[place] == VALIDATION_CORRUPTIONS[0]
        axis.axhline(place - 0.5, color="0.3" if border else "0.85", linewidth=1.2 if border else 0.8)
    axis.grid(axis="y", visible=False)
    axis.set_yticks(range(len(order)), [name.replace("_", " ") for name in order], fontsize=9)
    axis.set(xlabel="ms per image (logarithmic)", ylabel="", ylim=(len(order) - 0.5, -0.5))
    axis.xaxis.set_major_formatter("{x:g}")
    legend_outside(axis)
    return figure
