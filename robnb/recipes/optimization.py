"""Optimizers and learning-rate schedules, as sections of an mmengine config. All count in iterations."""

from __future__ import annotations

from typing import Any

from robnb.recipes.budget import Budget

#: Parameters of a Swin that mmdet, mmseg and the authors train without weight decay.
NO_DECAY: dict[str, dict[str, float]] = {
    "absolute_pos_embed": {"decay_mult": 0.0},
    "relative_position_bias_table": {"decay_mult": 0.0},
    "norm": {"decay_mult": 0.0},
}
#: How the authors "freeze" a backbone. mmengine takes the longest key that fits, so `NO_DECAY`'s longer ones win.
ZERO_LR: dict[str, dict[str, float]] = {"backbone": {"lr_mult": 0.0, "decay_mult": 0.0}}
#: What `robnb.models.timm_backbone` adds to a network has no pretrained weights and learns with the head.
PYRAMID: dict[str, dict[str, float]] = {"backbone.pyramid": {"lr_mult": 1.0}}
#: Share of the iterations in which the short recipe's learning rate rises to its peak.
WARMUP = 0.3

Config = dict[str, Any]


def sgd(lr: float, weight_decay: float, *, nesterov: bool = False) -> Config:
    """SGD with momentum 0.9."""
    options = {"type": "SGD", "lr": lr, "momentum": 0.9, "weight_decay": weight_decay}
    return {"type": "OptimWrapper", "optimizer": options | ({"nesterov": True} if nesterov else {})}


def adamw(lr: float, weight_decay: float) -> Config:
    """AdamW that spares norms and position tables from weight decay."""
    optimizer = {"type": "AdamW", "lr": lr, "betas": (0.9, 0.999), "weight_decay": weight_decay}
    return {"type": "OptimWrapper", "optimizer": optimizer, "paramwise_cfg": {"custom_keys": dict(NO_DECAY)}}


def half_precision(wrapper: Config) -> Config:
    """The same with float16 autocast and a dynamic loss scale that starts at 512, on a GPU."""
    return {**wrapper, "type": "AmpOptimWrapper", "loss_scale": {"init_scale": 512}}


def with_backbone_at_zero_lr(wrapper: Config, pyramid: bool) -> Config:
    """The same with a backbone whose learning rate is multiplied by zero, but for a timm backbone's pyramid."""
    keys = wrapper.get("paramwise_cfg", {}).get("custom_keys", {})
    return {**wrapper, "paramwise_cfg": {"custom_keys": {**keys, **ZERO_LR, **(PYRAMID if pyramid else {})}}}


def short_optimizer(family: str, lr: float) -> Config:
    """What trains here on small data: SGD with momentum for the family "resnet", AdamW for "swin"."""
    if family == "swin":
        return adamw(lr, 0.05)
    # Clipped, because a detector's first steps on a short schedule can otherwise run off to infinity.
    return {**sgd(lr, 5e-4, nesterov=True), "clip_grad": {"max_norm": 10.0}}


def one_cycle(iterations: int) -> list[Config]:
    """Linear warm-up, then a half cosine to zero (a one-cycle schedule): the common choice for short budgets.

    A single iteration goes at the full rate.
    """
    if iterations == 1:
        return []
    warmup = max(1, round(WARMUP * iterations))
    return [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": warmup},
        {"type": "CosineAnnealingLR", "eta_min": 0.0, "by_epoch": False, "begin": warmup, "end": iterations},
    ]


def short_training(family: str, budget: Budget) -> Config:
    """What `robnb.training.fit` wants for a short training: optim_wrapper and param_scheduler."""
    return {"optim_wrapper": short_optimizer(family, budget.lr), "param_scheduler": one_cycle(budget.iterations)}


def warm_up(iterations: int, start_factor: float) -> Config:
    """A linear rise to the full rate in so many iterations, however long the schedule is, as in mm's configs."""
    return {"type": "LinearLR", "start_factor": start_factor, "by_epoch": False, "begin": 0, "end": iterations}


def steps(iterations: int, epochs: tuple[int, ...], of: int) -> Config:
    """Divided by ten at these epochs of a schedule of ``of`` epochs, stretched to so many iterations."""
    milestones = [round(iterations * epoch / of) for epoch in epochs]
    return {
        "type": "MultiStepLR", "milestones": milestones, "gamma": 0.1, "by_epoch": False, "begin": 0, "end": iterations,
    }  # fmt: skip


def poly(iterations: int, power: float, eta_min: float) -> Config:
    """(lr - eta_min) (1 - i / iterations)^power + eta_min, from the first iteration, under a warm-up too.

    mmcv, which the authors trained with, multiplied the warm-up's ramp into the running schedule; mmseg 1.x starts the
    schedule after the warm-up.
    """
    return {
        "type": "PolyLR", "power": power, "eta_min": eta_min, "by_epoch": False, "begin": 0, "end": iterations,
    }  # fmt: skip
