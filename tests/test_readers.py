"""The readers: what a Sample holds, by hand-made data sets in the real layouts, and every guard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from torch.utils.data import DataLoader

from robnb.data import IGNORE, AdeImages, ClassFolders, CocoImages
from robnb.data.images import read_pixels
from robnb.errors import UserError

RED = np.zeros((6, 9, 3), np.uint8)
RED[...] = (200, 10, 30)


def save(path: Path, pixels: np.ndarray = RED, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# --- COCO


def coco_content() -> dict[str, Any]:
    square = {"iscrowd": 0, "area": 6, "bbox": [1, 2, 3, 2], "segmentation": [[1, 2, 4, 2, 4, 4, 1, 4]]}
    runs = {"size": [6, 9], "counts": [2, 3, 49]}
    compressed = {"size": [6, 9], "counts": rle.frPyObjects(runs, 6, 9)["counts"].decode()}
    crowd = {"iscrowd": 1, "area": 3, "bbox": [0, 2, 1, 3], "segmentation": runs}
    return {
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "person"}],
        "images": [
            {"id": 20, "file_name": "000000000020.jpg", "width": 9, "height": 6},
            {"id": 5, "file_name": "000000000005.jpg", "width": 9, "height": 6},
        ],
        "annotations": [
            {"id": 1, "image_id": 20, "category_id": 7, **square},
            {"id": 2, "image_id": 20, "category_id": 3, **crowd},
            {"id": 3, "image_id": 20, "category_id": 3, **crowd, "iscrowd": 0, "segmentation": compressed},
        ],
    }


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    def write(content: dict[str, Any] | str | None = None) -> Path:
        for name in ("000000000005.jpg", "000000000020.jpg"):
            save(tmp_path / "val2017" / name, quality=100, subsampling=0)
        (tmp_path / "annotations").mkdir()
        text = content if isinstance(content, str) else json.dumps(content or coco_content())
        (tmp_path / "annotations/instances_val2017.json").write_text(text)
        return tmp_path

    return write


def test_coco_sample_by_hand(coco: Callable[..., Path]) -> None:
    reader = CocoImages(coco(), "val2017")
    assert reader.classes == ("person", "cat")
    assert reader.category_ids == (3, 7)
    assert (reader.image_ids, reader.coco_ids) == (["000000000005", "000000000020"], [5, 20])
    sample = reader[1]
    assert sample.image_id == "000000000020"
    assert sample.image.dtype == np.uint8 and sample.image.shape == (6, 9, 3)
    assert np.abs(sample.image.astype(int) - RED).max() <= 4
    target = sample.target
    assert target.boxes.dtype == np.float32 and target.labels.dtype == np.int64
    assert target.boxes.tolist() == [[1, 2, 4, 4], [0, 2, 1, 5], [0, 2, 1, 5]]
    assert target.labels.tolist() == [1, 0, 0]
    assert target.crowd.tolist() == [False, True, False]
    assert target.coco_id == 20
    polygon, crowd, compressed = (rle.decode(mask) for mask in target.masks)
    assert polygon.sum() == 6 and polygon[2:4, 1:4].all()
    assert crowd.sum() == 3 and crowd[2:5, 0].all()
    assert (compressed == crowd).all()


def test_coco_image_without_objects(coco: Callable[..., Path]) -> None:
    target = CocoImages(coco(), "val2017")[0].target
    assert target.boxes.shape == (0, 4) and target.labels.shape == (0,) and target.masks == []


def test_coco_limit(coco: Callable[..., Path]) -> None:
    assert CocoImages(coco(), "val2017", limit=1).image_ids == ["000000000005"]


def test_coco_missing_annotation_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no annotation file .*instances_val2017\.json"):
        CocoImages(tmp_path, "val2017")


def test_coco_missing_image_folder(coco: Callable[..., Path]) -> None:
    root = coco()
    (root / "val2017").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"no folder .*val2017"):
        CocoImages(root, "val2017")


def test_coco_names_an_image_that_is_not_there(coco: Callable[..., Path]) -> None:
    root = coco()
    (root / "val2017/000000000020.jpg").unlink()
    with pytest.raises(UserError, match=r"names 1 image not in .*, the first 000000000020\.jpg: fetch"):
        CocoImages(root, "val2017")
    (root / "val2017/000000000005.jpg").unlink()
    with pytest.raises(UserError, match=r"names 2 images not in .*, the first 000000000005\.jpg"):
        CocoImages(root, "val2017", limit=1)


@pytest.mark.parametrize("year", ["COCO_val2014_000000000042.jpg", "000000000042.jpg"])
def test_coco_annotations_of_another_year_or_split(coco: Callable[..., Path], year: str) -> None:
    content = coco_content()
    for number, image in enumerate(content["images"]):
        image["file_name"] = year.replace("42", f"{42 + number}")
    refusal = rf"instances_val2017\.json is of another year or split than .*val2017, it names {year} and the folder has"
    with pytest.raises(UserError, match=refusal):
        CocoImages(coco(content), "val2017")


def test_coco_names_the_annotation_files_that_are_there(coco: Callable[..., Path]) -> None:
    root = coco()
    (root / "annotations/instances_val2017.json").rename(root / "annotations/instances_val2014.json")
    with pytest.raises(
        UserError, match=r"no annotation file .*val2017\.json \(there is instances_val2014\.json\): check"
    ):
        CocoImages(root, "val2017")


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"images": [], "categories": [{}], "annotations": []}'])
def test_coco_file_that_is_none(coco: Callable[..., Path], text: str) -> None:
    with pytest.raises(UserError, match="is not a COCO instances file"):
        CocoImages(coco(text), "val2017")


def test_coco_file_without_images(coco: Callable[..., Path]) -> None:
    content = {**coco_content(), "images": [], "annotations": []}
    with pytest.raises(UserError, match="lists no images"):
        CocoImages(coco(content), "val2017")


@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_coco_annotation_of_a_stranger(coco: Callable[..., Path], key: str) -> None:
    content = coco_content()
    content["annotations"][1][key] = 99
    with pytest.raises(UserError, match=r"1 annotations of an image or category that it does not list, .* id 2"):
        CocoImages(coco(content), "val2017")


def test_coco_image_of_another_size(coco: Callable[..., Path]) -> None:
    root = coco()
    save(root / "val2017/000000000005.jpg", RED.swapaxes(0, 1))
    with pytest.raises(UserError, match="is 6 x 9 and annotated as 9 x 6"):
        CocoImages(root, "val2017")[0]


# --- ADE20K

LABELS = np.zeros((6, 9), np.uint8)
LABELS[0, :3] = (1, 2, 3)


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    for stem in ("ADE_val_00000002", "ADE_val_00000001"):
        save(tmp_path / f"images/validation/{stem}.jpg")
        save(tmp_path / f"annotations/validation/{stem}.png", LABELS)
    (tmp_path / "classes.txt").write_text("wall\nfire hydrant\nsky\n")
    return tmp_path


def test_ade_sample_by_hand(ade: Path) -> None:
    reader = AdeImages(ade, "validation")
    assert reader.classes == ("wall", "fire hydrant", "sky")
    assert len(reader) == 2
    sample = reader[0]
    assert sample.image_id == reader.image_ids[0] == "ADE_val_00000001"
    assert sample.image.shape == (6, 9, 3)
    assert sample.target.dtype == np.uint8
    assert sample.target[0].tolist() == [0, 1, 2] + [IGNORE] * 6
    assert (sample.target[1:] == IGNORE).all()


def test_ade_names_of_the_real_release(ade: Path) -> None:
    (ade / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
        "1\t0.1576\t11664\t1172\t1\twall\n"
        "2\t0.1072\t6046\t612\t1\tbuilding, edifice\n"
        "3\t0.0878\t8265\t796\t1\tsky\n"
    )
    assert AdeImages(ade, "validation").classes == ("wall", "building", "sky")


@pytest.mark.parametrize("table", ["", "Idx\tName\n", "Idx\tName\n2\twall\n", "Idx Name\n1 wall\n", "<html>\n<body>\n"])
def test_ade_table_that_is_none(ade: Path, table: str) -> None:
    (ade / "objectInfo150.txt").write_text(table)
    with pytest.raises(UserError, match=r"objectInfo150\.txt is no table of classes numbered 1, 2"):
        AdeImages(ade, "validation")


def test_ade_limit(ade: Path) -> None:
    assert AdeImages(ade, "validation", limit=1).image_ids == ["ADE_val_00000001"]


def test_ade_missing_folder(ade: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*images/training"):
        AdeImages(ade, "training")


def test_ade_missing_class_names(ade: Path) -> None:
    (ade / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"neither objectInfo150\.txt nor classes\.txt"):
        AdeImages(ade, "validation")


def test_ade_mask_without_image_and_image_without_mask(ade: Path) -> None:
    (ade / "images/validation/ADE_val_00000002.jpg").unlink()
    with pytest.raises(UserError, match=r"annotations/validation names 1 image not in .*ADE_val_00000002\.jpg"):
        AdeImages(ade, "validation")
    (ade / "annotations/validation/ADE_val_00000002.png").unlink()
    assert len(AdeImages(ade, "validation")) == 1
    (ade / "annotations/validation/ADE_val_00000001.png").unlink()
    with pytest.raises(UserError, match=r"images/validation has 1 image without .*ADE_val_00000001\.png"):
        AdeImages(ade, "validation")
    (ade / "images/validation/ADE_val_00000001.jpg").unlink()
    with pytest.raises(UserError, match="has no images"):
        AdeImages(ade, "validation")


def test_ade_images_may_be_png(ade: Path) -> None:
    (ade / "images/validation/ADE_val_00000002.jpg").unlink()
    save(ade / "images/validation/ADE_val_00000002.png")
    reader = AdeImages(ade, "validation")
    assert reader.image_ids == ["ADE_val_00000001", "ADE_val_00000002"]
    assert reader.image_files == ["ADE_val_00000001.jpg", "ADE_val_00000002.png"]
    assert (reader[1].image == RED).all()
    (ade / "annotations/validation/ADE_val_00000002.png").unlink()
    with pytest.raises(UserError, match=r"images/validation has 1 image without .*ADE_val_00000002\.png"):
        AdeImages(ade, "validation")


def test_ade_image_of_two_kinds(ade: Path) -> None:
    save(ade / "images/validation/ADE_val_00000002.png")
    with pytest.raises(UserError, match=r"has both ADE_val_00000002\.jpg and ADE_val_00000002\.png: keep one"):
        AdeImages(ade, "validation")


def test_ade_mask_of_another_shape(ade: Path) -> None:
    save(ade / "annotations/validation/ADE_val_00000001.png", LABELS[:5])
    with pytest.raises(UserError, match=r"has shape \(5, 9\) and its image \(6, 9\)"):
        AdeImages(ade, "validation")[0]


def test_ade_mask_with_a_label_too_many(ade: Path) -> None:
    save(ade / "annotations/validation/ADE_val_00000001.png", LABELS + 1)
    with pytest.raises(UserError, match="has the label 4, and there are 3 classes"):
        AdeImages(ade, "validation")[0]


# --- class folders


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("wolf/a.JPEG", "wolf/b.png", "wolf/c.png", "ant/z.jpg", "ant/y.png"):
        save(tmp_path / "val" / name)
    (tmp_path / "val/ant/notes.txt").touch()
    (tmp_path / "val/.hidden").mkdir()
    return tmp_path


def test_class_folders_by_hand(folders: Path) -> None:
    reader = ClassFolders(folders, "val")
    assert reader.classes == ("ant", "wolf")
    assert reader.image_ids == ["ant/y.png", "wolf/a.JPEG", "ant/z.jpg", "wolf/b.png", "wolf/c.png"]
    assert reader.labels == [0, 1, 0, 1, 1]
    sample = reader[0]
    assert (sample.target, sample.image_id) == (0, "ant/y.png")
    assert (sample.image == RED).all()


def test_class_folders_limit_keeps_the_balance(folders: Path) -> None:
    assert ClassFolders(folders, "val", limit=2).labels == [0, 1]


def test_class_folders_missing(folders: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*train"):
        ClassFolders(folders, "train")
    (folders / "train").mkdir()
    with pytest.raises(UserError, match="no class folders"):
        ClassFolders(folders, "train")
    (folders / "train/ant").mkdir()
    with pytest.raises(UserError, match="train/ant has no images"):
        ClassFolders(folders, "train")


def test_a_loader_with_workers_gives_the_same_samples(folders: Path) -> None:
    reader = ClassFolders(folders, "val")
    alone, together = (list(DataLoader(reader, batch_size=None, num_workers=n)) for n in (0, 2))
    assert [s.image_id for s in together] == reader.image_ids
    assert all((a.image == b.image).all() for a, b in zip(alone, together, strict=True))


# --- pixels


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_truncated_image_is_named(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    save(tmp_path / name, noise)
    truncate(tmp_path / name)
    with pytest.raises(UserError, match=rf"cannot decode the image .*{name}.*delete it and fetch it again"):
        read_pixels(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot decode the image .*a\.png"):
        read_pixels(tmp_path / "a.png")


def test_an_image_deleted_meanwhile_is_named(folders: Path) -> None:
    reader = ClassFolders(folders, "val")
    (folders / "val/ant/y.png").unlink()
    with pytest.raises(UserError, match=r"the image .*y\.png is missing"):
        reader[0]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(RED).convert(mode).save(path)
    assert read_pixels(path).shape == (6, 9, 3)
    assert read_pixels(path).dtype == np.uint8


def test_the_orientation_tag_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    save(tmp_path / "a.jpg", exif=exif)
    assert read_pixels(tmp_path / "a.jpg").shape == (6, 9, 3)


@pytest.mark.parametrize("limit", [0, -1, 2.0, True, "3"])
def test_a_bad_limit_is_refused(folders: Path, limit: Any) -> None:
    with pytest.raises(UserError, match="limit is"):
        ClassFolders(folders, "val", limit=limit)
