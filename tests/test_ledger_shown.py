"""The ledger's figures and tables: what they draw and say, on frames made by hand."""

import numpy as np
import pandas as pd
import pytest
import worlds
from test_ledger import RULES, as_the_paper_says

from robnb.errors import UserError
from robnb.ledger import ledger, statements
from robnb.ledger.entries import judge_all
from robnb.plots import ledger as figures
from robnb.statistics.decomposition import TEST_IMAGES
from robnb.tables import ledger as tables

SCORED = {"task": "detection", "regime": "full_network", "metric": "box_AP"}


@pytest.fixture(scope="module")
def entries():
    return judge_all(worlds.found(as_the_paper_says, notebooks=("02_full_network",)), RULES)


def test_every_statement_is_drawn_on_the_side_that_its_claim_names(entries):
    each = statements(entries, RULES)
    figure = figures.statements(each, ledger(entries, RULES).set_index("id")["verdict"])
    drawn = np.concatenate(
        [points.get_offsets() for points in figure.axes[0].collections if points.get_offsets().any()]
    )
    measured = each.dropna(subset="value")
    assert len(drawn) >= len(measured)
    assert (drawn[:, 0] > -1e-9).all()  # in this world all claims of the notebook are true
    assert "C4: holds" in [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_nothing_to_draw_is_said(entries):
    each = statements(entries, RULES)
    with pytest.raises(UserError, match="run the notebooks 01 to 06 first"):
        figures.statements(each.assign(value=np.nan), pd.Series(dtype=object))


def pairs():
    """Three models; only the first two are told apart."""
    models = [("resnet_mini", "regular"), ("resnet_mini", "ant3x3"), ("resnet_mini", "prime")]
    drops, rows = [30.0, 20.0, 29.0], []
    for j, other in enumerate(models):
        for k, (backbone, weights) in enumerate(models):
            if j != k:
                gap = drops[k] - drops[j]
                half = 5.0 if {j, k} == {0, 1} else 20.0
                rows.append({"backbone": backbone, "weights": weights, **SCORED, "category": "all",
                             "difference": gap, "low": gap - half, "high": gap + half, "baseline": other})  # fmt: skip
    return pd.DataFrame(rows)


def test_pairs_are_a_matrix_with_dots_where_they_are_told_apart():
    figure = figures.pairs(pairs())
    axis = figure.axes[0]
    matrix = axis.images[0].get_array()
    assert matrix[0, 1] == 10 and matrix[1, 0] == -10 and matrix.mask.diagonal().all()
    assert sorted(map(tuple, axis.collections[0].get_offsets().astype(int).tolist())) == [(0, 1), (1, 0)]
    assert "1 of 3 pairs" in tables.pair_sentences(pairs())


def test_severities_stand_side_by_side_and_the_mean_apart():
    rows = [
        {"backbone": "resnet_mini", "weights": weights, **SCORED, "category": "all", "severity": severity,
         "drop": drop, "drop_low": drop - 1, "drop_high": drop + 1}
        for weights, drops in (("regular", (10, 20, 15)), ("prime", (5, 30, 17)))
        for severity, drop in zip((1, 3, 0), drops, strict=True)
    ]  # fmt: skip
    figure = figures.drops_by_severity(pd.DataFrame(rows))
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == ["1", "3", "mean"]
    heights = sorted(line.get_ydata().tolist() for line in figure.axes[0].lines if len(line.get_ydata()) == 2)
    assert [5, 30] in heights and [10, 20] in heights
    frame = pd.DataFrame([{**SCORED, "lowest": 2, "models": 4, "tau": 0.5, "low": -0.2, "high": 1.0}])
    assert tables.severity_sentences(frame) == (
        "- Detection, box AP: tau = 0.50 [-0.20, 1.00] between severity 2 and all, over 4 models."
    )


def test_what_is_not_among_all_models_is_named():
    assert tables.left_out_sentence([]) == "All models of all notebooks are here."
    assert tables.left_out_sentence(("02_full_network",)).startswith("**Not all models are here:** 02_full_network ")


def test_shares_of_variance_say_what_was_not_varied():
    sources = {"backbone": (60.0, 6.0), "training": (np.nan, np.nan), TEST_IMAGES: (10.0, 2.5)}
    rows = [{**SCORED, "models": 4, "source": s, "share": a, "deviation": d} for s, (a, d) in sources.items()]
    table = tables.variance_shares(pd.DataFrame(rows))
    assert table.iloc[0].tolist() == [4, "60 % (6.0 points)", "not varied", "10 % (2.5 points)"]
    axis = figures.variance_shares(pd.DataFrame(rows)).axes[0]
    assert [patch.get_width() for patch in axis.patches] == [60.0]


def test_shares_of_variance_where_no_model_has_a_drop():
    unknown = {**SCORED, "models": 0, "share": np.nan, "deviation": np.nan}
    frame = pd.DataFrame([{**unknown, "source": source} for source in ("backbone", TEST_IMAGES)])
    assert tables.variance_shares(frame).iloc[0].tolist() == [0, "no model has a drop", "no model has a drop"]
    assert not any(patch.get_width() for patch in figures.variance_shares(frame).axes[0].patches)


def test_a_table_in_full_cuts_nothing_and_marks_verdicts():
    text = "a long reason " * 20
    page = tables.in_full(pd.DataFrame({"verdict": ["holds", "undecided"], "why": [text, ""]})).to_html()
    assert text.strip() in page
    assert "background-color: #cdeccd" in page
