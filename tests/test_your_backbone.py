"""The reader's own backbone among the others: what is said of it follows from the intervals, and from nothing else."""

import frames
import numpy as np
import pandas as pd
import pytest
from frames import AUGMIX, REGULAR, SWIN, four, summary_rows

from robnb import tables
from robnb.errors import UserError

MINE = ("resnet_mini", "prime")
OTHERS = {REGULAR: 50.0, AUGMIX: 20.0, SWIN: 35.0}


def summary(mine: float = 30.0, clean: float = 60.0, task: str = "detection", metric: str = "box_AP") -> pd.DataFrame:
    drops = {**OTHERS, MINE: mine}
    return pd.DataFrame([
        row for model, drop in drops.items()
        for row in summary_rows(model, task, metric, clean if model == MINE else 60.0, four(*[drop] * 4), 4.0)
    ])  # fmt: skip


def standing(found: dict, of: pd.DataFrame | None = None) -> pd.DataFrame:
    """``found``: by other model the difference of its drop minus mine, and the interval's ends."""
    rows = [(other, "detection", "box_AP", "all", *numbers) for other, numbers in found.items()]
    rows += [(other, "detection", "box_AP", "blur", -90.0, -99.0, -80.0) for other in found]  # no part of the place
    return tables.standing(summary() if of is None else of, frames.differences(rows), MINE)


TOLD = {REGULAR: (20.0, 12.0, 28.0), AUGMIX: (-10.0, -15.0, -5.0), SWIN: (5.0, -3.0, 13.0)}


def test_the_place_and_what_the_intervals_leave_of_it():
    (row,) = standing(TOLD).to_dict("records")
    assert (row["model"], row["place"], row["of"], row["best"], row["worst"]) == ("PRIME", 2, 4, 2, 3)
    assert (row["less"], row["more"], row["open"]) == (["Regular"], ["AugMix"], ["Swin (mini)"])
    assert (row["drop"], row["drop_low"], row["drop_high"]) == (30.0, 26.0, 34.0)


@pytest.mark.parametrize("bounds", [(0.0, 9.0), (-9.0, 0.0), (-1e-9, 300.0), (np.nan, np.nan)])
def test_where_the_interval_holds_zero_either_may_be_ahead(bounds):
    (row,) = standing(dict.fromkeys(OTHERS, (1.0, *bounds))).to_dict("records")
    assert (row["best"], row["worst"]) == (1, 4) and row["less"] == row["more"] == [] and len(row["open"]) == 3


def test_an_equal_drop_shares_the_place():
    (row,) = standing(dict.fromkeys(OTHERS, (-1e-14, -1.0, 1.0))).to_dict("records")
    assert row["place"] == 1, "summed in another order"


def test_the_place_for_reading():
    shown = tables.standing_table(standing(TOLD))
    assert shown.loc[("PRIME", "Detection, box AP")].tolist() == [
        "30.0 [26.0, 34.0]", "2 of 4 [2 to 3]", "Regular", "AugMix", "Swin (mini)",
    ]  # fmt: skip
    nobody = tables.standing_table(standing(dict.fromkeys(OTHERS, (1.0, 0.5, 2.0))))
    assert nobody.iloc[0].tolist()[1:] == ["1 of 4 [1 to 1]", "Regular, AugMix, Swin (mini)", "none", "none"]


def test_a_backbone_that_scores_nothing_has_no_place():
    undefined = dict.fromkeys(OTHERS, (np.nan, np.nan, np.nan))
    shown = tables.standing_table(standing(undefined, summary(clean=0.0)))
    assert shown.iloc[0].tolist() == ["undefined", "undefined [1 to 4]", "none", "none", "Regular, AugMix, Swin (mini)"]


def test_another_that_scores_nothing_is_not_ahead():
    (row,) = standing({**TOLD, AUGMIX: (np.nan, np.nan, np.nan)}).to_dict("records")
    assert (row["place"], row["best"], row["worst"], row["open"]) == (1, 1, 3, ["AugMix", "Swin (mini)"])


def test_the_sentences_count_downstream_scores_only_and_name_them():
    upstream = standing(TOLD).assign(task="upstream", metric="top1", regime="pretrained")
    frozen = standing(TOLD)
    trained = standing(dict.fromkeys(OTHERS, (9.0, 1.0, 20.0))).assign(regime="full_network")
    first, second, third = tables.standing_sentences(pd.concat([upstream, frozen, trained])).splitlines()
    assert first == (
        "- **PRIME** loses less than Regular on 2 of 2 downstream scores and more on 0; on 0 they are not told apart. "
        "Less: Detection, box AP, frozen backbone; Detection, box AP, every weight trained."
    )
    assert "less than AugMix on 1 of 2" in second and "more on 1;" in second
    assert second.endswith("More: Detection, box AP, frozen backbone.")
    assert "on 1 they are not told apart" in third and "More:" not in third
    alone = tables.standing(summary(), frames.differences([]), MINE)
    assert tables.standing_sentences(alone) == "There is no other backbone to compare with."


def test_yours_are_called_as_in_the_tables():
    said = tables.introduction(["resnet_mini.prime"], ["resnet_mini.regular", "swin_mini.regular"])
    assert said == "Yours: **PRIME** (`resnet_mini.prime`). Beside it: Regular, Swin (mini)."
    both = tables.introduction(["resnet50@/data/mine.pth", "convnext_tiny.fb_in1k"], ["convnext_tiny.fb_in1k"])
    assert both == (
        "Yours: **mine** (`resnet50@/data/mine.pth`), **convnext_tiny.fb_in1k** (`convnext_tiny.fb_in1k`). "
        "Beside them: no other."
    )


def test_one_that_is_named_twice_is_one():
    assert tables.models_of(["resnet_mini.prime", "resnet_mini.prime"]) == [MINE]


@pytest.mark.parametrize(
    ("yours", "said"),
    [
        ([], "name at least one backbone"),
        (["convnxt_tiny.fb_in1k"], "did you mean 'convnext_tiny'"),
        (["convnext_tiny"], r"names no weights: write architecture.weights, e\.g\. convnext_tiny\."),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(yours, said):
    with pytest.raises(UserError, match=said) as caught:
        tables.models_of(yours)
    assert "\n" not in str(caught.value)
