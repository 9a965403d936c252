"""How models, tasks and metrics are called in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

#: How the paper calls its backbones, and what ours are called beside them.
_WEIGHTS = {
    "regular": "Regular", "augmix": "AugMix", "ant1x1": "ANT (1x1)", "ant3x3": "ANT", "ant1x1_sin": "ANT (1x1) + SIN",
    "ant3x3_sin": "ANT + SIN", "deepaug": "DeepAug", "deepaug_augmix": "DeepAug+", "prime": "PRIME",
    "prime_jsd": "PRIME (JSD)",
}  # fmt: skip
_SWINS = {
    "swin_nano": "Swin (nano)",
    "swin_mini": "Swin (mini)",
    "swin_mini_small": "Swin (mini, S)",
    "swin_mini_base": "Swin (mini, B)",
    "swin_tiny": "Swin-T",
    "swin_small": "Swin-S",
    "swin_base": "Swin-B",
    "swin_base_w12": "Swin-B (384)",
}
_RESNETS = ("resnet_nano", "resnet_mini", "resnet50")
#: What a Swin's weights add to its name; what it was usually trained on adds nothing.
_PRETRAINED_ON = {
    "regular_larger": "larger set",
    "in22k": "IN-22k",
    "in22k_ft_in1k": "IN-22k, then IN-1k",
    "in1k_openmmlab": "OpenMMLab's",
}
#: Adversarial training: the radius of its L2 ball.
_L2 = "l2_eps"
#: What stands between a model's weights and how they were transferred, where that is not the usual way.
ARM = ", "
METRIC_TITLES = {"box_AP": "box AP", "mask_AP": "mask AP", "mIoU": "mIoU", "top1": "top-1"}
#: What a metric measures of a task.
TASK_TITLES = {
    ("upstream", "top1"): "Upstream classification",
    ("detection", "box_AP"): "Detection",
    ("detection", "mask_AP"): "Instance segmentation",
    ("segmentation", "mIoU"): "Semantic segmentation",
    ("classification", "top1"): "Downstream classification",
}
REGIME_TITLES = {"fixed_feature": "frozen backbone", "full_network": "every weight trained"}


def label(backbone: str, weights: str) -> str:
    """A model's name in tables and figures: the recipe for a ResNet-50 and our small ones, the size for a Swin.

    Any other architecture goes by its own name. ``weights`` may say how they were transferred: ``prime, lr 0.01``.
    """
    plain, comma, arm = weights.partition(ARM)
    if backbone in _SWINS:
        named = " ".join([_SWINS[backbone], *([_PRETRAINED_ON[plain]] if plain in _PRETRAINED_ON else [])])
    elif backbone not in _RESNETS:
        named = f"{backbone}.{plain}"
    elif plain.startswith(_L2):
        named = f"L2 eps {plain.removeprefix(_L2)}"
    else:
        named = _WEIGHTS.get(plain, plain)
    return named + comma + arm


def with_labels(frame: pd.DataFrame, *, beside: Iterable[tuple[str, str]] = ()) -> pd.DataFrame:
    """The frame with a column ``model`` in front, made of backbone and weights.

    Two models that would be called the same carry their full name (``resnet50.regular``) behind it. ``beside`` are
    further models, as (backbone, weights), that will be named next to them.
    """
    pairs = list(zip(frame["backbone"], frame["weights"], strict=True))
    called: dict[str, set[tuple[str, str]]] = {}
    for pair in (*pairs, *beside):
        called.setdefault(label(*pair), set()).add(pair)
    names = [label(b, w) + (f" ({b}.{w})" if len(called[label(b, w)]) > 1 else "") for b, w in pairs]
    return pd.concat([pd.Series(names, index=frame.index, name="model", dtype=object), frame], axis=1)


def name(model: tuple[str, str], frame: pd.DataFrame) -> str:
    """What `with_labels` calls a model, (backbone, weights), among those of the frame."""
    alone = pd.DataFrame([model], columns=["backbone", "weights"])
    others = zip(frame["backbone"], frame["weights"], strict=True)
    return with_labels(alone, beside=others)["model"].iloc[0]


def several_regimes(frame: pd.DataFrame) -> bool:
    """Whether a task of the frame was learnt in more than one way, so that its regime has to be named."""
    return bool((frame.groupby("task")["regime"].nunique() > 1).any())


def title(task: str, regime: str, metric: str, *, regimes: bool, separator: str = ", ") -> str:
    """What was scored, in words: task, metric and, where ``regimes`` says so, how the backbone was used."""
    parts = [TASK_TITLES[task, metric], METRIC_TITLES[metric]]
    if regimes and regime in REGIME_TITLES:
        parts[1] += f", {REGIME_TITLES[regime]}"
    return separator.join(parts)
