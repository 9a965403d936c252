"""The tables of results: their intervals, differences, rank agreement and variance, from per-image results."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import imperfect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.stats
import swept

from robnb.corruptions import Condition
from robnb.errors import UserError
from robnb.metrics import ALL, COLUMNS
from robnb.names import CLEAN
from robnb.statistics import Results
from robnb.statistics.draws import BootstrapSpec
from robnb.statistics.metric_draws import METRIC_DRAWS
from robnb.statistics.quantities import MODEL, QUANTITIES
from robnb.statistics.variance import across_seeds
from robnb.store import Store

GRID = [(CLEAN, 0), ("gaussian_noise", 1), ("gaussian_noise", 3), ("fog", 1), ("pixelate", 2)]
CLASSES = 3


@dataclass
class InMemory:
    """An evaluation whose per-image results are at hand; same attributes as the sweep's."""

    task: str
    tables: Callable[..., pa.Table]
    weights: Sequence[str] = ("regular", "augmix")
    regime: str = "fixed_feature"
    seeds: Sequence[int] = (0,)
    replicates: int = 1
    metrics: Sequence[str] = ("top1",)
    fingerprint: str = "images"
    grid: Sequence[tuple[str, int]] = tuple(GRID)
    reads: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.classes = tuple("abc")
        self.conditions = tuple(Condition(*condition) for condition in self.grid)
        self.models = tuple(
            SimpleNamespace(
                backbone=SimpleNamespace(architecture="resnet_nano", weights=weights),
                task=self.task,
                regime=self.regime,
                seed=seed,
            )
            for seed in self.seeds
            for weights in self.weights
        )
        rows = []
        for model in self.models:
            for condition in self.conditions:
                for replicate in range(1 if condition.corruption == CLEAN else self.replicates):
                    table = self.tables(model, condition, replicate)
                    for metric in self.metrics:
                        one = np.ones((1, len(table)), np.uint8)
                        (value,) = METRIC_DRAWS[metric].of(table, one, CLASSES)
                        scored = ("resnet_nano", model.backbone.weights, self.task, self.regime, metric, model.seed)
                        cell = (condition.corruption, condition.severity, replicate)
                        rows.append((*scored, *cell, value, len(table)))
        self.scores = pd.DataFrame(rows, columns=COLUMNS)

    def per_image(self, model, condition, replicate=0, columns=None):
        self.reads.append((model, condition, replicate))
        return self.tables(model, condition, replicate).select(columns)

    def key_of(self, model, condition, replicate=0):
        return f"{self.task} {model.backbone.weights} {model.seed} {condition} {replicate}"


def right_or_wrong(images: int, chance: Callable[..., float]) -> Callable[..., pa.Table]:
    """Tables of a classifier that is right on each image with a probability that falls with the image's difficulty."""
    difficulty = np.random.default_rng(0).normal(size=images)

    def tables(model, condition, replicate):
        key = f"{model.backbone.weights} {model.task} {condition} {replicate} {model.seed}"
        draw = np.random.default_rng(list(key.encode()))
        logit = math.log(1 / (1 - chance(model, condition)) - 1) - difficulty
        right = draw.random(images) < 1 / (1 + np.exp(-logit))
        return pa.table(
            {"target": np.zeros(images, np.int32), "top": [[0, 1, 2] if one else [1, 0, 2] for one in right]}
        )

    return tables


def usual(model, condition) -> float:
    return 0.8 if condition.corruption == CLEAN else 0.5 + 0.1 * (model.backbone.weights == "augmix")


def classification(images: int = 120, **how) -> InMemory:
    return InMemory("classification", right_or_wrong(images, usual), **how)


def test_results_have_the_points_of_the_scores_inside_their_intervals():
    results = Results.of([classification(replicates=2, metrics=("top1", "top5"))], GRID, resamples=200)
    assert list(results.scores) == [*COLUMNS, "low", "high"]
    ends = [f"{name}_{end}" for name in QUANTITIES for end in ("low", "high")]
    assert list(results.summary) == [*MODEL, "seeds", "category", *QUANTITIES, *ends]
    assert list(results.summary["category"].unique()) == [ALL, "noise", "weather", "digital"]
    assert (results.scores["low"] <= results.scores["value"]).all()
    assert (results.scores["value"] <= results.scores["high"]).all()
    top1 = results.summary.query("metric == 'top1'")
    for name in QUANTITIES:
        assert (top1[f"{name}_low"] < top1[name]).all()
        assert (top1[name] < top1[f"{name}_high"]).all()
    assert set(results.summary.query("metric == 'top5'")["drop"]) == {0}  # of three classes, all are in the best five


def test_same_seed_same_numbers_other_seed_others():
    first, again = (Results.of([classification()], GRID, resamples=100).summary for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(Results.of([classification()], GRID, resamples=100, seed=1).summary)


def test_one_image_has_no_interval():
    results = Results.of([classification(images=1)], GRID, resamples=100)
    assert results.scores[["low", "high"]].isna().all(axis=None)


def test_a_score_of_zero_has_no_drop_and_no_interval():
    evaluation = InMemory("classification", right_or_wrong(50, lambda *_: 1e-9))
    results = Results.of([evaluation], GRID, resamples=100)
    assert (results.summary["P_high"] == 0).all()
    assert results.summary[["drop", "drop_low", "drop_high", "rPC", "rPC_low", "rPC_high"]].isna().all(axis=None)
    assert results.differences(("resnet_nano", "regular"))[["difference", "low", "high"]].isna().all(axis=None)


def test_an_incomplete_grid_is_refused():
    with pytest.raises(UserError, match="fog severity 5 missing"):
        Results.of([classification()], [*GRID, ("fog", 5)], resamples=100)


def test_nothing_evaluated_is_said():
    with pytest.raises(UserError, match="nothing was evaluated"):
        Results.of([], GRID)


def test_results_of_other_images_than_the_scores_are_refused():
    evaluation = classification()
    evaluation.tables = right_or_wrong(60, usual)
    with pytest.raises(UserError, match="60 images have results and 120 a score; evaluate the model again"):
        Results.of([evaluation], GRID, resamples=100)


def test_the_store_keeps_the_draws(tmp_path):
    evaluation, store = classification(replicates=2, metrics=("top1", "top5")), Store(tmp_path)
    first = Results.of([evaluation], GRID, resamples=100, store=store)
    assert len(evaluation.reads) == 2 * (1 + 4 * 2)  # models, conditions and replicates; both metrics at once
    evaluation.reads.clear()
    again = Results.of([evaluation], GRID, resamples=100, store=store)
    assert evaluation.reads == []
    pd.testing.assert_frame_equal(first.summary, again.summary)
    pd.testing.assert_frame_equal(first.summary, Results.of([evaluation], GRID, resamples=100).summary)
    Results.of([evaluation], GRID, resamples=100, seed=1, store=store)
    assert evaluation.reads


def test_damaged_draws_are_said(tmp_path):
    evaluation, store = classification(), Store(tmp_path)
    Results.of([evaluation], GRID, resamples=100, store=store)
    model, condition = evaluation.models[0], evaluation.conditions[0]
    spec = BootstrapSpec(evaluation.key_of(model, condition), "top1", "images", 120, 100, 0)
    (store.folder(spec) / "draws.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"draws\.npy is damaged; delete the folder"):
        Results.of([evaluation], GRID, resamples=100, store=store)


def test_differences_to_an_unknown_baseline_are_refused():
    with pytest.raises(UserError, match=r"resnet_nano\.ant was not evaluated: choose from resnet_nano\.regular"):
        Results.of([classification()], GRID, resamples=100).differences(("resnet_nano", "ant"))


def test_every_model_may_have_a_baseline_of_its_own():
    """The differences are those that each baseline gives alone; a model without one is left out."""
    results = Results.of([classification(weights=["regular", "augmix", "ant"])], GRID, resamples=100)
    nano = [("resnet_nano", weights) for weights in ("regular", "augmix", "ant")]
    paired = results.differences({nano[1]: nano[0], nano[2]: nano[1]}).set_index(["weights", "category"])
    assert set(paired.index.get_level_values("weights")) == {"augmix", "ant"}
    for model, other in ((nano[1], nano[0]), (nano[2], nano[1])):
        alone = results.differences(other).set_index(["weights", "category"]).loc[[model[1]]]
        pd.testing.assert_frame_equal(paired.loc[[model[1]]], alone)
    with pytest.raises(UserError, match=r"resnet_nano\.prime was not evaluated"):
        results.differences({nano[0]: ("resnet_nano", "prime")})


def test_where_the_baseline_is_missing_the_difference_is_undefined():
    other = classification(weights=["augmix"], regime="full_network")
    differences = Results.of([classification(), other], GRID, resamples=100).differences(("resnet_nano", "regular"))
    assert differences.query("regime == 'full_network'")["difference"].isna().all()
    assert differences.query("regime == 'fixed_feature'")["difference"].notna().all()


def test_too_few_resamples_are_refused():
    with pytest.raises(UserError, match=r"39 resamples do not reach .* give at least 40"):
        Results.of([classification()], GRID, resamples=39)


def test_a_paired_difference_is_scipys():
    """drop = 100 - 100 mPC / P, of two models on the same images."""
    tables = right_or_wrong(300, usual)
    evaluation = InMemory("classification", tables, grid=GRID[:2])
    results = Results.of([evaluation], GRID[:2], resamples=8000)
    right = {
        (model.backbone.weights, condition.corruption): np.array(tables(model, condition, 0)["top"].to_pylist())[:, 0]
        == 0
        for model in evaluation.models
        for condition in evaluation.conditions
    }

    def difference(rc, r, ac, a, axis):
        return 100 * (r.mean(axis) / rc.mean(axis) - a.mean(axis) / ac.mean(axis))

    samples = [right[w, c].astype(float) for w in ("regular", "augmix") for c in (CLEAN, "gaussian_noise")]
    theirs = scipy.stats.bootstrap(
        samples, difference, paired=True, vectorized=True, n_resamples=8000, batch=500, method="percentile",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    ours = results.differences(("resnet_nano", "regular")).query("category == @ALL").iloc[0]
    assert ours["difference"] == pytest.approx(difference(*samples, axis=0))
    assert (ours["low"], ours["high"]) == pytest.approx(theirs.confidence_interval, abs=0.8)
    apart = results.summary.query("category == @ALL")
    assert ours["high"] - ours["low"] < (apart["drop_high"] - apart["drop_low"]).sum()


def falls_by_place(model, condition) -> float:
    """Six models, each losing more than the one before."""
    return 0.9 - (condition.corruption != CLEAN) * 0.12 * "abcdef".index(model.backbone.weights)


def six(task: str, regime: str, fingerprint: str, images: int = 400) -> InMemory:
    tables = right_or_wrong(images, falls_by_place)
    return InMemory(task, tables, weights="abcdef", regime=regime, fingerprint=fingerprint)


def test_agreement_of_models_whose_drops_have_the_same_order():
    parts = [
        six("upstream", "pretrained", "up"),
        six("classification", "fixed_feature", "down"),
        six("classification", "full_network", "down"),
    ]
    results = Results.of(parts, GRID, resamples=300)
    agreement = results.agreement()
    assert list(agreement) == ["task", "regime", "metric", "models", "tau", "low", "high"]
    assert list(agreement["regime"]) == ["fixed_feature", "full_network"]
    drops = {
        where: rows["drop"] for where, rows in results.summary.query("category == @ALL").groupby(["task", "regime"])
    }
    expected = scipy.stats.kendalltau(
        drops["upstream", "pretrained"], drops["classification", "full_network"]
    ).statistic
    assert agreement["tau"][1] == pytest.approx(expected)
    assert (agreement["models"] == 6).all()
    assert (agreement["low"] > 0.5).all()
    assert (agreement["high"] <= 1).all()


def test_a_model_without_a_clean_score_has_no_drop_and_no_place_in_the_order():
    """One that learnt nothing must not take the answer from all the others."""
    broken = right_or_wrong(400, lambda model, c: 1e-12 if model.backbone.weights == "f" else falls_by_place(model, c))
    downstream = InMemory("classification", broken, weights="abcdef", regime="full_network", fingerprint="down")
    results = Results.of([six("upstream", "pretrained", "up"), downstream], GRID, resamples=300)
    (row,) = results.agreement().itertuples()
    drops = results.summary.query("category == @ALL and weights != 'f'").groupby("task", sort=False)["drop"]
    assert row.models == 5
    assert row.tau == pytest.approx(scipy.stats.kendalltau(*(drop for _, drop in drops)).statistic)
    assert 0.5 < row.low <= row.tau


def test_agreement_without_an_upstream_score_or_with_one_model_is_undefined():
    alone = Results.of([classification()], GRID, resamples=100).agreement()
    assert alone["models"].tolist() == [0]
    one = Results.of(
        [classification(), InMemory("upstream", right_or_wrong(50, usual), ["regular"])], GRID, resamples=100
    )
    assert one.agreement()["models"].tolist() == [1]
    for agreement in (alone, one.agreement()):
        assert agreement[["tau", "low", "high"]].isna().all(axis=None)


def test_variance_has_a_row_per_model_and_quantity_and_nan_where_there_is_one_only():
    several = classification(seeds=(0, 1), replicates=3)
    single = classification(regime="full_network")
    variance = Results.of([several, single], GRID, resamples=200).variance()
    assert list(variance) == [*MODEL, "seeds", "replicates", "quantity", "images", "corruptions", "training"]
    assert len(variance) == 4 * 2
    assert (variance.query("regime == 'fixed_feature'")[["images", "corruptions", "training"]] > 0).all(axis=None)
    assert variance.query("regime == 'full_network'")[["corruptions", "training"]].isna().all(axis=None)
    assert (variance["images"] > 0).all()
    assert variance.groupby("regime")["replicates"].unique().explode().to_dict() == dict.fromkeys(
        ("fixed_feature", "full_network"), 3
    )


def test_a_training_that_learnt_nothing_leaves_the_drop_without_a_deviation():
    """As it leaves it without a mean: two of three trainings are not three."""
    clean, corrupted = {0: 80.0, 1: 70.0, 2: 0.0}, {0: 40.0, 1: 20.0, 2: 0.0}
    rows = [
        ("a", "b", "detection", "full_network", "box_AP", seed, corruption, severity, 0, values[seed], 50)
        for seed in (0, 1, 2)
        for corruption, severity, values in ((CLEAN, 0, clean), ("fog", 1, corrupted))
    ]
    (found,) = across_seeds(pd.DataFrame(rows, columns=COLUMNS)).to_dict("records")
    assert found["mPC"] == pytest.approx(20) and math.isnan(found["drop"])


@pytest.mark.parametrize("task", ["upstream", "detection"])
def test_results_that_changed_under_their_key_have_draws_of_their_own(task, tmp_path):
    """Trained again, and its sweep deleted as `changed` asks: the intervals are those that a new store would give."""

    def never(sample, draws):
        said = imperfect.PREDICTIONS[task](sample, draws)
        return said[::-1].copy() if task == "upstream" else replace(said, scores=said.scores * 0)

    data, store = swept.small_world(tmp_path / "world")[task], Store(tmp_path / "store")
    grid = [(CLEAN, 0), ("fog", 1)]
    Results.of([swept.swept(data, store, grid)], grid, resamples=100, store=store)
    shutil.rmtree(store.root / "sweep")
    again = Results.of([swept.swept(data, store, grid, never)], grid, resamples=100, store=store)
    fresh = Store(tmp_path / "fresh")
    expected = Results.of([swept.swept(data, fresh, grid, never)], grid, resamples=100, store=fresh)
    for name in QUANTITIES:
        np.testing.assert_array_equal(again.draws[name], expected.draws[name])
