"""Several trainings: intervals against formulas, the bootstrap and simulation; the tables, sentences and figures."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from matplotlib.collections import LineCollection, PathCollection
from statsmodels.stats.proportion import proportion_confint

from robnb import plots, tables
from robnb.augment.deepaugment import NETWORKS, network_for
from robnb.errors import UserError
from robnb.metrics import ALL, COLUMNS
from robnb.names import CLEAN
from robnb.statistics import Results
from robnb.statistics.quantities import BOUNDS, MODEL, QUANTITIES, quantities
from robnb.statistics.resampling import deviation, image_weights, interval
from robnb.statistics.trainings import (
    attack_differences,
    attacked_over_trainings,
    differences_over_trainings,
    half_width,
    over_trainings,
    per_training,
)

GRID = ((CLEAN, 0), ("gaussian_noise", 1), ("fog", 1))
REGULAR, LONGER, AUGMIX, ANT = (
    ("resnet_mini", weights) for weights in ("regular", "regular, 700 iterations", "augmix", "ant3x3")
)
SWIN = ("swin_mini", "regular")
CONTROLS = {AUGMIX: LONGER, ANT: REGULAR}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def results_of(right: dict[tuple[str, str], np.ndarray], resamples: int = 200, name: str = "images") -> Results:
    """Results of classifiers that are right (bool, (trainings, `GRID`, images)) or wrong."""
    rows, draws = [], []
    images = next(iter(right.values())).shape[-1]
    weights = image_weights(images, resamples, 0, name).astype(float)
    for model, trainings in right.items():
        for seed, of_seed in enumerate(trainings):
            for cell, of_cell in zip(GRID, of_seed, strict=True):
                scored = (*model, "upstream", "pretrained", "top1", seed)
                rows.append((*scored, *cell, 0, 100 * of_cell.mean(), images))
                draws.append(100 * weights @ of_cell / images)
    scores = pd.DataFrame(rows, columns=COLUMNS)
    points, resampled = quantities(scores, scores[["value"]].to_numpy()), quantities(scores, np.array(draws)).values
    columns = {quantity: points.values[quantity][:, 0] for quantity in QUANTITIES}
    for quantity in QUANTITIES:
        ends = interval(resampled[quantity], columns[quantity], BOUNDS[quantity])
        columns[f"{quantity}_low"], columns[f"{quantity}_high"] = ends
    return Results(scores, points.rows.assign(**columns), resampled)


def world(draw, levels, trainings=3, images=150, between=0.3, ease=None) -> np.ndarray:
    """Bool (trainings, conditions, images): trainings differ in skill, images in difficulty, both by logits."""
    ease = draw.normal(size=images) if ease is None else ease
    skill = draw.normal(0, between, (trainings, len(levels), 1)) if between else np.zeros((trainings, len(levels), 1))
    chance = 1 / (1 + np.exp(-(np.array(levels)[:, None] + skill + ease)))
    return draw.random(chance.shape) < chance


# Intervals


def test_half_width_by_hand():
    """With no variance of images it is Student's, with none of trainings the normal one."""
    half = half_width(*np.array([[3.0, 0, 3, 0], [3, 3, 3, 3], [0, 2, 2, 0]]), np.inf)
    both = math.sqrt(3 + 4) * scipy.stats.t.ppf(0.975, (3 + 4) ** 2 / (3**2 / 2))
    assert half == pytest.approx([4.302653 * 3 / math.sqrt(3), 1.959964 * 2, both, 0], rel=1e-6)


def test_of_one_training_nothing_is_known():
    assert np.isnan(half_width(np.array([np.nan]), np.array([1]), np.array([2.0]), 1000)).all()


@pytest.mark.parametrize("trainings", [3, 5])
@pytest.mark.parametrize(
    ("training", "images", "each"), [(1, 0, 0), (1, 1, 0), (0, 1, 0.3), (0.5, 1, 1), (1, 0.3, 0.3), (0.3, 0.3, 1)]
)
def test_coverage_of_known_variances(trainings, training, images, each):
    """Of 20,000 means: ``images`` is common to the trainings, ``each`` is what images change in one of them alone."""
    draw = np.random.default_rng(0)
    alone = draw.normal(0, 1, (20_000, trainings)) * math.hypot(training, each)
    values = alone + images * draw.normal(size=(20_000, 1))
    between = values.std(1, ddof=1)
    of_images = np.full(20_000, math.sqrt(images**2 + each**2 / trainings))
    half = half_width(between, np.full(20_000, trainings), of_images, np.inf)
    covered = (np.abs(values.mean(1)) < half).mean()
    assert 0.925 < covered < (0.995 if each > images else 0.975)


def test_per_training_by_hand():
    right = np.zeros((2, 3, 10), bool)
    right[0, 0, :8] = right[0, 1, :4] = right[0, 2, :2] = True
    right[1, 0, :5] = right[1, 1, :5] = True
    frame = per_training(results_of({REGULAR: right}).scores)
    overall = frame[frame["category"] == ALL].set_index("seed")
    assert list(frame) == [*MODEL, "category", "seed", *QUANTITIES]
    assert list(overall.loc[0, list(QUANTITIES)]) == pytest.approx([80, 30, 37.5, 62.5])
    assert list(overall.loc[1, list(QUANTITIES)]) == pytest.approx([50, 25, 50, 50])


def test_the_numbers_are_those_of_the_results_and_the_intervals_by_formula():
    results = results_of({REGULAR: world(np.random.default_rng(0), (2, 1, 0))}, resamples=300)
    over, alone = over_trainings(results), per_training(results.scores)
    pd.testing.assert_frame_equal(over[[*QUANTITIES, "seeds"]], results.summary[[*QUANTITIES, "seeds"]])
    for row in over.itertuples():
        between = alone.loc[alone["category"] == row.category, "drop"].std()
        images = results.draws["drop"][row.Index].std(ddof=1)
        variances = between**2 / 3, images**2
        freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 299)
        half = scipy.stats.t.ppf(0.975, freedom) * math.sqrt(sum(variances))
        assert (row.drop_low, row.drop_high) == pytest.approx((row.drop - half, row.drop + half))


def test_equal_trainings_have_the_bootstraps_interval():
    """So it covers images alone: normal ends, with a deviation that is the bootstrap's."""
    right = np.repeat(world(np.random.default_rng(0), (2, 1, 0), trainings=1, images=400), 3, axis=0)
    results = results_of({REGULAR: right}, resamples=2000)
    over = over_trainings(results)
    for quantity in QUANTITIES:
        images = deviation(results.draws[quantity])
        half = scipy.stats.t.ppf(0.975, 1999) * images
        np.testing.assert_allclose(over[f"{quantity}_high"] - over[quantity], half)
        ends = results.summary[[f"{quantity}_low", f"{quantity}_high"]].to_numpy()
        np.testing.assert_allclose(
            over[[f"{quantity}_low", f"{quantity}_high"]].to_numpy(), ends, atol=0.25 * max(half)
        )


def test_ends_stay_inside_what_can_be():
    right = np.ones((2, 3, 50), bool)
    right[1, :, :30] = False
    over = over_trainings(results_of({REGULAR: right}))
    assert (over["P_high"] == 100).all()
    assert (over["P_low"] == 0).all()


def test_one_training_and_an_undefined_drop_have_no_interval():
    draw = np.random.default_rng(0)
    blind = world(draw, (2, 1, 0))
    blind[1] = False
    over = over_trainings(results_of({REGULAR: blind, AUGMIX: world(draw, (2, 1, 0))}))
    of_blind = over["weights"] == "regular"
    assert over.loc[of_blind, ["drop_low", "drop_high"]].isna().all(axis=None)
    assert over.loc[of_blind, "drop"].notna().all()
    assert over.loc[~of_blind, ["P_low", "drop_low", "drop_high"]].notna().all(axis=None)
    alone = over_trainings(results_of({REGULAR: world(draw, (2, 1, 0), trainings=1)}))
    assert alone[[f"{name}_{end}" for name in QUANTITIES for end in ("low", "high")]].isna().all(axis=None)


# Differences


def test_differences_are_paired_by_seed_and_image():
    """Two models that differ by the same in every training, on images where both are right or wrong."""
    draw = np.random.default_rng(0)
    regular = world(draw, (2, 1, 0), between=1.0)
    augmix = regular.copy()
    augmix[:, 1, :15] = True  # right where it was right or wrong
    results = results_of({LONGER: regular, AUGMIX: augmix, REGULAR: regular})
    found = differences_over_trainings(results, {AUGMIX: LONGER})
    assert list(found) == [*MODEL, "category", "seeds", "difference", "low", "high"]
    alone = per_training(results.scores).set_index(["weights", "category", "seed"])["drop"].sort_index()
    points = results.summary.set_index(["weights", "category"])["drop"]
    draws = dict(zip(points.index, results.draws["drop"], strict=True))
    for row in found.itertuples():
        gaps = alone["augmix", row.category] - alone[LONGER[1], row.category]
        images = (draws["augmix", row.category] - draws[LONGER[1], row.category]).std(ddof=1)
        half = half_width(gaps.std(), 3, images, 200)
        assert row.difference == pytest.approx(points["augmix", row.category] - points[LONGER[1], row.category])
        assert (row.low, row.high) == pytest.approx((row.difference - half, row.difference + half))
    over = over_trainings(results).set_index(["weights", "category"])
    widths = over["drop_high"] - over["drop_low"]
    assert (found["high"] - found["low"])[0] < 0.5 * widths["augmix", ALL], "the pairs share most of their variance"


def test_a_model_against_itself_differs_by_nothing():
    same = world(np.random.default_rng(0), (2, 1, 0))
    found = differences_over_trainings(results_of({REGULAR: same, ANT: same}), {ANT: REGULAR}, "mPC")
    assert (found[["difference", "low", "high"]] == 0).all(axis=None)


def test_what_cannot_be_compared_is_said():
    draw = np.random.default_rng(0)
    results = results_of({REGULAR: world(draw, (2, 1, 0)), AUGMIX: world(draw, (2, 1, 0), trainings=2)})
    with pytest.raises(UserError, match=r"resnet_mini.augmix has the training seeds .0, 1. and resnet_mini.reg"):
        differences_over_trainings(results, {AUGMIX: REGULAR})
    with pytest.raises(UserError, match=r"resnet_mini.ant3x3 was not evaluated: choose from resnet_mini.augmix; "):
        differences_over_trainings(results, {ANT: REGULAR})
    with pytest.raises(UserError, match="unknown quantity 'dorp': did you mean 'drop'"):
        differences_over_trainings(results, {}, "dorp")


@pytest.mark.slow
def test_coverage_of_three_trainings_of_classifiers():
    """200 studies of two recipes, of three trainings and 100 images drawn anew; .95 has a standard error of .015."""
    levels, between = {REGULAR: (1.5, 0.5, -0.5), AUGMIX: (1.4, 0.8, 0.1)}, 0.25
    logits = np.random.default_rng(9).normal(0, math.hypot(1, between), 400_000)
    shares = {m: [100 / (1 + np.exp(-(level + logits))) for level in of_model] for m, of_model in levels.items()}
    p, mpc = ({m: np.mean(parts[at]) for m, parts in shares.items()} for at in (slice(0, 1), slice(1, 3)))
    drop = {model: 100 * (1 - mpc[model] / p[model]) for model in levels}
    held = []
    for number in range(200):
        draw = np.random.default_rng([7, number])
        ease = draw.normal(size=100)
        right = {
            model: world(draw, of_model, images=100, between=between, ease=ease) for model, of_model in levels.items()
        }
        results = results_of(right, name=f"study {number}")
        over = over_trainings(results).query("category == 'all'").set_index("weights")
        (gap,) = differences_over_trainings(results, {AUGMIX: REGULAR}).query("category == 'all'").itertuples()
        row = over.loc["augmix"]
        truths = [(row["P_low"], p[AUGMIX], row["P_high"]), (row["mPC_low"], mpc[AUGMIX], row["mPC_high"])]
        truths += [(row["drop_low"], drop[AUGMIX], row["drop_high"])]
        truths += [(gap.low, drop[AUGMIX] - drop[REGULAR], gap.high)]
        held.append([low <= true <= high for low, true, high in truths])
    assert (np.mean(held, axis=0) > 0.91).all()
    assert (np.mean(held, axis=0) < 0.995).all()


# Under attack


def attacked(tops: dict[tuple[str, str], list[list[int]]], radii=(0.0, 0.5, 1.0)) -> pd.DataFrame:
    """As `under_attack` gives it: of each model how many of 100 images are right, by training and radius.

    The images are those from number 7 x seed on, around the end: other trainings find others hard.
    """
    rows = [
        (*model, seed, eps, f"{image:03d}", (image - 7 * seed) % 100 < count)
        for model, trainings in tops.items()
        for seed, of_seed in enumerate(trainings)
        for eps, count in zip(radii, of_seed, strict=True)
        for image in range(100)
    ]
    return pd.DataFrame(rows, columns=["backbone", "weights", "seed", "eps", "image_id", "right"])


L2 = ("resnet_mini", "l2_eps0.5")
ATTACKED = attacked({REGULAR: [[80, 30, 2], [84, 36, 0], [82, 33, 4]], L2: [[70, 60, 42], [72, 64, 44], [71, 62, 40]]})


def test_accuracy_under_attack_over_trainings_by_hand():
    found = attacked_over_trainings(ATTACKED).set_index(["weights", "eps"])
    row = found.loc["regular", 0.5]
    ends = [proportion_confint(right, 100, method="wilson") for right in (30, 36, 33)]
    low, high = (half_width(3.0, 3, abs(33 - 100 * np.mean(end)) / 1.959964, np.inf) for end in zip(*ends, strict=True))
    assert (row["seeds"], row["n_images"]) == (3, 100)
    assert (row["top1"], row["low"], row["high"]) == pytest.approx((33, 33 - low, 33 + high))
    assert found.loc["regular", 1.0]["low"] == 0
    assert attacked_over_trainings(ATTACKED[ATTACKED["seed"] == 0])[["low", "high"]].isna().all(axis=None)


def test_equal_trainings_under_attack_have_the_single_ones_interval():
    found = attacked_over_trainings(attacked({REGULAR: [[80, 30, 0]] * 3}))
    for row, right in zip(found.itertuples(), (80, 30, 0), strict=True):
        low, high = proportion_confint(right, 100, method="wilson")
        assert (row.low, row.high) == pytest.approx((100 * low, 100 * high), abs=1e-4)


def test_differences_under_attack_by_hand():
    """Training by training (30, 28, 29 points), image by image (of 100: how many trainings gained it)."""
    found = attack_differences(ATTACKED.sample(frac=1, random_state=0), REGULAR).sort_values("eps")
    assert [tuple(row) for row in found[["weights", "eps", "seeds"]].to_numpy()] == [
        ("l2_eps0.5", 0.0, 3), ("l2_eps0.5", 0.5, 3), ("l2_eps0.5", 1.0, 3)
    ]  # fmt: skip
    row = found.iloc[1]
    gained = sum(
        (np.roll(np.arange(100) < own, 7 * seed) ^ np.roll(np.arange(100) < other, 7 * seed)).astype(float)
        for seed, (other, own) in enumerate([(30, 60), (36, 64), (33, 62)])
    )
    of_images = 100 * np.std(gained / 3, ddof=1) / 10
    half = half_width(np.std([30, 28, 29], ddof=1), 3, of_images, 100)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((29, 29 - half, 29 + half))
    with pytest.raises(UserError, match=r"swin_mini.regular was not evaluated"):
        attack_differences(ATTACKED, SWIN)


def test_what_all_find_hard_falls_out_of_a_difference_under_attack():
    """Models that fail on the same images are told apart by fewer of them than models that fail on different ones."""
    together = attacked({REGULAR: [[50, 50, 50]] * 3, L2: [[55, 55, 55]] * 3})
    apart = together.assign(right=together["right"] ^ ((together["weights"] == L2[1]) & (together["image_id"] < "030")))
    apart["right"] ^= (apart["weights"] == L2[1]) & (apart["image_id"] >= "070")
    widths = [np.ptp(attack_differences(one, REGULAR)[["low", "high"]].iloc[0]) for one in (together, apart)]
    assert widths[0] < widths[1] / 2


# Tables and sentences


@pytest.fixture(scope="module")
def results() -> Results:
    draw = np.random.default_rng(3)
    ease = draw.normal(size=150)
    levels = {REGULAR: (3, 0, 1), AUGMIX: (3, 2, 2), ANT: (3, 0, 1), SWIN: (2, 1, 1), LONGER: (3, 0.2, 1.2)}
    return results_of({m: world(draw, of_model, between=0.1, ease=ease) for m, of_model in levels.items()})


def differences(results: Results) -> dict[str, pd.DataFrame]:
    return {name: differences_over_trainings(results, CONTROLS, name) for name in ("P", "mPC", "drop")}


def test_each_recipe_stands_above_its_control_and_their_difference(results):
    over, gaps = over_trainings(results), differences(results)
    table = tables.beside_controls(over, CONTROLS, gaps)
    assert list(table) == ["recipe", "model", "trainings", "P", "mPC", "drop"]
    assert [tuple(row) for row in table[["recipe", "model"]].to_numpy()] == [
        ("Regular", "Regular"),
        ("AugMix", "AugMix"), ("AugMix", "Regular, 700 iterations"), ("AugMix", "difference"),
        ("ANT", "ANT"), ("ANT", "Regular"), ("ANT", "difference"),
        ("Swin (mini)", "Swin (mini)"),
    ]  # fmt: skip
    (row,) = over[(over["weights"] == LONGER[1]) & (over["category"] == ALL)].to_dict("records")
    assert table["mPC"][2] == tables.cell(row["mPC"], row["mPC_low"], row["mPC_high"])
    (gap,) = gaps["drop"].query("weights == 'augmix' and category == 'all'").to_dict("records")
    assert table["drop"][3] == tables.cell(gap["difference"], gap["low"], gap["high"])
    assert set(table["trainings"]) == {3}


def test_one_training_says_so():
    draw = np.random.default_rng(0)
    one = results_of({m: world(draw, (2, 1, 0), trainings=1) for m in (REGULAR, LONGER, AUGMIX, ANT)})
    table = tables.beside_controls(over_trainings(one), CONTROLS, differences(one))
    assert table[["P", "mPC", "drop"]].map(lambda cell: cell.endswith(" [one training]")).all(axis=None)
    said = tables.recipe_sentences(differences(one), CONTROLS, 150)
    assert "Not known: 2 of 2 (AugMix, ANT)." in said
    assert "1 training, 150 test images" in said


def test_recipes_are_told_apart_only_where_the_interval_is(results):
    said = tables.recipe_sentences(differences(results), CONTROLS, 150)
    headline, _, augmix, ant = said.split("\n")
    assert headline.startswith("**Does it lower the drop, beside Regular trained for the same compute?** Lowers")
    assert headline.endswith("Lowers it: 1 of 2 (AugMix). Not told apart: 1 of 2 (ANT).")
    assert augmix.startswith("- **AugMix**, drop minus that of Regular, 700 iterations: -")
    assert "lowers it (3 trainings, 150 test images)." in augmix
    assert augmix.endswith("By category: less in noise, weather.")
    assert "not told apart (3 trainings" in ant
    worse = {name: frame.assign(low=1.0, high=3.0) for name, frame in differences(results).items()}
    said = tables.recipe_sentences(worse, CONTROLS, 150, "for as many steps")
    assert "beside Regular trained for as many steps?** Raises it: 2 of 2" in said


def test_equal_scores_are_called_so():
    """Adversarial training of radius 0 is Regular, network for network."""
    same = world(np.random.default_rng(0), (2, 1, 0))
    found = differences(results_of(dict.fromkeys((REGULAR, LONGER, AUGMIX, ANT), same)))
    said = tables.recipe_sentences(found, {ANT: REGULAR}, 150)
    assert "The same scores: 1 of 1 (ANT)." in said
    assert said.endswith("By category: the same in noise, weather.")


def test_no_recipe_no_sentence(results):
    assert tables.recipe_sentences(differences(results), {}, 150) == "There is no such recipe to compare."


def test_costs_relative_to_regular_by_hand():
    rows = [
        (*REGULAR, 0, 20_000, 60.0),
        (*REGULAR, 1, 20_000, 120.0),
        (*AUGMIX, 0, 50_000, 180.0),
        (*SWIN, 0, 1e3, 9.0),
    ]
    rows.append(("swin_nano", "augmix", 0, 100.0, 1.0))
    costs = pd.DataFrame(rows, columns=["backbone", "weights", "seed", "passes", "seconds"])
    table = tables.cost_table(costs).set_index("model")
    assert list(table) == ["trainings", "thousand passes", "of Regular's", "minutes", "of Regular's minutes"]
    assert list(table.loc["Regular"]) == [2, "20.0", "1.00", "1.5", "1.00"]
    assert list(table.loc["AugMix"]) == [1, "50.0", "2.50", "3.0", "2.00"]
    assert list(table.loc["Swin (nano)"]) == [1, "0.1", "", "0.0", ""]


def test_the_attack_in_a_table_and_in_sentences():
    found, gaps = attacked_over_trainings(ATTACKED), attack_differences(ATTACKED, REGULAR)
    table = tables.attack_table(found)
    assert list(table) == ["model", "within 0", "within 0.5", "within 1"]
    assert list(table["model"]) == ["Regular", "L2 eps 0.5"]
    assert table["within 1"][1].startswith("42.0 [")
    headline, _, line = tables.attack_sentences(found, gaps, REGULAR, classes=10).split("\n")
    assert headline.startswith("**Within 1 the attack breaks Regular**: it gets 2.0 [0.0, ")
    assert headline.endswith("where guessing gets 10 %.")
    assert line.startswith("- **L2 eps 0.5** gets 42.0 [")
    assert "40.0 [" in line and line.endswith("percentage points beside Regular: more.")


def test_an_attack_that_breaks_nothing_and_none_at_all():
    weak = ATTACKED[ATTACKED["eps"] < 1]
    said = tables.attack_sentences(attacked_over_trainings(weak), attack_differences(weak, REGULAR), REGULAR, 10)
    assert said.startswith("**No radius breaks Regular**: within 0.5, the largest, it still gets 33.0 [")
    clean = ATTACKED[ATTACKED["eps"] == 0]
    none = tables.attack_sentences(attacked_over_trainings(clean), attack_differences(clean, REGULAR), REGULAR, 10)
    assert none == "There was no attack."
    blind = attacked({REGULAR: [[9, 0, 0]] * 3, L2: [[50, 40, 30]] * 3})
    said = tables.attack_sentences(attacked_over_trainings(blind), attack_differences(blind, REGULAR), REGULAR, 10)
    assert said == "Regular only guesses without an attack too, so there is nothing to break."
    once = ATTACKED[ATTACKED["seed"] == 0]
    said = tables.attack_sentences(attacked_over_trainings(once), attack_differences(once, REGULAR), REGULAR, 10)
    assert said.endswith("40.0 [one training] percentage points beside Regular: not told apart by one training.")


# Figures


def intervals(axis, *, horizontal=False) -> np.ndarray:
    """What an axis shows as intervals: rows of place, low, high."""
    along, found = int(not horizontal), []
    for lines in axis.collections:
        if isinstance(lines, LineCollection) and lines.get_gid() == "interval":
            (segment,) = lines.get_segments()
            if segment[0, 1 - along] == segment[1, 1 - along]:
                found.append((segment[0, 1 - along], *segment[:, along]))
    return np.array(found)


def test_drops_of_recipes_and_controls_are_the_frames(results):
    over = over_trainings(results)
    figure = plots.drops_beside_controls(over, CONTROLS)
    assert [axis.get_title() for axis in figure.axes] == [ALL, "noise", "weather"]
    for axis, category in zip(figure.axes, (ALL, "noise", "weather"), strict=True):
        rows = over[over["category"] == category].set_index(["backbone", "weights"])
        wanted = rows.loc[[AUGMIX, LONGER, ANT, REGULAR], ["drop_low", "drop_high"]]
        np.testing.assert_allclose(intervals(axis, horizontal=True)[:, 1:], wanted)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["AugMix", "ANT"]
    as_many = plots.drops_beside_controls(over, CONTROLS, "of as many steps")
    assert as_many.get_supxlabel().endswith("open: Regular of as many steps")
    with pytest.raises(UserError, match="no recipe with a control to draw: name a backbone"):
        plots.drops_beside_controls(over, {})


def test_differences_are_filled_only_where_they_are_told_apart(results):
    gaps = differences(results)["drop"]
    figure = plots.differences_by_category(gaps)
    for axis, category in zip(figure.axes, (ALL, "noise", "weather"), strict=True):
        rows = gaps[gaps["category"] == category]
        np.testing.assert_allclose(
            intervals(axis, horizontal=True), [[0, *rows.iloc[0, -2:]], [-1, *rows.iloc[1, -2:]]]
        )
        dots = [dot for dot in axis.collections if isinstance(dot, PathCollection)]
        filled = [tuple(dot.get_facecolor()[0, :3]) != (1, 1, 1) for dot in dots]
        assert filled == list((rows["low"] > 0) | (rows["high"] < 0))
    with pytest.raises(UserError, match="no recipe with a control to draw: name a backbone"):
        plots.differences_by_category(gaps.head(0))


def test_undefined_numbers_are_said(results):
    over = over_trainings(results).assign(drop=np.nan, drop_low=np.nan, drop_high=np.nan)
    axis, *_ = plots.drops_beside_controls(over, CONTROLS).axes
    assert [text.get_text().strip() for text in axis.texts] == ["undefined"] * 4
    assert not len(intervals(axis, horizontal=True))


def test_clean_against_corrupted_has_every_model_where_it_is(results):
    over = over_trainings(results).query("category == 'all'")
    (axis,) = plots.clean_against_corrupted(over).axes
    np.testing.assert_allclose(intervals(axis), over[["P", "mPC_low", "mPC_high"]])
    np.testing.assert_allclose(intervals(axis, horizontal=True), over[["mPC", "P_low", "P_high"]])
    named = [text.get_text() for text in axis.get_legend().get_texts()]
    assert named == ["Regular", "AugMix", "ANT", "Swin (mini)", "Regular, longer"]


def test_lines_under_attack_are_the_frames():
    found = attacked_over_trainings(ATTACKED)
    (axis,) = plots.under_attack(found).axes
    lines = [line for line in axis.lines if line.get_linestyle() == "-" and len(line.get_ydata()) > 1]
    np.testing.assert_allclose([line.get_ydata() for line in lines], found["top1"].to_numpy().reshape(2, 3))
    np.testing.assert_allclose(intervals(axis)[:, 1:], found[["low", "high"]])
    with pytest.raises(UserError, match="nothing was attacked: give a model"):
        plots.under_attack(found.head(0))


def test_one_training_is_drawn_without_intervals():
    found = attacked_over_trainings(ATTACKED[ATTACKED["seed"] == 0])
    (axis,) = plots.under_attack(found).axes
    assert [line.get_ydata().tolist() for line in axis.lines[:2]] == [[80, 30, 2], [70, 60, 42]]
    assert axis.get_ylim()[1] == pytest.approx(1.04 * 80)
    assert not [one for one in axis.collections if one.get_gid() == "interval"]


def test_recipe_samples_show_the_recipes_that_need_no_network():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    names = ["regular", "augmix", "ant3x3", "l2_eps0.5", "deepaug", "prime", "augmix"]
    figure, again, other = (plots.recipe_samples(image, names, 32, seed, count=3) for seed in (0, 0, 1))
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["image", "AugMix", "image", "PRIME"]
    pictures, same, others = ([axis.images[0].get_array() for axis in one.axes] for one in (figure, again, other))
    np.testing.assert_array_equal(pictures[0], image)
    np.testing.assert_array_equal(pictures, same)
    assert not np.array_equal(pictures, others)
    with pytest.raises(UserError, match="none of these recipes can be shown on a picture alone: name one"):
        plots.recipe_samples(image, ["regular"], 32, 0)


def test_recipe_samples_show_deepaugment_through_its_networks(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (80, 64, 3), np.uint8)
    networks = {name: tmp_path / f"{name}.pth" for name in NETWORKS}
    for name, path in networks.items():
        torch.save(network_for(name, 32).state_dict(), path)
    figure = plots.recipe_samples(image, ["deepaug"], 32, 0, networks, count=8)
    first, *draws = (axis.images[0].get_array() for axis in figure.axes)
    assert first.shape == (32, 32, 3)
    kept = [np.array_equal(first, drawn) for drawn in draws]
    assert any(kept) and not all(kept), "a third of the images stay as they are"
