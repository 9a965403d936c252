"""P, mPC, rPC and drop on hand-computed numbers, and the refusal of an incomplete grid."""

import math

import pandas as pd
import pytest

from robnb.errors import UserError
from robnb.metrics import COLUMNS, require_grid, summarise
from robnb.names import CATEGORIES, CORRUPTIONS


def rows(values: dict[tuple[str, int], float], weights: str = "regular", n_images: int = 10) -> pd.DataFrame:
    scored = ("resnet_nano", weights, "detection", "fixed_feature", "box_AP", 0)
    return pd.DataFrame([(*scored, c, s, 0, value, n_images) for (c, s), value in values.items()], columns=COLUMNS)


def by_category(summary: pd.DataFrame, column: str) -> dict[str, float]:
    return dict(zip(summary["category"], summary[column], strict=True))


def test_hand_computed():
    scores = rows({("clean", 0): 40, ("gaussian_noise", 1): 20, ("fog", 1): 30, ("snow", 1): 10})
    summary = summarise(scores, list(zip(scores["corruption"], scores["severity"], strict=True)))
    assert by_category(summary, "mPC") == {"all": 20, "noise": 20, "weather": 20}
    assert by_category(summary, "rPC") == {"all": 50, "noise": 50, "weather": 50}
    assert by_category(summary, "drop") == {"all": 50, "noise": 50, "weather": 50}
    assert set(summary["P"]) == {40}


def test_severities_are_averaged_inside_a_corruption_first():
    scores = rows({("clean", 0): 100, ("fog", 1): 90, ("fog", 3): 70, ("fog", 5): 50, ("snow", 1): 30})
    conditions = list(zip(scores["corruption"], scores["severity"], strict=True))
    assert by_category(summarise(scores, conditions), "mPC")["all"] == (70 + 30) / 2


def test_draws_are_averaged_inside_a_severity_first():
    scores = rows({("clean", 0): 100, ("fog", 1): 90, ("fog", 3): 70})
    again = scores[1:2].assign(replicate=1, value=50), scores[2:3].assign(replicate=1, value=70)
    conditions = [("clean", 0), ("fog", 1), ("fog", 3)]
    assert by_category(summarise(pd.concat([scores, *again]), conditions), "mPC")["all"] == ((90 + 50) / 2 + 70) / 2
    with pytest.raises(UserError, match="fog severity 3 replicate 1 missing"):
        summarise(pd.concat([scores, again[0]]), conditions)


def test_all_weighs_corruptions_not_categories():
    """The paper's mean is over the 15 corruptions: noise has 3 of them, the other categories 4 (section 3.1)."""
    value = {"noise": 10.0, "blur": 20.0, "weather": 30.0, "digital": 40.0}
    grid = {(c, 1): value[category] for category, members in CATEGORIES.items() for c in members}
    scores = rows({("clean", 0): 50.0, **grid})
    summary = summarise(scores, [("clean", 0), *((c, 1) for c in CORRUPTIONS)])
    assert by_category(summary, "mPC")["all"] == pytest.approx((3 * 10 + 4 * 20 + 4 * 30 + 4 * 40) / 15)


def test_nothing_is_a_share_of_zero():
    scores = rows({("clean", 0): 0, ("fog", 1): 0})
    summary = summarise(scores, [("clean", 0), ("fog", 1)])
    assert all(math.isnan(value) for value in [*summary["rPC"], *summary["drop"]])


def test_order_of_rows_does_not_matter():
    scores = pd.concat([rows({("clean", 0): 40, ("fog", 1): 30}, name) for name in ("regular", "augmix")])
    conditions = [("clean", 0), ("fog", 1)]
    shuffled = summarise(scores.sample(frac=1, random_state=3), conditions)
    keys = ["weights", "category"]
    pd.testing.assert_frame_equal(
        summarise(scores, conditions).sort_values(keys, ignore_index=True),
        shuffled.sort_values(keys, ignore_index=True),
    )


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (rows({("clean", 0): 40}), "resnet_nano/regular/.*fog severity 1 missing"),
        (rows({("fog", 1): 40}), "clean severity 0 missing"),
        (pd.concat([rows({("clean", 0): 40, ("fog", 1): 3}), rows({("fog", 1): 4})]), "fog severity 1 twice"),
        (
            pd.concat([rows({("clean", 0): 4, ("fog", 1): 3}, w, n) for w, n in (("regular", 10), ("augmix", 9))]),
            r"different numbers of images \(\[9, 10\]\)",
        ),
        (rows({}), "no scores at all"),
    ],
)
def test_an_incomplete_grid_is_an_error_that_lists_it(scores, message):
    """mmdet's tool averages the missing cells as zero: mPC 6.0 for a true 30.0."""
    with pytest.raises(UserError, match=message):
        require_grid(scores, [("clean", 0), ("fog", 1)])
    with pytest.raises(UserError, match=message):
        summarise(scores, [("clean", 0), ("fog", 1)])
