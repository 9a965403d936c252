"""The end-to-end part of the speed notebook: its parameters, checked, and what it measures, step by step."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from robnb import parameters
from robnb.augment import recipe_named
from robnb.augment.deepaugment import network_for
from robnb.augment.recipe import REGULAR
from robnb.corruptions import MIN_SIDE, Condition
from robnb.corruptions.conditions import conditions
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.evaluation.trained import TrainedModel
from robnb.models.architectures import BackboneName
from robnb.names import choose
from robnb.pretrain import PretrainSpec
from robnb.speed import recipes, report, stages, stand_ins, sweep_report, sweep_speed, training_speed
from robnb.speed.sweep_speed import Case
from robnb.transfer import TransferSpec

#: The two cases that are raced.
SMALL, R50 = "small detector", "Mask R-CNN R50"


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """A speed notebook's parameters about sweeps and training; what each means stands beside it in the notebook.

    Raises:
        UserError: a name or value that cannot be meant, before anything is computed.
    """

    models_of: str
    models_profile: str
    backbone: str
    sweep_images: int
    sweep_corruptions: list[str]
    sweep_severities: list[int]
    sweep_rounds: int
    loader_workers: int
    stage_images: int
    growth_images: int
    growth_processes: list[int]
    r50_images: int
    r50_size: list[int]
    r50_scale: list[int]
    r50_corruptions: list[str]
    r50_detections: int
    training_iterations: int
    options_tried: list[str]
    option_images: int
    option_corruptions: list[str]
    recipes_tried: list[str]
    recipe_size: int
    recipe_batch: int
    recipe_steps: int

    @classmethod
    def from_notebook(cls, namespace: dict[str, Any]) -> EndToEnd:
        """Take the parameters from a notebook's globals; `robnb.speed.Benchmark` finds a misspelt one."""
        return cls(**{field.name: namespace[field.name] for field in fields(cls) if field.name in namespace})

    def __post_init__(self) -> None:
        parameters.check_parameters(asdict(self), _EXAMPLES, "parameters")
        BackboneName.parse(self.backbone)
        _ = self.conditions, self.r50_conditions, self.option_conditions
        for what, least in _LEAST.items():
            if getattr(self, what) < least:
                raise UserError(f"{what} should be at least {least}, not {getattr(self, what)}.")
        for option in self.options_tried:
            choose(option, sweep_speed.OPTIONS, "way to run a model")
        for recipe in self.recipes_tried:
            for network in recipe_named(recipe).networks:
                network_for(network, self.recipe_size)
        if min(self.growth_processes, default=1) < 1:
            raise UserError(f"growth_processes should be numbers of at least 1, not {self.growth_processes}.")
        for what in ("r50_size", "r50_scale"):
            if len(getattr(self, what)) != 2 or min(getattr(self, what)) < MIN_SIDE:
                raise UserError(f"{what} should be two numbers, each at least {MIN_SIDE}, not {getattr(self, what)}.")

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Of the sweep of the small detector."""
        return conditions(self.sweep_corruptions, self.sweep_severities)

    @cached_property
    def r50_conditions(self) -> tuple[Condition, ...]:
        """Of the sweep of the large one."""
        return conditions(self.r50_corruptions, self.sweep_severities)

    @cached_property
    def option_conditions(self) -> tuple[Condition, ...]:
        """Under which the ways to run a model are compared."""
        return conditions(self.option_corruptions, self.sweep_severities)

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix="robnb-speed-")

    @property
    def scratch(self) -> Path:
        """For what is made to be timed; it is deleted at the end of the process."""
        return Path(self._scratch.name)

    def small(self, model: TrainedModel, data: TaskData) -> Case:
        """A trained detector and its test set."""
        return Case(SMALL, model, data, self.conditions, min(self.sweep_images, len(data.open("test"))))

    def r50(self) -> Case:
        """Mask R-CNN R50 with random weights on photographs."""
        folder = self.scratch / "r50"
        data = stand_ins.photographs(folder / "data", self.r50_images, tuple(self.r50_size))
        model = stand_ins.random_detector(folder, "resnet50", tuple(self.r50_scale), self.r50_detections)
        return Case(R50, model, data, self.r50_conditions, self.r50_images)

    def race(self, case: Case) -> tuple[pd.DataFrame, pd.DataFrame]:
        """`robnb.speed.sweep_speed.race`; of the large detector with one number of images only."""
        sizes = [case.images] if case.title == R50 else ()
        folder = self.scratch / "race"
        return sweep_speed.race(case, folder, rounds=self.sweep_rounds, workers=self.loader_workers, sizes=sizes)

    def race_text(self, races: Sequence[pd.DataFrame]) -> str:
        """The races as a table with what it says. The CPU's aim is set for the small detector, the GPU's for R50."""
        runs = pd.concat(races, ignore_index=True)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        aimed = {"cpu": SMALL, "cuda": R50}[device]
        lines = [
            "- " + sweep_report.race_sentence(runs, case, sweep_report.AIMS[device] if case == aimed else None)
            for case in runs["case"].unique()
        ]
        return self._kept("race", runs, sweep_report.race_table(runs), "\n".join(lines))

    def stages(self, cases: Sequence[Case]) -> pd.DataFrame:
        """Of a few images of each case: `robnb.speed.stages.COLUMNS`."""
        few = [case.first(images=min(case.images, self.stage_images)) for case in cases]
        return pd.concat([stages.stages(case, self.scratch / "stages") for case in few], ignore_index=True)

    def stage_text(self, seconds: pd.DataFrame) -> str:
        """The stages as a table."""
        return self._kept("stages", seconds, sweep_report.stage_table(seconds))

    def growth(self, case: Case) -> pd.DataFrame:
        """`robnb.speed.sweep_speed.growth`."""
        part = case.first(images=min(case.images, self.growth_images))
        return sweep_speed.growth(part, self.scratch / "growth", self.growth_processes)

    def growth_text(self, seconds: pd.DataFrame) -> str:
        """The growth as a table."""
        return self._kept("growth", seconds, sweep_report.growth_table(seconds))

    def training(self, specs: Sequence[TransferSpec], weights: Path, tasks: dict[str, TaskData]) -> pd.DataFrame:
        """`robnb.speed.training_speed.compare` of each task's transfer."""
        ways = [training_speed.compare(spec, weights, tasks[spec.task], self.training_iterations) for spec in specs]
        return pd.concat(ways, ignore_index=True)

    def training_text(self, iterations: pd.DataFrame) -> str:
        """The training as a table with what it says."""
        sentence = sweep_report.training_sentence(iterations)
        return self._kept("training", iterations, sweep_report.training_table(iterations), sentence)

    def recipes(self, spec: PretrainSpec, data: TaskData) -> pd.DataFrame:
        """`robnb.speed.recipes.compare` of upstream training by Regular and all that are tried, and their helpers.

        Args:
            spec: of the training of an upstream classifier; its size, batch and length are replaced by the parameters.
        """
        names, timed = list(dict.fromkeys([REGULAR.name, *self.recipes_tried])), self._timed(spec)
        steps = recipes.compare(timed, data, [(name, recipes.FLOAT32) for name in names])
        helpers = recipes.helpers(timed, data, names)
        return pd.concat([steps, helpers], ignore_index=True) if len(helpers) else steps

    def recipe_text(self, steps: pd.DataFrame) -> str:
        """The recipes as a table with what it says."""
        return self._kept("recipes", steps, sweep_report.recipe_table(steps), sweep_report.recipe_sentence(steps))

    def executions(self, spec: PretrainSpec, data: TaskData, steps: pd.DataFrame) -> pd.DataFrame:
        """As `recipes`, of Regular and the slowest recipe, run in the ways that the options allow.

        Args:
            steps: what `recipes` gave.
        """
        names = dict.fromkeys([REGULAR.name, sweep_report.slowest_recipe(steps)])
        tried = [(name, way) for name in names for way in recipes.ways(self.options_tried)]
        return recipes.compare(self._timed(spec), data, tried)

    def execution_text(self, steps: pd.DataFrame) -> str:
        """The ways to train as a table with what it says."""
        sentence = sweep_report.execution_sentence(steps)
        return self._kept("executions", steps, sweep_report.execution_table(steps), sentence)

    def _timed(self, spec: PretrainSpec) -> PretrainSpec:
        budget = replace(spec.budget, iterations=self.recipe_steps, batch_size=self.recipe_batch)
        return replace(spec, image_size=self.recipe_size, budget=budget, processes=1)

    def options(self, models: Sequence[TrainedModel], tasks: dict[str, TaskData]) -> pd.DataFrame:
        """`robnb.speed.sweep_speed.options`."""
        pairs = [(model, tasks[model.task]) for model in models]
        names = dict.fromkeys(["float32", *self.options_tried])  # what the others are compared with comes first
        ways = {name: sweep_speed.OPTIONS[name] for name in names}
        return sweep_speed.options(pairs, self.option_conditions, self.option_images, self.scratch / "options", ways)

    def option_text(self, scores: pd.DataFrame) -> str:
        """The ways to run a model as a table with what it says."""
        sentence = sweep_report.option_sentence(scores)
        return self._kept("options", scores, sweep_report.option_table(scores), sentence)

    def _kept(self, name: str, measured: pd.DataFrame, table: pd.DataFrame, sentence: str = "") -> str:
        text = "\n\n".join(filter(None, [report.markdown(table), sentence]))
        self.measured[name], self._texts[name] = measured, text
        return text

    @cached_property
    def measured(self) -> dict[str, pd.DataFrame]:
        """What has been measured and put into words so far, by name."""
        return {}

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    @property
    def sections(self) -> list[str]:
        """Tables and sentences so far, as Markdown with a heading each."""
        return [f"## {name.title()}\n\n{text}" for name, text in self._texts.items()]


#: The least that a parameter may be: a first iteration is not counted, so there must be another; BatchNorm needs two
#: images.
_LEAST = {
    "sweep_images": 1, "sweep_rounds": 1, "loader_workers": 0, "stage_images": 1, "growth_images": 2, "r50_images": 1,
    "r50_detections": 1, "training_iterations": 2, "option_images": 1, "recipe_size": MIN_SIDE, "recipe_batch": 2,
    "recipe_steps": 1,
}  # fmt: skip
#: One value of the right type for each parameter, for `check_parameters`.
_EXAMPLES: dict[str, Any] = {
    "models_of": "", "models_profile": "", "backbone": "", "sweep_images": 0, "sweep_corruptions": [""],
    "sweep_severities": [0], "sweep_rounds": 0, "loader_workers": 0, "stage_images": 0, "growth_images": 0,
    "growth_processes": [0], "r50_images": 0, "r50_size": [0], "r50_scale": [0], "r50_corruptions": [""],
    "r50_detections": 0, "training_iterations": 0, "options_tried": [""], "option_images": 0,
    "option_corruptions": [""], "recipes_tried": [""], "recipe_size": 0, "recipe_batch": 0, "recipe_steps": 0,
}  # fmt: skip
