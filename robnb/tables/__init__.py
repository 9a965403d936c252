"""Frames in, tables and sentences out: what a notebook shows, with its intervals, beside what the paper printed."""

from robnb.tables.comparison import (
    against_baseline,
    agreement_sentences,
    rank_agreement,
    sentences,
    tau_in_words,
    variance_table,
)
from robnb.tables.labels import (
    ARM,
    METRIC_TITLES,
    REGIME_TITLES,
    TASK_TITLES,
    label,
    name,
    several_regimes,
    title,
    with_labels,
)
from robnb.tables.paper import beside_paper, prime_beside_paper, sizes
from robnb.tables.scores import (
    UNDEFINED,
    cell,
    grid_cells,
    grid_status,
    missing_cells,
    overview,
    rank_table,
    save,
    with_intervals,
)
from robnb.tables.trainings import attack_sentences, attack_table, beside_controls, cost_table, recipe_sentences

__all__ = [
    "ARM",
    "METRIC_TITLES",
    "REGIME_TITLES",
    "TASK_TITLES",
    "UNDEFINED",
    "against_baseline",
    "agreement_sentences",
    "attack_sentences",
    "attack_table",
    "beside_controls",
    "beside_paper",
    "cell",
    "cost_table",
    "grid_cells",
    "grid_status",
    "label",
    "missing_cells",
    "name",
    "overview",
    "prime_beside_paper",
    "rank_agreement",
    "rank_table",
    "recipe_sentences",
    "save",
    "sentences",
    "several_regimes",
    "sizes",
    "tau_in_words",
    "title",
    "variance_table",
    "with_intervals",
    "with_labels",
]
