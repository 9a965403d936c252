"""Transfer recipes: everything about a downstream training but its data, its backbone's weights and its budget.

``short`` trains small models on small data here. ``paper`` is what the authors' released configs say, with the gaps of
`robnb.recipes.switches` on either side. Both freeze, and put PRIME into the training, in the same way. Learning rate,
batch and length come from the budget, so a series of them needs no other recipe.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from robnb.errors import UserError
from robnb.names import REGIMES, choose
from robnb.recipes import optimization
from robnb.recipes.budget import Budget
from robnb.recipes.optimization import Config
from robnb.recipes.switches import AS_RELEASED, Switches

RECIPES = ("short", "paper")
#: (mean, std) of an image's channels, RGB, 0..255.
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
#: Of CIFAR-10's training images, as robust-models-transfer has it.
CIFAR: Normalisation = ((125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255))
#: Pixels as they are.
RAW: Normalisation = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
#: The preprocessors of robnb.models.prime_preprocessor.
_PRIME_TYPES = {"detection": "PrimeDetDataPreprocessor", "segmentation": "PrimeSegDataPreProcessor"}


@dataclass(frozen=True)
class ModelOptions:
    """What a recipe decides about the model that is built.

    Attributes:
        backbone: laid over the architecture's options, for mmdet's and mmseg's backbone classes.
        backbone_learns: False where no gradient may reach the backbone although its BatchNorm statistics move.
        frozen: whether a classifier's backbone is frozen.
        norm: "BN" or "SyncBN", of a segmentor; SyncBN where several GPUs share a batch.
        preprocessor: laid over the shipped config's data preprocessor; ``mean`` and ``std`` for a classifier.
    """

    backbone: Config = field(default_factory=dict, hash=False)
    backbone_learns: bool = True
    frozen: bool = False
    norm: str = "BN"
    preprocessor: Config = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TransferRecipe:
    """One downstream training.

    Attributes:
        model: how the model is built.
        optim_wrapper: section of an mmengine config; "AmpOptimWrapper" means on a GPU.
        param_scheduler: sections of an mmengine config, in iterations.
        pipeline: "flip" or "multi_scale_crop" (detection), "random_crop" (segmentation), "mild_crop" or "full_crop"
            (classification).
    """

    model: ModelOptions
    optim_wrapper: Config = field(hash=False)
    param_scheduler: list[Config] = field(hash=False)
    pipeline: str


def model_options(
    name: str,
    *,
    task: str,
    family: str,
    regime: str,
    backbone: str = "",
    released: Collection[str] = (),
    prime: bool = False,
    processes: int = 1,
    normalisation: Normalisation | None = None,
) -> ModelOptions:
    """The part of `transfer_recipe` that does not need a budget.

    Args:
        backbone: catalogue name, for what depends on the size of a Swin.
        released: ids of the switches that are as_released.
        normalisation: that the backbone was pretrained with; None for ImageNet's, as shipped.

    Raises:
        UserError: an unknown recipe or regime, or PRIME where it is not applied.
    """
    choose(name, RECIPES, "recipe")
    choose(regime, REGIMES, "regime")
    if prime and task not in _PRIME_TYPES:
        raise UserError(f"prime is on, but {task} has no PRIME during transfer: set prime to false for it.")
    frozen, learns = _frozen(name, task, family, regime, released)
    paper_segments = name == "paper" and task == "segmentation"
    if name == "paper" and family == "swin" and task != "classification":
        # mmdet and the Swin authors give the Base more than the other sizes; mmseg gives all the same.
        frozen["drop_path_rate"] = 0.2 if task == "detection" and not backbone.startswith("swin_base") else 0.3
    return ModelOptions(
        backbone=frozen,
        backbone_learns=learns,
        frozen=task == "classification" and regime == "fixed_feature",
        norm="SyncBN" if paper_segments and processes > 1 else "BN",
        preprocessor=_preprocessor(task, family, released, prime, normalisation),
    )


def _frozen(name: str, task: str, family: str, regime: str, released: Collection[str]) -> tuple[Config, bool]:
    """Options of the backbone, and whether a gradient reaches it."""
    if task == "classification":
        return {}, True
    stages, norm_eval, learns = (4 if regime == "fixed_feature" else -1), True, True
    if regime == "full_network":
        stages = 1 if "frozen_stem" in released and (task, family) == ("detection", "resnet") else -1
        norm_eval = not (name == "paper" and task == "segmentation")  # the authors' UperNet trains its statistics
    elif _at_zero_lr(task, family, regime, released):
        stages = 1 if task == "detection" and family == "resnet" else -1
        norm_eval = "bn_drift" not in released
    elif (task, family) == ("segmentation", "resnet") and "bn_drift" in released:
        stages, norm_eval, learns = -1, False, False
    return {"frozen_stages": stages} | ({"norm_eval": norm_eval} if family == "resnet" else {}), learns


def _at_zero_lr(task: str, family: str, regime: str, released: Collection[str]) -> bool:
    """Whether the backbone is "frozen" by a learning rate that is multiplied by zero."""
    if regime != "fixed_feature" or task == "classification":
        return False
    if family == "swin":
        return "position_bias" in released
    return ("zero_lr" if task == "detection" else "rising_lr") in released


def _preprocessor(
    task: str, family: str, released: Collection[str], prime: bool, normalisation: Normalisation | None
) -> Config:
    never_called = "prime_swin_ade" in released and (task, family) == ("segmentation", "swin")
    if task == "classification" and "cifar_normalisation" in released:
        normalisation = CIFAR
    elif prime and (never_called or "prime_test_normalisation" in released):
        normalisation = RAW
    changes = {} if normalisation is None else {"mean": list(normalisation[0]), "std": list(normalisation[1])}
    if not prime or normalisation == RAW:
        return changes
    return {
        **changes,
        "type": _PRIME_TYPES[task],
        "range": "bytes" if "prime_range" in released else "unit",
        "depth": 1 if "prime_depth" in released else -1,
        "padded_first": "prime_padding" in released,
    }


def transfer_recipe(
    name: str,
    *,
    task: str,
    family: str,
    regime: str,
    budget: Budget,
    backbone: str = "",
    released: Collection[str] = (),
    prime: bool = False,
    processes: int = 1,
    normalisation: Normalisation | None = None,
    pyramid: bool = False,
) -> TransferRecipe:
    """The recipe for one task, family of backbones and regime.

    Args:
        pyramid: whether the backbone is timm's, with a part that was not pretrained.
        others: as for `model_options`.

    Raises:
        UserError: an unknown recipe or regime, or PRIME where it is not applied.
    """
    model = model_options(
        name, task=task, family=family, regime=regime, backbone=backbone, released=released, prime=prime,
        processes=processes, normalisation=normalisation,
    )  # fmt: skip
    short = name == "short"
    training = optimization.short_training(family, budget) if short else _paper(task, family, budget, released)
    if _at_zero_lr(task, family, regime, released):
        training["optim_wrapper"] = optimization.with_backbone_at_zero_lr(training["optim_wrapper"], pyramid)
    pipelines = {"detection": "flip", "segmentation": "random_crop", "classification": "mild_crop"}
    if not short:
        pipelines |= {"classification": "full_crop"} | ({"detection": "multi_scale_crop"} if family == "swin" else {})
    return TransferRecipe(model=model, pipeline=pipelines[task], **training)


def _paper(task: str, family: str, budget: Budget, released: Collection[str]) -> dict[str, Any]:
    """The optimizers and schedules of the authors' configs and, for CIFAR-10, of their README."""
    iterations, lr = budget.iterations, budget.lr
    if task == "classification":  # CIFAR-10, robust-models-transfer's code: for every family the same
        epochs = (30, 60, 90, 120) if "cifar_steps" in released else (50, 100)
        optimizer, schedule = optimization.sgd(lr, 5e-4), [optimization.steps(iterations, epochs, of=150)]
    elif task == "detection":
        by_family = {
            "resnet": optimization.sgd(lr, 1e-4),
            "swin": optimization.half_precision(optimization.adamw(lr, 0.05)),
        }
        optimizer = by_family[family]
        schedule = [optimization.warm_up(500, 0.001), optimization.steps(iterations, (16, 22), of=24)]
    elif family == "resnet":
        optimizer, schedule = optimization.sgd(lr, 5e-4), [optimization.poly(iterations, 0.9, 1e-4)]
    else:
        optimizer = optimization.adamw(lr, 0.01)
        schedule = [optimization.warm_up(1500, 1e-6), optimization.poly(iterations, 1.0, 0.0)]
    return {"optim_wrapper": optimizer, "param_scheduler": schedule}


def start_weights(backbone: str, task: str, switches: Switches) -> str:
    """The catalogue name of the weights that a backbone's transfer to a task starts from."""
    other = backbone == "swin_tiny.in1k" and task == "detection" and switches["start_weights"] == AS_RELEASED
    return "swin_tiny.in1k_openmmlab" if other else backbone


def budget_lr(lr: float, backbone: str, task: str, regime: str, switches: Switches) -> float:
    """The learning rate of a backbone for which its family's is ``lr``."""
    slower = (backbone, task, regime) == ("resnet50.regular", "detection", "full_network")
    return lr / 2 if slower and switches["regular_lr"] == AS_RELEASED else lr
