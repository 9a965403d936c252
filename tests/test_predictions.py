"""The predictions widget: what it draws is what the sweep kept or would predict again, matched to what is annotated."""

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
from pycocotools import mask as rle

from robnb import plots
from robnb.corruptions import Condition, corrupt
from robnb.data.sample import IGNORE, Instances
from robnb.errors import UserError
from robnb.evaluation.predict import Detections
from robnb.evaluation.records import record
from robnb.evaluation.replay import Replay, Seen
from robnb.evaluation.worst import image_scores
from robnb.plots.predictions import Shown
from robnb.study import Study
from robnb.widgets import Predictions

FOG = Condition("fog", 3)
TASKS = ("detection", "segmentation", "classification")


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> tuple[Study, dict]:
    """Two tiny models of each task, scored on clean and corrupted images; the detectors find objects."""
    folder, backbones = tmp_path_factory.mktemp("scored"), ["resnet_nano.regular", "swin_nano.regular"]
    study = small.study(folder, backbones=backbones, severities=[1, 3])
    upstream = study.pretrain()
    models = {task: study.transfer(upstream, "full_network", task) for task in TASKS}
    models["detection"] = [
        small.eager(model, folder / f"{model.backbone.architecture}.pth") for model in models["detection"]
    ]
    found = {task: study.evaluate(models[task]) for task in TASKS}
    return study, {**found, "upstream": study.evaluate(upstream)}


def panel(found: Detections) -> list[list[Shown]]:
    return [[Shown("a model", Seen(np.zeros((40, 60, 3), np.uint8), found))]]


def box_mask(box: tuple[int, int, int, int]) -> dict:
    x0, y0, x1, y1 = box
    drawn = np.zeros((40, 60), np.uint8)
    drawn[y0:y1, x0:x1] = 1
    return rle.encode(np.asfortranarray(drawn))


def instances(boxes: list[tuple[int, int, int, int]], labels: list[int], crowd: list[bool]) -> Instances:
    corners = np.array(boxes, np.float32)
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float64)
    return Instances(corners, np.array(labels), [box_mask(box) for box in boxes], np.array(crowd), 1, sides)


def detections(boxes: list[tuple[int, int, int, int]], scores: list[float], labels: list[int]) -> Detections:
    corners = np.array(boxes, np.float32)
    return Detections(corners, np.array(scores, np.float32), np.array(labels), [box_mask(box) for box in boxes])


def test_hits_misses_and_false_alarms_by_hand():
    truth = instances([(0, 0, 10, 10), (20, 20, 30, 30), (40, 0, 60, 20)], [0, 1, 0], [False, False, True])
    # The object itself; a second one on it; the wrong class; in the crowd; too weak to be drawn.
    found = detections(
        [(0, 0, 10, 9), (1, 1, 10, 10), (20, 20, 30, 30), (42, 2, 50, 10), (20, 20, 30, 30)],
        [0.9, 0.8, 0.7, 0.6, 0.2],
        [0, 0, 0, 0, 1],
    )
    figure = plots.predictions(panel(found), truth, ["cat", "dog"])
    (axis,) = figure.axes
    assert axis.get_title() == "a model\n1 hit, 1 missed, 2 false alarms"
    at = {(r.get_xy(), r.get_linestyle()) for r in axis.patches}
    assert at == {((0, 0), "-"), ((20, 20), "--"), ((1, 1), ":"), ((20, 20), ":")}
    assert sorted(text.get_text() for text in axis.texts) == ["cat 0.70", "cat 0.80", "cat 0.90", "dog"]
    markers = sorted(line.get_marker() for line in axis.lines)
    assert markers == ["X", "X", "^", "o"], "told apart without colour too"
    weak = plots.predictions(panel(found), truth, ["cat", "dog"], least_score=0.1, masks=True)
    assert weak.axes[0].get_title().endswith("2 hit, 0 missed, 2 false alarms") and not weak.axes[0].patches


def test_a_wrong_pixel_is_hatched_and_an_unlabelled_one_is_not():
    target = np.array([[0, 0, 1, IGNORE]] * 2, np.uint8)
    said = np.array([[0, 1, 1, 1]] * 2, np.uint8)
    rows = [[Shown("a model", Seen(np.zeros((2, 4, 3), np.uint8), said))]]
    figure = plots.predictions(rows, target, ["sky", "sea"])
    assert figure.axes[0].get_title() == "a model\n67 % of the labelled pixels right"
    assert figure.axes[0].images[1].get_array().mask.tolist() == [[False, False, False, True]] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "sea", "wrong"]


def test_a_class_is_framed_as_right_or_wrong():
    rows = [[Shown("a model", Seen(np.zeros((2, 4, 3), np.uint8), np.array([1, 0, 2])))]]
    for target, said, line in ((1, "b: right (then a, c)", "-"), (0, "b: wrong, it is a (then a, c)", "--")):
        (axis,) = plots.predictions(rows, target, "abc").axes
        assert axis.get_title() == f"a model\n{said}" and axis.spines["left"].get_linestyle() == line


@pytest.mark.parametrize("task", TASKS)
def test_a_replay_is_what_was_scored(scored, task):
    """Made again from what is shown, the record of an image is the one that the sweep kept."""
    study, evaluations = scored
    evaluation = evaluations[task]
    replay, model = Replay(evaluation), evaluation.models[1]
    for condition in (Condition("clean", 0), FOG):
        kept = evaluation.per_image(model, condition).to_pylist()
        assert task != "detection" or all(row["scores"] for row in kept)
        for index in (0, 3):
            sample, seen = replay.sample(index), replay.seen(model, condition, index)
            expected = sample.image
            if condition == FOG:
                expected = corrupt(sample.image, "fog", 3, image_id=sample.image_id, seed=study.seed)
            np.testing.assert_array_equal(seen.image, expected)
            again = record(task, sample, seen.prediction)
            assert again.keys() <= kept[index].keys() and kept[index]["image_id"] == sample.image_id
            for name, value in again.items():
                assert np.array_equal(value, kept[index][name]), name


def test_a_model_that_has_changed_predicts_no_label_map(scored, tmp_path):
    evaluation = scored[1]["segmentation"]
    model = evaluation.models[0]
    other = tmp_path / "other.pth"
    other.write_bytes(Path(model.path).read_bytes() + b" ")
    with pytest.raises(UserError, match="has changed since"):
        Replay(evaluation).seen(replace(model, path=other), FOG, 0)


def test_the_worst_image_comes_first(scored):
    widget = Predictions(list(scored[1].values()))
    widget.task.value, widget.corruption.value, widget.severity.value = "classification", "fog", 3
    evaluation = scored[1]["classification"]
    assert widget.order.value == "worst first: Regular"
    for number in (1, 2):
        widget.number.value = number
        worst = image_scores(evaluation, evaluation.models[0], FOG, "top1").iloc[number - 1]
        alt = re.search(r'alt="([^"]*)"', widget.shown.value)[1]
        assert alt == f"Regular, Swin (nano) on image {worst['image_id']}, clean and under fog at severity 3"
    widget.order.value = "as in the data set"
    assert evaluation.asked.reader.image_ids[1] in widget.shown.value


def test_the_choice_decides_what_is_shown(scored):
    widget = Predictions(list(scored[1].values()))
    assert list(widget.task.options) == [*TASKS, "upstream"] and widget.task.value == "detection"
    assert list(widget.severity.options) == [1, 3] and widget.severity.value == 3
    seen = {widget.shown.value}
    for control, value in (("models", ["Regular"]), ("number", 2), ("least_score", 0.0), ("masks", True)):
        getattr(widget, control).value = value
        assert widget.shown.value not in seen, control
        seen.add(widget.shown.value)
    widget.task.value = "segmentation"
    assert widget.masks.disabled and widget.number.value == 1 and widget.shown.value not in seen
    widget.models.value = []
    assert "no model is chosen" in widget.shown.value
    for control in (widget.task, widget.models, widget.corruption, widget.severity, widget.order, widget.number):
        assert control.description


def test_without_a_kernel_there_is_a_picture(scored):
    bundle, about = Predictions([scored[1]["detection"]])._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"])[1:4] == b"PNG" and about["image/png"]["alt"]


def test_clean_images_alone_have_one_column(scored):
    study, evaluations = scored
    clean = replace(study, corruptions=[]).evaluate(list(evaluations["upstream"].models))
    widget = Predictions([clean])
    assert len(widget._figure().axes) == len(widget.models.value) == 2
    assert list(widget.corruption.options) == ["clean"]


def test_models_are_told_apart_by_what_differs(scored, tmp_path):
    study = small.study(tmp_path, training_seeds=[0, 1], corruptions=["fog"], segmentation=None, detection=None)
    upstream = study.pretrain()
    ways = [study.transfer(upstream, regime, "classification") for regime in ("fixed_feature", "full_network")]
    widget = Predictions([study.evaluate(models) for models in ways])
    assert list(widget.models.options) == [
        f"Regular, {regime}, seed {seed}" for regime in ("frozen backbone", "every weight trained") for seed in (0, 1)
    ]
    widget.models.value = widget.models.options
    assert len(widget._figure().axes) == 8
