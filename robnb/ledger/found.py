"""What the notebooks of a profile have left in the store. Nothing is trained, scored or downloaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from robnb.errors import UserError
from robnb.evaluation.results import Evaluation
from robnb.ledger.roles import role_of
from robnb.planning.images import finished_evaluations
from robnb.planning.outlook import STEPS, Outlook
from robnb.published import CASCADE
from robnb.statistics import Results
from robnb.statistics.quantities import MODEL, QUANTITIES
from robnb.statistics.trainings import per_training
from robnb.store import Store
from robnb.tables import ARM

#: The notebooks that claims are about.
NOTEBOOKS = tuple(name for name in STEPS if name[:2] in {f"0{number}" for number in range(1, 7)})


@dataclass(frozen=True, eq=False)
class Chapter:
    """What one notebook has found, in one variation of its parameters.

    Attributes:
        variation: its name; "" for the profile's own parameters.
        evaluations: of a task each; only models that are finished.
        lacking: the models that are not.
        results: of all evaluations, on resamples that all chapters share.
    """

    notebook: str
    variation: str
    outlook: Outlook
    evaluations: tuple[Evaluation, ...]
    lacking: tuple[str, ...]
    results: Results

    @property
    def name(self) -> str:
        """As its folder is called."""
        return f"{self.notebook}@{self.variation}" if self.variation else self.notebook

    @cached_property
    def trainings(self) -> pd.DataFrame:
        """P, mPC, rPC and drop of each training, indexed by model, category and seed."""
        return per_training(self.results.scores).set_index([*MODEL, "category", "seed"])[list(QUANTITIES)].sort_index()

    @cached_property
    def rows(self) -> dict[tuple[str, ...], int]:
        """The row of ``results.summary`` of (backbone, weights, task, regime, metric, category)."""
        keys = self.results.summary[[*MODEL, "category"]].itertuples(index=False, name=None)
        return {key: row for row, key in enumerate(keys)}

    @cached_property
    def models(self) -> dict[tuple[str, str, str, str], tuple[str, str]]:
        """(backbone, weights) of each (role, arm, task, regime), the first where several are of a kind.

        A public Cascade Mask R-CNN is its backbone's detector as any other; a statement about it and another kind
        of detector is not tested (`robnb.ledger.cells.check_comparable`).
        """
        models = {}
        columns = ["backbone", "weights", "task", "regime"]
        for backbone, weights, task, regime in self.results.summary[columns].itertuples(index=False, name=None):
            plain, *arms = weights.split(ARM)
            role, arm = role_of(backbone, plain), ARM.join(part for part in arms if part != CASCADE)
            if role is not None:
                models.setdefault((role, arm, task, regime), (backbone, weights))
        return models

    @cached_property
    def images(self) -> dict[str, int]:
        """How many test images each task has."""
        return self.results.scores.groupby("task")["n_images"].max().to_dict()


@dataclass(frozen=True)
class Found:
    """The chapters of a profile that there are, and why the others are not there.

    Attributes:
        chapters: by (notebook, variation).
        absent: a sentence for each notebook whose own parameters were not run.
    """

    profile: str
    chapters: Mapping[tuple[str, str], Chapter]
    absent: Mapping[str, str]

    @property
    def variations(self) -> list[str]:
        """Names of all variations that some notebook was run in."""
        return sorted({variation for _, variation in self.chapters if variation})

    @property
    def with_severities(self) -> list[Chapter]:
        """The chapters that were run with more than one severity."""
        return [one for one in self.chapters.values() if len({c.severity for c in one.outlook.conditions}) > 2]

    def overview(self) -> pd.DataFrame:
        """A row for each notebook and variation: how many models it has scored, and what is lacking."""
        rows = [
            (name, variation, sum(len(e.models) for e in one.evaluations), ", ".join(one.lacking))
            for (name, variation), one in self.chapters.items()
        ]
        rows += [(name, "", 0, why) for name, why in self.absent.items()]
        return pd.DataFrame(sorted(rows), columns=["notebook", "variation", "models scored", "lacking"])

    def varied(self, variation: str) -> Found:
        """The same with one variation in place of the profile's own parameters, where it was run."""
        own = {name: chapter for (name, which), chapter in self.chapters.items() if which == variation}
        kept = {key: chapter for key, chapter in self.chapters.items() if not key[1] and key[0] not in own}
        return Found(self.profile, kept | {(name, ""): chapter for name, chapter in own.items()}, self.absent)


def find(outputs: Path, profile: str, resamples: int, seed: int = 0) -> Found:
    """Read what the notebooks 01 to 06 and their variations have finished.

    A notebook's parameters are those of its last finished run, in its provenance.json.

    Args:
        outputs: the folder that has a folder for each profile.
        resamples: of the test images, the same for all.
        seed: of the bootstrap.

    Raises:
        UserError: nothing of this profile was run.
    """
    chapters, absent = {}, {}
    for notebook in NOTEBOOKS:
        folders = sorted((outputs / profile).glob(f"{notebook}@*/provenance.json"))
        for path in [outputs / profile / notebook / "provenance.json", *folders]:
            variation = path.parent.name.partition("@")[2]
            try:
                chapters[notebook, variation] = _chapter(path, outputs, resamples, seed)
            except UserError as error:
                if not variation:
                    absent[notebook] = str(error)
    if not chapters:
        raise UserError(f"nothing of the profile {profile} was run into {outputs}: robnb run all --profile {profile}.")
    return Found(profile, chapters, absent)


def _chapter(path: Path, outputs: Path, resamples: int, seed: int) -> Chapter:
    parameters = _parameters(path)
    outlook = Outlook(**{**parameters, "outputs": str(outputs)})
    evaluations, lacking = finished_evaluations(outlook)
    if not evaluations:
        raise UserError(f"{path.parent.name}: nothing of it is in the store; {_run(path)}.")
    grid = [(condition.corruption, condition.severity) for condition in outlook.conditions]
    results = Results.of(evaluations, grid, resamples=resamples, seed=seed, store=Store(outlook.store_root))
    return Chapter(outlook.notebook, outlook.variation, outlook, tuple(evaluations), tuple(lacking), results)


def _parameters(path: Path) -> dict[str, Any]:
    """Of the notebook's last finished run."""
    if not path.is_file():
        raise UserError(f"{path.parent.name} was not run: {_run(path)}.")
    try:
        given = json.loads(path.read_text())["parameters"]
    except (OSError, ValueError, KeyError):
        raise UserError(f"{path} is damaged: {_run(path)}.") from None
    known = {field.name for field in fields(Outlook)}
    if not isinstance(given, dict) or set(given) - known:
        raise UserError(f"{path} is of another version of robnb: {_run(path)}.")
    return given


def _run(path: Path) -> str:
    name, _, variation = path.parent.name.partition("@")
    return f"robnb run {name} --profile {path.parents[1].name}" + (f" --variation {variation}" if variation else "")
