"""Frames and samples in, figures out. Every figure is colour-blind safe and readable in print."""

import seaborn as sns

from robnb.plots.comparison import agreement, differences
from robnb.plots.drawing import save
from robnb.plots.ledger import drops_by_severity, pairs, statements, variance_shares
from robnb.plots.pictures import corruption_grid, prime_samples, samples, severity_grid, strengths
from robnb.plots.predictions import predictions
from robnb.plots.scores import (
    clean_and_corrupted,
    drop_by_category,
    drop_by_corruption,
    drop_by_task,
    quantity_by_category,
)
from robnb.plots.series import drops_along, scores_along
from robnb.plots.timings import speed
from robnb.plots.trainings import (
    clean_against_corrupted,
    differences_by_category,
    drops_beside_controls,
    recipe_samples,
    under_attack,
)

__all__ = [
    "agreement",
    "clean_against_corrupted",
    "clean_and_corrupted",
    "corruption_grid",
    "differences",
    "differences_by_category",
    "drop_by_category",
    "drop_by_corruption",
    "drop_by_task",
    "drops_along",
    "drops_beside_controls",
    "drops_by_severity",
    "pairs",
    "predictions",
    "prime_samples",
    "quantity_by_category",
    "recipe_samples",
    "samples",
    "save",
    "scores_along",
    "severity_grid",
    "speed",
    "statements",
    "strengths",
    "under_attack",
    "variance_shares",
]

sns.set_theme(style="whitegrid", context="notebook", palette="colorblind", rc={"figure.dpi": 110})
