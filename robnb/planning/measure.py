"""Rates measured now, in some seconds for each kind of work: random weights on a few images at the real scale.

The work is the real one: `robnb.evaluation.sweep` into a folder that is deleted, and training steps as `robnb.training`
takes them. Where the data are not there, photographs of their usual size stand in.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.utils.data import Dataset, default_collate

from robnb.corruptions import Condition
from robnb.data.crops import TrainingCrops
from robnb.data.sources import TaskData
from robnb.distributed import device
from robnb.evaluation.panels import Pixels
from robnb.evaluation.spec import SHARD
from robnb.evaluation.sweep import sweep
from robnb.evaluation.trained import TrainedModel
from robnb.models.architectures import architecture_named
from robnb.models.execution import Execution
from robnb.names import CLEAN
from robnb.planning.holdings import Holding, holdings
from robnb.planning.rates import NOW, Rate
from robnb.pretrain import NetworkSpec, PretrainSpec
from robnb.pretrain.train import learner
from robnb.recipes.optimization import short_optimizer
from robnb.speed.recipes import NETWORKS_FAMILY, random_networks, reconstruction
from robnb.speed.stand_ins import make_sure
from robnb.speed.timing import wait
from robnb.store import Store
from robnb.training import KeyedBatches, initialise, load_trained, on_this_machine, state_of
from robnb.transfer import TransferSpec, build_model, training_samples

Training = PretrainSpec | NetworkSpec | TransferSpec
#: How long a measurement may go on; a first step that takes longer is the measurement.
SECONDS = 3.0
#: How long an upstream training seems to be to its recipe: what ANT does at once, at times, grows with the length.
_SHORT = 16


def training_rate(spec: Training, data: TaskData, workers: int) -> Rate:
    """Time training steps on as much of a batch as some seconds allow.

    Loading is timed too: it is added where no worker process does it, and shared out over them where some do.
    """
    model, samples, collate = _training(spec, data)
    model.to(device()).train()
    wrapper = build_optim_wrapper(model, _optimizer(spec))
    keyed = KeyedBatches(samples, 0, 1 << 30)

    def step(images: int) -> tuple[float, float]:
        """(seconds of loading, of training) an image."""
        start = time.perf_counter()
        batch = collate([keyed[place] for place in range(images)])
        loaded = time.perf_counter()
        model.train_step(batch, wrapper)
        wait(str(device()))
        return (loaded - start) / images, (time.perf_counter() - loaded) / images

    share = spec.budget.batch_size // getattr(spec, "processes", 1)
    detects = isinstance(spec, TransferSpec) and spec.task == "detection"
    loading, training = _repeated(step, 1 if detects else min(2, share), share)  # BatchNorm needs two
    seconds = max(training, loading / workers) if workers else training + loading
    size = sum(tensor.nbytes for tensor in state_of(model).values())
    return Rate(seconds, size, torch.get_num_threads(), NOW)


def _repeated(step: Callable[[int], tuple[float, ...]], fewest: int, most: int) -> tuple[float, ...]:
    """The fastest of some steps after a first one, which warms up and tells how many images are affordable.

    ``step`` takes a number of images and gives seconds an image.
    """
    first = step(fewest)
    if fewest * sum(first) > SECONDS:
        return first
    images = max(fewest, min(most, int(SECONDS / (3 * sum(first)))))
    taken, start = [step(images)], time.perf_counter()
    while time.perf_counter() - start < SECONDS / 2:
        taken.append(step(images))
    return min(taken, key=sum)


def _training(spec: Training, data: TaskData) -> tuple[nn.Module, Dataset, Callable]:
    """The model with random weights, the training set, and how samples become a batch."""
    if not isinstance(spec, TransferSpec):
        images = data.open("train")
        crops = TrainingCrops(images, spec.image_size, data.flip, spec.crop)
        return _upstream(spec, len(images.classes)), crops, default_collate
    model = initialise(partial(build_model, replace(spec, classes=len(data.classes))), 0)
    return model, training_samples(spec, data), default_collate if spec.task == "classification" else pseudo_collate


def _upstream(spec: PretrainSpec | NetworkSpec, classes: int) -> nn.Module:
    if isinstance(spec, NetworkSpec):
        return reconstruction(spec.network, spec.image_size, spec.seed)
    short = replace(spec, budget=replace(spec.budget, iterations=_SHORT))
    with TemporaryDirectory() as folder:
        return learner(short, classes, random_networks(short, Path(folder)))


def _optimizer(spec: Training) -> dict[str, Any]:
    """The training's own, at a learning rate that leaves random weights finite."""
    if isinstance(spec, NetworkSpec):
        own = short_optimizer(NETWORKS_FAMILY, spec.budget.lr)
    elif isinstance(spec, PretrainSpec):
        own = short_optimizer(architecture_named(spec.architecture).family, spec.budget.lr)
    else:
        own = on_this_machine(spec.training.optim_wrapper)
    return {**own, "optimizer": {**own["optimizer"], "lr": 1e-6}}


def sweep_rate(
    model: TrainedModel, data: TaskData, conditions: Sequence[Condition], engine: str, inference: Execution
) -> Rate:
    """Time a sweep over some clean images, and the corruptions of one image.

    The two are added, although they overlap in a real sweep. A detector finds as many objects as it may, which takes
    more time and disk than a trained one does.
    """
    sizes: dict[int, int] = {}
    with TemporaryDirectory() as folder:
        random = _with_random_weights(model, Path(folder))

        def clean(images: int) -> tuple[float]:
            found = _small_sweep(random, data, images, inference, Path(folder))
            sizes[images] = found.shard_bytes
            return (found.speed[0] / found.speed[1],)

        (seconds,) = _repeated(clean, 1, min(SHARD, len(data.open("test"))))
    corrupting = _corrupting(data, conditions, engine)
    return Rate(seconds + corrupting / len(conditions), _in_a_full_shard(sizes), torch.get_num_threads(), NOW)


def _in_a_full_shard(sizes: dict[int, int]) -> float:
    """Bytes an image, from the sizes of shards of one image and of several: each file has a head, whatever is in it."""
    several = max(sizes)
    if several == 1:
        return sizes[1]
    each = (sizes[several] - sizes[1]) / (several - 1)
    return each + (sizes[1] - each) / SHARD


def _with_random_weights(model: TrainedModel, folder: Path) -> TrainedModel:
    network = initialise(model.build, 0)
    if model.task == "detection":
        make_sure(network)
    torch.save(state_of(network), folder / "weights.pth")
    return replace(model, path=folder / "weights.pth", load=load_trained)


def _small_sweep(model: TrainedModel, data: TaskData, images: int, inference: Execution, folder: Path) -> Holding:
    """What a clean sweep leaves in ``folder``/store, which is emptied first."""
    store = Store(folder / "store")
    shutil.rmtree(store.root / "sweep", ignore_errors=True)
    with redirect_stdout(io.StringIO()):
        sweep([model], data, [Condition(CLEAN, 0)], store, limit=images, inference=inference)
    (found,) = [holding for holding in holdings(store.root) if holding.kind == "sweep"]
    return found


def _corrupting(data: TaskData, conditions: Sequence[Condition], engine: str) -> float:
    """Seconds for all conditions of one image, at the second time: the first compiles."""
    pixels = Pixels(0, engine, device())
    image = pixels.held(data.open("test", 1)[0])

    def once(_: int) -> tuple[float]:
        start = time.perf_counter()
        for condition in conditions:
            pixels.block([image], condition, 0)
        wait(str(device()))
        return (time.perf_counter() - start,)

    return _repeated(once, 1, 1)[0]
