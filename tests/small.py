"""A small miniworld and a study on it, for the tests that train and score."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from robnb.evaluation.trained import TrainedModel
from robnb.study import Study

COUNTS = {
    "upstream_train": 60, "upstream_val": 20, "detection_train": 12, "detection_val": 6, "segmentation_train": 12,
    "segmentation_val": 6, "classification_train": 40, "classification_val": 20,
}  # fmt: skip


def budgets(iterations: int = 4, batch_size: int = 4, resnet: float = 0.01, swin: float = 0.001) -> dict:
    """Settings of both families."""
    return {
        "resnet": {"iterations": iterations, "batch_size": batch_size, "lr": resnet},
        "swin": {"iterations": iterations, "batch_size": batch_size, "lr": swin},
    }


def study(outputs: Path, **changes: Any) -> Study:
    """A study of nano backbones that takes seconds."""
    parameters: dict[str, Any] = {
        "notebook": "test", "profile": "smoke", "outputs": str(outputs), "data": "miniworld", "data_root": "",
        "miniworld": COUNTS, "backbones": ["resnet_nano.regular"], "corruptions": ["gaussian_noise", "fog"],
        "severities": [1], "engine": "fast", "test_images": None, "replicates": 1, "resamples": 100,
        "seed": 0, "training_seeds": [0], "workers": 0, "processes": 1, "scheduler": None,
        "inference": {"precision": "float32", "channels_last": False, "compile": False},
        "scales": {
            "upstream": [64, 64], "detection": [160, 128], "segmentation": [160, 128], "classification": [64, 64],
        },
        "upstream": budgets(), "detection": budgets(), "segmentation": budgets(), "classification": budgets(),
    }  # fmt: skip
    return Study(**{**parameters, **changes})


def eager(detector: TrainedModel, path: Path) -> TrainedModel:
    """The same detector finding objects on any processor: background is a little less likely to it; written to path.

    The class scores' last bias is the background's. After seconds of training alone, rounding decides whether any
    score is above the threshold.
    """
    weights = torch.load(detector.path)
    weights["roi_head.bbox_head.fc_cls.bias"][-1] -= 3
    torch.save(weights, path)
    return replace(detector, path=path, key=f"{detector.key} eager")


def pycocotools_ap(annotation_file: Path | str, results_file: Path | str, iou_type: str) -> float:
    """AP in percent by pycocotools alone, from files."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotation_file)
        evaluation = COCOeval(truth, truth.loadRes(str(results_file)), iou_type)
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return 100 * evaluation.stats[0]


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text())


@contextlib.contextmanager
def meanwhile(function: Callable[[], Any]) -> Iterator[Future]:
    """Run something in a thread beside the block."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(function)
