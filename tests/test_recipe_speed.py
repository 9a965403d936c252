"""What upstream training costs: what is timed is a step of the training, and the tables follow from the timings."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import small
import torch

from robnb.augment import recipe_named
from robnb.augment.recipe import drawn_generator
from robnb.pretrain.train import learner
from robnb.seeding import seed_everything
from robnb.speed import EndToEnd, figures, recipes, sweep_report
from robnb.threads import one_thread

STEPS = 4
PARAMETERS = {
    "models_of": "01_fixed_feature", "models_profile": "smoke", "backbone": "resnet_nano.regular", "sweep_images": 1,
    "sweep_corruptions": ["fog"], "sweep_severities": [1], "sweep_rounds": 1, "loader_workers": 0, "stage_images": 1,
    "growth_images": 2, "growth_processes": [], "r50_images": 1, "r50_size": [64, 64], "r50_scale": [64, 64],
    "r50_corruptions": ["fog"], "r50_detections": 5, "training_iterations": 2, "option_images": 2,
    "option_corruptions": ["fog"], "options_tried": ["bfloat16", "float16"], "recipes_tried": ["augmix"],
    "recipe_size": 32, "recipe_batch": 2, "recipe_steps": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone():
    """On one thread: waiting for another one takes longer than steps this small."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small.study(tmp_path_factory.mktemp("speed"))


@pytest.fixture(scope="module")
def data(study):
    return study.tasks["upstream"]


@pytest.fixture(scope="module")
def spec(study):
    """Of four steps of four images."""
    spec = study.pretrain_spec("resnet_nano.regular", 0)
    return replace(spec, image_size=32, budget=replace(spec.budget, iterations=STEPS, batch_size=4))


def learning(spec, data) -> recipes.Learning:
    """A ResNet that has not made a step."""
    model = learner(spec, len(data.classes), {})
    one = recipes.Learning(model, "resnet", spec.seed)
    one.begin(model.augmenter)
    return one


# What is timed


@pytest.mark.parametrize("recipe", ["regular", "augmix", "prime"])
def test_a_step_trains_on_the_recipes_views_by_the_recipes_loss(recipe, spec, data):
    """The loss is that of a copy of the network on views that are drawn here."""
    one = learning(recipes._of(spec, recipe, "float32"), data)
    (batch, *_), known, before = recipes._batches(spec, data), recipe_named(recipe), copy.deepcopy(one.model)
    found = one.step(batch, 7)
    seed_everything("train", spec.seed, 7)
    views = known.views(batch["inputs"], drawn_generator(batch["inputs"].device))
    logits = before.logits(views.flatten(0, 1)).unflatten(0, views.shape[:2])
    assert found["loss"] == pytest.approx(known.loss(logits, batch["labels"]).item(), rel=1e-5)
    for old, new in zip(before.parameters(), one.model.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_all_learn_from_the_same_images_in_the_same_turns(spec, data, monkeypatch):
    seen = []
    views = recipes.Timed.views
    monkeypatch.setattr(recipes.Timed, "views", lambda *a: seen.append(a[1].clone()) or views(*a))
    names = ["regular", "augmix", "l2_eps0"]
    frame = recipes.compare(spec, data, [(name, "float32") for name in names])
    assert list(frame.columns) == recipes.COLUMNS and list(frame["recipe"]) == STEPS * names
    assert list(frame["step"]) == np.repeat(range(STEPS), len(names)).tolist()
    assert (frame["images"] == 4).all() and (frame["reason"] == "").all()
    assert list(frame["passes"].iloc[:3]) == [recipe_named(name).passes for name in names]
    timed = seen[recipes.WARM_UP * len(names) :]
    for step in range(STEPS):
        first, *others = timed[len(names) * step : len(names) * (step + 1)]
        assert all(torch.equal(first, other) for other in others)
    assert not torch.equal(timed[0], timed[-1])


def test_the_control_of_adversarial_training_trains_as_regular_does(spec, data):
    frame = recipes.compare(spec, data, [("regular", "float32"), ("l2_eps0", "float32")])
    losses = frame.pivot(index="step", columns="recipe", values="loss")
    np.testing.assert_allclose(losses["l2_eps0"], losses["regular"], rtol=1e-5)


def test_a_step_is_timed_from_its_batch_to_its_weights_and_the_views_within(spec, data, monkeypatch):
    """On a clock of our own: the step begins at 1, the views take from 3 to 6, the step ends at 11."""
    one = learning(spec, data)
    (batch, *_), clock, waited = recipes._batches(spec, data), iter([1.0, 3.0, 6.0, 11.0]), []
    monkeypatch.setattr(recipes.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(recipes, "wait", waited.append)
    found = one.step(batch, 0)
    assert (found["seconds"], found["views"]) == (10.0, 3.0)
    assert len(waited) == 3, "before the step, after the views and after the step"


def test_what_ant_does_now_and_then_comes_at_its_share(spec, data):
    """After the warm-up it begins anew: sixteen steps are a whole training, with all of its fresh generators."""
    long = replace(spec, recipe="ant3x3", budget=replace(spec.budget, iterations=16))
    one = recipes._warm(long, data, recipes._batches(spec, data)[0])
    game = one.model.augmenter._augmenter
    assert game.iteration == 0 and not game.history
    for number, batch in enumerate(4 * recipes._batches(spec, data)):
        one.step(batch, number)
    ant = recipe_named("ant3x3")
    assert (game.iteration, len(game.history)) == (16, ant.renewals)
    assert game.plan.fresh_steps * ant.renewals == ant.fresh_share * 16


def test_a_way_that_cannot_be_had_says_why_and_float32_has_to(spec, data, monkeypatch):
    def broken(spec, *rest):
        if spec.execution.compile:
            raise RuntimeError("no\ncompiler")
        return warm(spec, *rest)

    warm = recipes._warm
    monkeypatch.setattr(recipes, "_warm", broken)
    ways = ["float32", "channels_last", "bfloat16 + channels_last", "torch.compile"]
    frame = recipes.compare(spec, data, [("regular", way) for way in ways])
    assert sorted(frame["way"].unique()) == sorted(ways)
    (failed,) = frame[frame["seconds"].isna()].itertuples()
    assert (failed.way, failed.reason) == ("torch.compile", "RuntimeError: no compiler")
    with pytest.raises(RuntimeError, match="no"):
        monkeypatch.setitem(recipes.WAYS, "float32", recipes.WAYS["torch.compile"])
        recipes.compare(spec, data, [("regular", "float32")])


def test_half_precision_is_used_and_the_weights_stay_float32(spec, data):
    one = learning(recipes._of(spec, "regular", "bfloat16 + channels_last"), data)
    kinds, (batch, *_) = [], recipes._batches(spec, data)
    one.model.backbone.register_forward_hook(lambda *call: kinds.append(call[-1][-1].dtype))
    one.step(batch, 0)
    assert kinds == [torch.bfloat16]
    assert {weight.dtype for weight in one.model.parameters()} == {torch.float32}
    assert one.model.backbone.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_ways_are_those_whose_parts_are_among_the_options():
    assert recipes.ways([]) == ["float32"]
    assert recipes.ways(["bfloat16", "float16"]) == ["float32", "bfloat16"]
    assert recipes.ways(["torch.compile", "channels_last", "bfloat16"]) == list(recipes.WAYS)


# Helper networks


def test_helper_networks_with_random_weights_do_for_a_recipe_that_wants_some(spec, data, tmp_path):
    wanting = replace(spec, recipe="deepaug_augmix")
    files = recipes.random_networks(wanting, tmp_path)
    assert set(files) == set(recipe_named("deepaug_augmix").networks) and recipes.random_networks(spec, tmp_path) == {}
    frame = recipes.compare(spec, data, [("deepaug_augmix", "float32")])
    assert len(frame) == STEPS and np.isfinite(frame["loss"]).all()
    assert (frame["views"] > 0).all() and (frame["views"] < frame["seconds"]).all()


def test_the_training_of_helper_networks_is_timed_apart(spec, data):
    """Each once, whichever recipes want it; they learn to give back what they are given."""
    frame = recipes.helpers(spec, data, ["regular", "deepaug", "l2_eps0", "deepaug_augmix"])
    assert list(frame.columns) == recipes.COLUMNS and set(frame["way"]) == {recipes.HELPER}
    assert list(frame["recipe"]) == np.repeat(recipe_named("deepaug").networks, STEPS).tolist()
    assert (frame["images"] == 4).all() and (frame["seconds"] > 0).all() and (frame["views"] == 0).all()
    one = recipes.reconstruction("edsr", spec.image_size, spec.seed)
    images = recipes._batches(spec, data)[0]["inputs"] / 255
    assert recipes.helpers(spec, data, ["regular"]).empty
    again = recipes.Learning(one, recipes.NETWORKS_FAMILY, 0)
    expected = (one.network(images) - images).abs().mean().item()
    assert again.step(recipes._batches(spec, data)[0], 0)["loss"] == pytest.approx(expected, rel=1e-5)


# Tables and sentences, from timings by hand


def made_up(**seconds: tuple[float, float]) -> pd.DataFrame:
    """Two steps of 10 images; (views, the rest) in seconds are means, and the second step is three times the first."""
    passes = {"regular": 1.0, "augmix": 3.0}
    rows = [
        {"recipe": recipe, "way": "float32", "step": step, "images": 10, "passes": passes[recipe],
         "seconds": times * sum(parts), "views": times * parts[0], "loss": 1.0, "reason": ""}
        for step, times in ((0, 0.5), (1, 1.5)) for recipe, parts in seconds.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=recipes.COLUMNS)


def test_the_recipes_by_hand():
    """10 images in 2 s and in 5 s."""
    steps = made_up(regular=(0.0, 2.0), augmix=(1.0, 4.0))
    table = sweep_report.recipe_table(steps)
    assert list(table.index) == ["regular", "augmix"]
    np.testing.assert_allclose(table["images/s"], [5, 2])
    np.testing.assert_allclose(table["time / regular"], [1, 2.5])
    np.testing.assert_allclose(table["passes"], [1, 3])
    np.testing.assert_allclose(table[["views (ms)", "the rest (ms)"]], [[0, 200], [100, 400]])
    assert sweep_report.recipe_sentence(steps) == (
        "- augmix: **2.50 times** Regular's time, 3.00 by counting passes; 20 % of it makes the views."
    )
    assert sweep_report.slowest_recipe(steps) == "augmix"


def test_helper_networks_have_a_sentence_and_no_row():
    """100 images in 50 s, where Regular takes 20."""
    steps = made_up(regular=(0.0, 2.0))
    row = {"recipe": "blur", "way": recipes.HELPER, "images": 50, "reason": ""}
    helper = pd.DataFrame([{**row, "seconds": 10.0}, {**row, "seconds": 40.0}])
    steps = pd.concat([steps, helper], ignore_index=True)
    assert list(sweep_report.recipe_table(steps).index) == ["regular"]
    assert sweep_report.recipe_sentence(steps) == (
        "- The helper network blur is trained once for all backbones: an image takes 2.50 times Regular's time."
    )


def test_the_figure_has_a_bar_for_each_part_and_a_mark_at_the_passes():
    (axis,) = figures.recipes(made_up(regular=(0.0, 2.0), augmix=(1.0, 4.0))).axes
    np.testing.assert_allclose([bar.get_width() for bar in axis.patches], [0, 0.5, 1, 2])
    np.testing.assert_allclose([bar.get_x() for bar in axis.patches], [0, 0, 0, 0.5])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["regular", "augmix"]
    np.testing.assert_allclose(axis.collections[0].get_offsets()[:, 0], [1, 3])


def test_the_ways_to_train_by_hand():
    plain = made_up(regular=(0.0, 2.0), augmix=(1.0, 4.0))
    half = made_up(regular=(0.0, 1.0), augmix=(1.0, 4.0)).assign(way="bfloat16")
    compiled = made_up(regular=(0.0, 4.0)).assign(way="torch.compile")
    failed = pd.DataFrame([{"recipe": "augmix", "way": "torch.compile", "reason": "no compiler"}])
    steps = pd.concat([plain, half, failed, compiled], ignore_index=True)
    table = sweep_report.execution_table(steps)
    assert list(table.index) == ["float32", "bfloat16", "torch.compile"]
    np.testing.assert_allclose(table["regular (images/s)"], [5, 10, 2.5])
    np.testing.assert_allclose(table["regular / float32"], [1, 2, 0.5])
    np.testing.assert_allclose(table["augmix / float32"], [1, 1, np.nan])
    assert sweep_report.execution_sentence(steps).splitlines() == [
        "- bfloat16: regular 2.00 times, augmix 1.00 times as fast as in float32: it helps regular.",
        "- torch.compile: regular 0.50 times as fast as in float32: it does not help here.",
        "- torch.compile could not be tried with augmix: no compiler.",
    ]


# In the notebook


def test_the_notebooks_parameters_decide_what_is_timed(study, data):
    """Regular is timed too, unasked, and again with the slowest recipe in all ways that are tried."""
    end_to_end = EndToEnd(**PARAMETERS)
    classifier = study.pretrain_spec("resnet_nano.regular", 0)
    steps = end_to_end.recipes(classifier, data)
    assert list(steps["recipe"]) == ["regular", "augmix"] and (steps["images"] == 2).all()
    ways = end_to_end.executions(classifier, data, steps)
    assert list(zip(ways["recipe"], ways["way"], strict=True)) == [
        ("regular", "float32"), ("regular", "bfloat16"), ("augmix", "float32"), ("augmix", "bfloat16"),
    ]  # fmt: skip
    texts = [end_to_end.recipe_text(steps), end_to_end.execution_text(ways)]
    assert end_to_end.sections == [f"## Recipes\n\n{texts[0]}", f"## Executions\n\n{texts[1]}"]
    assert list(end_to_end.measured) == ["recipes", "executions"]
