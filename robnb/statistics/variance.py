"""Where a result's uncertainty comes from: test images, corruption draws, training seeds."""

from __future__ import annotations

import pandas as pd

from robnb.metrics import ALL
from robnb.names import CLEAN
from robnb.statistics.quantities import MODEL, quantities

VARIED = ("mPC", "drop")


def across_replicates(scores: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation (n - 1) of mPC and drop over corruption draws, indexed by `MODEL`.

    NaN with one draw only, and where one of several has no drop.

    The quantity is computed for each replicate alone, with the same clean score and averaged over training seeds. So
    this is how much a result from *one* draw of the corruptions moves; a mean over R replicates moves 1 / sqrt(R) of
    it.
    """
    clean = scores["corruption"] == CLEAN
    replicates = scores.loc[~clean, "replicate"].unique()
    return _spread([scores[clean | (scores["replicate"] == replicate)] for replicate in replicates])


def across_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation (n - 1) of mPC and drop over training seeds, indexed by `MODEL`.

    NaN with one seed only, and where one of several has no drop.

    The quantity is computed for each seed alone, averaged over replicates. Like `across_replicates`, it is that of one
    training. Both are over the same test images, so neither contains what another test set would change.
    """
    return _spread([scores[scores["seed"] == seed] for seed in scores["seed"].unique()])


def _spread(parts: list[pd.DataFrame]) -> pd.DataFrame:
    frames = []
    for part in parts:
        of_part = quantities(part, part[["value"]].to_numpy(float))
        values = {name: of_part.values[name][:, 0] for name in VARIED}
        frames.append(of_part.rows.assign(**values))
    every = pd.concat(frames)
    overall = every[every["category"] == ALL].groupby(MODEL, sort=False)[list(VARIED)]
    return overall.agg(lambda values: values.std(ddof=1, skipna=False))
