"""Tables and sentences: the numbers, their intervals, and what may be said of them."""

from itertools import chain

import frames
import numpy as np
import pandas as pd
import pytest
from frames import AUGMIX, REGULAR, SWIN, four, summary_rows

from robnb import reference, tables
from robnb.errors import UserError
from robnb.metrics import require_grid
from robnb.names import CATEGORIES

REGULAR_DROPS, AUGMIX_DROPS = four(50, 75, 25, 0), four(25, 50, 50, 0)


@pytest.fixture
def summary() -> pd.DataFrame:
    return pd.DataFrame([
        *summary_rows(REGULAR, "detection", "box_AP", 40.0, REGULAR_DROPS, half=(2.5, 4.0)),
        *summary_rows(AUGMIX, "detection", "box_AP", 20.0, AUGMIX_DROPS, half=1.0),
    ])  # fmt: skip


def measured(*tasks, images=frames.IMAGES) -> pd.DataFrame:
    """Scores that say how many images each task has."""
    metrics = {"detection": "box_AP", "segmentation": "mIoU", "upstream": "top1"}
    values = {("clean", 0): 40.0}
    return pd.concat([frames.scores([REGULAR], task, metrics[task], values, images=images) for task in tasks])


# Scores


def test_overview_by_hand(summary):
    rows = tables.overview(summary).set_index("model")
    assert rows.loc["Regular", ["P", "mPC", "rPC", "drop"]].tolist() == [40, 25, 62.5, 37.5]
    assert rows.loc["Regular", [f"drop {c}" for c in CATEGORIES]].tolist() == [50, 75, 25, 0]
    assert rows.loc["AugMix", [f"drop {c}" for c in CATEGORIES]].tolist() == [25, 50, 50, 0]
    assert rows.loc["Regular", ["drop_low", "drop_high", "drop blur_low", "drop blur_high"]].tolist() == [
        35.0, 41.5, 72.5, 79.0,
    ]  # fmt: skip
    assert all(dtype.kind in "fi" for dtype in rows.drop(columns=["task", "regime", "metric"]).dtypes), "numbers stay"


def test_an_interval_and_its_number_become_one_cell(summary):
    shown = tables.with_intervals(tables.overview(summary)).set_index("model")
    assert shown.loc["Regular", "drop"] == "37.5 [35.0, 41.5]"
    assert shown.loc["AugMix", "drop digital"] == "0.0 [-1.0, 1.0]"
    assert not [name for name in shown if name.endswith(("_low", "_high"))]
    assert shown["seeds"].tolist() == [1, 1], "what has no interval stays"


def test_the_table_on_disk_reads_the_same(summary, tmp_path):
    rows = tables.overview(summary)
    again = pd.read_csv(tables.save(rows, tmp_path, "summary"))
    pd.testing.assert_frame_equal(again, rows)
    assert tables.with_intervals(again).equals(tables.with_intervals(rows))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((np.nan, np.nan, np.nan), "undefined"),
        ((1.0, np.nan, np.nan), "1.0 [undefined]"),
        ((-0.01, -0.04, 1e4), "0.0 [0.0, 10000.0]"),
    ],
)
def test_what_is_not_defined_says_so(numbers, said):
    assert tables.cell(*numbers) == said


def test_a_drop_of_nothing_is_undefined_in_the_table():
    summary = pd.DataFrame(summary_rows(REGULAR, "segmentation", "mIoU", 0.0, REGULAR_DROPS))
    (row,) = tables.with_intervals(tables.overview(summary)).to_dict("records")
    assert row["P"].startswith("0.0 [") and row["drop"] == row["rPC"] == row["drop noise"] == "undefined"


def test_models_that_would_share_a_name_carry_their_full_one():
    twice = pd.DataFrame([REGULAR, ("resnet50", "regular"), SWIN], columns=["backbone", "weights"])
    names = tables.with_labels(twice)["model"].tolist()
    assert names == ["Regular (resnet_mini.regular)", "Regular (resnet50.regular)", "Swin (mini)"]
    assert tables.name(REGULAR, twice) == names[0] and tables.name(REGULAR, twice[2:]) == "Regular"


# Beside the paper


def test_ours_is_marked_as_another_world_outside_the_paper_profile(summary):
    worlds = tables.beside_paper(summary, "box_AP", "mini").index.get_level_values("world").unique()
    assert list(worlds) == ["this run (mini: another world)", "Yamada & Otani, CVPR 2022, Table 1"]
    assert tables.beside_paper(summary, "box_AP", "paper").index[0][0] == "this run"


def test_ours_carries_intervals_and_the_paper_prints_none(summary):
    """A few cells of tables 1 and 2 read again, and the claim that is true of all of them (its section 3)."""
    full = summary.assign(regime="full_network")  # not what the paper's tables are of
    table = tables.beside_paper(pd.concat([summary, full]), "box_AP", "mini")
    assert table.loc[("this run (mini: another world)", "Regular"), "blur"] == "75.0 [72.5, 79.0]"
    printed = table.xs("Yamada & Otani, CVPR 2022, Table 1")
    assert printed.loc["Regular", ["noise", "blur", "digital", "weather"]].tolist() == [
        "36.09", "44.00", "21.17", "17.59",
    ]  # fmt: skip
    assert printed.loc["Swin-T", "weather"] == "10.12"
    assert printed.loc["Regular", "all"] == f"{(3 * 36.09 + 4 * (44.00 + 21.17 + 17.59)) / 15:.2f}"
    drops = reference.fixed_feature_drops()
    assert len(drops) == 2 * 4 * 4
    regular = drops[drops.model == "Regular"].set_index(["task", "category"])["drop"]
    for _, row in drops[drops.model.isin(["ANT", "DeepAug+"])].iterrows():
        assert row["drop"] < regular[row["task"], row["category"]]


def test_the_papers_drops_follow_from_its_clean_and_corrupted_scores():
    """Tables 4 and 5, to their rounding."""
    table = reference.prime_during_transfer()
    assert (100 * (1 - table.mPC / table.P)).sub(table["drop"]).abs().max() < 0.03


# Against the baseline


def compared(*rows, images=frames.IMAGES) -> pd.DataFrame:
    given = frames.differences([(AUGMIX, "detection", "box_AP", *row) for row in rows])
    return tables.against_baseline(given, REGULAR, measured("detection", images=images))


def test_against_the_baseline_by_hand():
    (row,) = compared(
        ("all", -6.25, -9.0, -3.5), ("noise", -25.0, -30.0, -20.0), ("blur", -25.0, -51.0, 1.0),
        ("weather", 25.0, 20.0, 30.0), ("digital", 0.0, -1.0, 1.0),
    ).to_dict("records")  # fmt: skip
    assert (row["model"], row["n_images"], row["less"], row["more"], row["of"]) == ("AugMix", 60, 1, 1, 4)
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (-6.25, -9.0, -3.5)


@pytest.mark.parametrize(
    ("overall", "said"),
    [
        ((-6.25, -9.0, -3.5), "**AugMix** loses less than Regular: their drops differ by -6.2 percentage points [-9.0, "
                              "-3.5] on 60 test images."),
        ((3.0, 1.0, 4.0), "**AugMix** loses more than Regular: their drops differ by 3.0 percentage points [1.0, 4.0] "
                          "on 60 test images."),
        ((-0.5, -4.0, 1.75), "**AugMix** and Regular are not told apart: their drops differ by -0.5 percentage points "
                             "[-4.0, 1.8], which cannot be told from zero with 60 test images."),
        ((np.nan, np.nan, np.nan), "**AugMix** and Regular cannot be compared: a drop is undefined where the clean "
                                   "score is 0 or not there."),
        ((-8.0, np.nan, np.nan), "the drops of **AugMix** and Regular differ by -8.0 percentage points, but the "
                                 "interval is undefined, so the difference cannot be told from zero with 60 test "
                                 "images."),
    ],
)  # fmt: skip
def test_each_sentence_gives_the_difference_its_interval_and_whether_it_is_one(overall, said):
    assert tables.sentences(compared(("all", *overall)), "Regular") == f"- Detection, box AP: {said}"


@pytest.mark.parametrize("bounds", [(-4.0, 0.0), (0.0, 4.0), (-300.0, 0.001), (-1e-9, 90.0)])
def test_no_order_is_claimed_where_the_interval_holds_zero(bounds):
    frame = compared(("all", sum(bounds) / 2, *bounds), ("noise", 1.0, -1.0, 2.0), ("blur", 1.0, -1.0, 2.0), images=7)
    sentence = tables.sentences(frame, "Regular")
    assert "cannot be told from zero with 7 test images" in sentence
    assert "loses" not in sentence
    assert "less in 0 of 2, more in 0, not told apart in 2" in sentence


def test_an_interval_that_leaves_zero_out_does_not_read_as_if_it_held_it():
    sentence = tables.sentences(compared(("all", 0.3, 0.04, 0.6)), "Regular")
    assert "loses more" in sentence and "[0.04, 0.6]" in sentence


def test_sentences_come_by_task_and_then_by_model():
    both = [(model, metric) for model in (AUGMIX, SWIN) for metric in ("box_AP", "mask_AP")]
    given = [(model, "detection", metric, "all", 1.0, -1.0, 2.0) for model, metric in both]
    rows = tables.against_baseline(frames.differences(given), REGULAR, measured("detection"))
    assert rows["metric"].tolist() == ["box_AP", "box_AP", "mask_AP", "mask_AP"]
    assert rows["model"].tolist() == ["AugMix", "Swin (mini)"] * 2


def test_the_baseline_is_not_compared_with_itself_and_regimes_are_named_where_there_are_two():
    given = frames.differences([
        (REGULAR, "detection", "box_AP", "all", 0.0, 0.0, 0.0),
        (AUGMIX, "detection", "box_AP", "all", 5.0, 1.0, 9.0),
    ])  # fmt: skip
    both = pd.concat([given, given.assign(regime="full_network")])
    rows = tables.against_baseline(both, REGULAR, measured("detection"))
    assert rows["model"].tolist() == ["AugMix", "AugMix"]
    first, second = tables.sentences(rows, "Regular").splitlines()
    assert "box AP, frozen backbone:" in first and "box AP, every weight trained:" in second
    alone = tables.against_baseline(given[:1], REGULAR, measured("detection"))
    assert tables.sentences(alone, "Regular") == "There is no model beside Regular to compare."


# Agreement of the orders


def test_ranks_by_hand():
    upstream = [summary_rows(m, "upstream", "top1", 90.0, {"noise": d}) for m, d in ((REGULAR, 50), (AUGMIX, 20))]
    detection = [summary_rows(m, "detection", "box_AP", 50.0, {"noise": d}) for m, d in ((REGULAR, 20), (AUGMIX, 80))]
    ranks = tables.rank_table(pd.DataFrame([*chain(*upstream, *detection)]))
    assert ranks["upstream top1 rank"].to_dict() == {"Regular": 2, "AugMix": 1}
    assert ranks["detection box_AP rank"].to_dict() == {"Regular": 1, "AugMix": 2}
    assert tables.with_intervals(ranks).loc["AugMix", "detection box_AP"] == "80.0 [75.0, 85.0]"


def test_equal_drops_share_a_rank_and_an_undefined_one_has_none():
    prime, ant = ("resnet_mini", "prime"), ("resnet_mini", "ant3x3")
    models = {REGULAR: (80, 50), AUGMIX: (80, 50), prime: (80, 75), ant: (0, 0)}
    rows = [summary_rows(model, "upstream", "top1", p, {"noise": drop}) for model, (p, drop) in models.items()]
    ranks = tables.rank_table(pd.DataFrame([*chain(*rows)]))["upstream top1 rank"]
    assert ranks.tolist()[:3] == [1, 1, 3] and ranks.isna().tolist() == [False, False, False, True]
    rounded = [{**row, "drop": row["drop"] + 1e-14 * (row["weights"] == "regular")} for row in chain(*rows)]
    assert tables.rank_table(pd.DataFrame(rounded))["upstream top1 rank"].tolist()[:2] == [1, 1], "summed otherwise"


TAUS = frames.agreement([
    ("detection", "box_AP", 4, 1.0, 1.0, 1.0),
    ("detection", "mask_AP", 4, 0.67, 0.33, 1.0),
    ("segmentation", "mIoU", 4, -0.67, -1.0, -0.33),
    ("classification", "top1", 4, 0.67, 0.0, 1.0),
    ("upstream", "top1", 4, np.nan, np.nan, np.nan),
])  # fmt: skip


def test_agreement_says_yes_or_no_only_where_the_interval_does():
    table = tables.rank_agreement(TAUS)
    assert table["tau"].tolist()[::2] == ["1.00 [1.00, 1.00]", "-0.67 [-1.00, -0.33]", "undefined"]
    assert table["answer"].tolist() == [
        "yes, in full", "yes, at least in part", "no, reversed", "cannot be told", "cannot be told",
    ]  # fmt: skip


def test_the_papers_question_gets_a_computed_answer():
    headline, _, *lines = tables.agreement_sentences(TAUS).splitlines()
    assert "cannot be told (2 of 5 scores)" in headline and "no, reversed (1 of 5 scores)" in headline
    assert lines[2] == "- Semantic segmentation, mIoU: tau = -0.67 [-1.00, -0.33] between 4 models: no, reversed."
    assert lines[4] == "- Upstream classification, top-1: tau is undefined between 4 models: cannot be told."
    assert "Nothing downstream" in tables.agreement_sentences(TAUS[:0])


def test_what_was_not_varied_is_unknown_and_not_zero():
    row = {"backbone": "resnet_mini", "weights": "regular", "task": "detection", "regime": "fixed_feature"}
    row |= {"metric": "box_AP", "seeds": 2, "quantity": "drop", "images": 1.234, "training": 0.5, "corruptions": np.nan}
    row["replicates"] = 1
    nothing = row | {"seeds": 3, "replicates": 2, "images": np.nan, "training": np.nan}
    shown, undefined = tables.variance_table(pd.DataFrame([row, nothing])).to_dict("records")
    assert (shown["model"], shown["images"], shown["training"]) == ("Regular", "1.23", "0.50")
    assert shown["corruptions"] == "one draw only"
    assert {undefined[source] for source in ("images", "corruptions", "training")} == {"undefined"}, "P is 0"


# What is there of a grid

CONDITIONS = [("clean", 0), ("fog", 1), ("snow", 1)]


def grid(*, seed=0, without=(), draws=1) -> pd.DataFrame:
    cells = {("clean", 0, 0): 40.0, **{(c, 1, r): 20.0 for c in ("fog", "snow") for r in range(draws)}}
    values = {cell: value for cell, value in cells.items() if cell not in without}
    values.setdefault(("clean", 0), values.pop(("clean", 0, 0), np.nan))
    return frames.scores([REGULAR], "detection", "box_AP", values, seed=seed)


def test_a_complete_grid_misses_nothing():
    (row,) = tables.grid_status(grid(), CONDITIONS).to_dict("records")
    assert (row["model"], row["images"], row["scored"], row["of"], row["missing"]) == ("Regular", 60, 3, 3, "")


def test_an_incomplete_grid_is_shown_as_incomplete_and_no_mean_is_made_of_it():
    scores = pd.concat([grid(draws=2), grid(seed=1, draws=2, without=[("fog", 1, 1), ("snow", 1, 0)])])
    with pytest.raises(UserError, match="incomplete"):
        require_grid(scores, CONDITIONS)
    whole, part = tables.grid_status(scores, CONDITIONS).to_dict("records")
    assert (whole["seed"], whole["scored"], whole["of"], whole["missing"]) == (0, 5, 5, "")
    assert (part["seed"], part["scored"], part["of"], part["missing"]) == (1, 3, 5, "fog 1 draw 1, snow 1")
    assert not {"P", "mPC", "drop", "value"} & set(tables.grid_status(scores, CONDITIONS))


def test_a_score_that_is_no_number_and_a_model_that_was_not_scored_are_missing():
    upstream = frames.scores([REGULAR, AUGMIX], "upstream", "top1", {condition: 50.0 for condition in CONDITIONS})
    scores = pd.concat([upstream, grid(without=[("clean", 0, 0)])])
    table = tables.grid_status(scores, CONDITIONS)
    assert table["missing"].tolist() == ["", "", "clean", "clean, fog 1, snow 1"]
    assert table["scored"].tolist() == [3, 3, 2, 0] and table["seed"].isna().tolist() == [False] * 3 + [True]


def test_many_missing_cells_are_counted():
    conditions = [("clean", 0), *((c, s) for c in ("fog", "snow") for s in range(1, 6))]
    (row,) = tables.grid_status(grid(), conditions).to_dict("records")
    assert row["missing"] == "fog 2, fog 3, fog 4, fog 5, snow 2, snow 3 and 2 more"


# Ours beside the paper's, beyond tables 1 and 2


@pytest.mark.parametrize(
    ("model", "called"),
    [
        (("resnet50", "l2_eps0.1"), "L2 eps 0.1"),
        (("resnet50", "prime, PRIME in transfer"), "PRIME, PRIME in transfer"),
        (("resnet_mini", "regular, lr 0.01"), "Regular, lr 0.01"),
        (("swin_tiny", "in1k"), "Swin-T"),
        (("swin_base", "in22k"), "Swin-B IN-22k"),
        (("swin_base_w12", "in22k"), "Swin-B (384) IN-22k"),
        (("swin_base", "in1k, Cascade"), "Swin-B, Cascade"),
        (("convnext_tiny", "fb_in1k"), "convnext_tiny.fb_in1k"),
        (("resnet50", "mine"), "mine"),
    ],
)
def test_what_a_model_is_called(model, called):
    assert tables.label(*model) == called


def test_the_models_of_the_papers_table_3_are_all_called_differently():
    sizes = reference.model_sizes()
    assert sizes.apply(lambda row: tables.label(row["backbone"], row["weights"]), axis=1).is_unique


def test_prime_beside_the_papers_tables_4_and_5():
    plain, mixed = ("resnet50", "prime"), ("resnet50", "prime, PRIME in transfer")
    rows = [
        row
        for model, clean in ((plain, 40.0), (mixed, 30.0), (REGULAR, 50.0))
        for task, metric in (("detection", "box_AP"), ("detection", "mask_AP"), ("segmentation", "mIoU"))
        for row in frames.summary_rows(model, task, metric, clean, frames.four(20, 20, 20, 20), 1.0, "full_network")
    ]
    table = tables.prime_beside_paper(pd.DataFrame(rows), "mini")
    assert table.loc[("box_AP", "this run (mini: another world)"), "P"].tolist() == [
        "40.0 [39.0, 41.0]",
        "30.0 [29.0, 31.0]",
    ]
    printed = table.loc["mIoU"].xs("PR-PRIME", level="model")
    assert printed.iloc[0].tolist() == ["40.91", "30.56", "25.31"]
    assert "mask_AP" not in table.index.get_level_values("metric")
    without = pd.DataFrame(rows)[lambda frame: frame["backbone"] == REGULAR[0]]
    models = tables.prime_beside_paper(without, "mini").index.get_level_values("model")
    assert "Regular" in models, "where nobody has PRIME weights, all are shown"


def test_sizes_beside_the_papers_table_3():
    table = tables.sizes({("swin_tiny", "in1k"): 27.5, ("resnet_mini", "regular"): 2.8}).set_index("model")
    columns = ["million_parameters", "paper_model", "paper_million_parameters", "window"]
    assert table.loc["Swin-T", columns].tolist() == [27.5, "Tiny", 29, 7]
    assert pd.isna(table.loc["Regular", "paper_model"]) and pd.isna(table.loc["Regular", "paper_million_parameters"])


def test_a_models_transfers_are_not_missing_where_their_weights_were_scored_otherwise():
    cells = {("clean", 0): 50.0, ("fog", 1): 40.0}
    prime = ("resnet50", "prime")
    upstream = frames.scores([prime, REGULAR], "upstream", "top1", cells)
    arms = frames.scores([("resnet50", "prime, lr 0.01"), ("resnet50", "prime, lr 0.02")], "detection", "box_AP", cells)
    table = tables.grid_status(pd.concat([upstream, arms]), list(cells))
    assert list(zip(table["model"], table["task"], table["scored"], strict=True)) == [
        ("PRIME", "upstream", 2), ("Regular", "upstream", 2),
        ("Regular", "detection", 0), ("PRIME, lr 0.01", "detection", 2), ("PRIME, lr 0.02", "detection", 2),
    ]  # fmt: skip


def test_one_model_alone_is_compared_with_nothing():
    empty = frames.differences([])
    comparison = tables.against_baseline(
        empty, REGULAR, frames.scores([REGULAR], "detection", "box_AP", {("clean", 0): 1.0})
    )
    assert comparison.empty
    assert tables.sentences(comparison, "Regular") == "There is no model beside Regular to compare."
