"""Each image's own score is the reference libraries' on that image alone, and the worst come first."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import imperfect
import numpy as np
import pyarrow as pa
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from swept import small_world, swept

import robnb.models.backbones  # noqa: F401  before mmdet and mmseg
from robnb.corruptions import Condition
from robnb.data.sample import Sample
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.evaluation.predict import Detections
from robnb.evaluation.worst import image_scores
from robnb.names import METRICS
from robnb.store import Store

CLEAN, FOG = Condition("clean", 0), Condition("fog", 1)
GRID = [("clean", 0), ("fog", 1)]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict[str, TaskData]:
    return small_world(tmp_path_factory.mktemp("world"))


def remembered(task: str, said: list):
    """The task's imperfect predictor, which keeps what it says: every image clean, then every image in fog."""

    def predicted(sample: Sample, draws: np.random.Generator):
        said.append(imperfect.PREDICTIONS[task](sample, draws))
        return said[-1]

    return predicted


def in_order(frame) -> np.ndarray:
    """(score, clean) of every image in the reader's order."""
    assert sorted(frame["index"]) == list(range(len(frame)))
    return frame.sort_values("index")[["score", "clean"]].to_numpy().T


def coco_alone(annotations: Path, samples: list[Sample], found: list[Detections], category_ids, kind: str) -> list:
    """AP in percent of each image by pycocotools, which is shown that image only."""
    results = []
    for sample, detections in zip(samples, found, strict=True):
        columns = zip(detections.boxes.tolist(), detections.scores, detections.labels, detections.masks, strict=True)
        for (x0, y0, x1, y1), score, label, mask in columns:
            about = {"image_id": sample.target.coco_id, "category_id": category_ids[label], "score": float(score)}
            shape = {"bbox": [x0, y0, x1 - x0, y1 - y0]} if kind == "bbox" else {"segmentation": dict(mask)}
            results.append({**about, **shape})
    values = []
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth := COCO(annotations), truth.loadRes(results), kind)
        for sample in samples:
            evaluation.params.imgIds = [sample.target.coco_id]
            evaluation.evaluate(), evaluation.accumulate()
            precision = evaluation.eval["precision"][:, :, :, 0, -1]  # all areas, 100 detections
            values.append(100 * precision[precision > -1].mean() if (precision > -1).any() else np.nan)
    return values


def check_against_pycocotools(evaluation, said: list[Detections]) -> np.ndarray:
    """Boxes and masks, clean and in fog; returns all scores."""
    reader, (model,), seen = evaluation.asked.reader, evaluation.models, []
    samples = list(reader)
    clean, fog = said[: len(samples)], said[len(samples) :]
    for metric, kind in (("box_AP", "bbox"), ("mask_AP", "segm")):
        ours = in_order(image_scores(evaluation, model, FOG, metric))
        theirs = [
            coco_alone(reader.annotation_file, samples, found, reader.category_ids, kind) for found in (fog, clean)
        ]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
        seen.append(ours)
    return np.concatenate(seen)


def test_an_images_ap_is_pycocotools_on_that_image(world, tmp_path):
    said: list[Detections] = []
    evaluation = swept(world["detection"], Store(tmp_path), GRID, remembered("detection", said), ["regular"])
    seen = check_against_pycocotools(evaluation, said)
    assert len(np.unique(seen.round(6))) > 10


@pytest.mark.parametrize("seed", range(2))
def test_also_with_crowds_ties_empty_images_and_more_than_100_detections(tmp_path, seed):
    images, rng = 24, np.random.default_rng(seed)
    _, found = imperfect.crowded(tmp_path / "coco", rng, images, most_found=25 if seed else 500)
    data = TaskData("detection", tmp_path / "coco", "val2017", "val2017", "crowded", flip=False)
    _, in_fog = imperfect.crowded(tmp_path / "other", rng, images, most_found=25)
    said = [*found, *in_fog]
    turns = iter(said)
    evaluation = swept(data, Store(tmp_path / "store"), GRID, lambda *_: next(turns), ["regular"])
    seen = check_against_pycocotools(evaluation, said)
    assert np.isnan(seen).any(), "images without an object have no score"
    assert (np.nan_to_num(seen, nan=1.0) == 0).any()


def test_an_images_miou_is_mmsegs_on_that_image(world, tmp_path):
    from mmengine.structures import PixelData
    from mmseg.evaluation import IoUMetric
    from mmseg.structures import SegDataSample

    said: list[np.ndarray] = []
    evaluation = swept(world["segmentation"], Store(tmp_path), GRID, remembered("segmentation", said), ["regular"])
    samples, theirs = list(evaluation.asked.reader), IoUMetric()
    theirs.dataset_meta = {"classes": evaluation.classes}
    for sample, prediction in zip(samples * 2, said, strict=True):
        output = SegDataSample(
            pred_sem_seg=PixelData(data=torch.from_numpy(prediction.astype(np.int64))[None]),
            gt_sem_seg=PixelData(data=torch.from_numpy(sample.target.astype(np.int64))[None]),
        )
        theirs.process({}, [output.to_dict()])
    shares = [intersection[union > 0] / union[union > 0] for intersection, union, *_ in theirs.results]
    means = np.array([100 * share.double().mean() for share in shares]).reshape(2, -1)
    ours = in_order(image_scores(evaluation, evaluation.models[0], FOG, "mIoU"))
    np.testing.assert_allclose(ours, means[::-1], rtol=0, atol=1e-4)  # mmseg divides in float32


def test_a_classified_image_is_right_or_wrong(world, tmp_path):
    evaluation = swept(world["upstream"], Store(tmp_path), GRID)
    for model in evaluation.models:
        frame = image_scores(evaluation, model, FOG, "top1")
        assert set(frame["score"]) == {0, 100}
        scores = evaluation.scores.query("weights == @model.backbone.weights").set_index("corruption")["value"]
        assert frame["score"].mean() == pytest.approx(scores["fog"])
        assert frame["clean"].mean() == pytest.approx(scores["clean"])


def test_images_and_draws_are_the_readers_and_the_sweeps(world, tmp_path):
    evaluation = swept(world["upstream"], Store(tmp_path), GRID, replicates=2)
    model, reader = evaluation.models[1], evaluation.asked.reader
    first, second = (image_scores(evaluation, model, FOG, "top1", draw) for draw in range(2))
    assert [reader[index].image_id for index in first["index"]] == list(first["image_id"])
    assert not np.array_equal(in_order(first)[0], in_order(second)[0])
    assert np.array_equal(in_order(first)[1], in_order(second)[1])
    table = evaluation.per_image(model, FOG, 1)
    right = [row["top"][0] == row["target"] for row in table.to_pylist()]
    assert list(in_order(second)[0]) == [100.0 * one for one in right]


class Told:
    """An evaluation of one model whose tables are given: clean and in fog."""

    models, conditions, replicates, classes = ("one",), (CLEAN, FOG), 1, ("a", "b", "c")

    def __init__(self, task: str, clean: dict[str, list], fog: dict[str, list]) -> None:
        self.task, self._rows = task, {CLEAN: clean, FOG: fog}

    def per_image(self, model, condition, replicate, columns) -> pa.Table:
        rows = self._rows[condition]
        ids = [f"image {n}" for n in range(len(next(iter(rows.values()))))]
        return pa.table({"image_id": ids, **rows}).select(columns)


def label_maps(*images: list[tuple[int, int, int]]) -> dict[str, list]:
    """Of each image (label, prediction, pixels)."""
    lists = pa.list_(pa.uint8()), pa.list_(pa.uint8()), pa.list_(pa.uint32())
    columns = [[[cell[n] for cell in cells] for cells in images] for n in range(3)]
    names = ("target", "predicted", "pixels")
    return {name: pa.array(column, kind) for name, column, kind in zip(names, columns, lists, strict=True)}


def test_miou_by_hand():
    """Classes 0 and 1: IoU 1/3 and 2/4; only 0, and 2 in the prediction alone: 3/4 and 0; nothing labelled."""
    fog = label_maps([(0, 0, 1), (0, 1, 1), (1, 1, 2), (1, 0, 1)], [(0, 0, 3), (0, 2, 1)], [])
    clean = label_maps([(0, 0, 2), (1, 1, 3)], [(0, 0, 4)], [])
    frame = image_scores(Told("segmentation", clean, fog), "one", FOG, "mIoU")
    score, unharmed = in_order(frame)
    assert score[:2] == pytest.approx([100 * (1 / 3 + 2 / 4) / 2, 100 * (3 / 4 + 0) / 2])
    assert list(unharmed[:2]) == [100, 100] and np.isnan([score[2], unharmed[2]]).all()
    assert list(frame["index"]) == [1, 0, 2], "the image without a label is last"


def test_worst_first_then_lowest_then_in_the_readers_order():
    def maps(*right: int) -> dict[str, list]:
        """Images of class 0, of whose 100 pixels so many are right; the others are nowhere else."""
        return label_maps(*([(0, 0, n), (0, 1, 100 - n)] if n else [(0, 1, 100)] for n in right))

    clean, fog = maps(80, 60, 90, 60, 80, 40), maps(40, 20, 90, 20, 40, 60)
    frame = image_scores(Told("segmentation", clean, fog), "one", FOG, "mIoU")
    assert list(frame.columns) == ["image_id", "index", "score", "clean", "lost"]
    assert list(frame["index"]) == [1, 3, 0, 4, 2, 5]
    assert list(frame["lost"]) == pytest.approx([20, 20, 20, 20, 0, -10])
    assert list(frame["image_id"]) == [f"image {n}" for n in frame["index"]]
    unharmed = image_scores(Told("segmentation", clean, fog), "one", CLEAN, "mIoU")
    assert set(unharmed["lost"]) == {0} and list(unharmed["index"]) == [5, 1, 3, 0, 4, 2]


def test_what_was_not_evaluated_is_said():
    told = Told("segmentation", label_maps([]), label_maps([]))
    for asked, said in {
        ("two", FOG, "mIoU", 0): "two was not evaluated here: choose from one",
        ("one", Condition("snow", 2), "mIoU", 0): "nothing was scored under snow at severity 2",
        ("one", FOG, "mIou", 0): "unknown metric of segmentation 'mIou': did you mean 'mIoU'",
        ("one", FOG, "mIoU", 1): "draw 1 of fog was not scored: choose one below 1",
    }.items():
        with pytest.raises(UserError, match=said):
            image_scores(told, *asked)
    without_clean = SimpleNamespace(task="segmentation", models=("one",), conditions=(FOG,), replicates=1)
    with pytest.raises(UserError, match="nothing was scored under clean"):
        image_scores(without_clean, "one", FOG, "mIoU")


@pytest.mark.parametrize("task", METRICS)
def test_every_metric_has_an_images_score(world, tmp_path, task):
    evaluation = swept(world[task], Store(tmp_path), GRID, weights=["regular"])
    for metric in METRICS[task]:
        frame = image_scores(evaluation, evaluation.models[0], FOG, metric)
        assert len(frame) == len(evaluation.asked.reader) and frame["score"].between(0, 100).all()
