"""The peer of the sweep: the loop of mmdet's ``tools/analysis_tools/test_robustness.py``, as mmdet 3.3 ships it.

For every condition a data set with its annotations and a loader are built anew, and one pass decodes every image,
corrupts it in a loader process (``Corrupt``: BGR, unseeded draws), resizes it, infers it in a batch of one and scores
with pycocotools through ``CocoMetric``. Model, pipeline, loop, loader and metric are mmdet's and mmengine's own.

Three things are not as shipped, and all help the peer. The corruptions of imagecorruptions that raise on today's numpy
and scikit-image are repaired, as in `robnb.speed.engines`. ``--out`` is left out, which would also keep and write every
detection with its mask as an array. What this process holds is hidden from the garbage collection that mmdet's data set
asks for at every condition, because the script's process would hold less.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from PIL import Image

from robnb.corruptions import Condition
from robnb.data.coco import CocoImages
from robnb.data.sources import TaskData
from robnb.evaluation.trained import TrainedModel
from robnb.models.detector import CONFIGS, shipped_config
from robnb.names import CLEAN
from robnb.speed.engines import load_package

# After robnb.models, which registers the ops that mmdet imports.
from mmdet.datasets.transforms import transforms  # isort: skip

PEER = "test_robustness"


@dataclass(eq=False)
class PeerSweep:
    """A detector under mmdet's loop.

    Attributes:
        model: a trained detector.
        data: where its test images lie, in COCO's layout.
        limit: score the first so many images; None scores all.
        workers: loader processes; mmdet's configs say 2.
        folder: for the runner's log and the annotations of the limited test set; made if it is not there.
    """

    model: TrainedModel
    data: TaskData
    limit: int | None
    workers: int
    folder: Path

    def run(self, conditions: Sequence[Condition]) -> dict[Condition, dict[str, float]]:
        """box_AP and mask_AP in percent under every condition, rounded to a tenth as mmdet does.

        A condition under which nothing is found scores 0.
        """
        found, runner = {}, self.runner
        with quiet_and_repaired():
            for condition in conditions:
                runner.test_loop.dataloader = runner.build_dataloader(self.loader(condition))
                metrics = runner.test()
                found[condition] = {
                    "box_AP": 100 * metrics.get("coco/bbox_mAP", 0.0),
                    "mask_AP": 100 * metrics.get("coco/segm_mAP", 0.0),
                }
        return found

    @cached_property
    def runner(self) -> Runner:
        """mmengine's runner with the loaded model, as the script builds it from its config and checkpoint."""
        if not MMLogger.check_instance_created("robnb"):
            MMLogger.get_instance("robnb", log_level="ERROR")
        with quiet_and_repaired():
            return Runner(
                model=self.model.load(self.model.build(), self.model.path),
                work_dir=str(self.folder),
                test_dataloader=self.loader(Condition(CLEAN, 0)),
                test_cfg=self._shipped.test_cfg,
                test_evaluator={**self._shipped.test_evaluator, "ann_file": str(self.annotations)},
                default_hooks=self._shipped.default_hooks,
                env_cfg=self._shipped.env_cfg,
                default_scope="mmdet",
                log_level="ERROR",
                experiment_name=f"peer_{id(self)}",  # mmengine wants one name for each runner
            )

    def loader(self, condition: Condition) -> dict[str, Any]:
        """The test loader's config under a condition: shipped, with our images, scale and workers."""
        shipped = self._shipped.test_dataloader.to_dict()
        dataset = shipped["dataset"] | {
            "ann_file": str(self.annotations),
            "data_root": None,
            "data_prefix": {"img": str(self._reader.folder)},
            "metainfo": {"classes": self._reader.classes},
            "pipeline": pipeline(shipped["dataset"]["pipeline"], self.model.scale, condition),
        }
        persistent = self.workers > 0
        return shipped | {"dataset": dataset, "num_workers": self.workers, "persistent_workers": persistent}

    @cached_property
    def _shipped(self) -> Config:
        """Read once, as the script does."""
        return shipped_config(CONFIGS["resnet"])

    @cached_property
    def _reader(self) -> CocoImages:
        return self.data.open("test", self.limit)

    @cached_property
    def annotations(self) -> Path:
        """The annotation file of the images that are scored: CocoMetric counts every image that its file names."""
        reader = self._reader
        if self.limit is None:
            return reader.annotation_file
        content, kept = json.loads(reader.annotation_file.read_bytes()), set(reader.coco_ids)
        content["images"] = [image for image in content["images"] if image["id"] in kept]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"instances_first_{self.limit}.json"
        path.write_text(json.dumps(content))
        return path


def pipeline(shipped: list[dict[str, Any]], scale: tuple[int, int], condition: Condition) -> list[dict[str, Any]]:
    """A test pipeline of mmdet at our scale, with ``Corrupt`` where the script inserts it: behind the loading."""
    steps = [dict(step) for step in shipped]
    for step in steps:
        if step["type"] == "Resize":
            step["scale"] = tuple(scale)
    if condition.corruption != CLEAN:
        corrupt = {"type": "Corrupt", "corruption": condition.corruption, "severity": condition.severity}
        steps.insert(1, corrupt)
    return steps


@contextlib.contextmanager
def quiet_and_repaired() -> Iterator[None]:
    """mmdet's ``Corrupt`` makes every corruption, in loader processes too, and nothing is printed.

    OpenCV's number of threads, which mmengine sets for its process, is as before at the end. Not to be nested: the
    inner end would end the hiding from the garbage collection.
    """
    package, threads = load_package(), cv2.getNumThreads()
    gc.freeze()

    def corrupt(image: np.ndarray, corruption_name: str, severity: int) -> np.ndarray:
        return np.uint8(getattr(package, corruption_name)(Image.fromarray(image), severity))

    try:
        with (
            mock.patch.object(transforms, "corrupt", corrupt),
            contextlib.redirect_stdout(io.StringIO()),
            np.errstate(all="ignore"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        gc.unfreeze()
        cv2.setNumThreads(threads)
