"""The clean-accuracy gate."""

import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from robnb.errors import UserError
from robnb.evaluation.gate import COLUMNS, PREPROCESSING, clean_accuracy, wilson
from robnb.metrics import COLUMNS as SCORES


def scores(**top1: float) -> pd.DataFrame:
    """Clean and corrupted scores of 1000 images, by the weights of a ResNet-50."""
    rows = [
        ("resnet50", weights, "upstream", "pretrained", "top1", 0, *condition, 0, value - 20 * condition[1], 1000)
        for weights, value in top1.items()
        for condition in (("clean", 0), ("fog", 1))
    ]
    return pd.DataFrame(rows, columns=SCORES)


@pytest.mark.parametrize("images", [1, 7, 100, 50_000])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.7613, 1.0])
def test_the_interval_is_statsmodels(share, images):
    right = round(share * images)
    low, high = proportion_confint(right, images, alpha=0.05, method="wilson")
    assert wilson(100 * right / images, images) == pytest.approx((100 * low, 100 * high), abs=1e-9)


def test_verdicts():
    """Of 1000 images and 76 % the interval is 73.3 to 78.5."""
    low, high = wilson(76.0, 1000)
    near, far = high + PREPROCESSING - 0.01, high + PREPROCESSING + 0.01
    frame = scores(regular=76.0, above=76.0, near=76.0, far=76.0, ant3x3=76.0)
    published = {"resnet50.regular": 76.13, "resnet50.above": 56.13, "resnet50.near": near, "resnet50.far": far}
    found = clean_accuracy(frame, published)
    assert tuple(found.columns) == COLUMNS
    assert found["verdict"].tolist() == [
        "agrees", "differs: 19.87 points above", "agrees", f"differs: {far - 76:.2f} points below", "nothing published",
    ]  # fmt: skip
    assert found["score"].tolist() == [76.0] * 5 and found["n_images"].tolist() == [1000] * 5
    assert found[["low", "high"]].to_numpy().tolist() == [[low, high]] * 5
    assert found["published"].isna().tolist() == [False] * 4 + [True]
    assert low == pytest.approx(73.26, abs=0.01) and high == pytest.approx(78.55, abs=0.01)


def test_without_a_clean_top1_score_there_is_no_verdict():
    for frame in (scores(regular=76.0).query("severity == 1"), scores(regular=76.0).assign(metric="mIoU")):
        with pytest.raises(UserError, match="no classifier was scored on clean images"):
            clean_accuracy(frame, {})
