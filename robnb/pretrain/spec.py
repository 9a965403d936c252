"""What an upstream training is: the keys of its results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from robnb import launch
from robnb.augment import recipe_named
from robnb.models.execution import Execution
from robnb.recipes.budget import Budget
from robnb.store import Spec


@dataclass(frozen=True)
class NetworkSpec(Spec):
    """The training of a helper network of DeepAugment's, see `robnb.pretrain.networks`.

    Attributes:
        network: a name in `robnb.augment.deepaugment.NETWORKS`.
        data: fingerprint of the upstream training set.
        image_size: side in pixels of the square training crops.
    """

    kind: ClassVar[str] = "network"
    network: str
    data: str
    image_size: int
    budget: Budget
    seed: int
    crop: str = "mild_crop"


@dataclass(frozen=True)
class PretrainSpec(Spec):
    """One upstream training; everything its weights depend on.

    Attributes:
        architecture: a name in `robnb.models.architectures`, or timm's.
        recipe: a name that `robnb.augment.recipe_named` knows.
        data: fingerprint of the upstream training set.
        image_size: side in pixels of the square training crops.
        processes: how many train together, on one GPU each. They share each batch evenly and average their gradients,
            but each normalises by the BatchNorm statistics of its own share, so the weights depend on their number.
        crop: a name in `robnb.data.crops.CROPS`.
        execution: how the network is run while it learns.
        parent: the training whose weights this one begins with; None begins with random or published ones.
        start: key of the published weights that it begins with, or "".
        networks: the trainings of the helper networks that the recipe wants.

    Raises:
        UserError: an unknown recipe, or the processes cannot share a batch evenly.
    """

    kind: ClassVar[str] = "pretrain"
    version: ClassVar[int] = 2
    architecture: str
    recipe: str
    data: str
    image_size: int
    budget: Budget
    seed: int
    processes: int = 1
    crop: str = "mild_crop"
    execution: Execution = field(default_factory=Execution)
    parent: PretrainSpec | None = None
    start: str = ""
    networks: tuple[NetworkSpec, ...] = ()

    def __post_init__(self) -> None:
        launch.share(self.budget.batch_size, self.processes)
        recipe_named(self.recipe)

    @property
    def passes(self) -> float:
        """Forward and backward passes of single images through the classifier, its parents' too.

        A backward pass that stops at the pixels counts less, see `Recipe.passes`. Helper networks are not counted.
        """
        own = self.budget.iterations * self.budget.batch_size * recipe_named(self.recipe).passes
        return own + (self.parent.passes if self.parent else 0.0)

    @property
    def steps(self) -> int:
        """Steps of the optimizer, its parents' too."""
        return self.budget.iterations + (self.parent.steps if self.parent else 0)
