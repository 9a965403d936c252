"""Scores from per-image tables equal the reference libraries' on the same predictions."""

import contextlib
import io
import json
from pathlib import Path

import imperfect
import numpy as np
import pyarrow as pa
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import robnb.models.backbones  # noqa: F401  before mmdet and mmseg
from robnb.corruptions import Condition
from robnb.data.coco import CocoImages
from robnb.data.sample import Sample
from robnb.errors import UserError
from robnb.evaluation.predict import Detections
from robnb.evaluation.scoring import coco_results, details, score
from robnb.names import METRICS

CLEAN = Condition("clean", 0)
NOTHING = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), [])


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return imperfect.readers(tmp_path_factory.mktemp("data"))


def table(task: str, samples: list[Sample], predictions: list) -> pa.Table:
    return imperfect.table(task, samples, predictions, CLEAN)


def predicted(task: str, reader, seed: int = 0) -> tuple[list[Sample], list]:
    rng = np.random.default_rng(seed)
    samples = list(reader)
    return samples, [imperfect.PREDICTIONS[task](sample, rng) for sample in samples]


def number(frame, metric: str, name: str = "all") -> float:
    """One value of `details`."""
    (value,) = frame.loc[(frame["metric"] == metric) & (frame["class"] == name), "value"]
    return value


def pycocotools(annotation_file: Path, samples: list[Sample], found: list[Detections], category_ids, kind: str):
    """COCOeval from a results file on disk, written here from the detections and not from a table."""
    results = []
    for sample, detections in zip(samples, found, strict=True):
        columns = zip(detections.boxes, detections.scores, detections.labels, detections.masks, strict=True)
        for box, value, label, mask in columns:
            x0, y0, x1, y1 = box.tolist()
            box_or_mask = {
                "bbox": {"bbox": [x0, y0, x1 - x0, y1 - y0]},
                "segm": {"segmentation": {**mask, "counts": mask["counts"].decode()}},
            }[kind]
            about = {"image_id": sample.target.coco_id, "category_id": category_ids[label], "score": float(value)}
            results.append({**about, **box_or_mask})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotation_file)
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), kind)
        evaluation.params.imgIds = [sample.target.coco_id for sample in samples]
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return evaluation


def check_against_pycocotools(reader: CocoImages, samples: list[Sample], found: list[Detections]) -> None:
    """All twelve numbers of both kinds and every class's AP, to 1e-9."""
    ours = table("detection", samples, found)
    values, frame = score("detection", ours, reader), details("detection", ours, reader)
    for kind, name in (("bbox", "box"), ("segm", "mask")):
        theirs = pycocotools(reader.annotation_file, samples, found, reader.category_ids, kind)
        expected = np.where(theirs.stats > -1, 100 * theirs.stats, np.nan)
        assert values[f"{name}_AP"] == pytest.approx(expected[0], abs=1e-9)
        shown = frame[frame["metric"].str.startswith(f"{name}_") & (frame["class"] == "all")]
        np.testing.assert_allclose(shown["value"], expected, rtol=0, atol=1e-9)
        for k, category in enumerate(reader.classes):
            precision = theirs.eval["precision"][:, :, k, 0, -1]
            mean = 100 * precision.mean() if precision.max() > -1 else np.nan
            assert number(frame, f"{name}_AP", category) == pytest.approx(mean, abs=1e-9, nan_ok=True)


def test_coco_numbers_equal_pycocotools_on_miniworld(readers):
    samples, found = predicted("detection", readers["detection"])
    ours = score("detection", table("detection", samples, found), readers["detection"])
    assert 5 < ours["box_AP"] < 95 and 5 < ours["mask_AP"] < 95
    check_against_pycocotools(readers["detection"], samples, found)


@pytest.mark.parametrize("seed", range(3))
def test_coco_numbers_equal_pycocotools_with_crowds_ties_and_empty_images(tmp_path, seed):
    reader, found = imperfect.crowded(tmp_path, np.random.default_rng(seed), images=60, most_found=40)
    check_against_pycocotools(reader, list(reader), found)


def test_ap_equals_mmdets_metric_on_the_same_predictions(readers):
    from mmdet.evaluation import CocoMetric
    from mmengine.structures import InstanceData

    reader = readers["detection"]
    theirs = CocoMetric(ann_file=str(reader.annotation_file), metric=["bbox", "segm"])
    theirs.dataset_meta = {"classes": reader.classes}
    samples, predictions = predicted("detection", reader)
    for sample, found in zip(samples, predictions, strict=True):
        instances = InstanceData(
            bboxes=torch.from_numpy(found.boxes), scores=torch.from_numpy(found.scores),
            labels=torch.from_numpy(found.labels), masks=found.masks,
        )  # fmt: skip
        data_sample = {"img_id": sample.target.coco_id, "ori_shape": sample.image.shape[:2]}
        theirs.process({}, [{**data_sample, "pred_instances": dict(instances.items())}])
    with contextlib.redirect_stdout(io.StringIO()):
        expected = theirs.compute_metrics(theirs.results)
    ours = score("detection", table("detection", samples, predictions), reader)
    assert ours["box_AP"] == pytest.approx(100 * expected["bbox_mAP"], abs=0.05 + 1e-6), "mmdet rounds to 0.1"
    assert ours["mask_AP"] == pytest.approx(100 * expected["segm_mAP"], abs=0.05 + 1e-6)


def perfect(sample: Sample) -> Detections:
    target = sample.target
    return Detections(target.boxes, np.ones(len(target.labels), np.float32), target.labels, target.masks)


def test_perfect_detections_score_100_and_none_score_0(readers):
    reader = readers["detection"]
    samples = list(reader)
    everything = table("detection", samples, [perfect(sample) for sample in samples])
    nothing = table("detection", samples, [NOTHING for _ in samples])
    assert score("detection", everything, reader) == pytest.approx({"box_AP": 100, "mask_AP": 100})
    assert score("detection", nothing, reader) == {"box_AP": 0, "mask_AP": 0}


def test_only_the_images_in_the_table_count(readers):
    """Objects of other images are not misses."""
    samples = list(readers["detection"])[:2]
    found = table("detection", samples, [perfect(sample) for sample in samples])
    assert score("detection", found, readers["detection"]) == pytest.approx({"box_AP": 100, "mask_AP": 100})


@pytest.mark.parametrize("task", METRICS)
def test_scores_do_not_depend_on_how_a_table_was_put_together_and_print_nothing(readers, task, capfd):
    """Many chunks, whatever the order of the images; the metrics are the task's, in its order."""
    samples, predictions = predicted(task, readers[task])
    whole = score(task, table(task, samples, predictions), readers[task])
    parts = [table(task, [sample], [found]) for sample, found in zip(samples, predictions, strict=True)]
    details(task, pa.concat_tables(parts), readers[task])
    assert tuple(whole) == METRICS[task]
    assert score(task, pa.concat_tables(parts), readers[task]) == whole
    assert score(task, pa.concat_tables(parts[::-1]), readers[task]) == pytest.approx(whole, abs=1e-9)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("first_ids", [(0, 1), (7, 7)], ids=["zero", "twice"])
def test_annotation_ids_that_mislead_evaluators_do_not_mislead_us(tmp_path, first_ids):
    """pycocotools takes an object with id 0 for never matched, and merges two with the same id."""
    boxes = np.array([[0, 0, 8, 8], [20, 20, 28, 28]], np.float32)
    masks = imperfect.filled(boxes)
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": [float(box[0]), float(box[1]), 8.0, 8.0], "area": 64.0,
         "iscrowd": 0, "segmentation": {**mask, "counts": mask["counts"].decode()}}
        for n, box, mask in zip(first_ids, boxes, masks, strict=True)
    ]  # fmt: skip
    about = [{"id": 1, "file_name": "1.png", "width": imperfect.SIDE, "height": imperfect.SIDE}]
    dataset = {"images": about, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    reader = imperfect.coco_data(tmp_path, dataset)
    samples = list(reader)
    found = table("detection", samples, [perfect(sample) for sample in samples])
    assert score("detection", found, reader) == pytest.approx({"box_AP": 100, "mask_AP": 100})


def test_results_have_a_box_or_a_mask_and_never_both(readers):
    samples, found = predicted("detection", readers["detection"])
    made = {
        k: coco_results(table("detection", samples, found), readers["detection"].category_ids, k)
        for k in ("box", "mask")
    }
    assert len(made["box"]) == len(made["mask"]) == sum(len(f.scores) for f in found)
    assert set(made["box"][0]) == {"image_id", "category_id", "score", "bbox"}
    assert set(made["mask"][0]) == {"image_id", "category_id", "score", "segmentation"}


def test_miou_equals_mmsegs_metric_on_the_same_predictions(readers):
    from mmengine.structures import PixelData
    from mmseg.evaluation import IoUMetric
    from mmseg.structures import SegDataSample

    reader = readers["segmentation"]
    theirs = IoUMetric()
    theirs.dataset_meta = {"classes": reader.classes}
    samples, predictions = predicted("segmentation", reader)
    for sample, prediction in zip(samples, predictions, strict=True):
        output = SegDataSample(
            pred_sem_seg=PixelData(data=torch.from_numpy(prediction.astype(np.int64))[None]),
            gt_sem_seg=PixelData(data=torch.from_numpy(sample.target.astype(np.int64))[None]),
        )
        theirs.process({}, [output.to_dict()])
    intersection, union = (sum(result[n] for result in theirs.results).double().numpy() for n in (0, 1))
    expected = 100 * intersection[union > 0] / union[union > 0]
    found = table("segmentation", samples, predictions)
    assert 5 < expected.mean() < 95
    assert score("segmentation", found, reader)["mIoU"] == pytest.approx(expected.mean(), abs=1e-9)
    frame = details("segmentation", found, reader)
    of_class = frame.loc[frame["metric"] == "IoU", "value"].to_numpy()
    np.testing.assert_allclose(of_class[union > 0], expected, rtol=0, atol=1e-9)
    assert np.isnan(of_class[union == 0]).all()


class Labelled:
    """What scoring asks of a reader of label maps."""

    classes = ("a", "b", "never")


def label_map(target: list[int]) -> Sample:
    return Sample(np.zeros((1, len(target), 3), np.uint8), np.array([target], np.uint8), "one")


def test_miou_by_hand():
    """Two classes, one ignored pixel: IoU 1/3 and 2/4; a class that never occurs has no IoU."""
    found = table("segmentation", [label_map([0, 0, 1, 1, 1, 255])], [np.array([[0, 1, 1, 1, 0, 2]], np.uint8)])
    assert score("segmentation", found, Labelled) == {"mIoU": pytest.approx(100 * (1 / 3 + 2 / 4) / 2)}
    frame = details("segmentation", found, Labelled)
    assert number(frame, "IoU", "a") == pytest.approx(100 / 3) and number(frame, "IoU", "b") == pytest.approx(50)
    assert np.isnan(number(frame, "IoU", "never"))
    assert number(frame, "pixel_accuracy") == pytest.approx(60)


class Classes:
    """What scoring asks of a reader of classes."""

    def __init__(self, count: int) -> None:
        self.classes = tuple(str(n) for n in range(count))


def test_accuracy_by_hand():
    """Targets 0, 1, 2, 6: right, second best, not among the five, right."""
    image = np.zeros((1, 1, 3), np.uint8)
    samples = [Sample(image, target, str(target)) for target in (0, 1, 2, 6)]
    top = [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [3, 4, 5, 6, 0], [6, 5, 4, 3, 2]]
    found = table("upstream", samples, [np.array(row, np.int32) for row in top])
    assert score("upstream", found, Classes(7)) == {"top1": 50.0}
    frame = details("upstream", found, Classes(7))
    assert number(frame, "top1") == 50 and number(frame, "top5") == 75
    assert (
        number(frame, "top1", "6") == 100 and number(frame, "top1", "1") == 0 and np.isnan(number(frame, "top1", "3"))
    )


def test_top5_needs_more_than_five_classes():
    found = table("upstream", [Sample(np.zeros((1, 1, 3), np.uint8), 1, "a")], [np.array([0, 1, 2], np.int32)])
    assert "top5" not in set(details("upstream", found, Classes(3))["metric"])


def test_nothing_to_score_is_said(readers):
    reader = readers["detection"]
    samples, found = predicted("detection", reader)
    with pytest.raises(UserError, match="no image was scored"):
        score("detection", table("detection", samples, found)[:0], reader)
    with pytest.raises(UserError, match="no pixel of the scored images has a label"):
        score("segmentation", table("segmentation", [label_map([255, 255])], [np.array([[0, 1]], np.uint8)]), Labelled)


def test_images_without_objects_alone_cannot_be_scored(tmp_path):
    about = [{"id": 1, "file_name": "1.png", "width": imperfect.SIDE, "height": imperfect.SIDE}]
    reader = imperfect.coco_data(tmp_path, {"images": about, "annotations": [], "categories": [{"id": 1, "name": "a"}]})
    with pytest.raises(UserError, match="no objects: score more images"):
        score("detection", table("detection", list(reader), [NOTHING]), reader)
