"""A quantity with its uncertainty: by formula, against scipy, and by simulation."""

import math

import numpy as np
import pytest
import scipy.stats

from robnb.errors import UserError
from robnb.statistics.measured import Measured, summed
from robnb.statistics.resampling import interval


def measured(value, draws, trainings=None, images=100):
    return Measured(value, np.asarray(draws, float), trainings or {0: value}, images)


def noisy(value, error, seed=0, resamples=1000, trainings=None):
    draws = value + error * np.random.default_rng(seed).standard_normal(resamples)
    return measured(value, draws, trainings)


def test_with_one_training_the_interval_is_the_bootstraps():
    one = noisy(3.0, 2.0)
    (low,), (high,) = interval(one.draws[None], np.array([3.0]))
    assert one.interval() == (low, high)


@pytest.mark.parametrize("bound", [-4.0, 0.0, 2.0, 3.0, 7.0])
def test_p_values_of_one_training_are_shares_of_moved_draws(bound):
    one = measured(3.0, np.arange(1000) / 100)  # median 4.995, so moved by -1.995
    reach = 1 + sum(draw - 1.995 >= bound for draw in np.arange(1000) / 100)
    assert one.p_not_below(bound) == pytest.approx(reach / 1001)
    fall = 1 + sum(draw - 1.995 <= bound for draw in np.arange(1000) / 100)
    assert one.p_not_above(bound) == pytest.approx(fall / 1001)


def test_a_bound_outside_the_interval_is_rejected_and_one_inside_is_not():
    one = noisy(3.0, 2.0, resamples=4000)
    low, high = one.interval()
    assert one.p_not_below(high + 0.1) < 0.025 < one.p_not_below(high - 0.1)
    assert one.p_not_above(low - 0.1) < 0.025 < one.p_not_above(low + 0.1)


def test_trainings_that_alone_vary_give_students_test():
    values = {0: 1.0, 1: 2.5, 2: 0.5, 3: 3.0}
    one = measured(np.mean(list(values.values())), np.full(1000, 1.75), values)
    theirs = scipy.stats.ttest_1samp(list(values.values()), 0.2)
    assert one.p_not_above(0.2) == pytest.approx(scipy.stats.t.sf(theirs.statistic, 3))
    assert one.p_not_below(0.2) == pytest.approx(scipy.stats.t.cdf(theirs.statistic, 3))
    assert one.interval() == pytest.approx(theirs.confidence_interval(0.95))


def test_what_never_varies_is_certain():
    one = measured(1.0, np.ones(100), {0: 1.0, 1: 1.0})
    assert one.interval() == (1.0, 1.0)
    assert (one.p_not_below(2.0), one.p_not_below(1.0), one.p_not_above(1.0)) == (0.0, 1.0, 1.0)


def test_differences_are_paired_by_resample_and_by_training():
    common = np.random.default_rng(0).standard_normal(500) * 10
    one = measured(5.0, 5 + common, {0: 2.0, 1: 8.0}, images=60)
    other = measured(4.0, 4 + common, {0: 1.0, 1: 7.0}, images=80)
    difference = summed([(1.0, one), (-1.0, other)])
    assert difference.value == 1.0
    assert difference.interval() == pytest.approx((1.0, 1.0))
    assert difference.trainings == {0: 1.0, 1: 1.0}
    assert difference.images == 60
    assert summed([(0.5, one), (2.0, other)]).value == 10.5


def test_undefined_values_and_draws_say_nothing():
    assert math.isnan(measured(math.nan, np.ones(100)).p_not_below(0))
    half = np.where(np.arange(100) % 2, np.nan, 1.0)
    assert math.isnan(measured(1.0, half).p_not_above(0))
    assert np.isnan(measured(1.0, half).interval()).all()
    few = np.where(np.arange(100) < 3, np.nan, 1.0)
    assert measured(1.0, few).p_not_above(0) == pytest.approx(1 / 98)


def test_other_seeds_or_resamples_are_refused():
    with pytest.raises(UserError, match=r"training seeds \[0\] and \[0, 1\] are not comparable"):
        summed([(1.0, measured(1, np.ones(9))), (1.0, measured(1, np.ones(9), {0: 1.0, 1: 1.0}))])
    with pytest.raises(UserError, match="9 and 8 resamples do not go together"):
        summed([(1.0, measured(1, np.ones(9))), (1.0, measured(1, np.ones(8)))])


@pytest.mark.parametrize("trainings", [1, 3])
def test_a_true_bound_is_rejected_as_rarely_as_the_level_says(trainings):
    """2,000 studies of a quantity that is exactly 0: half of alpha is rejected on each side."""
    draw, found = np.random.default_rng(trainings), []
    for _ in range(2000):
        of_images = draw.normal(0, 1.0)
        alone = of_images + draw.normal(0, 1.0, trainings) * (trainings > 1)
        value = alone.mean()
        draws = value + draw.standard_normal(400)
        found.append(measured(value, draws, dict(enumerate(alone))).p_not_above(0))
    rate = np.mean(np.array(found) <= 0.025)
    assert rate == pytest.approx(0.025, abs=0.012)
