"""Who a backbone is in the paper: the same claim is about resnet50.ant3x3 there and about resnet_mini.ant3x3 here."""

from __future__ import annotations

from robnb.augment.adversarial import PREFIX
from robnb.settings import LARGER

REGULAR, ANT, DEEPAUG, PRIME = "Regular", "ANT", "DeepAug+", "PRIME"
#: The Swins of the paper's table 3, by its names; Tiny is the Swin-T of its other sections.
TINY, SMALL, BASE, BASE_22K, BASE_22K_384 = "Swin-T", "Small", "Base", 'Base"', "Base'"
_RESNETS = ("resnet_nano", "resnet_mini", "resnet50")
_RECIPES = {"regular": REGULAR, "ant3x3": ANT, "deepaug_augmix": DEEPAUG, "prime": PRIME}
_SIZES = {
    "swin_nano": TINY, "swin_mini": TINY, "swin_tiny": TINY, "swin_mini_small": SMALL, "swin_small": SMALL,
    "swin_mini_base": BASE, "swin_base": BASE,
}  # fmt: skip
_USUAL_SET = ("regular", "in1k", "in1k_openmmlab")
_LARGER_SET = ("regular" + LARGER, "in22k")


def l2(eps: float) -> str:
    """The ResNet of adversarial training within this radius."""
    return f"L2 eps {eps:g}"


def eps_of(role: str) -> float | None:
    """The radius of such a ResNet; None for another role."""
    return float(role.removeprefix(l2(0)[:-1])) if role.startswith(l2(0)[:-1]) else None


def role_of(architecture: str, weights: str) -> str | None:
    """The name that claims call a backbone by; None for one that no claim is about.

    Args:
        weights: without what tells how they were transferred.
    """
    if architecture in _RESNETS:
        adversarial = weights.startswith(PREFIX)
        return l2(float(weights.removeprefix(PREFIX))) if adversarial else _RECIPES.get(weights)
    if weights in _LARGER_SET:
        return {"swin_base": BASE_22K, "swin_mini_base": BASE_22K, "swin_base_w12": BASE_22K_384}.get(architecture)
    return _SIZES.get(architecture) if weights in _USUAL_SET else None
