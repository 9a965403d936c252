"""Miniworld: deterministic, disjoint, balanced, whole or not there, and readable by the libraries it is made for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from robnb import seeding
from robnb.data import AdeImages, ClassFolders, CocoImages
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld, verify
from robnb.data.miniworld.pieces import (
    DIGITS,
    PHOTOGRAPHS,
    POOLS,
    TEXTURES,
    DigitPools,
    distance_field,
    draw_window,
    load_digits,
    load_picture,
    region,
)
from robnb.data.miniworld.scenes import SCENE_SIZE, compose_scene
from robnb.data.miniworld.writer import Split, plan_scenes
from robnb.errors import UserError

SPEC = MiniworldSpec(
    seed=3,
    upstream_train=43,
    upstream_val=20,
    detection_train=40,
    detection_val=6,
    segmentation_train=8,
    segmentation_val=5,
    classification_train=25,
    classification_val=10,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_miniworld(SPEC, tmp_path_factory.mktemp("made"))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- a pure function of the spec


def test_two_makes_and_two_workers_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = make_miniworld(SPEC, tmp_path, workers=2)
    assert again.name == made.name
    assert contents(again) == contents(made)
    assert fingerprint(again) == fingerprint(made)


def test_an_image_does_not_depend_on_how_many_there_are(made: Path, tmp_path: Path) -> None:
    fewer = make_miniworld(replace(SPEC, detection_train=7, upstream_train=11), tmp_path)
    assert fewer.name != made.name
    assert fingerprint(fewer) != fingerprint(made)
    mine, theirs = contents(fewer), contents(made)
    images = [name for name in mine if name.endswith((".png", ".jpg"))]
    assert len(images) == 11 + 20 + 7 + 6 + 2 * (8 + 5) + 25 + 10
    assert all(mine[name] == theirs[name] for name in images)


def test_another_seed_gives_other_images(made: Path, tmp_path: Path) -> None:
    other = contents(make_miniworld(replace(SPEC, seed=4), tmp_path))
    name = "coco/train2017/000000000001.jpg"
    assert other[name] != contents(made)[name]


# --- disjoint supplies


def test_every_digit_is_in_exactly_one_pool() -> None:
    pools = DigitPools(0).indices
    owned = np.concatenate([part for pool in POOLS for part in pools[pool]])
    assert sorted(owned.tolist()) == list(range(1797))
    ink, labels = load_digits()
    assert len(np.unique(ink.reshape(1797, -1), axis=0)) == 1797  # no digit is in the collection twice
    for pool in POOLS:
        for label, part in enumerate(pools[pool]):
            assert (labels[part] == label).all()
            assert len(part) >= 20


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, *TEXTURES])
def test_windows_of_different_pools_share_no_pixel(name: str) -> None:
    owner = np.full(load_picture(name).shape[:2], -1)
    for number, pool in enumerate(POOLS):
        rng = seeding.generator("test", name, pool)
        for size in ((160, 128), (64, 64), (20, 90)):
            for _ in range(40):
                left, top, right, bottom = draw_window(name, pool, size, rng)
                assert right > left and bottom > top
                assert set(np.unique(owner[top:bottom, left:right]).tolist()) <= {-1, number}
                owner[top:bottom, left:right] = number
    assert all((owner == number).any() for number in range(4))


def test_every_pool_sees_every_quarter_of_a_picture() -> None:
    corners = {(pool, region(name, pool)[0] > 0, region(name, pool)[1] > 0) for name in PHOTOGRAPHS for pool in POOLS}
    assert len(corners) == 16


def test_a_pool_draws_only_its_own_digits() -> None:
    digits = DigitPools(0)
    scene = compose_scene([3] * 6, "grass", digits, "upstream_val", seeding.generator("test"))
    assert {glyph.digit for glyph in scene.glyphs} <= set(digits.indices["upstream_val"][3].tolist())


# --- balance and variety


def spread(values: Counter[object]) -> int:
    return max(values.values()) - min(values.values())


@pytest.mark.parametrize(("part", "images"), [("train2017", 40), ("val2017", 6)])
def test_detection_objects_are_balanced(made: Path, part: str, images: int) -> None:
    reader = CocoImages(made / "coco", part)
    per_image = [reader[k].target.labels.tolist() for k in range(len(reader))]
    counted = Counter(label for labels in per_image for label in labels)
    assert len(reader) == images
    assert spread(Counter({label: counted[label] for label in range(10)})) <= 1


@pytest.mark.parametrize(("task", "part"), [("upstream", "train"), ("upstream", "val"), ("classification", "train")])
def test_crops_are_balanced(made: Path, task: str, part: str) -> None:
    reader = ClassFolders(made / task, part)
    assert set(reader.classes) == set(DIGITS)
    assert len(reader) == getattr(SPEC, f"{task}_{part}")
    assert spread(Counter(reader.labels)) <= 1


def test_scenes_hold_one_to_six_objects_and_stuff_in_turn() -> None:
    labels, stuff = plan_scenes(Split(0, "segmentation", "train", 300))
    assert set(map(len, labels)) == {1, 2, 3, 4, 5, 6}
    assert Counter(stuff) == {"brick": 100, "grass": 100, "gravel": 100}


def test_crops_have_the_size_of_their_part(made: Path) -> None:
    assert ClassFolders(made / "upstream", "train")[0].image.shape == (64, 64, 3)
    assert ClassFolders(made / "classification", "val")[0].image.shape == (32, 32, 3)


# --- what a scene promises


@pytest.fixture(scope="module")
def scenes() -> list:
    digits = DigitPools(0)
    return [compose_scene([5, 0, 8, 8, 1, 2], "brick", digits, POOLS[k % 4], seeding.generator(k)) for k in range(25)]


def test_visible_masks_are_disjoint_and_at_least_a_third(scenes: list) -> None:
    shares = []
    for scene in scenes:
        assert scene.image.shape == (SCENE_SIZE[1], SCENE_SIZE[0], 3)
        assert (scene.masks.sum(0) + scene.stuff <= 1).all()
        shares += [mask.sum() / g.area for mask, g in zip(scene.masks, scene.glyphs, strict=True)]
    assert min(shares) >= 1 / 3
    assert (np.array(shares) < 0.75).mean() > 0.02, "some are hidden"
    assert np.median(shares) > 0.85, "most are not"


def test_later_glyphs_hide_earlier_ones(scenes: list) -> None:
    for scene in scenes:
        for k, glyph in enumerate(scene.glyphs):
            above = np.any([g.mask for g in scene.glyphs[k + 1 :]], axis=0) if k < 5 else np.zeros_like(glyph.mask)
            assert (scene.masks[k] == (glyph.mask & ~above)).all()


def test_a_glyph_is_its_digit() -> None:
    ink, _ = load_digits()
    for index in range(0, 1797, 60):
        field = distance_field(index)
        cells = field.reshape(12, 8, 12, 8).mean((1, 3))[2:10, 2:10]
        assert (field[:8] < 0).all() and (field[-8:] < 0).all()
        assert (cells[ink[index] > 0.85] > -0.2).all(), "full ink is inside"
        assert (cells[ink[index] == 0] < 0.2).all(), "bare paper is outside"


def test_a_digit_stands_out_from_what_it_covers(scenes: list) -> None:
    luma = np.array([0.299, 0.587, 0.114])
    contrasts = []
    for scene in scenes:
        gray = scene.image @ luma
        for mask, glyph in zip(scene.masks, scene.glyphs, strict=True):
            near = (glyph.distance < -1) & (glyph.distance > -6) & ~scene.masks.any(0)
            if near.sum() > 50:
                contrasts.append(abs(np.median(gray[mask]) - np.median(gray[near])))
    assert np.median(contrasts) > 60
    assert np.mean(np.array(contrasts) > 25) > 0.9


# --- formats


def test_coco_boxes_and_areas_are_the_masks(made: Path) -> None:
    coco = COCO(made / "coco/annotations/instances_train2017.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(DIGITS)
    for image_id in coco.getImgIds():
        total = np.zeros((SCENE_SIZE[1], SCENE_SIZE[0]), int)
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            mask = coco.annToMask(annotation)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            left, top = int(columns[0]), int(rows[0])
            assert annotation["bbox"] == [left, top, columns[-1] + 1 - left, rows[-1] + 1 - top]
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
            total += mask
        assert total.max() == 1


def test_coco_ids_are_unique_over_both_splits(made: Path) -> None:
    both = [json.loads((made / f"coco/annotations/instances_{p}2017.json").read_text()) for p in ("train", "val")]
    for key in ("images", "annotations"):
        ids = [entry["id"] for content in both for entry in content[key]]
        assert len(ids) == len(set(ids))


def test_mmdet_reads_what_the_reader_reads(made: Path) -> None:
    from robnb.models import mmcv_ops

    mmcv_ops.install()
    from mmdet.datasets import CocoDataset

    reader = CocoImages(made / "coco", "train2017")
    theirs = CocoDataset(
        data_root=str(made / "coco"),
        ann_file="annotations/instances_train2017.json",
        data_prefix={"img": "train2017/"},
        metainfo={"classes": reader.classes},
        pipeline=[],
        test_mode=True,
    )
    assert len(theirs) == len(reader)
    for k in range(len(reader)):
        sample, info = reader[k], theirs.get_data_info(k)
        assert (info["img_id"], Path(info["img_path"]).stem) == (sample.target.coco_id, sample.image_id)
        assert (info["height"], info["width"]) == sample.image.shape[:2]
        np.testing.assert_array_equal([i["bbox"] for i in info["instances"]], sample.target.boxes)
        assert [i["bbox_label"] for i in info["instances"]] == sample.target.labels.tolist()
        for instance, mask in zip(info["instances"], sample.target.masks, strict=True):
            assert (rle.decode(instance["mask"]) == rle.decode(mask)).all()


def test_mmseg_reads_what_the_reader_reads(made: Path) -> None:
    from robnb.models import mmcv_ops

    mmcv_ops.install()
    from mmseg.datasets import BaseSegDataset

    root = made / "ADEChallengeData2016"
    reader = AdeImages(root, "validation")
    theirs = BaseSegDataset(
        data_root=str(root),
        data_prefix={"img_path": "images/validation", "seg_map_path": "annotations/validation"},
        metainfo={"classes": reader.classes},
        reduce_zero_label=True,
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations", "reduce_zero_label": True}],
    )
    assert reader.classes == (*DIGITS, *TEXTURES)
    assert len(theirs) == len(reader) == SPEC.segmentation_val
    for k in range(len(reader)):
        sample, loaded = reader[k], theirs[k]
        assert Path(loaded["img_path"]).stem == sample.image_id
        np.testing.assert_array_equal(loaded["gt_seg_map"], sample.target)
        assert {10, 11, 12} & set(np.unique(sample.target).tolist())


def test_jpegs_keep_their_colour_resolution(made: Path) -> None:
    with Image.open(made / "coco/train2017/000000000001.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


# --- whole or not there

MAKE = """
import sys
from pathlib import Path
from robnb.data.miniworld import MiniworldSpec, make_miniworld
print(make_miniworld(MiniworldSpec(*map(int, sys.argv[2:])), Path(sys.argv[1])))
"""
SMALL = (5, 10, 10, 1, 1, 1, 1, 10, 10)


def start_making(root: Path, *spec: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAKE, str(root), *map(str, spec)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_kill_in_the_middle_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    process = start_making(tmp_path, 5, 100_000, *SMALL[2:])
    while not list(tmp_path.glob(".miniworld-*/upstream/train/*/*.png")):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (left_over,) = tmp_path.iterdir()
    assert left_over.name.startswith(".")
    # the same miniworld would take long: a small one takes over the left-over of the dead process
    small = MiniworldSpec(*SMALL)
    left_over.rename(tmp_path / f".{small.folder_name}{left_over.name[left_over.name.index('.', 1) :]}")
    made = make_miniworld(small, tmp_path)
    assert list(tmp_path.iterdir()) == [made]
    verify(made)


def test_two_processes_make_one(tmp_path: Path) -> None:
    processes = [start_making(tmp_path, *SMALL) for _ in range(2)]
    printed = [process.communicate()[0].strip() for process in processes]
    assert printed == [str(tmp_path / MiniworldSpec(*SMALL).folder_name)] * 2
    assert [str(path) for path in tmp_path.iterdir()] == printed[:1]


def test_an_existing_one_is_left_alone(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert make_miniworld(SPEC, made.parent) == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


VICTIM = "coco/val2017/000000500002.jpg"


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / VICTIM).unlink()
    with pytest.raises(UserError, match=rf"{VICTIM} is missing.*Delete the folder"):
        make_miniworld(SPEC, copy.parent)


def test_a_file_of_another_size_is_named(copy: Path) -> None:
    (copy / VICTIM).write_bytes(b"short")
    with pytest.raises(UserError, match=rf"{VICTIM} has 5 bytes instead of"):
        make_miniworld(SPEC, copy.parent)


def test_one_flipped_bit_is_named(copy: Path) -> None:
    pixels = bytearray((copy / VICTIM).read_bytes())
    pixels[700] ^= 1
    (copy / VICTIM).write_bytes(pixels)
    with pytest.raises(UserError, match=rf"{VICTIM} has changed"):
        make_miniworld(SPEC, copy.parent)


def test_one_file_too_many_is_named_and_hidden_ones_are_not(copy: Path) -> None:
    (copy / "upstream/val/.DS_Store").touch()
    verify(copy)
    (copy / "upstream/val/zero/mine.png").touch()
    with pytest.raises(UserError, match=r"upstream/val/zero/mine\.png does not belong there"):
        make_miniworld(SPEC, copy.parent)


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_broken_manifest_is_named(copy: Path, content: str | None) -> None:
    (copy / "manifest.json").unlink()
    if content:
        (copy / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json is missing or unreadable"):
        make_miniworld(SPEC, copy.parent)


# --- guards


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [("seed", -1, 0), ("detection_train", 0, 1), ("upstream_val", 9, 10), ("seed", 1.0, 0), ("seed", True, 0)],
)
def test_a_bad_spec_is_refused(field: str, value: object, least: int) -> None:
    with pytest.raises(UserError, match=rf"{field} is {value!r}: it must be an integer, {least} or more"):
        replace(SPEC, **{field: value})


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write a miniworld below"):
        make_miniworld(SPEC, tmp_path / "file")


def test_no_miniworld_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no miniworld at"):
        fingerprint(tmp_path)


def test_a_package_without_the_picture_is_refused() -> None:
    with pytest.raises(UserError, match=r"skimage lacks the picture .*unicorn\.png"):
        load_picture("unicorn")
