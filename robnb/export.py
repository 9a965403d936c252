"""The per-image results of a sweep as files that other evaluators read.

    FOLDER/<backbone>.<weights>/<task>/<regime>/seed<k>/
        scores.csv                        this model's rows of the long results table (`robnb.metrics.COLUMNS`)
        ground_truth.json                 detection: COCO instances of the images that were scored
        <corruption>-<severity>[-r<replicate>]/
            boxes.json, masks.json        detection: COCO results
            confusion.csv                 segmentation: image_id, target, predicted, pixels
            iou.csv                       segmentation: image_id, class, intersection, union
            predictions.csv               classification: image_id, target, top1 ... top5, correct

``clean-0`` is uncorrupted; the replicate is named where there is more than one. Every model's folder is complete in
itself. Boxes and masks are two files because COCO's loaders (pycocotools' ``loadRes``) take a mask's area from the
box where there is one, and with it the size that it counts under. pycocotools cannot load a file without any detection;
AP is 0 then. A class is written as its name, with its position behind it where a data set has the name twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from robnb.corruptions import Condition
from robnb.data.coco import CocoImages
from robnb.data.sources import Reader
from robnb.errors import UserError
from robnb.evaluation.lists import flat, image_of_each
from robnb.evaluation.scoring import KINDS, coco_results, read_annotations
from robnb.names import CLEAN

if TYPE_CHECKING:
    from robnb.evaluation.sweep import Evaluation
    from robnb.evaluation.trained import TrainedModel


def export(evaluation: Evaluation, reader: Reader, folder: Path) -> list[Path]:
    """Write everything that a sweep found below ``folder``; files that are there already are written again.

    No file is ever there in part: it is written under another name and renamed.

    Args:
        evaluation: models of one task under all their conditions.
        reader: the test images that it is of.

    Returns:
        The folder of each model.

    Raises:
        UserError: a file cannot be written.
    """
    written = []
    for model in evaluation.models:
        into = model_folder(folder, model)
        for condition, replicate in _draws(evaluation):
            table = evaluation.per_image(model, condition, replicate)
            name = condition_name(condition, replicate if evaluation.replicates > 1 else None)
            _WRITERS[model.task](table, reader, into / name)
            if model.task == "detection" and condition == evaluation.conditions[0]:
                _write_ground_truth(table, reader, into)
        with _whole(into / "scores.csv") as path:
            _of_model(evaluation.scores, model).to_csv(path, index=False)
        written.append(into)
    return written


def model_folder(folder: Path, model: TrainedModel) -> Path:
    """Where a model's files go."""
    return Path(folder) / str(model.backbone) / model.task / model.regime / f"seed{model.seed}"


def condition_name(condition: Condition, replicate: int | None = None) -> str:
    """``fog-3``, or ``fog-3-r1`` where a replicate is given; clean has none."""
    name = f"{condition.corruption}-{condition.severity}"
    return name if replicate is None or condition.corruption == CLEAN else f"{name}-r{replicate}"


def _draws(evaluation: Evaluation) -> Iterator[tuple[Condition, int]]:
    for condition in evaluation.conditions:
        for replicate in range(1 if condition.corruption == CLEAN else evaluation.replicates):
            yield condition, replicate


def _of_model(scores: pd.DataFrame, model: TrainedModel) -> pd.DataFrame:
    about = {
        "backbone": model.backbone.architecture,
        "weights": model.backbone.weights,
        "task": model.task,
        "regime": model.regime,
        "seed": model.seed,
    }
    return scores[np.logical_and.reduce([scores[column] == value for column, value in about.items()])]


def _write_ground_truth(table: pa.Table, reader: CocoImages, folder: Path) -> None:
    content = read_annotations(reader.annotation_file)
    scored = set(table.column("coco_id").to_pylist())
    content["images"] = [image for image in content["images"] if image["id"] in scored]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in scored]
    with _whole(folder / "ground_truth.json") as path:
        path.write_text(json.dumps(content))


def _write_detections(table: pa.Table, reader: CocoImages, folder: Path) -> None:
    for kind, file in zip(KINDS, ("boxes.json", "masks.json"), strict=True):
        with _whole(folder / file) as path, path.open("w") as lines:
            lines.write("[")
            for number, result in enumerate(coco_results(table, reader.category_ids, kind)):
                lines.write(
                    ",\n" * bool(number) + json.dumps(result, default=bytes.decode)
                )  # only run lengths are bytes
            lines.write("]\n")


def _write_confusions(table: pa.Table, reader: Reader, folder: Path) -> None:
    image = image_of_each(table, "pixels")
    cells = pd.DataFrame({name: flat(table, name) for name in ("target", "predicted", "pixels")}).astype(np.int64)
    with _whole(folder / "confusion.csv") as path:
        _named(table, reader, image, cells, ("target", "predicted")).to_csv(path, index=False)
    with _whole(folder / "iou.csv") as path:
        overlaps = _overlaps(cells.assign(image=image))
        _named(table, reader, overlaps.pop("image"), overlaps, ("class",)).to_csv(path, index=False)


def _overlaps(cells: pd.DataFrame) -> pd.DataFrame:
    """image, class, intersection and union of every class in every image that it is labelled or predicted in."""
    sums = {
        name: cells.groupby(["image", name])["pixels"].sum().rename_axis(["image", "class"])
        for name in ("target", "predicted")
    }
    hit = cells[cells["target"] == cells["predicted"]].set_index(["image", "target"])["pixels"]
    union = sums["target"].add(sums["predicted"], fill_value=0)
    intersection = hit.rename_axis(["image", "class"]).reindex(union.index, fill_value=0)
    both = pd.DataFrame({"intersection": intersection, "union": union - intersection})
    return both.astype(np.int64).reset_index()


def _named(
    table: pa.Table, reader: Reader, image: Iterable[int], numbers: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """The numbers behind the image's id, with names for the classes."""
    ids = np.asarray(table.column("image_id").to_pylist(), object)
    names = np.asarray(_class_names(reader), object)
    shown = {name: names[numbers[name]] for name in classes}
    return numbers.assign(image_id=ids[np.asarray(image)], **shown)[["image_id", *numbers.columns]]


def _write_predictions(table: pa.Table, reader: Reader, folder: Path) -> None:
    names = np.asarray(_class_names(reader), object)
    target, top = flat(table, "target"), flat(table, "top").reshape(table.num_rows, -1)
    columns = {"image_id": table.column("image_id").to_pylist(), "target": names[target]}
    columns |= {f"top{place}": names[best] for place, best in enumerate(top.T, start=1)}
    with _whole(folder / "predictions.csv") as path:
        pd.DataFrame({**columns, "correct": (top[:, 0] == target).astype(int)}).to_csv(path, index=False)


def _class_names(reader: Reader) -> list[str]:
    return [
        f"{name} ({label})" if reader.classes.count(name) > 1 else name for label, name in enumerate(reader.classes)
    ]


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Another name to write a file under; it is renamed when the block ends without an exception."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): choose another folder or free some space.") from error


_WRITERS: dict[str, Callable[[pa.Table, Any, Path], None]] = {
    "upstream": _write_predictions,
    "classification": _write_predictions,
    "segmentation": _write_confusions,
    "detection": _write_detections,
}
