"""Adversarial training in an L2 ball (Madry et al., ICLR 2018, arXiv:1706.06083), and its attack.

The backbones of the paper's section 6 are ResNet-50s that were trained so by Salman et al. (NeurIPS 2020,
arXiv:2007.08489): three steps of two thirds of the radius, from the image itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from robnb.augment.prime.pixels import unit
from robnb.augment.recipe import Augmenter, Learner, Recipe, Setting, Stateless, attacking, drawn_generator
from robnb.errors import UserError

#: What the name of every such recipe begins with; the radius follows.
PREFIX = "l2_eps"
#: Added to the norms that are divided by, as published.
_TINY = 1e-10

#: Images (N, 3, H, W) -> a loss for each, (N,), which knows nothing of the other images.
LossOf = Callable[[torch.Tensor], torch.Tensor]


def perturbed(
    loss_of: LossOf,
    images: torch.Tensor,
    eps: float,
    *,
    steps: int,
    step_size: float,
    use_best: bool = True,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Projected gradient ascent on each image's loss, within a ball around the image and within [0, 1].

    x <- clamp(image + project(x + step_size g / (|g| + 1e-10) - image)), where g is the gradient of the image's own
    loss and project shortens to ``eps`` what is longer. The published attack takes the gradient of the mean loss,
    which is smaller by the number of images; beside 1e-10 that makes no difference, and so none between batches.

    Nothing but the images gets a gradient. Networks are left in the mode that they are in.

    Args:
        loss_of: differentiable.
        images: (N, 3, H, W) float in [0, 1].
        eps: radius, the L2 norm over all values of an image.
        steps: gradients that are followed.
        step_size: L2 length of a step.
        use_best: give each image's iterate with the highest loss, the first and the last included; otherwise the last.
        noise: of the images' shape. Its direction is where each image's first iterate lies, at the distance ``eps``
            before it is clamped. None begins at the image.

    Returns:
        (N, 3, H, W) float32, detached; the images themselves where ``eps`` is 0.
    """
    images = images.detach().float()
    if eps == 0:
        return images
    iterate = images if noise is None else (images + eps * _direction(noise.float())).clamp(0, 1)
    best = _Best(iterate)
    for _ in range(steps):
        losses, gradient = _ascent(loss_of, iterate)
        best.update(iterate, losses)
        iterate = _projected(iterate + step_size * _direction(gradient) - images, images, eps)
    if not use_best:
        return iterate
    with torch.no_grad():
        best.update(iterate, loss_of(iterate).float())
    return best.images


def cross_entropies(learner: Learner, labels: torch.Tensor) -> LossOf:
    """Each image's cross entropy, for `perturbed`; labels (N,) int64."""
    return lambda images: functional.cross_entropy(learner.logits(images), labels, reduction="none")


class _Best:
    """Each image's iterate with the highest loss so far."""

    def __init__(self, first: torch.Tensor) -> None:
        self.images = first
        self.losses = torch.full((len(first),), -math.inf, device=first.device)

    def update(self, iterate: torch.Tensor, losses: torch.Tensor) -> None:
        """Take in iterates (N, 3, H, W) with their losses (N,)."""
        higher = losses > self.losses
        self.images = torch.where(higher[:, None, None, None], iterate, self.images)
        self.losses = torch.where(higher, losses, self.losses)


def _ascent(loss_of: LossOf, iterate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses (N,) and their gradients, of the iterate's shape."""
    with torch.enable_grad():
        iterate = iterate.detach().requires_grad_()
        losses = loss_of(iterate)
        # Not backward(): that would give parameters gradients and fire the hooks of a distributed training.
        (gradient,) = torch.autograd.grad(losses.sum(), iterate)
    return losses.detach().float(), gradient


def _norms(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) -> L2 norms (N, 1, 1, 1)."""
    return torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True)


def _direction(images: torch.Tensor) -> torch.Tensor:
    return images / (_norms(images) + _TINY)


def _projected(difference: torch.Tensor, images: torch.Tensor, eps: float) -> torch.Tensor:
    """The images plus a difference that is shortened to the ball where it leaves it, clamped."""
    shortened = (eps / _norms(difference).clamp(min=_TINY)).clamp(max=1)
    return (images + difference * shortened).clamp(0, 1)


@dataclass(frozen=True)
class Adversarial(Recipe):
    """Training on the adversarial images of the network itself, and on nothing else.

    The network attacks in eval mode, so that BatchNorm's statistics are those of the images that it learns from. The
    published training also varies colour a little (ColorJitter 0.1, Lighting 0.05) before the attack. That is left out:
    all recipes here share the same crops, so that they differ in the recipe alone.

    Attributes:
        eps: radius, the L2 norm over all values of an image in [0, 1]. Images of more pixels bear larger ones: equal
            root mean squares are eps / side. 0 is the control: no attack, everything else the same.
        steps: of the attack.
        step_size: L2 length of a step; None for 2 eps / 3, the published length for three steps.
        random_start: begin at a random point at the distance eps, not at the image.
        use_best: learn from each image's iterate with the highest loss, not from the last.

    Raises:
        UserError: eps is not a distance, or steps or step_size is not positive.
    """

    name: str = f"{PREFIX}1"
    eps: float = 1.0
    steps: int = 3
    step_size: float | None = None
    random_start: bool = False
    use_best: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.eps < math.inf:
            raise UserError(f"the radius eps of an adversarial training is {self.eps}: give 0 (no attack) or more.")
        if self.steps < 1:
            raise UserError(f"an attack of {self.steps} steps goes nowhere: give 1 or more, or the radius 0.")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise UserError(
                f"the attack's step_size is {self.step_size}: give a length above 0, or None for 2 eps / 3."
            )

    @property
    def passes(self) -> float:
        """A step is a forward pass and a backward pass to the pixels; ``use_best`` looks at the last iterate too.

        In plain passes, which cost three forward passes: 1 + 2 steps / 3 + 1 / 3. The control costs 1.
        """
        return 1.0 + (2 * self.steps + self.use_best) / 3 if self.eps else 1.0

    @property
    def step(self) -> float:
        """The L2 length of a step."""
        return 2 * self.eps / 3 if self.step_size is None else self.step_size

    def augmenter(self, learner: Learner, setting: Setting) -> Augmenter:
        """The attack on this classifier; the control's has none."""
        return Adversary(self, learner) if self.eps else Stateless(self)


@dataclass(frozen=True, repr=False)
class Adversary(Stateless):
    """Attacks the classifier that is being trained. It learns nothing beside it."""

    recipe: Adversarial
    learner: Learner

    def views(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) -> (1, N, 3, H, W) float32 in [0, 1], the adversarial images."""
        recipe, clean, noise = self.recipe, unit(images), None
        if recipe.random_start:
            noise = torch.randn(clean.shape, generator=drawn_generator(clean.device), device=clean.device)
        with attacking(self.learner):
            found = perturbed(
                cross_entropies(self.learner, labels),
                clean,
                recipe.eps,
                steps=recipe.steps,
                step_size=recipe.step,
                use_best=recipe.use_best,
                noise=noise,
            )
        return found[None]


def adversarial_named(name: str) -> Adversarial | None:
    """The recipe that a name such as ``l2_eps0.5`` means; None for a name that begins otherwise.

    Raises:
        UserError: what follows is not a radius, or not written the one way, without which a training had two names.
    """
    if not name.startswith(PREFIX):
        return None
    radius = name.removeprefix(PREFIX)
    if not re.fullmatch(r"(0|[1-9]\d*)(\.\d*[1-9])?", radius, re.ASCII):
        raise UserError(
            f"{name!r} names no adversarial training: write {PREFIX} and the radius, 0 or more, as a plain number "
            f"without needless zeros, such as {PREFIX}0.5."
        )
    return Adversarial(name=name, eps=float(radius))
