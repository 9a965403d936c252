"""The sweep: every model under every condition, each image corrupted once for all models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from robnb import progress
from robnb.corruptions import VERSION, Condition, corrupt
from robnb.data.sample import Sample
from robnb.data.sources import Reader, TaskData
from robnb.evaluation.predict import PREDICTORS, load_trained
from robnb.evaluation.scoring import SCORERS
from robnb.models.backbones import BackboneName
from robnb.names import CLEAN
from robnb.store import Spec, Store


@dataclass(frozen=True)
class EvaluationSpec(Spec):
    """One model under one condition; everything the score depends on.

    Attributes:
        model: store key of the trained model, or hash of its file.
        data: fingerprint of the test set.
        images: how many images were scored.
        seed: of the corruption's draws.
        engine: what made the pixels: "fast" with its version, "reference", or "clean" where nothing did.
    """

    kind: ClassVar[str] = "evaluation"
    model: str
    task: str
    data: str
    images: int
    scale: tuple[int, int]
    corruption: str
    severity: int
    seed: int
    engine: str


@dataclass
class TrainedModel:
    """A model to be scored.

    Attributes:
        backbone: its backbone and weights.
        regime: "fixed_feature", "full_network", or "pretrained" for the upstream classifier itself.
        key: identifies the weights in store keys.
        seed: of its training.
        build: gives the model with fresh weights.
        path: file of its trained weights.
        load: fills the model from that file, strictly.
        scale: (width, height) its images are resized to fit.
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

    @cached_property
    def predictor(self) -> Callable[[list[Sample]], list]:
        """The loaded model, ready to predict."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return PREDICTORS[self.task](self.load(self.build(), self.path), self.scale, device)


class Corrupted(Dataset):
    """A reader's samples under one condition; the pixels depend on nothing but the key (see `corrupt`)."""

    def __init__(self, reader: Reader, condition: Condition, seed: int, engine: str = "fast") -> None:
        self.reader, self.condition, self.seed, self.engine = reader, condition, seed, engine

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Sample:
        sample = self.reader[index]
        name, severity = self.condition.corruption, self.condition.severity
        if name == CLEAN:
            return sample
        key = {"image_id": sample.image_id, "seed": self.seed}
        return replace(sample, image=corrupt(sample.image, name, severity, **key, engine=self.engine))


def sweep(
    models: Sequence[TrainedModel],
    data: TaskData,
    conditions: Sequence[Condition],
    store: Store,
    *,
    seed: int = 0,
    engine: str = "fast",
    limit: int | None = None,
    batch_size: int = 16,
    workers: int = 0,
) -> list[dict]:
    """Score models of one task under every condition; finished cells are read from the store.

    Args:
        seed, engine: of the corruptions, see `robnb.corruptions.corrupt`.
        limit: score the first so many test images; None scores all.
        workers: loader processes, which decode and corrupt; the result does not depend on it.

    Returns:
        Rows of the long results table (`robnb.metrics.COLUMNS`), one per model, condition and metric.
    """
    reader = data.open("test", limit)
    rows = []
    with progress.bar(len(conditions), f"score {data.task}") as shown:
        for condition in conditions:
            specs = {id(model): _spec(model, data, len(reader), condition, seed, engine) for model in models}
            pending = [model for model in models if not store.has(specs[id(model)])]
            corrupted = Corrupted(reader, condition, seed, engine)
            for model, result in _score(pending, corrupted, batch_size, workers):
                store.put(specs[id(model)], result)
            for model in models:
                rows += _rows(model, condition, store.read(specs[id(model)]))
            shown.set_postfix_str(condition.corruption, refresh=False)
            shown.update()
    return rows


def _spec(
    model: TrainedModel, data: TaskData, images: int, condition: Condition, seed: int, engine: str
) -> EvaluationSpec:
    clean = condition.corruption == CLEAN
    return EvaluationSpec(
        model=model.key,
        task=model.task,
        data=data.fingerprint,
        images=images,
        scale=model.scale,
        corruption=condition.corruption,
        severity=condition.severity,
        seed=0 if clean else seed,
        engine=CLEAN if clean else {"fast": f"fast {VERSION}"}.get(engine, engine),
    )


def _score(
    models: Sequence[TrainedModel], data: Corrupted, batch_size: int, workers: int
) -> list[tuple[TrainedModel, dict]]:
    if not models:
        return []
    loader = DataLoader(data, batch_size, collate_fn=list, num_workers=workers)
    scorers = [SCORERS[model.task](data.reader) for model in models]
    for samples in loader:
        for model, scorer in zip(models, scorers, strict=True):
            for sample, prediction in zip(samples, model.predictor(samples), strict=True):
                scorer.add(sample, prediction)
    return [
        (model, {"metrics": scorer.result(), "n_images": len(data)})
        for model, scorer in zip(models, scorers, strict=True)
    ]


def _rows(model: TrainedModel, condition: Condition, result: dict) -> list[dict]:
    return [
        {
            "backbone": model.backbone.architecture,
            "weights": model.backbone.weights,
            "task": model.task,
            "regime": model.regime,
            "metric": metric,
            "seed": model.seed,
            "corruption": condition.corruption,
            "severity": condition.severity,
            "value": value,
            "n_images": result["n_images"],
        }
        for metric, value in result["metrics"].items()
    ]
