"""What drops differ by: effects that are known, against statsmodels' analysis of variance, and by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.formula.api import ols

from robnb.metrics import COLUMNS
from robnb.names import CLEAN
from robnb.statistics.decomposition import SOURCES, TEST_IMAGES, decomposition

CORRUPTIONS, SEVERITIES = ("fog", "snow", "pixelate"), (1, 3)
BACKBONES = ("a", "b", "c", "d")


def scores(drop, seeds=(0, 1), clean=80.0):
    """The long results table of a grid; ``drop`` gives the true drop (percent) of a cell."""
    rows = []
    for backbone, seed in itertools.product(BACKBONES, seeds):
        scored = ("detection", "full_network", "box_AP")
        rows.append((backbone, "regular", *scored, seed, CLEAN, 0, 0, clean, 50))
        for corruption, severity in itertools.product(CORRUPTIONS, SEVERITIES):
            value = clean * (1 - drop(backbone, corruption, severity, seed) / 100)
            rows.append((backbone, "regular", *scored, seed, corruption, severity, 0, value, 50))
    return pd.DataFrame(rows, columns=COLUMNS)


def shares(table, error=0.0, resamples=200):
    noise = np.random.default_rng(0).normal(0, error, (len(table), resamples))
    found = decomposition(table, table["value"].to_numpy()[:, None] + noise)
    assert set(found["metric"]) == {"box_AP"}
    return found.set_index("source")


@pytest.mark.parametrize(
    ("source", "drop"),
    [
        ("backbone", lambda b, c, s, k: 10 + 5 * BACKBONES.index(b)),
        ("corruption", lambda b, c, s, k: 10 + 5 * CORRUPTIONS.index(c)),
        ("severity", lambda b, c, s, k: 10 * s),
        ("training", lambda b, c, s, k: 20 + (3 if k else -3)),
        ("backbone x corruption", lambda b, c, s, k: 20 + (BACKBONES.index(b) - 1.5) * (CORRUPTIONS.index(c) - 1)),
        ("rest", lambda b, c, s, k: 20 + (BACKBONES.index(b) - 1.5) * (s - 2)),
    ],
)
def test_a_single_effect_is_all_of_the_variance(source, drop):
    found = shares(scores(drop))
    assert found.loc[source, "share"] == pytest.approx(100)
    assert found.loc[list(set(SOURCES) - {source}), "share"].to_numpy() == pytest.approx(0, abs=1e-9)


def test_effects_add_up_and_have_their_deviations():
    def drop(backbone, corruption, severity, seed):
        return 30 + 4 * (BACKBONES.index(backbone) - 1.5) + 6 * (CORRUPTIONS.index(corruption) - 1)

    found = shares(scores(drop))
    assert found.loc[list(SOURCES), "share"].sum() == pytest.approx(100)
    assert found.loc["backbone", "deviation"] == pytest.approx(np.std([-6, -2, 2, 6]))
    assert found.loc["corruption", "deviation"] == pytest.approx(np.std([-6, 0, 6]))


def test_it_is_the_analysis_of_variance_of_statsmodels():
    draw = np.random.default_rng(5)
    table = scores(lambda *cell: draw.uniform(0, 60))
    found = shares(table)
    drops = table[table["corruption"] != CLEAN].assign(drop=lambda rows: 100 - 100 * rows["value"] / 80)
    fitted = ols("drop ~ C(backbone) * C(corruption) + C(severity) + C(backbone):C(seed)", drops).fit()
    theirs = sm.stats.anova_lm(fitted, typ=1)["sum_sq"]
    total = ((drops["drop"] - drops["drop"].mean()) ** 2).sum()
    names = {
        "backbone": "C(backbone)", "corruption": "C(corruption)", "severity": "C(severity)",
        "training": "C(backbone):C(seed)", "backbone x corruption": "C(backbone):C(corruption)", "rest": "Residual",
    }  # fmt: skip
    for source, name in names.items():
        assert found.loc[source, "share"] == pytest.approx(100 * theirs[name] / total), source


def test_what_was_not_varied_is_unknown_and_noise_is_the_images():
    table = scores(lambda b, c, s, k: 10 + 5 * BACKBONES.index(b), seeds=(0,))
    found = shares(table, error=0.8, resamples=4000)
    assert np.isnan(found.loc["training", "share"])
    # A drop is 100 - 100 s / c: its variance is (100 / c)^2 (0.8^2 + (s / c)^2 0.8^2), to first order.
    ratios = np.array([0.9, 0.85, 0.8, 0.75])
    expected = np.sqrt(np.mean((100 / 80) ** 2 * 0.64 * (1 + ratios**2)))
    assert found.loc[TEST_IMAGES, "deviation"] == pytest.approx(expected, rel=0.03)


def test_of_one_model_no_interaction_is_known():
    table = scores(lambda b, c, s, k: 10 + 5 * CORRUPTIONS.index(c))
    found = shares(table[table["backbone"] == "a"])
    assert found.loc[["backbone", "backbone x corruption"], "share"].isna().all()
    assert found.loc["corruption", "share"] == pytest.approx(100)


def test_a_model_without_a_drop_is_left_out():
    draw = np.random.default_rng(7)
    table = scores(lambda *cell: draw.uniform(0, 60))
    others = shares(table[table["backbone"] != "a"], error=0.8)
    table.loc[(table["backbone"] == "a") & (table["seed"] == 1), "value"] = 0.0  # it learnt nothing, once
    found = shares(table, error=0.8)
    assert (found["models"] == 3).all()
    # The noise was drawn for other rows.
    pd.testing.assert_frame_equal(found.loc[list(SOURCES)], others.loc[list(SOURCES)])
    assert found.loc[TEST_IMAGES, "share"] == pytest.approx(others.loc[TEST_IMAGES, "share"], rel=0.1)


def test_a_model_whose_drop_is_undefined_in_many_resamples_is_left_out():
    table = scores(lambda b, c, s, k: 10 + 5 * BACKBONES.index(b), clean=2.0)
    draws = np.repeat(table["value"].to_numpy()[:, None], 100, axis=1)
    draws += np.random.default_rng(0).normal(0, 0.1, draws.shape)
    clean = (table["corruption"] == CLEAN).to_numpy()
    for backbone, without in {"a": 6, "b": 5}.items():  # of 100 resamples
        draws[np.flatnonzero(clean & (table["backbone"] == backbone))[0], :without] = 0.0
    found = decomposition(table, draws).set_index("source")
    assert (found["models"] == 3).all()
    assert found.loc["backbone", "deviation"] == pytest.approx(np.std([-5, 0, 5]))
    assert np.isfinite(found.loc[TEST_IMAGES, "share"])


def test_without_any_drop_all_is_unknown():
    table = scores(lambda *cell: 20.0)
    found = shares(table.assign(value=0.0))
    assert found.index.tolist() == [*SOURCES, TEST_IMAGES]
    assert found[["share", "deviation"]].isna().all(axis=None) and (found["models"] == 0).all()
