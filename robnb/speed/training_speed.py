"""Fixed-feature training: a backbone that is really frozen against one with a learning rate of zero.

The paper's released configs freeze with ``paramwise_cfg(custom_keys={"backbone": lr_mult=0, decay_mult=0})``. The
weights stay, but every iteration back-propagates through the whole backbone. Ours takes no gradient there.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from robnb.data.sources import TaskData
from robnb.distributed import device
from robnb.models.backbones import load_backbone
from robnb.recipes.optimization import with_backbone_at_zero_lr
from robnb.seeding import seed_everything
from robnb.speed.timing import wait
from robnb.training import KeyedBatches, initialise, on_this_machine
from robnb.transfer import TransferSpec, build_model, training_samples

FROZEN, ZERO_LR = "frozen", "lr_mult=0"
#: One row for each way and iteration: seconds of the iteration without loading its batch, and its loss.
COLUMNS = ["task", "way", "iteration", "seconds", "loss"]
#: Of the peak learning rate, from the first iteration: there is no warm-up here.
_SHARE_OF_LR = 0.1


@dataclass
class _Way:
    model: nn.Module
    wrapper: OptimWrapper
    still: bool

    def step(self, batch: dict[str, Any]) -> tuple[float, float]:
        """(seconds, loss) of one iteration; the batch is not changed."""
        batch, where = copy.deepcopy(batch), device()
        self.model.train()
        if self.still:
            self.model.backbone.eval()
        start = time.perf_counter()
        losses = self.model.train_step(batch, self.wrapper)
        wait(str(where))
        return time.perf_counter() - start, losses["loss"].item()


def compare(spec: TransferSpec, weights: Path | None, data: TaskData, iterations: int) -> pd.DataFrame:
    """Train a detector or segmentor both ways, in turns, on the same batches with the same draws.

    Two things in which the configs differ are made equal, so that nothing but the way of freezing does: the backbone is
    in eval mode both times (in the configs a ResNet's BatchNorm drifts on ADE20K, and Swin's drop-path stays on), and
    no gradient is clipped (a norm over all gradients would count the backbone's, which change nothing).

    Args:
        spec: of a fixed-feature transfer; its peak learning rate is used at a tenth.
        weights: of the backbone; None leaves it at random.

    Returns:
        `COLUMNS`.
    """
    ways = {FROZEN: _way(spec, weights, 1.0), ZERO_LR: _way(replace(spec, regime="full_network"), weights, 0.0)}
    ways[ZERO_LR].model.load_state_dict(ways[FROZEN].model.state_dict())
    rows = []
    for number, batch in enumerate(_batches(spec, data, iterations)):
        for name, way in ways.items():
            seed_everything("train", spec.seed, number)
            rows.append((spec.task, name, number, *way.step(batch)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _way(spec: TransferSpec, weights: Path | None, lr_mult: float) -> _Way:
    model = initialise(partial(build_model, spec), spec.seed).to(device())
    if weights is not None:
        load_backbone(model.backbone, weights, spec.architecture)
    options = copy.deepcopy(on_this_machine(spec.training.optim_wrapper))
    options.pop("clip_grad", None)
    options["optimizer"]["lr"] = _SHARE_OF_LR * spec.budget.lr
    if lr_mult == 0:
        options = with_backbone_at_zero_lr(options, pyramid=False)
    return _Way(model, build_optim_wrapper(model, options), still=lr_mult == 0)


def _batches(spec: TransferSpec, data: TaskData, iterations: int) -> Sequence[dict[str, Any]]:
    size = spec.budget.batch_size
    keyed = KeyedBatches(training_samples(spec, data), spec.seed, iterations * size)
    return [pseudo_collate([keyed[number * size + place] for place in range(size)]) for number in range(iterations)]
