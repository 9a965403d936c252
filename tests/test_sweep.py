"""The sweep: what mm's own loops find, whatever the batch and the worker, each image decoded and corrupted once."""

import contextlib
import io
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import small
import torch
from pictures import photograph
from pycocotools import mask as rle

from robnb.corruptions import Condition, conditions, corrupt
from robnb.data.sample import Sample
from robnb.errors import UserError
from robnb.evaluation import compute, panels, shards
from robnb.evaluation.panels import Pixels, ahead, batches
from robnb.evaluation.predict import resize_to_fit, resized_anywhere
from robnb.evaluation.run_lengths import encode, encode_changes
from robnb.evaluation.sweep import sweep
from robnb.models.execution import Execution
from robnb.store import Store

GRID = conditions(["gaussian_noise", "fog", "jpeg_compression"], [1, 3])
TASKS = ("upstream", "detection", "segmentation", "classification")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    longer = small.budgets(iterations=25, resnet=0.04)
    return small.study(tmp_path_factory.mktemp("outputs"), detection=longer, segmentation=longer)


@pytest.fixture(scope="module")
def models(study, tmp_path_factory):
    upstream = study.pretrain()
    downstream = {task: study.transfer(upstream, "full_network", task) for task in TASKS[1:]}
    (detector,) = downstream["detection"]
    downstream["detection"] = [small.eager(detector, tmp_path_factory.mktemp("eager") / "weights.pth")]
    return {"upstream": upstream, **downstream}


@pytest.fixture(scope="module")
def tasks(study, models, tmp_path_factory):
    """The study's data; of detection, every second object that the detector finds in a clean image is a true one."""
    data, (detector,) = study.tasks["detection"], models["detection"]
    folder = tmp_path_factory.mktemp("detection")
    (clean,) = conditions([], [])
    rows = sweep([detector], data, [clean], Store(folder / "store")).per_image(detector, clean).to_pylist()
    root = folder / "data"
    shutil.copytree(data.root, root)
    annotation_file = root / "annotations" / f"instances_{data.test}.json"
    truth = small.read_json(annotation_file)
    category_ids = data.open("test").category_ids
    truth["annotations"] = [
        {
            "id": 100 * row["coco_id"] + k, "image_id": row["coco_id"], "category_id": category_ids[row["labels"][k]],
            "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0,
            "segmentation": {"size": [row["height"], row["width"]], "counts": row["masks"][k].decode()},
        }
        for row in rows
        for k, (x0, y0, x1, y1) in enumerate(np.reshape(row["boxes"], (-1, 4)).tolist())
        if k % 2 == 0
    ]  # fmt: skip
    annotation_file.write_text(json.dumps(truth))
    return {**study.tasks, "detection": replace(data, root=root, fingerprint="what the detector finds")}


@pytest.fixture(scope="module")
def evaluations(tasks, models, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return {task: sweep(models[task], tasks[task], GRID, store, shard=4) for task in TASKS}


def test_detections_are_those_of_mmdets_own_test_loop(tasks, models, evaluations, tmp_path):
    """mmengine's Runner over mmdet's CocoDataset and pipeline, on a corrupted copy on disk, condition by condition."""
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner

    from robnb import copies
    from robnb.models import detector

    data, (model,) = tasks["detection"], models["detection"]
    source = copies.open_source(data.root, None, None, copies.FileFormat("png"))
    settings = copies.Settings("fast", 0, 0, copies.FileFormat("png"))
    copies.write_copies(source, tmp_path / "c", GRID[1:], settings, 1)
    shipped = detector.shipped_config(detector.CONFIGS["resnet"])
    pipeline = [dict(step) for step in shipped.test_pipeline]
    pipeline[1]["scale"] = model.scale
    expected = []
    for condition in GRID[1:4]:
        root = tmp_path / "c" / condition.corruption / str(condition.severity)
        annotations = str(root / "annotations" / f"instances_{data.test}.json")
        out = tmp_path / f"{condition.corruption}-{condition.severity}"
        with contextlib.redirect_stdout(io.StringIO()), DefaultScope.overwrite_default_scope("mmdet"):
            runner = Runner(
                model=model.load(model.build(), model.path), work_dir=str(tmp_path / "work"),
                test_dataloader={
                    "batch_size": 1, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False},
                    "dataset": {
                        "type": "CocoDataset", "ann_file": annotations, "data_prefix": {"img": str(root / data.test)},
                        "metainfo": {"classes": data.open("test").classes}, "test_mode": True,
                        "pipeline": pipeline,
                    },
                },
                test_evaluator={
                    "type": "CocoMetric", "ann_file": annotations, "metric": ["bbox", "segm"],
                    "outfile_prefix": str(out),
                },
                test_cfg={"type": "TestLoop"}, default_scope="mmdet", log_level="ERROR",
                experiment_name=out.name,
                default_hooks={"logger": None, "checkpoint": None, "sampler_seed": None, "timer": None},
            )  # fmt: skip
            rounded = runner.test()
        theirs = json.loads(out.with_name(f"{out.name}.bbox.json").read_text())
        ours = evaluations["detection"].per_image(model, condition).to_pylist()
        assert sum(len(row["scores"]) for row in ours) == len(theirs) > 10
        for row in ours:
            same = [entry for entry in theirs if entry["image_id"] == row["coco_id"]]
            boxes = np.reshape(row["boxes"], (-1, 4))
            boxes[:, 2:] -= boxes[:, :2]
            np.testing.assert_allclose(row["scores"], [entry["score"] for entry in same], atol=1e-4)
            np.testing.assert_allclose(boxes, np.reshape([entry["bbox"] for entry in same], (-1, 4)), atol=1e-2)
        found = (
            evaluations["detection"]
            .scores.query("corruption == @condition.corruption and severity == @condition.severity")
            .set_index("metric")["value"]
        )
        unrounded = small.pycocotools_ap(annotations, f"{out}.bbox.json", "bbox")
        expected.append(unrounded)
        assert found["box_AP"] == pytest.approx(unrounded, abs=1e-4)
        assert found["mask_AP"] == pytest.approx(
            small.pycocotools_ap(annotations, f"{out}.segm.json", "segm"), abs=1e-4
        )
        assert found["box_AP"] == pytest.approx(100 * rounded["coco/bbox_mAP"], abs=0.05 + 1e-6)
    assert 5 < max(expected) < 95


def test_segmentation_scores_are_those_of_mmsegs_own_test_loop(tasks, models, evaluations, tmp_path, monkeypatch):
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner
    from mmseg.evaluation import IoUMetric

    from robnb import copies
    from robnb.models import segmentor

    data, (model,) = tasks["segmentation"], models["segmentation"]
    source = copies.open_source(data.root, None, None, copies.FileFormat("png"))
    copies.write_copies(source, tmp_path / "c", GRID[1:3], copies.Settings("fast", 0, 0, copies.FileFormat("png")), 1)
    pipeline = [dict(step) for step in segmentor.shipped_config("resnet").test_pipeline]
    for step in pipeline:
        if step["type"] == "Resize":
            step["scale"] = model.scale
        if step["type"] == "LoadAnnotations":
            step["reduce_zero_label"] = None
    kept, compute_metrics = [], IoUMetric.compute_metrics
    monkeypatch.setattr(
        IoUMetric, "compute_metrics", lambda self, counts: kept.append(list(counts)) or compute_metrics(self, counts)
    )
    for condition in GRID[1:3]:
        root = tmp_path / "c" / condition.corruption / str(condition.severity)
        with contextlib.redirect_stdout(io.StringIO()), DefaultScope.overwrite_default_scope("mmseg"):
            runner = Runner(
                model=model.load(model.build(), model.path), work_dir=str(tmp_path / "work"),
                test_dataloader={
                    "batch_size": 1, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False},
                    "dataset": {
                        "type": "BaseSegDataset", "img_suffix": ".png", "reduce_zero_label": True,
                        "data_prefix": {
                            "img_path": str(root / "images" / data.test),
                            "seg_map_path": str(root / "annotations" / data.test),
                        },
                        "metainfo": {"classes": data.open("test").classes}, "test_mode": True, "pipeline": pipeline,
                    },
                },
                test_evaluator={"type": "IoUMetric"}, test_cfg={"type": "TestLoop"}, default_scope="mmseg",
                log_level="ERROR", experiment_name=f"seg-{condition.corruption}-{condition.severity}",
                default_hooks={"logger": None, "checkpoint": None, "sampler_seed": None, "timer": None},
            )  # fmt: skip
            runner.test()
        counts = kept.pop()
        intersection, union = (sum(part[k].double() for part in counts) for k in (0, 1))
        expected = 100 * float((intersection / union)[union > 0].mean())
        found = evaluations["segmentation"].scores.query(
            "corruption == @condition.corruption and severity == @condition.severity"
        )
        assert found["value"].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_scores_do_not_depend_on_batch_shard_order_or_a_thread(tasks, models, evaluations, task, tmp_path):
    expected = evaluations[task].scores
    for number, how in enumerate(({"batch_size": 1}, {"batch_size": 5, "shard": 3}, {"batch_size": 64, "shard": 100})):
        again = sweep(models[task], tasks[task], GRID[::-1], Store(tmp_path / str(number)), **how).scores
        keys = ["metric", "corruption", "severity"]
        again, wanted = (frame.sort_values(keys, ignore_index=True) for frame in (again, expected))
        assert again["value"].tolist() == pytest.approx(wanted["value"].tolist(), abs=1e-4)


def test_an_image_is_decoded_once_and_corrupted_once_for_all_models(study, tasks, tmp_path, monkeypatch):
    two = small.study(study.folder.parent.parent, backbones=["resnet_nano.regular", "swin_nano.regular"]).pretrain()
    data = tasks["upstream"]
    reader = type(data.open("test"))
    decoded, corrupted, whole = Counter(), Counter(), reader.__getitem__
    monkeypatch.setattr(reader, "__getitem__", lambda self, k: decoded.update([k]) or whole(self, k))
    batch = panels.corrupt_batch
    monkeypatch.setattr(
        panels, "corrupt_batch",
        lambda images, name, severity, **key: corrupted.update((i, name, severity) for i in key["image_ids"])
        or batch(images, name, severity, **key),
    )  # fmt: skip
    evaluation = sweep(two, data, GRID, Store(tmp_path), shard=8)
    assert decoded == Counter(range(20))
    assert len(corrupted) == 20 * (len(GRID) - 1) and set(corrupted.values()) == {1}
    assert len(evaluation.scores) == 2 * len(GRID)


def test_per_image_results_are_in_the_readers_order_and_give_the_scores(tasks, models, evaluations):
    for task in TASKS:
        evaluation, (model,) = evaluations[task], models[task]
        reader = tasks[task].open("test")
        for condition in GRID:
            table = evaluation.per_image(model, condition)
            assert table["image_id"].to_pylist() == reader.image_ids
            assert set(table["corruption"].to_pylist()) == {condition.corruption}
            assert set(table["severity"].to_pylist()) == {condition.severity}
    table = evaluations["upstream"].per_image(models["upstream"][0], GRID[0], columns=["target", "top"])
    assert table.column_names == ["target", "top"]
    right = np.mean([row["target"] == row["top"][0] for row in table.to_pylist()])
    assert evaluations["upstream"].scores["value"][0] == pytest.approx(100 * right)


def test_clean_and_other_severities_are_shared_and_draws_and_engines_are_not(tasks, models, tmp_path):
    store = Store(tmp_path)
    grids = (conditions(["fog"], [1]), conditions(["fog"], [1, 3]))
    for grid in grids:
        sweep(models["upstream"], tasks["upstream"], grid, store)
    assert len(list(tmp_path.glob("sweep/*"))) == 3, "clean, severity 1, severity 3"
    for how in ({"seed": 1}, {"engine": "reference"}, {"replicates": 2}, {"inference": Execution(channels_last=True)}):
        before = len(list(tmp_path.glob("sweep/*")))
        evaluation = sweep(models["upstream"], tasks["upstream"], grids[0], store, **how)
        assert len(list(tmp_path.glob("sweep/*"))) - before == (2 if "inference" in how else 1)
    (model,) = models["upstream"]
    evaluation = sweep([model], tasks["upstream"], grids[0], store, replicates=2)
    assert evaluation.scores["replicate"].tolist() == [0, 0, 1]
    first, second = (evaluation.per_image(model, grids[0][1], k)["replicate"].to_pylist() for k in (0, 1))
    assert set(first) == {0} and set(second) == {1}


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_batches_hold_every_image_and_condition_once_with_corrupts_own_pixels(engine):
    rng = np.random.default_rng(0)
    shapes = [(40, 50), (40, 50), (32, 64), (40, 50), (40, 50), (40, 50)]
    samples = [Sample(rng.integers(0, 256, (*s, 3), np.uint8), 0, f"i{k}") for k, s in enumerate(shapes)]
    wanted = panels.panels(conditions(["fog", "snow", "contrast"], [1, 2]), replicates=2)
    assert [len(panel.conditions) for panel in wanted] == [1, 3, 3, 3, 3]
    pixels = Pixels(7, engine, torch.device("cpu"))
    for batch_size, mixes in ((1, False), (2, True), (7, False), (64, True), (64, False)):
        seen = Counter()
        for batch in batches(iter(samples), wanted, pixels, batch_size, mixes):
            panel, images = wanted[batch.panel], [image for block in batch.blocks for image in block]
            assert len(images) == len(batch.rows) <= max(batch_size, 1)
            assert mixes or len({image.shape for image in images}) == 1
            for (index, column), image in zip(batch.rows, images, strict=True):
                condition = panel.conditions[column]
                seen[index, condition, panel.replicate] += 1
                expected = samples[index].image
                if condition.severity:
                    expected = corrupt(
                        expected, condition.corruption, condition.severity, image_id=f"i{index}", seed=7,
                        replicate=panel.replicate, engine=engine,
                    )  # fmt: skip
                assert np.array_equal(image, expected)
        assert set(seen.values()) == {1} and len(seen) == len(samples) * (1 + 3 * 2 * 2)


def test_ahead_gives_the_same_items_and_raises_where_they_were_wanted():
    def items():
        yield from range(5)
        raise UserError("the sixth is broken: mend it.")

    given = ahead(items())
    assert [next(given) for _ in range(5)] == list(range(5))
    with pytest.raises(UserError, match="sixth"):
        next(given)
    assert list(ahead(iter(range(7)), depth=3)) == list(range(7))


class Small:
    """Gives an image's first value, and has memory for three images."""

    most_images = 1000

    def __init__(self, room: int = 3) -> None:
        self.sizes, self.room = [], room

    def __call__(self, blocks):
        images = torch.cat(list(blocks))
        self.sizes.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return images[:, 0, 0, 0].tolist()


def test_too_little_memory_halves_the_batch_and_changes_nothing():
    blocks = [torch.arange(n).view(n, 1, 1, 1) + 10 * k for k, n in enumerate((5, 1, 4))]
    predictor, expected = Small(), [0, 1, 2, 3, 4, 10, 20, 21, 22, 23]
    assert compute.predicted(predictor, blocks) == expected
    assert predictor.sizes[:2] == [10, 5] and set(predictor.sizes[2:]) <= {1, 2, 3}
    predictor.sizes.clear()
    assert compute.predicted(predictor, blocks) == expected
    assert max(predictor.sizes) <= 3, "it has learned how many are too many"
    with pytest.raises(UserError, match=r"too little memory for one image \(CUDA out of memory"):
        compute.predicted(Small(room=0), blocks)


def test_options_of_inference_change_the_scores_little_and_unknown_ones_are_refused(
    tasks, models, evaluations, tmp_path
):
    """Rounded to bfloat16, a detector of seconds finds some other objects: its scores of objects are all alike."""
    for task in ("detection", "segmentation"):
        for number, inference in enumerate((Execution(channels_last=True), Execution(precision="bfloat16"))):
            store = Store(tmp_path / f"{task}{number}")
            found = sweep(models[task], tasks[task], GRID[:2], store, inference=inference).scores["value"]
            expected = evaluations[task].scores["value"][: len(found)]
            if (task, number) == ("detection", 1):
                assert found[0] > expected[0] / 5
            else:
                assert found.tolist() == pytest.approx(expected.tolist(), abs=0.01 if number == 0 else 3)
    with pytest.raises(UserError, match="unknown precision 'float8'"):
        Execution(precision="float8")


@pytest.mark.parametrize("shape", [(40, 33, 20), (40, 1, 9), (40, 9, 1), (1, 1, 1), (12, 120, 160), (0, 8, 8)])
def test_run_lengths_are_pycocotools_bytes_on_any_device(shape):
    """Full, empty, dense, sparse and smooth masks; what a GPU would do is run on the CPU."""
    rng = np.random.default_rng(0)
    masks = rng.random(shape) < np.linspace(0, 1, shape[0]).reshape(-1, 1, 1)
    if shape[1] > 100:
        masks = np.repeat(np.repeat(masks[:, ::40, ::40], 40, 1), 40, 2)[:, :120]
    tensor = torch.from_numpy(masks)
    expected = [rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in masks]
    assert encode(tensor) == encode_changes(tensor) == expected


def test_resizing_on_another_device_is_opencvs_within_a_grey_level():
    """What a GPU would compute, on the CPU."""
    photo = photograph(427, 640)
    images = torch.from_numpy(photo)[None]
    for scale in ((1333, 800), (320, 200), (150, 100)):
        ours, theirs = resized_anywhere(images, scale), resize_to_fit(images, scale)
        assert ours.shape == theirs.shape and ours.dtype == torch.uint8
        difference = (ours.int() - theirs.int()).abs()
        assert difference.max() <= 1 and (difference == 0).float().mean() > 0.85
    same = resize_to_fit(images, (photo.shape[1], photo.shape[0]))
    assert same is images


def test_finished_work_is_not_done_again(tasks, models, evaluations, monkeypatch):
    monkeypatch.setattr("robnb.evaluation.sweep.compute", None)
    evaluation = evaluations["detection"]
    again = sweep(models["detection"], tasks["detection"], GRID, evaluation.store, shard=4)
    assert again.scores.equals(evaluation.scores)


def test_a_shard_file_that_is_not_what_was_written_is_found_by_its_name(tmp_path, evaluations):
    table = evaluations["upstream"].per_image(evaluations["upstream"].models[0], Condition("fog", 1))
    first = shards.write(tmp_path, 0, [table])
    assert shards.write(tmp_path, 0, [table]) == first, "the same content is the same file"
    second = shards.write(tmp_path, 1, [table, table])
    assert shards.whole(tmp_path) == {0: first, 1: second}
    assert shards.files(tmp_path) == [first, second]
    assert shards.read(tmp_path, 0).num_rows == 2 * table.num_rows
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    (tmp_path / "00002-0.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="is damaged or gone; run again"):
        shards.read(tmp_path, 0)
    assert shards.whole(tmp_path) == {0: first}


def test_of_a_shard_that_was_computed_twice_one_counts(tmp_path, evaluations):
    """By two processes whose processors round differently: both files are whole."""
    table = evaluations["upstream"].per_image(evaluations["upstream"].models[0], Condition("fog", 1))
    both = sorted(shards.write(tmp_path, 3, [part]) for part in (table, table[::-1]))
    before = shards.digest(tmp_path)
    assert len(set(both)) == 2 and shards.files(tmp_path) == both[:1]
    assert shards.read(tmp_path, 0).num_rows == table.num_rows
    assert shards.whole(tmp_path) == {3: both[0]} and not both[1].exists()
    assert shards.digest(tmp_path) == before
    shards.write(tmp_path, 4, [table])
    assert shards.digest(tmp_path) != before
