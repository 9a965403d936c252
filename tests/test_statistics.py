"""Intervals, differences, rank agreement and variance: against scipy and statsmodels, by hand, and their guards."""

from __future__ import annotations

import itertools
import math

import imperfect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

import robnb.models.backbones  # noqa: F401  before mmdet and mmseg
from robnb.corruptions import Condition
from robnb.errors import UserError
from robnb.evaluation.scoring import score
from robnb.metrics import COLUMNS, summarise
from robnb.names import CLEAN, METRICS
from robnb.statistics import images_for
from robnb.statistics.agreement import tau_b
from robnb.statistics.metric_draws import METRIC_DRAWS
from robnb.statistics.quantities import MODEL, QUANTITIES, quantities
from robnb.statistics.resampling import deviation, image_weights, interval, percentiles
from robnb.statistics.variance import across_replicates, across_seeds

GRID = [(CLEAN, 0), ("gaussian_noise", 1), ("gaussian_noise", 3), ("fog", 1), ("pixelate", 2)]
CLASSES = 3


# The bootstrap


def test_weights_are_multinomial_counts_of_the_key():
    weights = image_weights(50, 400, 0, "a")
    assert weights.shape == (400, 50)
    assert weights.dtype == np.uint8
    assert set(weights.sum(1, dtype=int)) == {50}
    np.testing.assert_array_equal(weights, image_weights.__wrapped__(50, 400, 0, "a"))
    # Counts of one image are binomial (50, 1/50): mean 1, variance .98, and those of two correlate by -1/49.
    assert weights.var() == pytest.approx(0.98, abs=0.03)
    correlation = np.corrcoef(weights.T)[~np.eye(50, dtype=bool)].mean()
    assert correlation == pytest.approx(-1 / 49, abs=0.002)


@pytest.mark.parametrize("other", [(50, 400, 1, "a"), (50, 400, 0, "b")])
def test_other_keys_give_independent_weights(other):
    first, second = image_weights(50, 400, 0, "a"), image_weights(*other)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_interval_of_an_accuracy_is_scipys_and_statsmodels():
    """scipy's percentile bootstrap within Monte Carlo error, and the binomial interval, of 500 images."""
    right = np.random.default_rng(1).random(500) < 0.7
    table = pa.table({"target": np.zeros(500, np.int32), "top": [[0] if one else [1] for one in right]})
    draws = METRIC_DRAWS["top1"].of(table, image_weights(500, 8000, 0, "x"), 2)
    (low,), (high,) = interval(draws[None], np.array([100 * right.mean()]))
    theirs = scipy.stats.bootstrap(
        (100.0 * right,), np.mean, n_resamples=8000, method="percentile", rng=np.random.default_rng(0)
    )
    assert (low, high) == pytest.approx(theirs.confidence_interval, abs=0.25)
    binomial = proportion_confint(right.sum(), 500, method="normal")
    assert (low, high) == pytest.approx([100 * end for end in binomial], abs=0.3)
    assert deviation(draws[None])[0] == pytest.approx(theirs.standard_error, rel=0.03)


def test_undefined_draws_are_left_out_of_an_interval_and_many_leave_none():
    draws = np.tile(np.arange(100.0), (3, 1))
    draws[1, :5] = np.nan
    draws[2, :6] = np.nan
    low, high = percentiles(draws)
    assert (low[0], high[0]) == pytest.approx((2.475, 96.525))
    assert (low[1], high[1]) == pytest.approx(np.percentile(np.arange(5, 100), (2.5, 97.5)))
    assert np.isnan([low[2], high[2]]).all()
    assert deviation(draws) == pytest.approx(
        [np.arange(100).std(ddof=1), np.arange(5, 100).std(ddof=1), np.nan], nan_ok=True
    )


def test_an_interval_is_the_percentiles_with_their_median_on_the_point():
    draws = np.array([[0.0, 1, 2, 3, 10], [5, 5, 5, 5, 5]])
    low, high = interval(draws, np.array([7.0, np.nan]))
    assert (low[0], high[0]) == pytest.approx((7 - 2 + 0.1, 7 - 2 + 9.3))
    assert np.isnan([low[1], high[1]]).all()
    low, high = interval(draws, np.array([7.0, np.nan]), (6, 13))
    assert (low[0], high[0]) == (6, 13)


# The metrics of resamples


def test_top1_and_top5_by_hand():
    table = pa.table(
        {"target": pa.array([0, 1, 2], pa.int32()), "top": [[0, 3, 4, 5, 6], [3, 4, 5, 6, 1], [0, 1, 3, 4, 5]]}
    )
    weights = np.array([[1, 1, 1], [0, 3, 0], [2, 1, 0]], np.uint8)
    assert METRIC_DRAWS["top1"].of(table, weights, 7) == pytest.approx([100 / 3, 0, 200 / 3])
    assert METRIC_DRAWS["top5"].of(table, weights, 7) == pytest.approx([200 / 3, 100, 100])


def test_mean_iou_is_that_of_the_summed_confusions():
    """Of images in random proportions; class 2 is neither shown nor predicted in some of them."""
    draw = np.random.default_rng(0)
    confusions = draw.integers(0, 50, (12, 3, 3)) * (draw.random((12, 3, 3)) < 0.6)
    confusions[1:, 2] = confusions[1:, :, 2] = 0
    cells = [np.nonzero(one) for one in confusions]
    table = pa.table(
        {
            "target": pa.array([one[0] for one in cells], pa.list_(pa.uint8())),
            "predicted": pa.array([one[1] for one in cells], pa.list_(pa.uint8())),
            "pixels": pa.array([c[at] for c, at in zip(confusions, cells, strict=True)], pa.list_(pa.uint32())),
        }
    )
    weights = image_weights(12, 100, 0, "x")
    expected = []
    for row in weights:
        summed = np.tensordot(row.astype(int), confusions, 1)
        union = summed.sum(0) + summed.sum(1) - summed.diagonal()
        expected.append(100 * np.mean(summed.diagonal()[union > 0] / union[union > 0]))
    assert confusions[0, 2].any()
    assert (weights[:, 0] == 0).any()
    assert METRIC_DRAWS["mIoU"].of(table, weights, 3) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("task", METRICS)
def test_with_every_image_once_each_metric_is_the_scorers(task, tmp_path):
    reader = imperfect.readers(tmp_path)[task]
    draw = np.random.default_rng(0)
    samples = list(reader)
    check_against_scorer(task, reader, samples, [imperfect.PREDICTIONS[task](sample, draw) for sample in samples])


@pytest.mark.parametrize("seed", range(3))
def test_with_crowds_and_equal_scores_too(seed, tmp_path):
    reader, found = imperfect.crowded(tmp_path, np.random.default_rng(seed), images=25, most_found=12)
    check_against_scorer("detection", reader, list(reader), found)


def check_against_scorer(task: str, reader, samples: list, predictions: list) -> None:
    """The table is written as the sweep does, with robnb's matches; the scorer starts from boxes and masks."""
    table = imperfect.table(task, samples, predictions, Condition(CLEAN, 0))
    once = np.ones((1, len(table)), np.uint8)
    for metric, value in score(task, table, reader).items():
        assert METRIC_DRAWS[metric].of(table, once, len(reader.classes)) == pytest.approx(value, abs=1e-9)


def test_images_without_a_labelled_pixel():
    empty = pa.array([[], []], pa.list_(pa.uint8()))
    table = pa.table({"target": empty, "predicted": empty, "pixels": pa.array([[], []], pa.list_(pa.uint32()))})
    assert np.isnan(METRIC_DRAWS["mIoU"].of(table, np.ones((1, 2), np.uint8), 3)).all()


# Aggregation


def random_scores(seeds: int = 1, replicates: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for weights in ("regular", "augmix"):
            for corruption, severity in GRID:
                for replicate in range(1 if corruption == CLEAN else replicates):
                    scored = ("resnet_nano", weights, "detection", "fixed_feature", "box_AP", seed)
                    rows.append((*scored, corruption, severity, replicate, draw.uniform(10, 90), 100))
    return pd.DataFrame(rows, columns=COLUMNS).sample(frac=1, random_state=0, ignore_index=True)


def test_quantities_of_the_scores_are_those_of_summarise():
    scores = random_scores(replicates=3)
    keys = [*MODEL, "category"]
    theirs = summarise(scores, GRID).set_index(keys).sort_index()
    ours = quantities(scores, scores[["value"]].to_numpy())
    table = ours.rows.assign(**{name: ours.values[name][:, 0] for name in QUANTITIES}).set_index(keys).sort_index()
    pd.testing.assert_frame_equal(table[list(QUANTITIES)], theirs[list(QUANTITIES)])


def test_seeds_are_averaged_and_the_drop_is_of_the_averages():
    scores = random_scores(seeds=4)
    summary = quantities(scores, scores[["value"]].to_numpy())
    per_seed = summarise(scores, GRID).groupby([*MODEL, "category"])[["P", "mPC"]].mean()
    for row, (_, names) in enumerate(summary.rows.iterrows()):
        expected = per_seed.loc[tuple(names[[*MODEL, "category"]])]
        assert names["seeds"] == 4
        assert summary.values["P"][row, 0] == pytest.approx(expected["P"])
        assert summary.values["mPC"][row, 0] == pytest.approx(expected["mPC"])
        assert summary.values["drop"][row, 0] == pytest.approx(100 * (1 - expected["mPC"] / expected["P"]))


def test_every_draw_is_aggregated_like_the_scores():
    scores = random_scores(replicates=2)
    values = np.random.default_rng(0).uniform(0, 100, (len(scores), 5))
    together = quantities(scores, values).values
    for column in range(5):
        alone = quantities(scores, values[:, [column]]).values
        for name in QUANTITIES:
            np.testing.assert_allclose(together[name][:, column], alone[name][:, 0])


# Rank agreement


@pytest.mark.parametrize("seed", range(20))
def test_tau_is_scipys(seed):
    draw = np.random.default_rng(seed)
    x, y = draw.integers(0, 5, (2, 2 + seed // 3, 3)).astype(float)
    expected = [scipy.stats.kendalltau(x[:, d], y[:, d]).statistic for d in range(3)]
    np.testing.assert_allclose(tau_b(x, y), expected, rtol=1e-12)


def test_tau_by_hand():
    """1 2 3 4 against 1 2 4 3: five pairs agree, one does not."""
    assert tau_b(np.array([[1.0], [2], [3], [4]]), np.array([[10.0], [20], [40], [30]]))[0] == pytest.approx(4 / 6)


@pytest.mark.parametrize("x", [np.ones((1, 1)), np.array([[1.0], [np.nan], [2]]), np.ones((3, 1))])
def test_tau_is_undefined_with_one_model_an_undefined_drop_or_ties_only(x):
    assert np.isnan(tau_b(x, np.arange(len(x), dtype=float)[:, None])).all()


# Variance


def test_variance_by_hand():
    """P 50; mPC 20, 30 in the two draws of seed 0 and 30, 40 in those of seed 1."""
    scored = ("resnet_nano", "regular", "detection", "fixed_feature", "box_AP")
    rows = [(*scored, seed, CLEAN, 0, 0, 50.0, 10) for seed in (0, 1)]
    rows += [(*scored, seed, "fog", 1, draw, 20.0 + 10 * seed + 10 * draw, 10) for seed in (0, 1) for draw in (0, 1)]
    scores = pd.DataFrame(rows, columns=COLUMNS)
    deviation_of_two = 10 / math.sqrt(2)
    for spread in (across_replicates(scores), across_seeds(scores)):  # 25 and 35, both times
        assert spread["mPC"].tolist() == pytest.approx([deviation_of_two])
        assert spread["drop"].tolist() == pytest.approx([2 * deviation_of_two])


def test_variance_finds_the_components_that_scores_were_made_of():
    """mPC = 40 + a replicate's effect + a seed's effect: each spread is that effect's own, whatever the other's."""
    draw = np.random.default_rng(0)
    of_replicate, of_seed = draw.normal(0, 2, 12), draw.normal(0, 3, 8)
    scored = ("resnet_nano", "regular", "detection", "fixed_feature", "box_AP")
    rows = [(*scored, seed, CLEAN, 0, 0, 80.0, 10) for seed in range(8)]
    for seed, replicate in itertools.product(range(8), range(12)):
        rows.append((*scored, seed, "fog", 1, replicate, 40 + of_replicate[replicate] + of_seed[seed], 10))
    scores = pd.DataFrame(rows, columns=COLUMNS)
    for spread, effect in ((across_replicates(scores), of_replicate), (across_seeds(scores), of_seed)):
        assert spread["mPC"].item() == pytest.approx(effect.std(ddof=1))
        assert spread["drop"].item() == pytest.approx(effect.std(ddof=1) / 0.8)


# Planning


def test_images_for_an_accuracy_is_the_textbook_number():
    """To know 50 % to within 5 points takes 385 images, whatever number the standard error was measured on."""
    for now in (100, 1000):
        assert images_for(5, 100 * math.sqrt(0.25 / now), now) == 385


@pytest.mark.parametrize("arguments", [(0, 1.0, 50), (math.nan, 1.0, 50), (1, 0.0, 50), (1, math.nan, 50), (1, 1.0, 1)])
def test_images_for_refuses_what_says_nothing(arguments):
    with pytest.raises(UserError):
        images_for(*arguments)
