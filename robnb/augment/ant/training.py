"""ANT, adversarial noise training (Rusak et al., ECCV 2020, arXiv:2001.06057, and its release).

A small network, the noise generator, learns beside the classifier which noise raises its loss most. Half of each batch
is clean; the other half has noise of the generator as it is and of earlier ones.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_reduce_params, broadcast
from torch.nn import functional
from torch.optim import Adam

from robnb.augment.ant.noise import NoiseGenerator
from robnb.augment.ant.plan import Plan
from robnb.augment.ant.projection import noised
from robnb.augment.prime.pixels import unit
from robnb.augment.recipe import Learner, Recipe, Setting, attacking, drawn_generator
from robnb.errors import UserError


@dataclass(frozen=True)
class Ant(Recipe):
    """Adversarial noise training.

    Published are 120 epochs of ImageNet at 70 images a batch. Each begins with a fresh generator, which learns for 1000
    iterations at 5e-4 while the classifier stands still, and then at 1e-4, one step in each iteration of the
    classifier's. `Plan` says how that is scaled. Over 120 * 18302 iterations the published training is
    ``replace(ANT1X1, renewals=120, fresh_share=1000 / 18302)``. The defaults are for trainings of some hundred to some
    thousand iterations.

    The published classifier learns with SGD at 0.001, a tenth of that after 60 epochs, momentum 0.9, no weight decay.
    That is for the training to decide, not for the recipe.

    Attributes:
        kernel: of the generator, 1 or 3.
        rms: of the noise after clipping, over an image's values; published as an L2 norm of 135 at 224 pixels.
        share_current: of a batch, with noise of the running generator. In the first period, before there are earlier
            ones, it takes their share too.
        share_history: of a batch, with noise of earlier generators. The rest stays clean.
        replayed: earlier generators that share it, drawn anew for each batch.
        lr: of the running generator, in periods of 18302 iterations.
        fresh_lr: of a fresh generator, in 1000 steps.
        top_lr, renewals, fresh_share: see `Plan`; published 120 and 1000 / 18302.

    Raises:
        UserError: the kernel, the rms, a share, a rate or a number is out of range.
    """

    name: str = "ant1x1"
    parent: str = "regular"
    kernel: int = 1
    rms: float = 135 / (3 * 224 * 224) ** 0.5
    share_current: float = 0.3
    share_history: float = 0.2
    replayed: int = 2
    lr: float = 1e-4
    fresh_lr: float = 5e-4
    top_lr: float = 2e-2
    renewals: int = 4
    fresh_share: float = 0.25

    def __post_init__(self) -> None:
        if self.kernel not in (1, 3):
            raise UserError(f"ANT's kernel is {self.kernel}: give 1 or 3.")
        if not 0 < self.rms < 1:
            raise UserError(f"ANT's rms is {self.rms}: give the size of the noise, between 0 and 1.")
        if min(self.share_current, self.share_history) < 0 or self.share_current + self.share_history > 1:
            shares = f"{self.share_current} and {self.share_history}"
            raise UserError(f"ANT's shares of a batch are {shares}: give two of at least 0 that sum to at most 1.")
        for field in ("replayed", "renewals"):
            if getattr(self, field) < 1:
                raise UserError(f"ANT's {field} is {getattr(self, field)}: give 1 or more.")
        for field in ("lr", "fresh_lr", "top_lr", "fresh_share"):
            if not getattr(self, field) > 0:
                raise UserError(f"ANT's {field} is {getattr(self, field)}: give a positive number.")

    @property
    def passes(self) -> float:
        """1 + 2 / 3 (1 + fresh_share).

        A step of a generator is a forward pass and a backward pass to the pixels, so two thirds of a plain pass. There
        is one in each iteration, and on average ``fresh_share`` of fresh generators. What the generators themselves
        compute is not counted; beside a network of this project's smallest sizes it is no trifle.
        """
        return 1 + 2 / 3 * (1 + self.fresh_share)

    def plan(self, iterations: int) -> Plan:
        """When and how fast the generators learn in a training of so many iterations."""
        return Plan(iterations, self.renewals, self.fresh_share, self.lr, self.fresh_lr, self.top_lr)

    def augmenter(self, learner: Learner, setting: Setting) -> NoiseGame:
        """The game of generator and classifier, at its beginning."""
        return NoiseGame(self, learner, self.plan(setting.iterations))


class NoiseGame:
    """ANT at work in one training: the running generator, its optimizer, and the earlier generators.

    In each iteration the running generator makes one step on the whole batch, and then gives part of it its noise. At
    the beginning of a period a fresh generator takes its place, after ``fresh_steps`` steps of its own. Only one batch
    is at hand then, so all of these steps are on that batch, each with new noise. The published ones see a new batch
    each. A generator does not see the images, so there is little of them that it could learn by heart.

    As in the release, the history takes a generator in when it has just been fresh, not as it has become by the end of
    its period, and also the one that is running.

    The classifier attacks in eval mode, gets no gradient, and is left in the mode that it was in. Several processes
    begin with the same fresh generators and average their gradients, so their generators stay the same; noise, order
    and replayed generators are drawn in each.

    Attributes:
        iteration: how many are done.
        current: the running generator; None before the first iteration.
        history: generators as they were at the beginning of their periods.
    """

    def __init__(self, recipe: Ant, learner: Learner, plan: Plan) -> None:
        self.recipe, self.learner, self.plan = recipe, learner, plan
        self.iteration = 0
        self.current: NoiseGenerator | None = None
        self.optimizer: Adam | None = None
        self.history: list[NoiseGenerator] = []

    def views(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) and labels (N,) -> (1, N, 3, H, W) float32 in [0, 1]."""
        draws, clean = drawn_generator(images.device), unit(images)
        self._go_to(images.device)
        with attacking(self.learner):
            if self.plan.renews(self.iteration):
                self._renew(clean, labels, draws)
            self._ascend(self.current, self.optimizer, clean, labels, draws)
        self.iteration += 1
        return self._mixed(clean, draws)[None]

    def state_dict(self) -> dict[str, Any]:
        """Generators, optimizer and iteration."""
        begun = self.current is not None
        return {
            "iteration": self.iteration,
            "current": self.current.state_dict() if begun else {},
            "optimizer": self.optimizer.state_dict() if begun else {},
            "history": [generator.state_dict() for generator in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; nothing of it is shared."""
        self.iteration = state["iteration"]
        self.history = [self._loaded(one).requires_grad_(False) for one in state["history"]]
        self.current = self.optimizer = None
        if state["current"]:
            self.current = self._loaded(state["current"])
            self.optimizer = Adam(self.current.parameters(), self.plan.lr)
            self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))

    def _loaded(self, state: dict[str, torch.Tensor]) -> NoiseGenerator:
        generator = NoiseGenerator(self.recipe.kernel, torch.Generator())
        generator.load_state_dict(state)
        return generator

    def _go_to(self, device: torch.device) -> None:
        """Move everything, if it has just been loaded."""
        if self.current is not None and next(self.current.parameters()).device != device:
            for generator in (self.current, *self.history):
                generator.to(device)
            self.optimizer.load_state_dict(self.optimizer.state_dict())  # which goes where the weights are

    def _renew(self, images: torch.Tensor, labels: torch.Tensor, draws: torch.Generator) -> None:
        """Let a fresh generator learn on these images, take it into the history, and let it run."""
        fresh = NoiseGenerator(self.recipe.kernel, draws)
        for weights in fresh.parameters():
            broadcast(weights.data)
        optimizer = Adam(fresh.parameters(), self.plan.fresh_lr)
        for _ in range(self.plan.fresh_steps):
            self._ascend(fresh, optimizer, images, labels, draws)
        self.history.append(copy.deepcopy(fresh).requires_grad_(False))
        self.current, self.optimizer = fresh, Adam(fresh.parameters(), self.plan.lr)

    def _ascend(
        self,
        generator: NoiseGenerator,
        optimizer: Adam,
        images: torch.Tensor,
        labels: torch.Tensor,
        draws: torch.Generator,
    ) -> None:
        """One step of a generator towards a higher cross entropy of the classifier."""
        weights = list(generator.parameters())
        with torch.enable_grad():
            logits = self.learner.logits(self._noisy(generator, images, draws))
            # Not backward(): that would give the classifier gradients and fire the hooks of a distributed training.
            gradients = torch.autograd.grad(-functional.cross_entropy(logits, labels), weights)
        all_reduce_params(list(gradients), op="mean")
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()

    def _noisy(self, generator: NoiseGenerator, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        norm = self.recipe.rms * images[0].numel() ** 0.5
        return noised(images, generator.sample(images, draws), norm)

    @torch.no_grad()
    def _mixed(self, images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """The batch with noise of the running and of earlier generators on parts of it that are drawn."""
        order = torch.randperm(len(images), generator=draws, device=draws.device)
        mixed, begin = images.clone(), 0
        for generator, end in self._parts(len(images), draws):
            chosen = order[begin:end]
            if len(chosen):
                mixed[chosen] = self._noisy(generator, images[chosen], draws)
            begin = end
        return mixed

    def _parts(self, count: int, draws: torch.Generator) -> list[tuple[NoiseGenerator, int]]:
        """Which generators give ``count`` images their noise, each with the end of its part; the rest stays clean."""
        current, history = self.recipe.share_current, self.recipe.share_history
        if len(self.history) == 1:
            return [(self.current, round(count * (current + history)))]
        order = torch.randperm(len(self.history), generator=draws, device=draws.device)
        drawn = order[: self.recipe.replayed].tolist()
        ends = [round(count * (current + history * (i + 1) / len(drawn))) for i in range(len(drawn))]
        earlier = [self.history[i] for i in drawn]
        return [(self.current, round(count * current)), *zip(earlier, ends, strict=True)]


#: With generators of 1x1 convolutions, whose noise is independent from pixel to pixel, and with a 3x3 one.
ANT1X1 = Ant()
ANT3X3 = Ant(name="ant3x3", kernel=3)
