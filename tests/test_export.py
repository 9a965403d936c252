"""Other evaluators get our scores from the exported files; each test reads the files and nothing else of ours."""

import contextlib
import io
import json
from pathlib import Path

import imperfect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from robnb.corruptions import Condition
from robnb.data.sources import Reader
from robnb.errors import UserError
from robnb.evaluation.scoring import score
from robnb.evaluation.trained import TrainedModel
from robnb.export import condition_name, export
from robnb.metrics import COLUMNS
from robnb.models.architectures import BackboneName

CLEAN, FOG = Condition("clean", 0), Condition("fog", 3)


class Imperfect:
    """What a sweep over two models would give, had they predicted what `imperfect` does: clean, and fog drawn twice."""

    conditions = (CLEAN, FOG)

    def __init__(self, task: str, reader: Reader, images: int | None = None, replicates: int = 2) -> None:
        self.replicates, regime = replicates, "pretrained" if task == "upstream" else "full_network"
        self.models = tuple(
            TrainedModel(BackboneName("resnet_nano", weights), task, regime, weights, 1, (64, 64), Path(), object)
            for weights in ("regular", "augmix")
        )
        samples, rng = list(reader)[:images], np.random.default_rng(0)
        self.cells, rows = {}, []
        for model in self.models:
            for condition, replicate in [(CLEAN, 0), *((FOG, r) for r in range(replicates))]:
                found = [imperfect.PREDICTIONS[task](sample, rng) for sample in samples]
                table = imperfect.table(task, samples, found, condition, replicate)
                self.cells[model, condition, replicate] = table
                for metric, value in score(task, table, reader).items():
                    rows.append([
                        model.backbone.architecture, model.backbone.weights, task, regime, metric, model.seed,
                        condition.corruption, condition.severity, replicate, value, len(samples),
                    ])  # fmt: skip
        self.scores = pd.DataFrame(rows, columns=COLUMNS)

    def per_image(self, model: TrainedModel, condition: Condition, replicate: int = 0) -> pa.Table:
        return self.cells[model, condition, replicate]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return imperfect.readers(tmp_path_factory.mktemp("data"))


def exported(tmp_path: Path, task: str, reader: Reader, **options) -> list[tuple[Path, Path, dict[str, float]]]:
    """(model folder, condition folder, our scores from scores.csv) of everything that was written."""
    found = []
    for folder in export(Imperfect(task, reader, **options), reader, tmp_path):
        for (corruption, severity, replicate), rows in pd.read_csv(folder / "scores.csv").groupby(
            ["corruption", "severity", "replicate"]
        ):
            name = "clean-0" if corruption == "clean" else f"{corruption}-{severity}-r{replicate}"
            found.append((folder, folder / name, dict(zip(rows["metric"], rows["value"], strict=True))))
    assert len(found) == 6, "two models; clean, and two draws of fog"
    return found


def pycocotools_ap(truth: Path, results: Path, kind: str) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(truth)
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(str(results)), kind)
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return 100 * evaluation.stats[0]


@pytest.mark.parametrize("images", [None, 5], ids=["all", "some"])
def test_pycocotools_gets_our_ap_from_the_files(readers, tmp_path, images):
    """With its own defaults: all images and classes of the exported ground truth."""
    for folder, condition, ours in exported(tmp_path, "detection", readers["detection"], images=images):
        truth = folder / "ground_truth.json"
        assert len(json.loads(truth.read_text())["images"]) == (images or len(readers["detection"]))
        assert pycocotools_ap(truth, condition / "boxes.json", "bbox") == pytest.approx(ours["box_AP"], abs=1e-9)
        assert pycocotools_ap(truth, condition / "masks.json", "segm") == pytest.approx(ours["mask_AP"], abs=1e-9)
        assert 5 < ours["mask_AP"] < 95


@pytest.mark.parametrize("task", ["upstream", "classification"])
def test_top1_can_be_counted_from_the_files(readers, tmp_path, task):
    reader = readers[task]
    for _, condition, ours in exported(tmp_path, task, reader):
        frame = pd.read_csv(condition / "predictions.csv", dtype=str)
        assert list(frame.columns) == ["image_id", "target", *(f"top{n}" for n in range(1, 6)), "correct"]
        assert 100 * np.mean(frame["target"] == frame["top1"]) == pytest.approx(ours["top1"], abs=1e-9)
        assert (frame["correct"] == (frame["target"] == frame["top1"]).astype(int).astype(str)).all()
        assert frame["image_id"].tolist() == reader.image_ids
        assert frame["target"].tolist() == [reader.classes[label] for label in reader.labels]


def test_miou_can_be_computed_from_either_file(readers, tmp_path):
    reader = readers["segmentation"]
    for _, condition, ours in exported(tmp_path, "segmentation", reader):
        cells = pd.read_csv(condition / "confusion.csv", dtype={"target": str, "predicted": str})
        ious = []
        for name in reader.classes:
            labelled, predicted = cells["target"] == name, cells["predicted"] == name
            union = cells.loc[labelled | predicted, "pixels"].sum()
            if union:
                ious.append(cells.loc[labelled & predicted, "pixels"].sum() / union)
        assert 100 * np.mean(ious) == pytest.approx(ours["mIoU"], abs=1e-9)
        overlaps = pd.read_csv(condition / "iou.csv", dtype={"class": str})
        assert (overlaps["union"] > 0).all() and overlaps["image_id"].unique().tolist() == reader.image_ids
        sums = overlaps.groupby("class")[["intersection", "union"]].sum()
        assert 100 * (sums["intersection"] / sums["union"]).mean() == pytest.approx(ours["mIoU"], abs=1e-9)


def test_the_confusion_of_each_image_is_its_own(readers, tmp_path):
    """Labelled pixels of every class in every image, against the label maps."""
    reader = readers["segmentation"]
    _, condition, _ = exported(tmp_path, "segmentation", reader)[0]
    cells = pd.read_csv(condition / "confusion.csv", dtype={"target": str, "image_id": str})
    counted = cells.groupby(["image_id", "target"])["pixels"].sum()
    for sample in reader:
        labels, pixels = np.unique(sample.target[sample.target != 255], return_counts=True)
        expected = {reader.classes[label]: count for label, count in zip(labels, pixels, strict=True)}
        assert counted[sample.image_id].to_dict() == expected


def test_classes_of_one_name_stay_apart(readers, tmp_path):
    class Twice:
        classes = ("door", "wall", "door", *readers["segmentation"].classes[3:])

    (folder, _) = export(Imperfect("segmentation", readers["segmentation"]), Twice, tmp_path)
    cells = pd.read_csv(folder / "clean-0" / "confusion.csv", dtype=str)
    assert {"door (0)", "wall", "door (2)"} <= set(cells["predicted"]) and "door" not in set(cells["predicted"])


def test_an_export_is_the_same_bytes_again_and_leaves_nothing_half_written(readers, tmp_path):
    evaluation = Imperfect("detection", readers["detection"], images=2)

    def content() -> dict[str, bytes]:
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    export(evaluation, readers["detection"], tmp_path)
    before = content()
    (tmp_path / "resnet_nano.regular/detection/full_network/seed1/fog-3-r1/boxes.json").write_text("[{")
    export(evaluation, readers["detection"], tmp_path)
    assert content() == before
    assert not [name for name in before if name.endswith(".part")]
    assert sorted(name for name in before if "augmix" in name) == sorted(
        f"resnet_nano.augmix/detection/full_network/seed1/{name}"
        for name in ["ground_truth.json", "scores.csv"]
        + [f"{c}/{kind}.json" for c in ("clean-0", "fog-3-r0", "fog-3-r1") for kind in ("boxes", "masks")]
    )


def test_a_file_that_breaks_off_is_never_there(readers, tmp_path, monkeypatch):
    def breaks(*_: object, **__: object) -> str:
        raise RuntimeError("killed")

    monkeypatch.setattr("robnb.export.json.dumps", breaks)
    with pytest.raises(RuntimeError, match="killed"):
        export(Imperfect("detection", readers["detection"], images=2), readers["detection"], tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_the_replicate_is_named_where_there_are_several():
    assert condition_name(FOG) == "fog-3" and condition_name(FOG, 1) == "fog-3-r1"
    assert condition_name(CLEAN) == condition_name(CLEAN, 0) == "clean-0"


def test_a_folder_that_cannot_be_written_is_said(readers, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*taken.*: choose another folder"):
        export(Imperfect("detection", readers["detection"], images=2), readers["detection"], tmp_path / "taken")
