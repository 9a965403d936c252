"""The settings of a study: what a notebook's parameters say, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from robnb import assets, parameters
from robnb.augment import is_recipe, recipe_named
from robnb.corruptions import ENGINES, Condition, conditions
from robnb.distributed import check_scheduler
from robnb.errors import UserError
from robnb.launch import share
from robnb.models.architectures import Architecture, BackboneName, architecture_named
from robnb.models.execution import Execution
from robnb.names import METRICS, choose
from robnb.recipes.budget import Budget
from robnb.recipes.switches import Switches
from robnb.recipes.transfer import RECIPES
from robnb.statistics.resampling import MIN_RESAMPLES

#: Where the data of a study come from.
WORLDS = ("miniworld", "paper")
#: What of a classification task's images is corrupted: the images as they are; ImageNet's resized and cropped, as
#: ImageNet-C was made; those, saved as JPEG afterwards, as its files were; or the files of ImageNet-C and CIFAR-10-C.
CLASSIFIER_IMAGES = ("own_size", "crops", "crops_jpeg", "published")
#: Training settings: a budget for each family of backbones ("resnet", "swin"), or for a backbone by its full name.
Budgets = dict[str, dict[str, float]]
#: The entry of the upstream settings that is of DeepAugment's helper networks.
NETWORKS = "networks"
#: What the weights' name ends with where miniworld's larger upstream set is meant ("IN-22k" in the small), and the name
#: of that set's size among miniworld's.
LARGER, LARGER_SET = "_larger", "upstream_larger"


def upstream_set(weights: str) -> tuple[str, bool]:
    """The recipe of weights that are trained here, and whether it sees the larger upstream set."""
    return weights.removesuffix(LARGER), weights.endswith(LARGER)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A notebook's parameters, checked; what each means stands beside it in the notebook.

    A task whose budgets are None is not part of the study, unless ``look_at`` names it: then its images are, and no
    model.

    Raises:
        UserError: a name or value that cannot be meant, before anything is computed.
    """

    notebook: str
    profile: str
    outputs: str
    variation: str = ""
    data: str
    data_root: str = ""
    roots: dict[str, str] = field(default_factory=dict)
    miniworld: dict[str, int] = field(default_factory=dict)
    backbones: list[str] = field(default_factory=list)
    yours: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    corruptions: list[str] = field(default_factory=lambda: ["benchmark"])
    severities: list[int] = field(default_factory=lambda: [1])
    engine: str = "fast"
    classifier_images: str = "own_size"
    test_images: int | None = None
    replicates: int = 1
    resamples: int = 1000
    seed: int = 0
    training_seeds: list[int] = field(default_factory=lambda: [0])
    workers: int = 0
    processes: int = 1
    scheduler: str | None = None
    inference: dict[str, Any] = field(default_factory=dict)
    pretraining: dict[str, Any] = field(default_factory=dict)
    recipe: str = "short"
    variant: str = "corrected"
    switches: dict[str, str] = field(default_factory=dict)
    scales: dict[str, list[int]]
    upstream: Budgets | None = None
    detection: Budgets | None = None
    segmentation: Budgets | None = None
    classification: Budgets | None = None
    learning_rates: dict[str, list[float]] = field(default_factory=dict)
    look_at: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in given.items() if value is not None or name not in METRICS}
        parameters.check_parameters(given, _EXAMPLES, "parameters")
        # The reader's own come last: the first backbone is what others are compared with.
        object.__setattr__(self, "backbones", list(dict.fromkeys([*self.backbones, *self.yours])))
        choose(self.data, WORLDS, "data")
        choose(self.engine, ENGINES, "engine")
        choose(self.recipe, RECIPES, "recipe")
        for task in self.look_at:
            choose(task, METRICS, "task in look_at")
        choose(self.classifier_images, CLASSIFIER_IMAGES, "classifier_images")
        check_scheduler(self.scheduler)
        self._check_counts()
        if not self.backbones and not self.trained and any(self.budgets.values()):
            raise UserError("no backbone was given: name at least one, such as resnet_mini.regular.")
        for task in self.budgets:
            if task != "upstream" or self.data != "paper":  # published weights are not trained
                self._check_budgets(task)
        self._check_scales()
        self._check_rates()
        self._check_world()
        _ = self.conditions, self.inference_options, self.pretraining_options, self.protocol

    def _check_counts(self) -> None:
        for name, least in {"replicates": 1, "resamples": MIN_RESAMPLES, "processes": 1, "workers": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least {least}.")
        if not self.training_seeds or len(set(self.training_seeds)) < len(self.training_seeds):
            raise UserError(f"training_seeds is {self.training_seeds}: name at least one seed, and each only once.")
        if self.classifier_images == "published" and self.replicates > 1:
            raise UserError(f"replicates is {self.replicates}, but published copies are one draw: set it to 1.")

    def _check_budgets(self, task: str) -> None:
        """Every entry is of a known family or backbone and whole, and every backbone of the study has one."""
        for whom, settings in self.budgets[task].items():
            if "." in whom or "@" in whom:
                BackboneName.parse(whom)
            elif (task, whom) != ("upstream", NETWORKS):
                choose(whom, ("resnet", "swin"), f"family of backbones in {task}")
            Budget.from_settings(settings, f"{task}.{whom}")
        for name in self.backbones:
            share(self.budget(task, name).batch_size, self.processes)

    def _check_scales(self) -> None:
        for task, scale in self.scales.items():
            choose(task, METRICS, "task in scales")
            if len(scale) != 2 or min(scale) < 1:
                raise UserError(f"scales.{task} is {scale}: it must be two numbers of pixels, such as [160, 128].")
        for task in self.budgets.keys() - self.scales.keys() - set(self.look_at):
            raise UserError(f"scales has no {task}: add the size of its images, such as {task}: [160, 128].")

    def _check_rates(self) -> None:
        for task, rates in self.learning_rates.items():
            choose(task, [task for task in self.budgets if task != "upstream"], "downstream task in learning_rates")
            if not rates or min(rates) <= 0 or len(set(rates)) < len(rates):
                raise UserError(f"learning_rates.{task} is {rates}: name at least one rate above 0, each only once.")

    def _check_world(self) -> None:
        """What only one of the two worlds has."""
        if self.data == "paper":
            _ = self.places
            for file in filter(None, (BackboneName.parse(name).file for name in self.backbones)):
                if not file.is_file():
                    raise UserError(f"no weights at {file}: put the file there or correct its path.")
            for name in filter(self.made_here, self.backbones):
                share(self.budget("upstream", name).batch_size, self.processes)
            return
        for name in self.backbones:
            backbone = BackboneName.parse(name)
            recipe, larger = upstream_set(backbone.weights)
            if backbone.file is not None or (assets.has_backbone(name) and not is_recipe(recipe)):
                raise UserError(
                    f"{name} is not made here, and miniworld's backbones are: say --profile paper to use files and "
                    "published weights, or name a recipe, such as resnet_mini.regular."
                )
            if recipe_named(recipe).networks:
                _ = self.network_budget
            if larger and LARGER_SET not in self.miniworld:
                raise UserError(f"{name} is of a larger upstream set: say how large, miniworld.{LARGER_SET}.")
        for name, nothing in {"trained": [], "roots": {}, "classifier_images": "own_size"}.items():
            if getattr(self, name) != nothing:
                raise UserError(f"{name} is of the paper's data sets, and data is miniworld: leave it out.")

    def made_here(self, backbone: str) -> bool:
        """Whether a recipe makes its weights here: in miniworld always, otherwise where nobody publishes them."""
        name = BackboneName.parse(backbone)
        if self.data != "paper":
            return True
        return name.file is None and not assets.has_backbone(backbone) and is_recipe(name.weights)

    @property
    def budgets(self) -> dict[str, Budgets]:
        """Training settings of the tasks that this study has; none of those that are only looked at."""
        given = {task: getattr(self, task) for task in METRICS if getattr(self, task) is not None}
        return {**{task: {} for task in self.look_at}, **given}

    @staticmethod
    def architecture(backbone: str) -> Architecture:
        """The architecture of ``architecture.weights``."""
        return architecture_named(BackboneName.parse(backbone).architecture)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Clean, then every corruption at every severity."""
        return conditions(self.corruptions, self.severities)

    @cached_property
    def inference_options(self) -> Execution:
        """How models are run when they are scored."""
        return _execution(self.inference, "inference")

    @cached_property
    def pretraining_options(self) -> Execution:
        """How networks are run when they learn upstream."""
        return _execution(self.pretraining, "pretraining")

    @cached_property
    def protocol(self) -> Switches:
        """On which side of every gap between the paper's text and its code this study is."""
        return Switches.of(self.variant, self.switches)

    @cached_property
    def places(self) -> assets.Roots:
        """Where the published weights and data sets are, or will be."""
        return assets.Roots(Path(self.data_root) if self.data_root else parameters.REPOSITORY / "data", self.roots)

    def budget(self, task: str, backbone: str) -> Budget:
        """The settings for this very backbone if there are some, or those of its family."""
        family, budgets = self.architecture(backbone).family, self.budgets[task]
        for whom in (backbone, family):
            if whom in budgets:
                return Budget.from_settings(budgets[whom], f"{task}.{whom}")
        raise UserError(f"{task} has no settings for {family} backbones, but {backbone} is one: add {task}.{family}.")

    @property
    def network_budget(self) -> Budget:
        """The settings of DeepAugment's helper networks."""
        if NETWORKS not in self.budgets["upstream"]:
            raise UserError(
                f"DeepAugment trains helper networks, and upstream has no settings for them: add {NETWORKS}."
            )
        return Budget.from_settings(self.budgets["upstream"][NETWORKS], f"upstream.{NETWORKS}")


def _execution(options: dict[str, Any], parameter: str) -> Execution:
    for name in options:
        choose(name, [field.name for field in fields(Execution)], f"setting of {parameter}")
    return Execution(**options)


_BUDGETS = {"": {"iterations": 0, "batch_size": 0, "lr": 0.0}}
#: One value of the right type for each parameter, for `check_parameters`; None where several types will do.
_EXAMPLES: dict[str, Any] = {
    "notebook": "", "profile": "", "outputs": "", "variation": "", "data": "", "data_root": "", "roots": {"": ""},
    "miniworld": {"": 0}, "backbones": [""], "yours": [""], "trained": [""], "corruptions": [""],
    "severities": [0], "engine": "",
    "classifier_images": "", "test_images": None, "replicates": 0, "resamples": 0, "seed": 0,
    "training_seeds": [0], "workers": 0, "processes": 0, "scheduler": None,
    "inference": {"precision": "", "channels_last": False, "compile": False},
    "pretraining": {"precision": "", "channels_last": False, "compile": False},
    "recipe": "", "variant": "", "switches": {"": ""}, "scales": {"": [0]},
    "upstream": _BUDGETS, "detection": _BUDGETS, "segmentation": _BUDGETS, "classification": _BUDGETS,
    "learning_rates": {"": [0.0]}, "look_at": [""],
}  # fmt: skip
