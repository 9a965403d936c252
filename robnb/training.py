"""Training with mmengine's Runner, made a pure function of its seed, through kills too.

Three things make it so. The content of batch ``i`` depends on (seed, i) alone (`KeyedBatches`), the model's own
draws in iteration ``i`` too (`KeyedDraws`), and a checkpoint of everything else is replaced atomically
(`Resumable`). So a training that was killed and started again ends with the same weights. Several processes that
`robnb.launch` has started share each batch.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from mmengine.dist import get_rank, get_world_size, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from robnb import launch, progress
from robnb.errors import UserError
from robnb.recipes.budget import Budget
from robnb.seeding import generator, seed_everything, seeded


class Stateful(Protocol):
    """What learns beside a model, and is kept in its checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, numbers and containers of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        ...


class KeyedBatches(Dataset):
    """A training set laid out in the order it will be seen: position ``p`` belongs to batch ``p // batch_size``.

    Each pass over ``samples`` is a permutation drawn from (seed, pass), and the random augmentation at a
    position is drawn from (seed, position), whatever worker loads it.
    """

    def __init__(self, samples: Dataset, seed: int, positions: int) -> None:
        self.samples = samples
        self.seed = seed
        self.positions = positions
        self._pass, self._order = -1, None

    def __len__(self) -> int:
        return self.positions

    def __getitem__(self, position: int) -> Any:
        which, offset = divmod(position, len(self.samples))
        if which != self._pass:
            self._pass, self._order = which, generator("order", self.seed, which).permutation(len(self.samples))
        with seeded("sample", self.seed, position):
            return self.samples[int(self._order[offset])]


class _Share(Sampler):
    """The positions of this process's share of each batch; iteration ``start`` moves when a training resumes."""

    def __init__(self, iterations: int, batch_size: int) -> None:
        self.start, self.iterations, self.batch_size = 0, iterations, batch_size
        self.size = launch.share(batch_size, get_world_size())

    def __iter__(self) -> Iterator[int]:
        for iteration in range(self.start, self.iterations):
            first = iteration * self.batch_size + get_rank() * self.size
            yield from range(first, first + self.size)

    def __len__(self) -> int:
        return (self.iterations - self.start) * self.size


class KeyedLoop(IterBasedTrainLoop):
    """mmengine's iteration loop, but a resumed run goes to its place instead of loading all batches before it."""

    def __init__(self, runner: Runner, dataloader: DataLoader, max_iters: int) -> None:
        # mmengine makes an iterator here that `run` has no use for. With workers it would start processes, which load
        # what nobody takes, and complain when the next training's inherit them.
        workers, dataloader.num_workers = dataloader.num_workers, 0
        super().__init__(runner, dataloader, max_iters)
        dataloader.num_workers = workers

    def run(self) -> nn.Module:
        """Train from the current iteration to the last."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.dataloader.sampler.start = self._iter
        self.runner.model.train()
        for batch in self.dataloader:
            self.run_iter(batch)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class KeyedDraws(Hook):
    """Dropout, drop-path and RoI sampling in iteration ``i`` come from (seed, i), and in further processes the rank."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        rank = get_rank()
        seed_everything("train", self.seed, batch_idx, *([rank] if rank else []))


class FiniteLoss(Hook):
    """Stops at the first loss that is not a number in any process, before it reaches a checkpoint."""

    def __init__(self, label: str, lr: float) -> None:
        self.label, self.lr = label, lr

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        outputs["loss"] = launch.mean_of_processes(outputs["loss"])
        loss = outputs["loss"].item()
        if not math.isfinite(loss):
            raise UserError(
                f"{self.label}: the loss became {loss} at iteration {batch_idx + 1}; "
                f"lower its learning rate (it is {self.lr:g})."
            )


class Resumable(Hook):
    """Keeps one checkpoint, replaced atomically, from which `fit` goes on after a kill."""

    priority = "VERY_LOW"  # after the learning rate's own hook, or a resumed training would be one step behind

    def __init__(self, path: Path, interval: int, beside: Stateful | None) -> None:
        self.path, self.interval, self.beside = path, interval, beside

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        if (batch_idx + 1) % self.interval == 0 and batch_idx + 1 < runner.max_iters:
            partial = self.path.with_suffix(".partial")
            runner.save_checkpoint(str(partial.parent), partial.name, by_epoch=False)  # rank 0 only
            if is_main_process():
                os.replace(partial, self.path)
            runner.model = launch.wrapped_anew(runner.model)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        # mmengine stores pickled log buffers here, which torch >= 2.6 rightly refuses to load again.
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        if self.beside is not None:
            checkpoint["beside"] = self.beside.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self.beside is not None:
            self.beside.load_state_dict(checkpoint["beside"])


class ShowProgress(Hook):
    """One text bar with the current loss."""

    def __init__(self, label: str) -> None:
        self.label = label

    def before_train(self, runner: Runner) -> None:
        self.bar = progress.bar(runner.max_iters, self.label, initial=runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.bar.set_postfix_str(f"loss {outputs['loss'].item():.3f}", refresh=False)
        self.bar.update()

    def after_train(self, runner: Runner) -> None:
        self.bar.close()


def initialise(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build an mmengine model and give it its initial weights, without the log of every tensor.

    All its draws come from the seed: those of construction too, which torch's own layers make.
    """
    if not MMLogger.check_instance_created("robnb"):
        MMLogger.get_instance("robnb", log_level="ERROR")
    seed_everything("init", seed)
    with contextlib.redirect_stdout(io.StringIO()):  # mmseg's Swin prints, whatever the log level
        model = build()
        model.init_weights()
    return model


def fit(
    model: nn.Module,
    samples: Dataset,
    collate: Callable[[list], Any],
    budget: Budget,
    *,
    optim_wrapper: dict[str, Any],
    param_scheduler: list[dict[str, Any]],
    scope: str,
    seed: int,
    folder: Path,
    label: str,
    workers: int = 0,
    checkpoint_every: int = 100,
    unused_parameters: bool = False,
    beside: Stateful | None = None,
) -> nn.Module:
    """Train ``model`` in place and return it, on the CPU; in each process of `robnb.launch`, with its share of a batch.

    Args:
        model: an mmengine model whose weights are already initialised and loaded.
        samples: map-style; random augmentation inside it may use any global generator.
        optim_wrapper, param_scheduler: sections of an mmengine config; schedulers count in iterations.
        scope: mmengine's registry scope, "mmdet", "mmseg" or "mmengine".
        folder: where the unfinished training lives; if it holds a checkpoint, training goes on from there.
        unused_parameters: whether some of the parameters that are trained get no gradient.
        beside: what else learns in this training.

    Raises:
        UserError: the loss is not finite, or the processes cannot share a batch evenly.
    """
    checkpoint = folder / "resume.pth"
    resume = launch.as_rank_0_says(checkpoint.exists())
    hooks = [KeyedDraws(seed), launch.CommonStatistics(), FiniteLoss(label, budget.lr)]
    hooks += [Resumable(checkpoint, checkpoint_every, beside), *([ShowProgress(label)] if is_main_process() else [])]
    runner = Runner(
        model=launch.wrapped(model, unused_parameters),
        work_dir=str(folder),
        train_dataloader=_loader(samples, collate, budget, seed, workers),
        train_cfg={"type": KeyedLoop, "max_iters": budget.iterations},
        optim_wrapper=copy.deepcopy(on_this_machine(optim_wrapper)),  # mmengine takes entries out of its configs
        param_scheduler=copy.deepcopy(param_scheduler),
        default_hooks={"logger": None, "checkpoint": None, "sampler_seed": None, "timer": None},
        custom_hooks=hooks,
        default_scope=scope,
        randomness={"seed": seed},
        log_level="ERROR",
        experiment_name=folder.parent.name,  # mmengine's registry of scopes wants one for each training
        launcher="pytorch" if is_distributed() else "none",
        load_from=str(checkpoint) if resume else None,
        resume=resume,
    )
    runner.train()
    return model.cpu().eval()


def _loader(samples: Dataset, collate: Callable[[list], Any], budget: Budget, seed: int, workers: int) -> DataLoader:
    batches = KeyedBatches(samples, seed, budget.iterations * budget.batch_size)
    sampler = _Share(budget.iterations, budget.batch_size)
    return DataLoader(batches, sampler.size, sampler=sampler, collate_fn=collate, num_workers=workers)


def on_this_machine(optim_wrapper: dict[str, Any]) -> dict[str, Any]:
    """The same optimizer section, in single precision where there is no GPU: mmengine's half precision needs one."""
    if optim_wrapper["type"] != "AmpOptimWrapper" or torch.cuda.is_available():
        return optim_wrapper
    kept = {name: value for name, value in optim_wrapper.items() if name != "loss_scale"}
    return {**kept, "type": "OptimWrapper"}


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's tensors, detached, on the CPU, ready to be saved."""
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}


def load_trained(model: nn.Module, path: Path) -> nn.Module:
    """Fill a whole model from a file that robnb wrote; every tensor or nothing."""
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    except Exception as error:  # cut short, or not the file that was written: both are damage
        raise UserError(f"{path} is damaged; delete the folder {path.parent} and run again.") from error
    return model
