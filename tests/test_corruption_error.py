"""CE, mCE and relative mCE against numbers worked out by hand from the definition."""

import numpy as np
import pandas as pd
import pytest

from robnb.corruption_error import corruption_error
from robnb.errors import UserError
from robnb.metrics import COLUMNS

BASE, MODEL = ("alex", "regular"), ("res", "augmix")
# Top-1 error in percent: clean, then fog and snow at severities 1 and 2.
BASE_ERRORS = {("clean", 0): 20, ("fog", 1): 40, ("fog", 2): 60, ("snow", 1): 50, ("snow", 2): 70}
MODEL_ERRORS = {("clean", 0): 10, ("fog", 1): 20, ("fog", 2): 40, ("snow", 1): 25, ("snow", 2): 35}


def rows(model, errors, task="upstream", regime="pretrained", seed=0, replicate=0, metric="top1") -> list[dict]:
    about = {"backbone": model[0], "weights": model[1], "task": task, "regime": regime, "metric": metric, "seed": seed}
    return [
        {**about, "corruption": c, "severity": s, "replicate": replicate, "value": 100.0 - error, "n_images": 50}
        for (c, s), error in errors.items()
    ]


def frame(*parts: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS)


def test_by_hand():
    """fog 60/100, snow 60/120; above clean: fog (10 + 30)/(20 + 40), snow (15 + 25)/(30 + 50)."""
    found = corruption_error(frame(rows(BASE, BASE_ERRORS), rows(MODEL, MODEL_ERRORS)), baseline=BASE)
    model = ["backbone", "weights", "task", "regime", "seed"]
    assert list(found.columns) == [*model, "mCE", "relative_mCE", "fog", "snow"]
    numbers = found.set_index("backbone")[["fog", "snow", "mCE", "relative_mCE"]]
    assert numbers.loc["alex"].tolist() == pytest.approx([100, 100, 100, 100])
    assert numbers.loc["res"].tolist() == pytest.approx([60, 50, 55, 100 * (40 / 60 + 40 / 80) / 2])


def test_draws_and_the_baselines_seeds_are_averaged_and_a_models_seeds_are_not():
    """The baseline's two seeds err 10 points more and less, the model's two draws 5 more and less under corruption."""

    def changed(errors: dict, by: float, clean: float) -> dict:
        return {c: error + (clean if c[0] == "clean" else by) for c, error in errors.items()}

    def draws(model, errors: dict, by: float, seed: int = 0) -> list[dict]:
        second = {c: error - by for c, error in errors.items() if c[0] != "clean"}
        return rows(model, changed(errors, by, 0), seed=seed) + rows(model, second, seed=seed, replicate=1)

    scores = frame(
        draws(BASE, changed(BASE_ERRORS, 10, 10), 0, seed=0),
        draws(BASE, changed(BASE_ERRORS, -10, -10), 0, seed=1),
        draws(MODEL, MODEL_ERRORS, 5, seed=0),
        draws(MODEL, changed(MODEL_ERRORS, 8, 8), 5, seed=1),
    )
    found = corruption_error(scores, baseline=BASE).set_index(["backbone", "seed"])
    assert found.loc[("res", 0), ["fog", "snow", "mCE"]].tolist() == pytest.approx([60, 50, 55])
    assert found.loc[("res", 1), ["fog", "snow"]].tolist() == pytest.approx([76, 100 * 76 / 120])
    assert found.loc[("alex", 0), "fog"] == pytest.approx(120) and found.loc[("alex", 1), "fog"] == pytest.approx(80)


def test_each_task_and_regime_has_its_own_baseline_and_other_metrics_do_not_count():
    doubled = {c: 2 * error for c, error in MODEL_ERRORS.items()}
    other = {"task": "classification", "regime": "full_network"}
    scores = frame(
        rows(BASE, BASE_ERRORS), rows(MODEL, MODEL_ERRORS), rows(BASE, MODEL_ERRORS, **other),
        rows(MODEL, doubled, **other), rows(MODEL, MODEL_ERRORS, task="segmentation", metric="mIoU"),
    )  # fmt: skip
    found = corruption_error(scores, baseline=BASE).set_index(["task", "backbone"])["mCE"]
    assert found["upstream", "res"] == pytest.approx(55) and found["classification", "res"] == pytest.approx(200)
    assert len(found) == 4


def test_next_to_a_faultless_baseline_it_is_undefined():
    """Nothing to divide by: NaN, not infinity and not a mean over the rest."""
    faultless = {**BASE_ERRORS, ("fog", 1): 0, ("fog", 2): 0}
    found = corruption_error(frame(rows(BASE, faultless), rows(MODEL, MODEL_ERRORS)), baseline=BASE)
    model = found.set_index("backbone").loc["res"]
    assert np.isnan([model["fog"], model["mCE"], model["relative_mCE"]]).all()
    assert model["snow"] == pytest.approx(50)


def test_rounding_is_no_error_of_the_baseline():
    """Draws of one error below, at and above that of clean images cost nothing on average, and 1e-14 in floats."""
    for right in range(1, 60):
        clean = 100 * right / 60
        around = [100 * (right + by) / 60 for by in (-1, 0, 1)]
        draws = [
            rows(BASE, {("clean", 0): 100 - clean, ("fog", 1): 100 - value} if k == 0 else {("fog", 1): 100 - value},
                 replicate=k)
            for k, value in enumerate(around)
        ]  # fmt: skip
        errors = {("clean", 0): 10, ("fog", 1): 20}
        others = [rows(MODEL, errors if k == 0 else {("fog", 1): 20}, replicate=k) for k in range(3)]
        found = corruption_error(frame(*draws, *others), baseline=BASE).set_index("backbone")
        assert np.isnan(found.loc["res", "relative_mCE"]), right


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (frame(rows(MODEL, MODEL_ERRORS, metric="mIoU")), "no top-1 scores"),
        (frame(rows(MODEL, MODEL_ERRORS)), "alex.regular was not scored on upstream, pretrained: choose from res.augm"),
        (frame(rows(BASE, BASE_ERRORS), rows(MODEL, MODEL_ERRORS)[:-1]), "snow severity 2 missing"),
        (frame(rows(BASE, BASE_ERRORS)[1:], rows(MODEL, MODEL_ERRORS)[1:]), "clean severity 0 missing"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, sentence):
    with pytest.raises(UserError, match=sentence):
        corruption_error(scores, baseline=BASE)
