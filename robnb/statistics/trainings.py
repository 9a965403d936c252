"""Several trainings of one model: their mean, with an interval for other trainings and other test images together.

`robnb.statistics.Results` has intervals for these trainings on other images. Here the trainings are a sample too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.stats

from robnb.errors import UserError
from robnb.evaluation.gate import wilson
from robnb.names import choose
from robnb.statistics.planning import Z95
from robnb.statistics.quantities import BOUNDS, MODEL, QUANTITIES, quantities
from robnb.statistics.resampling import deviation
from robnb.statistics.results import Model, Results

_ROW = [*MODEL, "category"]
_ATTACKED = ["backbone", "weights", "eps"]
_LEVEL = 0.975  # of the upper end of a 95 % interval


def standard_error(
    between: np.ndarray, trainings: np.ndarray, images: np.ndarray, resamples: float
) -> tuple[np.ndarray, np.ndarray]:
    """The standard error of a mean over trainings, for other trainings and other test images; its degrees of freedom.

    sqrt(s^2 / n + v): s is ``between``, n is ``trainings`` and v is ``images`` squared. The degrees of freedom are
    those of Welch and Satterthwaite: n - 1 of the first part, ``resamples`` - 1 of the second.

    What other images would change in *one* training alone is in s and in v. It is thus counted twice, which makes the
    error a little too large where that is most of the uncertainty (README.md has the coverage).

    Args:
        between: standard deviation (n - 1) between trainings, on the same images.
        trainings: how many; all arrays are (rows,).
        images: standard deviation of the mean over these trainings when the images change.
        resamples: of the bootstrap that ``images`` comes from; infinite where it is known by formula.

    Returns:
        both float64 (rows,); NaN with one training, or where a part is not known.
    """
    of_trainings, of_images = np.square(between) / trainings, np.square(images)
    both = of_trainings + of_images
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = both**2 / (of_trainings**2 / (trainings - 1) + of_images**2 / (resamples - 1))
    return np.where(trainings < 2, np.nan, np.sqrt(both)), freedom


def half_width(between: np.ndarray, trainings: np.ndarray, images: np.ndarray, resamples: float) -> np.ndarray:
    """Half of the 95 % interval of a mean over trainings: `standard_error` times t of its degrees of freedom.

    Returns:
        float64 (rows,); NaN with one training, or where a part is not known.
    """
    error, freedom = standard_error(between, trainings, images, resamples)
    return np.where(error == 0, 0.0, scipy.stats.t.ppf(_LEVEL, freedom) * error)


def per_training(scores: pd.DataFrame) -> pd.DataFrame:
    """P, mPC, rPC and drop of every training alone; percent.

    Args:
        scores: the long results table of `robnb.metrics`.

    Returns:
        ``backbone``, ``weights``, ``task``, ``regime``, ``metric``, ``category``, ``seed``, ``P``, ``mPC``, ``rPC``,
        ``drop``; a row for each training and category.
    """
    parts = []
    for seed, of_seed in scores.groupby("seed"):
        found = quantities(of_seed, of_seed[["value"]].to_numpy(float))
        values = {name: found.values[name][:, 0] for name in QUANTITIES}
        parts.append(found.rows[_ROW].assign(seed=seed, **values))
    return pd.concat(parts, ignore_index=True)


def over_trainings(results: Results) -> pd.DataFrame:
    """P, mPC, rPC and drop of every model, with intervals for other trainings and other test images (`half_width`).

    Returns:
        the columns of ``results.summary`` and the same numbers, with these intervals in place of those over test
        images. ``seeds`` says how many trainings there are; with one, an interval is NaN.
    """
    summary = results.summary.copy()
    trainings = summary["seeds"].to_numpy()
    by_model = per_training(results.scores).groupby(_ROW, sort=False)[list(QUANTITIES)]
    between = by_model.agg(_deviation).reindex(pd.MultiIndex.from_frame(summary[_ROW]))
    for name in QUANTITIES:
        draws, points = results.draws[name], summary[name].to_numpy()
        half = half_width(between[name].to_numpy(), trainings, deviation(draws), draws.shape[1])
        summary[f"{name}_low"] = np.clip(points - half, *BOUNDS[name])
        summary[f"{name}_high"] = np.clip(points + half, *BOUNDS[name])
    return summary


def differences_over_trainings(
    results: Results, baselines: Mapping[Model, Model], quantity: str = "drop"
) -> pd.DataFrame:
    """Each model minus its baseline, paired: the same training seed and the same test images.

    Args:
        baselines: (backbone, weights) of each model to be compared, and of what it is compared with.
        quantity: "P", "mPC", "rPC" or "drop".

    Returns:
        ``backbone``, ``weights``, ``task``, ``regime``, ``metric``, ``category``, ``seeds``, ``difference``
        (percentage points), ``low``, ``high``: the interval for other trainings of both and other test images
        (`half_width`), NaN with one training.

    Raises:
        UserError: a model or its baseline was not evaluated, or they have other training seeds.
    """
    choose(quantity, QUANTITIES, "quantity")
    alone = per_training(results.scores).set_index([*_ROW, "seed"])[quantity].sort_index()
    _check_pairs(results.scores, baselines)
    places = pd.MultiIndex.from_frame(results.summary[_ROW])
    compared = [key for key in places if key[:2] in baselines]
    against = [(*baselines[key[:2]], *key[2:]) for key in compared]
    own, other = places.get_indexer(compared), places.get_indexer(against)
    between = [_deviation(alone.loc[one] - alone.loc[two]) for one, two in zip(compared, against, strict=True)]
    draws, points = results.draws[quantity], results.summary[quantity].to_numpy()
    seeds, difference = results.summary["seeds"].to_numpy()[own], points[own] - points[other]
    half = half_width(np.array(between), seeds, deviation(draws[own] - draws[other]), draws.shape[1])
    rows = pd.DataFrame(compared, columns=_ROW)
    return rows.assign(seeds=seeds, difference=difference, low=difference - half, high=difference + half)


def attacked_over_trainings(attacked: pd.DataFrame) -> pd.DataFrame:
    """Top-1 accuracy under attack, the mean over trainings with an interval for other trainings and other test images.

    What other images change is the mean of Wilson's intervals of the single trainings, as if all trainings found the
    same images hard. That is the most that it can be.

    Args:
        attacked: of `robnb.evaluation.attacks.under_attack`: ``backbone``, ``weights``, ``seed``, ``eps``,
            ``image_id``, ``right``.

    Returns:
        ``backbone``, ``weights``, ``eps``, ``seeds``, ``n_images``, ``top1`` (percent), ``low``, ``high``; with one
        training the ends are NaN.
    """
    rows = []
    for key, of_model in attacked.groupby(_ATTACKED, sort=False):
        right = _answers(of_model)
        images, trainings = right.shape
        tops = right.mean()
        low, high = np.mean([wilson(top1, images) for top1 in tops], axis=0)
        spread, top1 = _deviation(tops), tops.mean()
        below, above = (float(half_width(spread, trainings, abs(top1 - end) / Z95, np.inf)) for end in (low, high))
        rows.append((*key, trainings, images, top1, max(top1 - below, 0.0), min(top1 + above, 100.0)))
    return pd.DataFrame(rows, columns=[*_ATTACKED, "seeds", "n_images", "top1", "low", "high"])


def attack_differences(attacked: pd.DataFrame, baseline: Model) -> pd.DataFrame:
    """Each model's accuracy under attack minus the baseline's, paired: the same training seed and the same images.

    Args:
        attacked: as for `attacked_over_trainings`.
        baseline: (backbone, weights).

    Returns:
        ``backbone``, ``weights``, ``eps``, ``seeds``, ``n_images``, ``difference`` (percentage points), ``low``,
        ``high``: the interval for other trainings of both and other test images (`half_width`), NaN with one training.

    Raises:
        UserError: the baseline was not attacked, or a model has other training seeds.
    """
    _check_pairs(attacked, {model: baseline for model in _models(attacked)})
    right = {key: _answers(of_model) for key, of_model in attacked.groupby(_ATTACKED, sort=False)}
    rows = []
    for (backbone, weights, eps), own in right.items():
        if (backbone, weights) != baseline:
            gaps = own - right[*baseline, eps]
            images, trainings = gaps.shape
            difference, of_images = gaps.mean().mean(), _deviation(gaps.mean(axis=1)) / np.sqrt(images)
            half = float(half_width(_deviation(gaps.mean()), trainings, of_images, images))
            about = (backbone, weights, eps, trainings, images)
            rows.append((*about, difference, difference - half, difference + half))
    return pd.DataFrame(rows, columns=[*_ATTACKED, "seeds", "n_images", "difference", "low", "high"])


def _answers(of_model: pd.DataFrame) -> pd.DataFrame:
    """(images, trainings): 100 where the image was right, 0 where it was not."""
    return 100.0 * of_model.pivot(index="image_id", columns="seed", values="right")


def _models(frame: pd.DataFrame) -> list[Model]:
    return list(dict.fromkeys(zip(frame["backbone"], frame["weights"], strict=True)))


def _deviation(values: pd.Series) -> float:
    """Standard deviation (n - 1); NaN with one value, or with one that is undefined."""
    return values.std(ddof=1, skipna=False)


def _check_pairs(scores: pd.DataFrame, baselines: Mapping[Model, Model]) -> None:
    seeds = scores.groupby(["backbone", "weights"])["seed"].agg(lambda column: sorted(set(column)))
    for model in (*baselines, *baselines.values()):
        if model not in seeds.index:
            known = "; ".join(".".join(one) for one in seeds.index)
            raise UserError(f"{'.'.join(model)} was not evaluated: choose from {known}.")
    for model, baseline in baselines.items():
        if seeds[model] != seeds[baseline]:
            raise UserError(
                f"{'.'.join(model)} has the training seeds {seeds[model]} and {'.'.join(baseline)} "
                f"{seeds[baseline]}: evaluate both with the same."
            )
