"""What a model said of one image under one condition, to be looked at."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from robnb.corruptions import Condition
from robnb.data.sample import Sample
from robnb.distributed import device
from robnb.evaluation.predict import Detections
from robnb.evaluation.results import Evaluation
from robnb.evaluation.trained import ResidentModels, TrainedModel

#: Tables of per-image results and models that are kept: what two neighbouring choices need.
_TABLES, _MODELS = 16, 4


@dataclass(frozen=True, eq=False)
class Seen:
    """An image as a model was given it, and what the model said.

    Attributes:
        image: uint8 RGB (H, W, 3), under the condition.
        prediction: as `robnb.evaluation.predict` has it: the best classes, a label map, or `Detections`.
    """

    image: np.ndarray = field(repr=False)
    prediction: np.ndarray | Detections = field(repr=False)


class Replay:
    """Reads what a sweep kept of an image. A label map is too large to be kept: it is predicted again.

    Args:
        evaluation: the finished sweep.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._models = ResidentModels(_MODELS)
        self._table = functools.lru_cache(maxsize=_TABLES)(evaluation.per_image)

    def sample(self, index: int) -> Sample:
        """The image as it is in the data set, with its target."""
        return self._evaluation.asked.reader[index]

    def seen(self, model: TrainedModel, condition: Condition, index: int, replicate: int = 0) -> Seen:
        """One image under one condition.

        Args:
            index: of the image, in the reader's order.
            replicate: which draw of the corruption.

        Raises:
            UserError: the image, or what a model needs to predict again, is not what it was.
        """
        pixels = self._pixels(condition, index, replicate)
        if self._evaluation.task == "segmentation":
            prediction = self._predicted(model, condition, pixels, replicate)
        else:
            prediction = _kept(self._evaluation.task, self._table(model, condition, replicate).slice(index, 1))
        return Seen(pixels[0].cpu().numpy(), prediction)

    def _pixels(self, condition: Condition, index: int, replicate: int) -> torch.Tensor:
        pixels = self._evaluation.asked.pixels
        return pixels.block([pixels.held(self.sample(index))], condition, replicate)

    def _predicted(self, model: TrainedModel, condition: Condition, block: torch.Tensor, replicate: int) -> Any:
        asked = self._evaluation.asked
        sha256 = self._evaluation.sha256(model, condition, replicate)
        return self._models.predictor(model, device(), asked.inference, sha256)([block])[0]


def _kept(task: str, table: pa.Table) -> np.ndarray | Detections:
    row = table.to_pylist()[0]
    if task != "detection":
        return np.asarray(row["top"], np.int32)
    size = [row["height"], row["width"]]
    return Detections(
        boxes=np.asarray(row["boxes"], np.float32).reshape(-1, 4),
        scores=np.asarray(row["scores"], np.float32),
        labels=np.asarray(row["labels"], np.int64),
        masks=[{"size": size, "counts": counts} for counts in row["masks"]],
    )
