"""The settings of a study: what a notebook's parameters say, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from robnb import parameters
from robnb.augment import recipe_named
from robnb.corruptions import ENGINES, Condition, conditions
from robnb.distributed import check_scheduler
from robnb.errors import UserError
from robnb.evaluation.predict import Inference
from robnb.launch import share
from robnb.models.backbones import ARCHITECTURES, Architecture, BackboneName
from robnb.names import METRICS, choose
from robnb.statistics.resampling import MIN_RESAMPLES
from robnb.training import Budget

#: Where the data of a study come from.
WORLDS = ("miniworld", "paper")
#: Training settings: a budget for each family of backbones ("resnet", "swin"), or for a backbone by its full name.
Budgets = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A notebook's parameters, checked; what each means stands beside it in the notebook.

    A task whose budgets are None is not part of the study.

    Raises:
        UserError: a name or value that cannot be meant, before anything is computed.
    """

    notebook: str
    profile: str
    outputs: str
    data: str
    data_root: str
    miniworld: dict[str, int]
    backbones: list[str]
    corruptions: list[str]
    severities: list[int]
    engine: str
    test_images: int | None
    replicates: int
    resamples: int
    seed: int
    training_seeds: list[int]
    workers: int
    processes: int
    scheduler: str | None
    inference: dict[str, Any]
    scales: dict[str, list[int]]
    upstream: Budgets | None = None
    detection: Budgets | None = None
    segmentation: Budgets | None = None
    classification: Budgets | None = None

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in given.items() if value is not None or name not in METRICS}
        parameters.check_parameters(given, _EXAMPLES, "parameters")
        choose(self.data, WORLDS, "data")
        choose(self.engine, ENGINES, "engine")
        check_scheduler(self.scheduler)
        self._check_counts()
        if not self.backbones:
            raise UserError("no backbone was given: name at least one, such as resnet_mini.regular.")
        for task in self.budgets:
            if task != "upstream" or self.data != "paper":  # published weights are not trained
                self._check_budgets(task)
        if self.data == "miniworld":
            for name in self.backbones:
                recipe_named(BackboneName.parse(name).weights)
        _ = self.conditions, self.inference_options

    def _check_counts(self) -> None:
        for name, least in {"replicates": 1, "resamples": MIN_RESAMPLES, "processes": 1, "workers": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least {least}.")
        if not self.training_seeds or len(set(self.training_seeds)) < len(self.training_seeds):
            raise UserError(f"training_seeds is {self.training_seeds}: name at least one seed, and each only once.")

    def _check_budgets(self, task: str) -> None:
        """Every entry is of a known family or backbone and whole, and every backbone of the study has one."""
        for whom, settings in self.budgets[task].items():
            if "." in whom:
                BackboneName.parse(whom)
            else:
                choose(whom, ("resnet", "swin"), f"family of backbones in {task}")
            Budget.from_settings(settings, f"{task}.{whom}")
        for name in self.backbones:
            share(self.budget(task, name).batch_size, self.processes)

    @property
    def budgets(self) -> dict[str, Budgets]:
        """Training settings of the tasks that this study has."""
        return {task: getattr(self, task) for task in METRICS if getattr(self, task) is not None}

    @staticmethod
    def architecture(backbone: str) -> Architecture:
        """The architecture of ``architecture.weights``."""
        return ARCHITECTURES[BackboneName.parse(backbone).architecture]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Clean, then every corruption at every severity."""
        return conditions(self.corruptions, self.severities)

    @cached_property
    def inference_options(self) -> Inference:
        """How models are run when they are scored."""
        for name in self.inference:
            choose(name, [field.name for field in fields(Inference)], "setting of inference")
        return Inference(**self.inference)

    @property
    def baseline(self) -> tuple[str, str]:
        """(architecture, weights) of the first backbone, which the others are compared with."""
        name = BackboneName.parse(self.backbones[0])
        return name.architecture, name.weights

    def budget(self, task: str, backbone: str) -> Budget:
        """The settings for this very backbone if there are some, or those of its family."""
        family, budgets = self.architecture(backbone).family, self.budgets[task]
        for whom in (backbone, family):
            if whom in budgets:
                return Budget.from_settings(budgets[whom], f"{task}.{whom}")
        raise UserError(f"{task} has no settings for {family} backbones, but {backbone} is one: add {task}.{family}.")


_BUDGETS = {"": {"iterations": 0, "batch_size": 0, "lr": 0.0}}
#: One value of the right type for each parameter, for `check_parameters`; None where several types will do.
_EXAMPLES: dict[str, Any] = {
    "notebook": "", "profile": "", "outputs": "", "data": "", "data_root": "",
    "miniworld": {"": 0}, "backbones": [""], "corruptions": [""], "severities": [0], "engine": "", "test_images": None,
    "replicates": 0, "resamples": 0, "seed": 0, "training_seeds": [0], "workers": 0, "processes": 0, "scheduler": None,
    "inference": {"precision": "", "channels_last": False, "compile": False}, "scales": {"": [0]},
    "upstream": _BUDGETS, "detection": _BUDGETS, "segmentation": _BUDGETS, "classification": _BUDGETS,
}  # fmt: skip
