"""AP of weighted images is pycocotools' AP of a data set in which the images are there that often."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from robnb.statistics.average_precision import Matches, average_precision

CLASSES = 4
Scene = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # objects, detections


def scenes(seed: int, images: int, decimals: int) -> list[Scene]:
    """Images with crowds, without objects, without detections; the last class is rare. ``decimals`` makes ties."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(images):
        objects, found = [], []
        for _ in range(0 if number % 7 == 3 else draw.integers(1, 7)):
            box = [*draw.uniform(0, 60, 2), *draw.uniform(10, 40, 2)]
            label = int(draw.choice(CLASSES, p=[0.5, 0.3, 0.19, 0.01]))
            objects.append({"category_id": label + 1, "bbox": box, "iscrowd": int(draw.random() < 0.15)})
            for _ in range(draw.integers(0, 3)):
                moved = list(np.array(box) + draw.normal(0, draw.choice([0.3, 2, 6]), 4).clip(-9, 9))
                score = float(np.round(draw.beta(4, 2), decimals))
                found.append({"category_id": label + 1, "bbox": moved, "score": score})
        for _ in range(draw.integers(0, 4)):
            box = [*draw.uniform(0, 60, 2), *draw.uniform(10, 40, 2)]
            score = float(np.round(draw.beta(2, 3), decimals))
            found.append({"category_id": int(draw.integers(1, CLASSES + 1)), "bbox": box, "score": score})
        made.append((objects, [] if number % 11 == 5 else sorted(found, key=lambda one: -one["score"])))
    return made


def evaluated(chosen: list[Scene]) -> COCOeval:
    """pycocotools over these scenes, each an image of its own."""
    truth, found = [], []
    for number, (objects, detections) in enumerate(chosen, start=1):
        truth += [{**one, "image_id": number, "area": one["bbox"][2] * one["bbox"][3]} for one in objects]
        found += [{**one, "image_id": number} for one in detections]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number + 1, "height": 100, "width": 100} for number in range(len(chosen))],
        "categories": [{"id": label + 1} for label in range(CLASSES)],
        "annotations": [{**one, "id": number} for number, one in enumerate(truth, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        results = coco.loadRes(found) if found else COCO()
        evaluation = COCOeval(coco, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def reference(chosen: list[Scene]) -> float:
    precision = evaluated(chosen).eval["precision"]
    return 100 * precision[precision > -1].mean() if (precision > -1).any() else np.nan


def per_image(made: list[Scene]) -> pa.Table:
    """The per-image results of a detector, with pycocotools' matches."""
    evaluation = evaluated(made)
    bits = 1 << np.arange(10)
    rows = []
    for number, (objects, _) in enumerate(made):
        of_image = [one for one in evaluation.evalImgs if one and one["image_id"] == number + 1]
        found = []
        for one in of_image:
            ignored = one["dtIgnore"].astype(bool)
            matched = (one["dtMatches"] > 0) & ~ignored
            for d, score in enumerate(one["dtScores"]):
                found.append((score, one["category_id"] - 1, bits @ matched[:, d], bits @ ignored[:, d]))
        found.sort(key=lambda one: -one[0])
        score, label, match, ignore = zip(*found, strict=True) if found else ((), (), (), ())
        truth = [one["category_id"] - 1 for one in objects if not one["iscrowd"]]
        rows.append({"scores": score, "labels": label, "box_matched": match, "box_ignored": ignore, "truth": truth})
    kinds = {"scores": pa.float64(), "labels": pa.int16(), "box_matched": pa.uint16(), "box_ignored": pa.uint16()}
    schema = pa.schema([(name, pa.list_(kind)) for name, kind in {**kinds, "truth": pa.int16()}.items()])
    return pa.Table.from_pylist(rows, schema)


def of_weights(made: list[Scene], weights: np.ndarray) -> np.ndarray:
    return average_precision(Matches.of_table(per_image(made), "box", CLASSES), weights)


@pytest.mark.parametrize(("seed", "decimals"), [(0, 6), (1, 2), (2, 1), (3, 1), (4, 0)])
def test_each_image_once_is_pycocotools(seed, decimals):
    """With decimals 1 and 0, most scores tie, within and across images."""
    made = scenes(seed, 40, decimals)
    assert of_weights(made, np.ones((1, 40), np.uint8)) == pytest.approx(reference(made), abs=1e-9)


@pytest.mark.parametrize(("seed", "decimals"), [(0, 6), (1, 2), (2, 1), (3, 0)])
def test_weights_are_pycocotools_on_copies_of_the_images(seed, decimals):
    made = scenes(seed, 30, decimals)
    draw = np.random.default_rng(seed)
    weights = draw.multinomial(30, np.full(30, 1 / 30), size=12).astype(np.uint8)
    copied = [[made[i] for i in np.repeat(np.arange(30), row)] for row in weights]
    assert of_weights(made, weights) == pytest.approx([reference(one) for one in copied], abs=1e-9)


def test_a_class_without_objects_in_a_sample_is_left_out_of_its_mean():
    made = [([_object(1)], [_found(1, 0.9)]), ([_object(2)], [_found(1, 0.8)])]
    weights = np.array([[1, 1], [2, 0], [0, 2]], np.uint8)
    assert of_weights(made, weights) == pytest.approx([50, 100, 0])
    assert [reference([made[i] for i in pair]) for pair in ([0, 1], [0, 0], [1, 1])] == pytest.approx([50, 100, 0])


def test_no_objects_no_ap():
    made = [([], [_found(1, 0.9)]), ([_object(1)], [])]
    assert of_weights(made, np.array([[2, 0], [0, 2]], np.uint8)) == pytest.approx([np.nan, 0], nan_ok=True)


def test_no_detections_at_all():
    made = [([_object(1)], [])] * 2
    assert of_weights(made, np.ones((1, 2), np.uint8)) == [0]


def test_hand_computed():
    """Score .9 false, .8 true, .7 false, .6 true of 2 objects: precision 1/2 up to recall 1, at every threshold."""
    miss = {**_found(1, 0.9), "bbox": [80, 80, 5, 5]}
    second = {**_object(1), "bbox": [50, 50, 20, 20]}
    made = [([_object(1), second], [miss, _found(1, 0.8), {**miss, "score": 0.7}, {**second, "score": 0.6}])]
    assert of_weights(made, np.ones((1, 1), np.uint8)) == pytest.approx(50)


def test_the_number_of_threads_does_not_matter():
    made = scenes(5, 40, 2)
    weights = np.random.default_rng(5).multinomial(40, np.full(40, 1 / 40), size=50).astype(np.uint8)
    before = numba.get_num_threads()
    results = []
    for threads in (1, before):
        numba.set_num_threads(threads)
        results.append(of_weights(made, weights))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_weights_for_other_images_are_refused():
    with pytest.raises(ValueError, match="3 weights for 2 images"):
        of_weights([([_object(1)], [])] * 2, np.ones((1, 3), np.uint8))


def _object(category: int) -> dict[str, Any]:
    return {"category_id": category, "bbox": [10, 10, 30, 30], "iscrowd": 0}


def _found(category: int, score: float) -> dict[str, Any]:
    return {"category_id": category, "bbox": [10, 10, 30, 30], "score": score}
