"""Scores equal the reference libraries' on the same predictions, whatever the order, batch size or worker count."""

import contextlib
import io
import json
from collections import Counter

import numpy as np
import pytest
import small
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.utils.data import DataLoader

from robnb.corruptions import Condition, corrupt
from robnb.evaluation.predict import Detections
from robnb.evaluation.scoring import AccuracyScorer, CocoScorer, MeanIouScorer
from robnb.evaluation.sweep import Corrupted


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small.study(tmp_path_factory.mktemp("outputs"))


def imperfect(sample, rng: np.random.Generator) -> Detections:
    """Ground truth moved, shrunk, relabelled and doubled at random: every kind of hit and miss."""
    _height, _width = sample.image.shape[:2]
    boxes, labels, masks = [], [], []
    for box, label, mask in zip(sample.target.boxes, sample.target.labels, sample.target.masks, strict=True):
        for _ in range(rng.integers(0, 3)):
            boxes.append(box + rng.normal(0, 2, 4))
            labels.append(label if rng.random() < 0.8 else rng.integers(10))
            shift = rng.integers(-2, 3, 2)
            masks.append(np.roll(rle.decode(mask), shift, (0, 1)))
    encoded = [rle.encode(np.asfortranarray(mask)) for mask in masks]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), rng.random(len(boxes)).astype(np.float32),
        np.array(labels, np.int64), encoded,
    )  # fmt: skip


def pycocotools_ap(annotation_file, results_file, iou_type: str) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotation_file)
        evaluation = COCOeval(truth, truth.loadRes(str(results_file)), iou_type)
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return 100 * evaluation.stats[0]


def test_ap_equals_pycocotools_and_mmdets_metric_on_the_same_predictions(study, tmp_path):
    """pycocotools from files on disk, and mmdet's CocoMetric from its own structures; to 1e-6."""
    from mmdet.evaluation import CocoMetric

    reader = study.tasks["detection"].open("test")
    rng = np.random.default_rng(0)
    scorer, results = CocoScorer(reader), []
    theirs = CocoMetric(ann_file=str(reader.annotation_file), metric=["bbox", "segm"])
    theirs.dataset_meta = {"classes": reader.classes}
    for sample in reader:
        found = imperfect(sample, rng)
        scorer.add(sample, found)
        for box, score, label, mask in zip(found.boxes, found.scores, found.labels, found.masks, strict=True):
            x0, y0, x1, y1 = box.tolist()
            results.append({
                "image_id": sample.target.coco_id, "category_id": reader.category_ids[label], "score": float(score),
                "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": {**mask, "counts": mask["counts"].decode()},
            })  # fmt: skip
        instances = InstanceData(
            bboxes=torch.from_numpy(found.boxes), scores=torch.from_numpy(found.scores),
            labels=torch.from_numpy(found.labels), masks=found.masks,
        )  # fmt: skip
        height, width = sample.image.shape[:2]
        data_sample = {"img_id": sample.target.coco_id, "ori_shape": (height, width)}
        theirs.process({}, [{**data_sample, "pred_instances": dict(instances.items())}])
    ours = scorer.result()
    boxes = [{k: v for k, v in r.items() if k != "segmentation"} for r in results]
    masks = [{k: v for k, v in r.items() if k != "bbox"} for r in results]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    (tmp_path / "masks.json").write_text(json.dumps(masks))
    assert 5 < ours["box_AP"] < 95 and 5 < ours["mask_AP"] < 95
    assert ours["box_AP"] == pytest.approx(
        pycocotools_ap(reader.annotation_file, tmp_path / "boxes.json", "bbox"), abs=1e-6
    )
    assert ours["mask_AP"] == pytest.approx(
        pycocotools_ap(reader.annotation_file, tmp_path / "masks.json", "segm"), abs=1e-6
    )
    with contextlib.redirect_stdout(io.StringIO()):
        mmdet_scores = theirs.compute_metrics(theirs.results)
    assert ours["box_AP"] == pytest.approx(100 * mmdet_scores["bbox_mAP"], abs=0.05 + 1e-6), "mmdet rounds to 0.1"
    assert ours["mask_AP"] == pytest.approx(100 * mmdet_scores["segm_mAP"], abs=0.05 + 1e-6)


def test_perfect_detections_score_100_and_none_score_0(study):
    reader = study.tasks["detection"].open("test")
    perfect, empty = CocoScorer(reader), CocoScorer(reader)
    for sample in reader:
        target = sample.target
        ones = np.ones(len(target.labels), np.float32)
        perfect.add(sample, Detections(target.boxes, ones, target.labels, target.masks))
        empty.add(sample, Detections(target.boxes[:0], ones[:0], target.labels[:0], []))
    assert perfect.result() == pytest.approx({"box_AP": 100, "mask_AP": 100})
    assert empty.result() == {"box_AP": 0, "mask_AP": 0}


def test_only_the_images_that_were_scored_count(study):
    """With a limit, objects of the other images are not misses."""
    reader = study.tasks["detection"].open("test", limit=2)
    scorer = CocoScorer(reader)
    for sample in reader:
        ones = np.ones(len(sample.target.labels), np.float32)
        scorer.add(sample, Detections(sample.target.boxes, ones, sample.target.labels, sample.target.masks))
    assert scorer.result() == pytest.approx({"box_AP": 100, "mask_AP": 100})


def test_miou_equals_mmsegs_metric_on_the_same_predictions(study):
    from mmseg.evaluation import IoUMetric

    reader = study.tasks["segmentation"].open("test")
    rng = np.random.default_rng(0)
    scorer = MeanIouScorer(reader)
    theirs = IoUMetric()
    theirs.dataset_meta = {"classes": reader.classes}
    for sample in reader:
        wrong = rng.random(sample.target.shape) < 0.3
        prediction = np.where(wrong, rng.integers(0, 13, wrong.shape), sample.target % 13).astype(np.uint8)
        scorer.add(sample, prediction)
        output = SegDataSample(
            pred_sem_seg=PixelData(data=torch.from_numpy(prediction.astype(np.int64))[None]),
            gt_sem_seg=PixelData(data=torch.from_numpy(sample.target.astype(np.int64))[None]),
        )
        theirs.process({}, [output.to_dict()])
    confusion = theirs.results
    intersection, union = sum(r[0] for r in confusion), sum(r[1] for r in confusion)
    expected = 100 * np.nanmean((intersection / union).numpy())
    assert 5 < expected < 95
    assert scorer.result()["mIoU"] == pytest.approx(expected, abs=1e-5)
    exact = 100 * np.mean((intersection.double() / union.double()).numpy()[union.numpy() > 0])
    assert scorer.result()["mIoU"] == pytest.approx(exact, abs=1e-6)


def test_miou_by_hand():
    """Two classes, one ignored pixel: IoU 1/3 and 2/4; a class that never occurs has no IoU."""

    class Reader:
        classes = ("a", "b", "never")

    class Sample:
        target = np.array([[0, 0, 1, 1, 1, 255]], np.uint8)

    scorer = MeanIouScorer(Reader())
    scorer.add(Sample(), np.array([[0, 1, 1, 1, 0, 2]], np.uint8))
    assert scorer.result()["mIoU"] == pytest.approx(100 * (1 / 3 + 2 / 4) / 2)


def test_accuracy_by_hand(study):
    reader = study.tasks["upstream"].open("test", limit=4)
    scorer = AccuracyScorer(reader)
    for right, sample in zip((True, False, True, True), reader, strict=True):
        scorer.add(sample, sample.target if right else (sample.target + 1) % 10)
    assert scorer.result() == {"top1": 75.0}


@pytest.mark.parametrize("task", ["upstream", "detection", "segmentation", "classification"])
def test_corrupted_pixels_do_not_depend_on_workers_or_order(study, task):
    reader = study.tasks[task].open("test", limit=4)
    for name in ("impulse_noise", "glass_blur", "frost"):
        view = Corrupted(reader, Condition(name, 1), seed=0)
        expected = [view[k].image for k in range(4)]
        backwards = [view[k].image for k in reversed(range(4))][::-1]
        loader = DataLoader(view, batch_size=3, num_workers=2, collate_fn=list)
        loaded = [sample.image for batch in loader for sample in batch]
        for one, two, three in zip(expected, backwards, loaded, strict=True):
            assert np.array_equal(one, two) and np.array_equal(one, three)
        other = Corrupted(reader, Condition(name, 1), seed=1)[0].image
        assert not np.array_equal(expected[0], other)


def test_each_engine_has_its_own_pixels_and_its_own_results_and_clean_is_shared(study, tmp_path):
    from robnb.evaluation.sweep import sweep
    from robnb.store import Store

    reader = study.tasks["upstream"].open("test", limit=1)
    for engine in ("fast", "reference"):
        pixels = Corrupted(reader, Condition("snow", 1), 0, engine)[0].image
        key = {"image_id": reader.image_ids[0], "engine": engine}
        assert np.array_equal(pixels, corrupt(reader[0].image, "snow", 1, **key))
    models, store = list(study.pretrain().values()), Store(tmp_path)
    rows = [
        sweep(models, study.tasks["upstream"], study.conditions, store, engine=engine)
        for engine in ("fast", "reference")
    ]
    assert [(r["corruption"], r["severity"]) for r in rows[0]] == [(r["corruption"], r["severity"]) for r in rows[1]]
    results = [json.loads(path.read_text()) for path in tmp_path.glob("evaluation/*/spec.json")]
    found = Counter((spec["corruption"], spec["engine"]) for spec in results)
    assert found == {
        ("clean", "clean"): len(models),
        **{(name, engine): len(models) for name in study.corruptions for engine in ("fast 1", "reference")},
    }


def test_scores_do_not_depend_on_workers_or_batch_size(study, tmp_path):
    from robnb.evaluation.sweep import sweep
    from robnb.store import Store

    upstream = study.pretrain()
    for task in ("detection", "segmentation"):
        models = study.transfer(upstream, "full_network", task)
        runs = [
            sweep(models, study.tasks[task], study.conditions, Store(tmp_path / f"{task}{n}"), batch_size=b, workers=w)
            for n, (b, w) in enumerate([(16, 0), (1, 0), (4, 2)])
        ]
        for run in runs[1:]:
            for row, same in zip(runs[0], run, strict=True):
                assert row == {**same, "value": pytest.approx(row["value"], abs=1e-4)}


def test_finished_cells_are_not_scored_again(study, monkeypatch):
    upstream = list(study.pretrain().values())
    first = study.evaluate(upstream)
    monkeypatch.setattr("robnb.evaluation.sweep._score", lambda models, *rest: [1 / 0 for _ in models])
    assert study.evaluate(upstream).equals(first)
