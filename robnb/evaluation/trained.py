"""A trained model as the sweep knows it: what it is, where its weights are, and how to run it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from robnb.assets.hashes import sha256
from robnb.errors import UserError
from robnb.evaluation.predict import PREDICTORS, Predictor
from robnb.models.architectures import BackboneName
from robnb.models.execution import Execution
from robnb.training import load_trained


@dataclass(frozen=True)
class TrainedModel:
    """A model to be scored. It holds no weights, so it can be sent to a worker.

    Attributes:
        backbone: its backbone and weights.
        regime: "fixed_feature", "full_network", or "pretrained" for the upstream classifier itself.
        key: identifies the weights in store keys.
        seed: of its training.
        scale: (width, height) its images are resized to fit; (short side, side of the centre square) of a classifier.
        path: file of its trained weights.
        build: gives the model with fresh weights.
        load: fills the model from that file, strictly.
        interpolation: "bilinear" or "bicubic", how a classifier's images are resized.
    """

    backbone: BackboneName
    task: str
    regime: str
    key: str
    seed: int
    scale: tuple[int, int]
    path: Path
    build: Callable[[], nn.Module]
    load: Callable[[nn.Module, Path], nn.Module] = load_trained
    interpolation: str = "bilinear"

    @property
    def called(self) -> tuple[str, str]:
        """(architecture, weights), as tables name it."""
        return self.backbone.architecture, self.backbone.weights

    def __str__(self) -> str:
        return f"{self.backbone} ({self.task}, {self.regime}, seed {self.seed})"

    def sha256(self) -> str:
        """Of the file of its weights, as it is now."""
        return sha256(self.path)

    def predictor(self, device: torch.device, inference: Execution, sha256: str) -> Predictor:
        """The model loaded on a device, ready to predict.

        Raises:
            UserError: its file is not the one with this hash.
        """
        if self.sha256() != sha256:
            raise changed(self)
        how = {} if self.interpolation == "bilinear" else {"interpolation": self.interpolation}
        return PREDICTORS[self.task](self.load(self.build(), self.path), self.scale, device, inference, **how)


def changed(model: TrainedModel) -> UserError:
    """What is said when a model is not the one that its stored results are of."""
    return UserError(
        f"{model.path} has changed since {model} began to be scored: put the old file back, or delete its folders "
        "in the store (sweep, and unfinished) to score the new one."
    )


class ResidentModels:
    """The loaded models of this process: a worker loads each once and keeps those that it used last."""

    def __init__(self, capacity: int = 8) -> None:
        self._capacity = capacity
        self._loaded: OrderedDict[tuple, Predictor] = OrderedDict()

    def predictor(self, model: TrainedModel, device: torch.device, inference: Execution, sha256: str) -> Predictor:
        """As `TrainedModel.predictor`, once for each file and way to run it."""
        key = (model.key, model.task, tuple(model.scale), model.interpolation, sha256, device, inference)
        if key not in self._loaded:
            self._loaded[key] = model.predictor(device, inference, sha256)
            if len(self._loaded) > self._capacity:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]
