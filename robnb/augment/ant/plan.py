"""When ANT's generators learn, and how fast: the published lengths, scaled to a training of any length."""

from __future__ import annotations

from dataclasses import dataclass

#: Iterations of an ImageNet epoch with ANT's batch of 70, and of a fresh generator's training (ANT's release).
EPOCH = 18302
FRESH = 1000


@dataclass(frozen=True)
class Plan:
    """The generators' part in one training, a pure function of its number of iterations.

    The published training renews its generator at the beginning of each epoch. Here a training has ``renewals`` periods
    of equal length instead. In shorter ones than the published the learning rates are higher, so that rate times number
    of steps stays what it was: that is about how far Adam can carry a weight. ``top_lr`` bounds them.

    Attributes:
        iterations: of the training.
        renewals: periods; each begins with a fresh generator.
        fresh_share: steps of fresh generators for each iteration of the training.
        published_lr, published_fresh_lr: of Adam, for the published lengths.
        top_lr: above which no rate is raised.
    """

    iterations: int
    renewals: int
    fresh_share: float
    published_lr: float
    published_fresh_lr: float
    top_lr: float

    @property
    def fresh_steps(self) -> int:
        """That a fresh generator learns for, at least one."""
        return max(1, round(self.fresh_share * self.iterations / self.renewals))

    @property
    def fresh_lr(self) -> float:
        """Of a fresh generator."""
        return min(self.published_fresh_lr * FRESH / self.fresh_steps, self.top_lr)

    @property
    def lr(self) -> float:
        """Of the running generator."""
        return min(self.published_lr * EPOCH * self.renewals / self.iterations, self.top_lr)

    def period(self, iteration: int) -> int:
        """The period of an iteration, both counted from 0."""
        return iteration * self.renewals // self.iterations

    def renews(self, iteration: int) -> bool:
        """Whether an iteration is the first of its period."""
        return iteration == 0 or self.period(iteration) > self.period(iteration - 1)
