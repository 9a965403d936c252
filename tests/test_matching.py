"""The matches of an image are pycocotools' own, bit for bit."""

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import imperfect
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from robnb.data.coco import CocoImages
from robnb.data.sample import Instances
from robnb.evaluation.matching import IGNORED, MOST, match, objects_found
from robnb.evaluation.predict import Detections

EVERY = 2**10 - 1
BITS = 1 << np.arange(10)


def reference(
    reader: CocoImages, found: list[Detections], kind: str
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(matched, ignored) as bits for each image's detections, and the annotation that each stands for at an IoU of .50,
    0 for none, from the evalImgs of pycocotools."""
    results, places = [], []
    for place, (image_id, detections) in enumerate(zip(reader.coco_ids, found, strict=True)):
        columns = zip(detections.boxes.tolist(), detections.scores, detections.labels, detections.masks, strict=True)
        for n, ((x0, y0, x1, y1), score, label, mask) in enumerate(columns):
            shape = {"bbox": [x0, y0, x1 - x0, y1 - y0]} if kind == "bbox" else {"segmentation": dict(mask)}
            category = reader.category_ids[label]
            results.append({"image_id": image_id, "category_id": category, "score": float(score), **shape})
            places.append((place, n))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(reader.annotation_file)
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
    expected = [
        (np.zeros(len(f.scores), int), np.full(len(f.scores), EVERY), np.zeros(len(f.scores), int)) for f in found
    ]  # unless it says otherwise
    for image in evaluation.evalImgs:
        if image is None or image["aRng"] != [0, 1e10]:
            continue
        ignored = image["dtIgnore"].astype(bool)
        matched = (image["dtMatches"] > 0) & ~ignored
        for column, result in enumerate(image["dtIds"]):
            place, n = places[result - 1]
            expected[place][0][n] = BITS[matched[:, column]].sum()
            expected[place][1][n] = BITS[ignored[:, column]].sum()
            expected[place][2][n] = matched[0, column] * image["dtMatches"][0, column]
    return expected


def check(reader: CocoImages, found: list[Detections]) -> np.ndarray:
    """Compare every image by boxes and by masks; returns all the bits."""
    boxes, masks = (reference(reader, found, kind) for kind in ("bbox", "segm"))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(reader.annotation_file)
    seen = []
    for n, sample in enumerate(reader):
        ours = match(found[n], sample.target)
        np.testing.assert_array_equal((ours.box_matched, ours.box_ignored), boxes[n][:2])
        np.testing.assert_array_equal((ours.mask_matched, ours.mask_ignored), masks[n][:2])
        for kind, (_, ignored, annotations) in enumerate((boxes[n], masks[n])):
            objects = objects_found(found[n], sample.target, masks=bool(kind))
            ids = np.array([*truth.getAnnIds(imgIds=[sample.target.coco_id]), 0])  # the last is of no object
            np.testing.assert_array_equal(ids[np.maximum(objects, -1)], annotations)
            np.testing.assert_array_equal(objects == IGNORED, ignored % 2 == 1)
        assert all(part.dtype == np.uint16 and part.shape == found[n].scores.shape for part in ours[:4])
        assert ours.truth.tolist() == sample.target.labels[~sample.target.crowd].tolist()
        seen.append(np.stack(ours[:4], axis=1))
    return np.concatenate(seen)


def test_matches_equal_pycocotools_on_miniworld(tmp_path):
    reader = imperfect.readers(tmp_path)["detection"]
    rng = np.random.default_rng(0)
    bits = check(reader, [imperfect.detections(sample, rng) for sample in reader])
    assert len(np.unique(bits[:, 0])) > 4 and len(np.unique(bits[:, 2])) > 4


@pytest.mark.parametrize("seed", range(4))
def test_matches_equal_pycocotools_with_crowds_ties_and_empty_images(tmp_path, seed):
    bits = check(*imperfect.crowded(tmp_path, np.random.default_rng(seed), images=80, most_found=25))
    assert all(np.count_nonzero(column) > 10 for column in bits.T), "matches and crowd matches of both kinds occur"


def test_detections_need_not_be_sorted(tmp_path):
    reader, found = imperfect.crowded(tmp_path, np.random.default_rng(0), images=20, most_found=25)
    rng = np.random.default_rng(1)
    shuffled = []
    for f in found:
        order = rng.permutation(len(f.scores))
        masks = [f.masks[n] for n in order]
        shuffled.append(Detections(f.boxes[order], f.scores[order], f.labels[order], masks))
    check(reader, shuffled)


def test_only_the_best_100_of_a_class_count(tmp_path):
    """pycocotools drops the others before it matches: they are neither right nor wrong."""
    reader, found = imperfect.crowded(tmp_path, np.random.default_rng(0), images=4, most_found=700)
    assert max(np.bincount(detections.labels).max() for detections in found) > MOST
    check(reader, found)


def test_a_match_by_hand():
    """One object, one crowd region, IoU .81 with the better of two boxes; what lies in the crowd is ignored."""
    box, crowd = [0, 0, 10, 10], [20, 20, 40, 40]
    truth = np.array([crowd, box], np.float32)
    annotated = as_rounded(truth)
    labels, crowds = np.array([4, 4]), np.array([True, False])
    instances = Instances(truth, labels, imperfect.filled(truth), crowds, coco_id=1, annotated=annotated)
    boxes = np.array([[0, 0, 9, 9], [0, 0, 10, 10], [20, 20, 24, 24], [30, 30, 34, 34], [0, 0, 10, 10]], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32), np.array([4, 4, 4, 4, 7])
    ours = match(Detections(boxes, scores, labels, imperfect.filled(boxes)), instances)
    to_80 = 2**7 - 1  # .50 to .80: there the first takes the object, and above it the second
    assert ours.box_matched.tolist() == ours.mask_matched.tolist() == [to_80, EVERY - to_80, 0, 0, 0]
    assert ours.box_ignored.tolist() == ours.mask_ignored.tolist() == [0, 0, EVERY, EVERY, 0]
    assert ours.truth.tolist() == [4] and ours.truth.dtype == np.int16


def test_boxes_as_annotated_decide_where_float32_would_not_agree(tmp_path):
    """COCO's boxes have two decimals; where an IoU is .75 but for rounding, float32 decides some cases otherwise."""
    reader, found = on_the_threshold(tmp_path, images=60)
    check(reader, found)
    pairs = list(zip(found, (sample.target for sample in reader), strict=True))
    exact = [match(f, target).box_matched[0] for f, target in pairs]
    rounded = [match(f, replace(target, annotated=as_rounded(target.boxes))).box_matched[0] for f, target in pairs]
    assert np.count_nonzero(np.not_equal(exact, rounded)) > 5


def as_rounded(boxes: np.ndarray) -> np.ndarray:
    """float32 corners as left, top, width, height."""
    corners = boxes.astype(np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def on_the_threshold(folder: Path, images: int) -> tuple[CocoImages, list[Detections]]:
    """One object in each image, and a detection of three quarters of it."""
    rng = np.random.default_rng(0)
    annotations, found = [], []
    for image_id in range(1, images + 1):
        x, y, width, height = np.round(rng.uniform(5, 15, 4), 2).tolist()
        box = np.array([[x, y, x + 0.75 * width, y + height]], np.float32)
        found.append(Detections(box, np.ones(1, np.float32), np.array([0]), imperfect.filled(box)))
        mask = imperfect.filled(box)[0]
        annotations.append({
            "id": image_id, "image_id": image_id, "category_id": 1, "bbox": [x, y, width, height], "iscrowd": 0,
            "area": width * height, "segmentation": {**mask, "counts": mask["counts"].decode()},
        })  # fmt: skip
    about = [
        {"id": n, "file_name": f"{n}.png", "width": imperfect.SIDE, "height": imperfect.SIDE}
        for n in range(1, images + 1)
    ]
    dataset = {"images": about, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    return imperfect.coco_data(folder, dataset), found
