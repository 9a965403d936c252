"""Frames in, tables and sentences out: what a notebook shows, with its intervals, beside what the paper printed."""

from robnb.tables.comparison import (
    against_baseline,
    agreement_sentences,
    rank_agreement,
    sentences,
    tau_in_words,
    variance_table,
)
from robnb.tables.files import save, show
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
from robnb.tables.ledger import in_full, left_out_sentence, pair_sentences, severity_sentences, variance_shares
from robnb.tables.paper import beside_paper, prime_beside_paper, sizes
from robnb.tables.scores import (
    UNDEFINED,
    cell,
    grid_cells,
    grid_status,
    missing_cells,
    overview,
    rank_table,
    with_intervals,
)
from robnb.tables.standing import introduction, models_of, standing, standing_sentences, standing_table
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
    "in_full",
    "introduction",
    "label",
    "left_out_sentence",
    "missing_cells",
    "models_of",
    "name",
    "overview",
    "pair_sentences",
    "prime_beside_paper",
    "rank_agreement",
    "rank_table",
    "recipe_sentences",
    "save",
    "sentences",
    "several_regimes",
    "severity_sentences",
    "show",
    "sizes",
    "standing",
    "standing_sentences",
    "standing_table",
    "tau_in_words",
    "title",
    "variance_shares",
    "variance_table",
    "with_intervals",
    "with_labels",
]
