"""The paper's numbers, and what is put beside them."""

import pandas as pd
import pytest

from robnb import reference, tables
from robnb.metrics import COLUMNS, summarise
from robnb.names import CATEGORIES


def scores(values: dict[str, dict[str, float]], task="detection", metric="box_AP") -> pd.DataFrame:
    """One corruption stands for each category; value is the score under it."""
    first = {category: members[0] for category, members in CATEGORIES.items()}
    rows = []
    for weights, by_category in values.items():
        scored = ("resnet_mini", weights, task, "fixed_feature", metric, 0)
        rows.append((*scored, "clean", 0, by_category["clean"], 10))
        rows += [(*scored, first[c], 1, v, 10) for c, v in by_category.items() if c != "clean"]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture
def summary() -> pd.DataFrame:
    table = scores({
        "regular": {"clean": 40, "noise": 20, "blur": 10, "weather": 30, "digital": 40},
        "augmix": {"clean": 20, "noise": 15, "blur": 10, "weather": 10, "digital": 20},
    })  # fmt: skip
    conditions = [("clean", 0), *((members[0], 1) for members in CATEGORIES.values())]
    return summarise(table, conditions)


def test_overview_by_hand(summary):
    rows = tables.overview(summary).set_index("model")
    assert rows.loc["Regular", ["P", "mPC", "rPC", "drop"]].tolist() == [40, 25, 62.5, 37.5]
    assert rows.loc["Regular", [f"drop {c}" for c in CATEGORIES]].tolist() == [50, 75, 25, 0]
    assert rows.loc["AugMix", [f"drop {c}" for c in CATEGORIES]].tolist() == [25, 50, 50, 0]


def test_against_the_baseline_by_hand(summary):
    (row,) = tables.against_baseline(summary, "Regular").to_dict("records")
    assert (row["model"], row["fewer"], row["of"]) == ("AugMix", 2, 4)
    assert row["difference"] == pytest.approx(31.25 - 37.5)
    sentence = tables.sentences(tables.against_baseline(summary, "Regular"), "Regular")
    assert "**AugMix** loses 6.2 percentage points less than Regular overall, and less in 2 of 4" in sentence


def test_ours_is_marked_as_another_world_outside_the_paper_profile(summary):
    worlds = tables.beside_paper(summary, "box_AP", "mini").index.get_level_values("world").unique()
    assert list(worlds) == ["this run (mini: another world)", "Yamada & Otani, CVPR 2022, Table 1"]
    assert tables.beside_paper(summary, "box_AP", "paper").index[0][0] == "this run"


def test_the_papers_tables_are_printed_as_they_stand(summary):
    """A few cells of tables 1 and 2 read again, and the claim that is true of all of them (its section 3)."""
    table = tables.beside_paper(summary, "box_AP", "mini").xs("Yamada & Otani, CVPR 2022, Table 1")
    assert table.loc["Regular", ["noise", "blur", "digital", "weather"]].tolist() == [36.09, 44.00, 21.17, 17.59]
    assert table.loc["Swin-T", "weather"] == 10.12
    assert table.loc["Regular", "all"] == pytest.approx((3 * 36.09 + 4 * (44.00 + 21.17 + 17.59)) / 15)
    drops = reference.fixed_feature_drops()
    assert len(drops) == 2 * 4 * 4
    regular = drops[drops.model == "Regular"].set_index(["task", "category"])["drop"]
    for _, row in drops[drops.model.isin(["ANT", "DeepAug+"])].iterrows():
        assert row["drop"] < regular[row["task"], row["category"]]


def test_the_papers_drops_follow_from_its_clean_and_corrupted_scores():
    """Tables 4 and 5, to their rounding."""
    table = reference.prime_during_transfer()
    assert (100 * (1 - table.mPC / table.P)).sub(table["drop"]).abs().max() < 0.03


def test_rank_agreement_by_hand():
    upstream = scores(
        {"regular": {"clean": 100, "noise": 50}, "augmix": {"clean": 100, "noise": 80}}, "upstream", "top1"
    )
    detection = scores({"regular": {"clean": 50, "noise": 40}, "augmix": {"clean": 50, "noise": 10}})
    conditions = [("clean", 0), ("gaussian_noise", 1)]
    ranks = tables.rank_agreement(summarise(pd.concat([upstream, detection], ignore_index=True), conditions))
    assert ranks["upstream top1 rank"].to_dict() == {"Regular": 2, "AugMix": 1}
    assert ranks["detection box_AP rank"].to_dict() == {"Regular": 1, "AugMix": 2}


def test_equal_drops_share_a_rank_and_an_undefined_one_has_none():
    given = {name: {"clean": 80, "noise": noise} for name, noise in (("regular", 40), ("augmix", 40), ("prime", 20))}
    given["ant3x3"] = {"clean": 0, "noise": 0}
    summary = summarise(scores(given, "upstream", "top1"), [("clean", 0), ("gaussian_noise", 1)])
    ranks = tables.rank_agreement(summary)["upstream top1 rank"]
    assert ranks.tolist()[:3] == [1, 1, 3] and ranks.isna().tolist() == [False, False, False, True]
