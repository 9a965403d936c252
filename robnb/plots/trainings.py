"""Upstream recipes: what they do to a picture, drop and scores beside Regular of the same cost, and under attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torchvision.transforms.v2.functional import resize

from robnb.augment import recipe_named
from robnb.augment.recipe import Recipe, Setting
from robnb.errors import UserError
from robnb.metrics import ALL
from robnb.names import CATEGORIES
from robnb.plots.drawing import Look, legend_outside, looks, undefined, view, whiskers
from robnb.seeding import seeded
from robnb.tables import ARM, label, with_labels

Controls = Mapping[tuple[str, str], tuple[str, str]]
_DROP = ["drop", "drop_low", "drop_high"]
_RECIPE, _CONTROL = Look(sns.color_palette("colorblind")[0], "o"), Look((0.45, 0.45, 0.45), "o")
_NOTHING = "there is no recipe with a control to draw: name a backbone such as resnet_mini.augmix."
#: The drops whose lines are drawn where clean and corrupted scores are, percent.
_LINES = range(0, 100, 10)


def recipe_samples(
    image: np.ndarray,
    recipes: Sequence[str],
    side: int,
    seed: int,
    networks: Mapping[str, Path] | None = None,
    count: int = 6,
) -> Figure:
    """What recipes make of a training image, a row of draws each.

    Recipes that change nothing, or that need the classifier itself, are left out.

    Args:
        image: uint8 RGB (H, W, 3).
        recipes: names of `robnb.augment.recipe_named`; the same one twice has one row.
        side: of the square training images, in pixels.
        seed: of the draws.
        networks: files of the trained helper networks, by name; without them, recipes that need them are left out.

    Raises:
        UserError: none of the recipes can be shown so.
    """
    networks = networks or {}
    shown = [recipe_named(name) for name in dict.fromkeys(recipes)]
    shown = [recipe for recipe in shown if _of_pictures(recipe, networks)]
    if not shown:
        raise UserError("none of these recipes can be shown on a picture alone: name one such as augmix or prime.")
    size = 1.6 * (count + 1), 1.9 * len(shown)
    figure, axes = plt.subplots(len(shown), count + 1, figsize=size, layout="constrained", squeeze=False)
    pixels = resize(torch.from_numpy(image).permute(2, 0, 1), [side, side], antialias=True)
    for row, recipe in zip(axes, shown, strict=True):
        augmenter = recipe.augmenter(None, Setting(1, side, networks))  # none of these looks at the classifier
        pictures = [pixels]
        for draw in range(count):
            with seeded("recipe samples", seed, draw):
                pictures.append(augmenter.views(pixels[None], torch.zeros(1, dtype=torch.int64))[-1, 0])
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(_picture(picture))
            axis.set_axis_off()
        row[0].set_title("image", fontsize=9)
        row[1].set_title(label("resnet50", recipe.name), fontsize=9)
    return figure


def _of_pictures(recipe: Recipe, networks: Mapping[str, Path]) -> bool:
    """Whether its views are another picture, a function of the image, of draws and of networks that are there."""
    if recipe.networks:
        return set(recipe.networks) <= set(networks)
    return type(recipe).augmenter is Recipe.augmenter and type(recipe).views is not Recipe.views


def _picture(view: torch.Tensor) -> np.ndarray:
    """(3, H, W), uint8 or float in [0, 1] -> uint8 (H, W, 3)."""
    if view.is_floating_point():
        view = (255 * view).round().clamp(0, 255).byte()
    return view.permute(1, 2, 0).numpy()


def drops_beside_controls(over: pd.DataFrame, controls: Controls, length: str = "of the same cost") -> Figure:
    """Drop of each recipe (filled) and of Regular that was trained as long (open), a panel per category of corruptions.

    Args:
        over: one task's, of `robnb.statistics.trainings.over_trainings`.
        controls: the control of each recipe, both as (backbone, weights).
        length: how long the controls were trained, in words.

    Raises:
        UserError: there is no recipe with a control.
    """
    rows = _compared(over, controls)
    limits = view(*(pd.concat([rows[column], rows[f"{column}_control"]]) for column in _DROP))
    figure, drawn = _by_category(rows, limits)
    for axis, panel in drawn:
        for row in panel.to_dict("records"):
            for of, away, look in (("", 0.16, _RECIPE), ("_control", -0.16, _CONTROL)):
                drop, low, high = (row[column + of] for column in _DROP)
                _dot(axis, row["place"] + away, (drop, low, high), look, limits, filled=not of)
    figure.supxlabel(f"drop (%); filled: the recipe, open: Regular {length}", fontsize=9)
    return figure


def differences_by_category(differences: pd.DataFrame) -> Figure:
    """Each recipe's drop minus its control's, a panel per category; open where the interval holds zero.

    Args:
        differences: one task's, of `robnb.statistics.trainings.differences_over_trainings`.

    Raises:
        UserError: there is no difference.
    """
    if differences.empty:
        raise UserError(_NOTHING)
    rows = with_labels(differences)
    limits = view(rows["difference"], rows["low"], rows["high"])
    limits = (min(limits[0], -0.1 * limits[1]), max(limits[1], -0.1 * limits[0]))  # zero is never at the border
    figure, drawn = _by_category(rows, limits)
    for axis, panel in drawn:
        for row in panel.to_dict("records"):
            numbers = row["difference"], row["low"], row["high"]
            _dot(axis, row["place"], numbers, _RECIPE, limits, filled=row["low"] > 0 or row["high"] < 0)
    called = "drop minus that of Regular of the same cost (percentage points); left of zero is more robust"
    figure.supxlabel(f"{called}; open: the interval holds zero", fontsize=9)
    return figure


def _by_category(rows: pd.DataFrame, limits: tuple[float, float]) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A panel for each category, with its rows; their ``place`` is the height at which the model stands."""
    models = list(dict.fromkeys(rows["model"]))
    rows = rows.assign(place=[-models.index(model) for model in rows["model"]])
    order = [category for category in (ALL, *CATEGORIES) if category in set(rows["category"])]
    size = (1.6 + 2.0 * len(order), 1.1 + 0.4 * len(models))
    figure, axes = plt.subplots(1, len(order), figsize=size, sharey=True, layout="constrained", squeeze=False)
    for axis, category in zip(axes[0], order, strict=True):
        axis.set_title(category, fontsize=10)
        axis.set(xlim=limits, ylim=(0.5 - len(models), 0.5))
        axis.set_yticks([-k for k in range(len(models))], models, fontsize=9)
        axis.tick_params(axis="x", labelsize=9)
        axis.grid(axis="y", visible=False)
        axis.axvline(0, color="0.2", linewidth=1.0, zorder=2)
        for border in range(1, len(models)):
            axis.axhline(0.5 - border, color="0.88", linewidth=0.8)
    panels = [rows[rows["category"] == category] for category in order]
    return figure, list(zip(axes[0], panels, strict=True))


def _dot(
    axis: Axes,
    place: float,
    numbers: tuple[float, float, float],
    look: Look,
    limits: tuple[float, float],
    *,
    filled: bool,
) -> None:
    """An estimate with the ends of its interval."""
    estimate, low, high = numbers
    if np.isnan(estimate):
        undefined(axis, place, 0.0, horizontal=True)
        return
    whiskers(axis, [place], [low], [high], limits, horizontal=True, colour=look.colour)
    axis.scatter([estimate], [place], s=34, marker=look.marker, c=[look.colour] if filled else "white",
                 edgecolors=[look.colour], linewidths=1.5, zorder=5)  # fmt: skip


def _compared(over: pd.DataFrame, controls: Controls) -> pd.DataFrame:
    """The recipes' rows, with their controls' numbers beside them as ``_control``."""
    rows = with_labels(over)
    key, models = ["backbone", "weights", "category"], list(zip(rows["backbone"], rows["weights"], strict=True))
    recipes = rows[[model in controls for model in models]]
    if recipes.empty:
        raise UserError(_NOTHING)
    wanted = [(*controls[model[:2]], model[2]) for model in recipes[key].itertuples(index=False, name=None)]
    theirs = rows.set_index(key).loc[wanted].add_suffix("_control").reset_index(drop=True)
    return pd.concat([recipes.reset_index(drop=True), theirs], axis=1)


def clean_against_corrupted(over: pd.DataFrame) -> Figure:
    """mPC against P with both intervals, a point per model; grey: Regular trained for longer. Dotted: equal drops.

    Args:
        over: one task's, of `robnb.statistics.trainings.over_trainings`.
    """
    rows = with_labels(over[over["category"] == ALL]).to_dict("records")
    plain = [row["model"] for row in rows if ARM not in row["weights"]]  # the others were trained for comparisons alone
    look = looks(plain)
    figure, axis = plt.subplots(figsize=(7.4, 4.8), layout="constrained")
    along, up = (_range(rows, quantity) for quantity in ("P", "mPC"))
    for drop in _LINES:
        _equal_drop(axis, drop, along, up)
    for row in rows:
        drawn = look.get(row["model"], _CONTROL)
        whiskers(axis, [row["mPC"]], [row["P_low"]], [row["P_high"]], along, horizontal=True, colour=drawn.colour)
        whiskers(axis, [row["P"]], [row["mPC_low"]], [row["mPC_high"]], up, colour=drawn.colour)
        face = [drawn.colour] if row["model"] in look else "white"
        axis.scatter([row["P"]], [row["mPC"]], s=46, marker=drawn.marker, c=face, edgecolors=[drawn.colour], zorder=5)
    for model, of_model in look.items():
        axis.plot([], [], of_model.marker, color=of_model.colour, markersize=6, label=model)
    axis.plot([], [], "o", color=_CONTROL.colour, markerfacecolor="white", label="Regular, longer")
    axis.set(xlim=along, ylim=up, xlabel="clean, P (%)", ylabel="corrupted, mPC (%)")
    legend_outside(axis)
    return figure


def _range(rows: Sequence[Mapping], quantity: str) -> tuple[float, float]:
    """Every estimate and interval of a score, with a margin, inside 0 to 100."""
    ends = [row[quantity + end] for row in rows for end in ("", "_low", "_high")]
    low, high = np.nanmin(ends), np.nanmax(ends)
    margin = max(1.0, 0.08 * (high - low))
    return max(0.0, low - margin), min(101.0, high + margin)


def _equal_drop(axis: Axes, drop: float, along: tuple[float, float], up: tuple[float, float]) -> None:
    """The line on which every model has this drop, with its number where it comes in from below or from the left."""
    share = 1 - drop / 100
    x = max(along[0], up[0] / share)
    if x < along[1] and x * share < up[1]:
        axis.plot(along, [share * end for end in along], ":", color="0.72", linewidth=1, zorder=1)
        axis.annotate(f"{drop} %", (x, x * share), (4, 2), textcoords="offset points", fontsize=7, color="0.45")


def under_attack(attacked: pd.DataFrame) -> Figure:
    """Accuracy against the radius of the attack, a line per model.

    Args:
        attacked: ``backbone``, ``weights``, ``eps``, ``top1``, ``low``, ``high`` (percent), one row per model and
            radius: `robnb.statistics.trainings.attacked_over_trainings`.

    Raises:
        UserError: nothing was attacked.
    """
    if attacked.empty:
        raise UserError("nothing was attacked: give a model and a radius.")
    rows = with_labels(attacked)
    look = looks(rows["model"])
    radii = sorted(rows["eps"].unique())
    gap = min(np.diff(radii), default=1.0)
    figure, axis = plt.subplots(figsize=(7.4, 4.2), layout="constrained")
    most = max(1.0, rows[["high", "top1"]].max(axis=None))  # of one training there is no interval
    limits = (-0.03 * most, 1.04 * most)
    for k, (model, line) in enumerate(rows.groupby("model", sort=False)):
        line, drawn = line.sort_values("eps"), look[model]
        places = line["eps"] + 0.08 * gap * (k - (len(look) - 1) / 2)  # a little apart, because intervals overlap
        axis.plot(places, line["top1"], drawn.marker + "-", color=drawn.colour, linewidth=1.3, label=model, zorder=5)
        whiskers(axis, places, line["low"], line["high"], limits, colour=drawn.colour)
    axis.set_xticks(radii, [f"{radius:g}" for radius in radii])
    axis.set(ylim=limits, xlabel="radius of the attack (L2)", ylabel="top-1 (%)")
    legend_outside(axis)
    return figure
