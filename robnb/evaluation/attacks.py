"""Classifiers under attack: what they still get right of the worst images found within L2 balls around the test images.

The attack is `robnb.augment.adversarial.perturbed` with the classifier's whole gradient. What it leaves right, a
stronger attack might still find (the cross entropy rises towards several classes at once, not straight to the nearest
boundary), so the accuracies are upper bounds of the robust ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from tqdm import tqdm

from robnb import progress
from robnb.augment.adversarial import cross_entropies, perturbed
from robnb.data.sample import Sample
from robnb.data.sources import Reader, TaskData
from robnb.distributed import device
from robnb.errors import UserError
from robnb.evaluation import shards
from robnb.evaluation.predict import ClassifierPredictor
from robnb.evaluation.spec import open_reader
from robnb.evaluation.trained import TrainedModel
from robnb.models.execution import Execution
from robnb.seeding import generator
from robnb.store import Spec, Store

COLUMNS = ("backbone", "weights", "seed", "eps", "image_id", "right")
#: Images that are attacked at once, and what a kill loses at most.
BATCH = 64
#: Length of a step, in radii divided by steps: an attack can go through the ball and along its surface.
REACH = 2.5


@dataclass(frozen=True)
class AttackSpec(Spec):
    """One classifier under attack within balls of one radius; everything its per-image results depend on.

    Attributes:
        model: store key of the trained model.
        sha256: of the file of its weights.
        data: fingerprint of the test set.
        images: how many of its images, from the first.
        scale, interpolation: how they are brought to the model's size.
        eps: radius, the L2 norm over all values of an image in [0, 1]; 0 is clean accuracy.
        steps: of an attack, each ``reach`` eps / steps long.
        restarts: attacks from random points of the ball's surface, after the one that begins at the image.
        seed: of these points.
        batch: images at once; another number can change last digits.
    """

    kind: ClassVar[str] = "attack"
    model: str
    sha256: str
    task: str
    data: str
    images: int
    scale: tuple[int, int]
    interpolation: str
    eps: float
    steps: int
    restarts: int
    seed: int
    batch: int = BATCH
    reach: float = REACH


def under_attack(
    models: Sequence[TrainedModel],
    data: TaskData,
    store: Store,
    radii: Sequence[float],
    *,
    steps: int = 20,
    restarts: int = 0,
    limit: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Which test images classifiers still get right under L2 attacks; finished work is read from the store.

    An image is right if it is right as it is and after every attack.

    Args:
        models: classifiers of the data's task.
        radii: L2 norms over all values of an image in [0, 1] at the classifier's size; 0 is no attack.
        steps, restarts, seed: of the attack, see `AttackSpec`.
        limit: the first so many test images; None for all.

    Returns:
        One row for each model, radius and image, in the reader's order, `COLUMNS`: ``right`` is bool.

    Raises:
        UserError: there are no models or radii, a radius is negative, a model is no classifier of this task, or the
            numbers of steps or restarts make no attack.
    """
    _check(models, data, radii, steps, restarts)
    reader = open_reader(data, limit)
    specs = {
        (model, float(eps)): _spec(model, data, len(reader), float(eps), steps, restarts, seed)
        for model in models
        for eps in radii
    }
    missing = [pair for pair, spec in specs.items() if not _finished(spec, store)]
    if missing:
        with progress.bar(len(missing) * len(reader), f"attack {data.task}", unit="img") as shown:
            for model, eps in missing:
                with store.work(specs[model, eps]) as folder:
                    if folder is not None:
                        _attack(specs[model, eps], model, reader, folder, shown)
    parts = []
    for (model, eps), spec in specs.items():
        (backbone, weights), answers = model.called, shards.read(store.folder(spec), 0).to_pandas()
        parts.append(answers.assign(backbone=backbone, weights=weights, seed=model.seed, eps=eps))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _check(models: Sequence[TrainedModel], data: TaskData, radii: Sequence[float], steps: int, restarts: int) -> None:
    if not models:
        raise UserError("there is no model to attack: name at least one.")
    if not radii:
        raise UserError("there is no radius to attack within: give at least one, such as 0.5; 0 is clean accuracy.")
    for eps in radii:
        if not 0 <= eps < math.inf:
            raise UserError(f"a radius of the attack is {eps}: give 0 (clean accuracy) or more.")
    if steps < 1 or restarts < 0:
        raise UserError(
            f"an attack of {steps} steps with {restarts} restarts: give 1 or more steps, 0 or more restarts."
        )
    for model in models:
        if model.task not in ("upstream", "classification"):
            raise UserError(f"{model} is not a classifier: give models of the task upstream or classification.")
        if model.task != data.task:
            raise UserError(f"{model} cannot be attacked on the images of {data.task}: give those of {model.task}.")


def _spec(
    model: TrainedModel, data: TaskData, images: int, eps: float, steps: int, restarts: int, seed: int
) -> AttackSpec:
    """The key, with no more in it than the result depends on."""
    return AttackSpec(
        model=model.key,
        sha256=model.sha256(),
        task=model.task,
        data=data.test_fingerprint,
        images=images,
        scale=tuple(model.scale),
        interpolation=model.interpolation,
        eps=eps,
        steps=steps if eps else 0,
        restarts=restarts if eps else 0,
        seed=seed if eps and restarts else 0,
    )


def _finished(spec: AttackSpec, store: Store) -> bool:
    """Whether all of it is in the store; work of which a file was damaged from outside is opened again."""
    if not store.has(spec):
        return False
    whole = len(shards.whole(store.folder(spec))) == len(range(0, spec.images, spec.batch))
    if not whole:
        store.reopen(spec)
    return whole


def _attack(spec: AttackSpec, model: TrainedModel, reader: Reader, folder: Path, shown: tqdm) -> None:
    """Write every shard that is not there yet."""
    there = shards.whole(folder)
    predictor = model.predictor(device(), Execution(), spec.sha256)
    predictor.model.requires_grad_(False)  # only the images' gradients are wanted
    for number, first in enumerate(range(0, spec.images, spec.batch)):
        indices = range(first, min(first + spec.batch, spec.images))
        if number not in there:
            samples = [reader[index] for index in indices]
            right = still_right(predictor, samples, spec).cpu().numpy()
            names = [sample.image_id for sample in samples]
            shards.write(folder, number, [pa.table({"image_id": names, "right": right})])
        shown.update(len(indices))


def still_right(predictor: ClassifierPredictor, samples: Sequence[Sample], spec: AttackSpec) -> torch.Tensor:
    """Which samples a loaded classifier gets right as they are and after every attack: (N,) bool on its device."""
    pixels = [torch.from_numpy(sample.image).permute(2, 0, 1)[None].to(predictor.device) for sample in samples]
    crops = torch.cat([predictor.resize(image) for image in pixels])
    labels = torch.tensor([sample.target for sample in samples], device=crops.device)
    with torch.no_grad():
        right = predictor.model.logits(crops).argmax(dim=1) == labels
    for attempt in range(1 + spec.restarts if spec.eps else 0):
        left = right.nonzero()[:, 0]  # the others are lost already
        if len(left) == 0:
            break
        noise = _noise([samples[index] for index in left.tolist()], crops, attempt, spec.seed) if attempt else None
        found = perturbed(
            cross_entropies(predictor.model, labels[left]),
            crops[left].float() / 255,
            spec.eps,
            steps=spec.steps,
            step_size=spec.reach * spec.eps / spec.steps,
            noise=noise,
        )
        with torch.no_grad():
            right[left] = predictor.model.logits(found).argmax(dim=1) == labels[left]
    return right


def _noise(samples: Sequence[Sample], crops: torch.Tensor, attempt: int, seed: int) -> torch.Tensor:
    """Where an attempt begins: (N, 3, H, W) float32, of each image and attempt its own, whatever the batch."""
    drawn = [
        generator("attack", seed, sample.image_id, attempt).standard_normal(crops.shape[1:], np.float32)
        for sample in samples
    ]
    return torch.from_numpy(np.stack(drawn)).to(crops.device)
