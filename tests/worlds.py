"""Worlds whose truth is known: what the notebooks would have found if the models' scores were these."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd

from robnb.corruptions import conditions
from robnb.ledger.found import NOTEBOOKS, Chapter, Found
from robnb.names import CLEAN, CORRUPTIONS, METRICS, category_of
from robnb.published import PRIME_ARM
from robnb.statistics import Results
from robnb.statistics.quantities import QUANTITIES, quantities
from robnb.tables import ARM

RESAMPLES = 1000
RATES = {"detection": [0.01, 0.02, 0.04], "segmentation": [0.1, 0.2, 0.4]}
_FOUR = ("resnet_mini.regular", "resnet_mini.ant3x3", "resnet_mini.deepaug_augmix", "swin_mini.regular")
_MIXED = ("resnet_mini.regular", "resnet_mini.deepaug_augmix", "resnet_mini.prime", "swin_mini.regular")
#: (backbones, downstream tasks, regime) of each notebook.
_PLANS = {
    "01_fixed_feature": (_FOUR, ("detection", "segmentation"), "fixed_feature"),
    "02_full_network": (_FOUR, ("detection", "segmentation", "classification"), "full_network"),
    "03_model_size": (
        ("swin_mini.regular", "swin_mini_small.regular", "swin_mini_base.regular", "swin_mini_base.regular_larger"),
        ("detection", "segmentation"), "full_network",
    ),
    "04_adversarial_priors": (
        tuple(f"resnet_mini.l2_eps{eps}" for eps in ("0", "0.1", "0.5", "1")),
        ("detection", "segmentation"), "full_network",
    ),
    "05_finetuning_lr": (("resnet_mini.prime",), ("detection", "segmentation"), "full_network"),
    "06_prime": (_MIXED, ("detection", "segmentation"), "full_network"),
}  # fmt: skip
#: Given (notebook, backbone, arm, task, category): the true clean score and the true drop, percent.
Truth = Callable[[str, str, str, str, str], tuple[float, float]]


def found(truth: Truth, error: float = 0.1, notebooks=NOTEBOOKS, seeds=(0,)) -> Found:
    """All notebooks of a world.

    Args:
        error: standard deviation of every score over test images, and of every training.
    """
    chapters = {(name, ""): chapter(name, truth, error, seeds) for name in notebooks}
    absent = {
        name: f"{name} was not run: robnb run {name} --profile mini." for name in NOTEBOOKS if name not in notebooks
    }
    return Found("mini", chapters, absent)


def chapter(notebook: str, truth: Truth, error: float, seeds=(0,)) -> Chapter:
    """One notebook's scores around the truth, with draws of theirs."""
    rows = [
        (*backbone.split(".", 1), arm, task, regime, metric, seed, corruption, int(corruption != CLEAN))
        for backbone, arm, task, regime in _models(notebook)
        for metric in METRICS[task]
        for seed in seeds
        for corruption in (CLEAN, *CORRUPTIONS)
    ]
    columns = ["backbone", "weights", "arm", "task", "regime", "metric", "seed", "corruption", "severity"]
    scores = pd.DataFrame(rows, columns=columns).assign(replicate=0, n_images=100)
    draw = np.random.default_rng(0)
    values = np.array([_score(notebook, truth, row) for row in scores.itertuples()])
    scores["value"] = values + draw.normal(0, error, len(values)) * (len(seeds) > 1)
    scores["weights"] = [ARM.join(filter(None, pair)) for pair in zip(scores["weights"], scores["arm"], strict=True)]
    scores = scores.drop(columns="arm")
    draws = scores["value"].to_numpy()[:, None] + draw.normal(0, error, (len(values), RESAMPLES))
    grid = conditions(["benchmark"], [1])
    outlook = SimpleNamespace(learning_rates=RATES, conditions=grid, variation="")
    return Chapter(notebook, "", outlook, (), (), results(scores, draws))


def results(scores: pd.DataFrame, draws: np.ndarray) -> Results:
    """As `Results.of` makes them, of draws that are given."""
    points, resampled = quantities(scores, scores[["value"]].to_numpy(float)), quantities(scores, draws).values
    summary = points.rows.assign(**{name: points.values[name][:, 0] for name in QUANTITIES})
    return Results(scores, summary, resampled)


def _models(notebook: str) -> list[tuple[str, str, str, str]]:
    """(backbone, arm, task, regime) of everything that it scores."""
    backbones, tasks, regime = _PLANS[notebook]
    upstream = [(backbone, "", "upstream", "pretrained") for backbone in backbones]
    arms = {
        "05_finetuning_lr": {task: [f"lr {rate:g}" for rate in rates] for task, rates in RATES.items()},
        "06_prime": {task: ["", PRIME_ARM] for task in tasks},
    }.get(notebook, {task: [""] for task in tasks})
    return upstream + [(backbone, arm, task, regime) for task in tasks for arm in arms[task] for backbone in backbones]


def _score(notebook: str, truth: Truth, row: tuple) -> float:
    category = category_of(row.corruption) if row.corruption != CLEAN else ""
    clean, drop = truth(notebook, f"{row.backbone}.{row.weights}", row.arm, row.task, category)
    return clean if row.corruption == CLEAN else clean * (1 - drop / 100)
