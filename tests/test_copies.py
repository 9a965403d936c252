"""`robnb corrupt`: copies that the readers open, with the pixels of an evaluation on the fly, however often killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from robnb.cli import main
from robnb.copies import FileFormat, Settings, open_source, verify_copies, write_copies
from robnb.copies.files import pixel_hash
from robnb.corruptions import Condition, corrupt
from robnb.data import AdeImages, ClassFolders, CocoImages
from robnb.data.images import read_pixels
from robnb.data.sources import Reader
from robnb.errors import UserError

GRID = (Condition("gaussian_noise", 1), Condition("contrast", 3))


def save(path: Path, height: int = 40, width: int = 48) -> None:
    """A smooth picture with some noise, another one for every name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(list(path.name.encode())).integers(0, 40, (height, width, 3))
    Image.fromarray((noise + np.stack([rows, columns, rows + columns], axis=2) * 2).astype(np.uint8)).save(path)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    root = tmp_path / "coco"
    images = [
        {"id": number, "file_name": f"{number:012d}.jpg", "width": 48, "height": 40, "license": 1}
        for number in (20, 5, 7)
    ]
    box = {"category_id": 3, "iscrowd": 0, "area": 6, "bbox": [1, 2, 3, 2], "segmentation": [[1, 2, 4, 2, 4, 4, 1, 4]]}
    content = {
        "info": {"year": 2017},
        "categories": [{"id": 3, "name": "person"}],
        "images": images,
        "annotations": [{"id": number, "image_id": number, **box} for number in (5, 20)],
    }
    for image in images:
        save(root / "val2017" / image["file_name"])
    (root / "annotations").mkdir()
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    root = tmp_path / "ADEChallengeData2016"
    for number in (2, 1, 3):
        save(root / f"images/validation/ADE_val_{number}.jpg")
        labels = np.full((40, 48), number % 3, np.uint8)
        (root / "annotations/validation").mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(root / f"annotations/validation/ADE_val_{number}.png")
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n2\tbuilding, edifice\n")
    return root


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("wolf/a.JPEG", "wolf/b.png", "ant/z.jpg", "ant/y.PNG", "ant/x.jpeg"):
        save(tmp_path / "imagenet/val" / name)
    (tmp_path / "imagenet/val/ant/notes.txt").touch()
    return tmp_path / "imagenet/val"


def copy(root: Path, folder: Path, grid: tuple[Condition, ...] = GRID, workers: int = 1, **options: Any) -> str:
    """Make copies and return the hash over them; options of ``open_source`` and of ``Settings`` together."""
    file_format = options.pop("file_format", FileFormat())
    source = open_source(root, options.pop("split", None), options.pop("limit", None), file_format)
    return write_copies(source, folder, grid, Settings(file_format=file_format, **options), workers).sha256


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def open_coco(root: Path) -> Reader:
    return CocoImages(root, "val2017")


def open_ade(root: Path) -> Reader:
    return AdeImages(root, "validation")


def open_folders(root: Path) -> Reader:
    return ClassFolders(root.parent, root.name)


OPENERS = {"coco": open_coco, "ade": open_ade, "folders": open_folders}


@pytest.mark.parametrize("kind", OPENERS)
def test_a_copy_is_read_like_the_source_and_has_the_pixels_of_an_evaluation_on_the_fly(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    root: Path = request.getfixturevalue(kind)
    before = tree(root)
    copy(root, tmp_path / "copy", seed=4, replicate=1)
    assert tree(root) == before
    for condition in GRID:
        reader = OPENERS[kind](root)
        copied = OPENERS[kind](tmp_path / "copy" / condition.corruption / str(condition.severity))
        assert len(copied) == len(reader) and copied.classes == reader.classes
        found = {Path(copied[index].image_id).stem: copied[index] for index in range(len(copied))}
        for sample in (reader[index] for index in range(len(reader))):
            wanted = corrupt(
                sample.image, condition.corruption, condition.severity, image_id=sample.image_id, seed=4, replicate=1
            )
            same = found[Path(sample.image_id).stem]
            np.testing.assert_array_equal(same.image, wanted)
            assert_same_target(same.target, sample.target)


def assert_same_target(found: Any, wanted: Any) -> None:
    if hasattr(wanted, "boxes"):
        assert found.coco_id == wanted.coco_id and found.masks == wanted.masks
        found, wanted = found.boxes, wanted.boxes
    np.testing.assert_array_equal(found, wanted)


def test_coco_annotations_change_only_where_they_must(coco: Path, tmp_path: Path) -> None:
    name = "annotations/instances_val2017.json"
    given = json.loads((coco / name).read_text())
    copy(coco, tmp_path / "all", GRID[:1])
    copied = json.loads((tmp_path / "all/gaussian_noise/1" / name).read_text())
    assert [image.pop("file_name") for image in copied["images"]] == [f"{n:012d}.png" for n in (20, 5, 7)]
    names = [image.pop("file_name") for image in given["images"]]
    assert copied == given
    copy(coco, tmp_path / "two", GRID[:1], limit=2, file_format=FileFormat("jpeg", 90))
    copied = json.loads((tmp_path / "two/gaussian_noise/1" / name).read_text())
    assert [image["file_name"] for image in copied["images"]] == names[1:], "the first by id, as the reader counts"
    assert [each["image_id"] for each in copied["annotations"]] == [5]


def test_a_limit_takes_what_the_reader_takes(folders: Path, ade: Path) -> None:
    images = open_source(folders, limit=3).images
    assert [image.image_id for image in images] == ClassFolders(folders.parent, "val", limit=3).image_ids
    assert [image.image_id for image in open_source(ade, limit=2).images] == ["ADE_val_1", "ADE_val_2"]


def test_any_tree_of_images_keeps_its_shape(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("top.png", "a/b/deep.jpg", ".hidden/no.png", "a/.no.png"):
        save(root / name)
    (root / "a/loop").symlink_to(root)
    save(tmp_path / "elsewhere/linked.png")
    (root / "a/link").symlink_to(tmp_path / "elsewhere")
    found = {image.image_id: image.target for image in open_source(root).images}
    assert found == {"top.png": "top.png", "a/b/deep.jpg": "a/b/deep.png", "a/link/linked.png": "a/link/linked.png"}


def test_the_number_of_workers_does_not_matter_and_the_order_of_conditions_neither(
    folders: Path, tmp_path: Path
) -> None:
    one = copy(folders, tmp_path / "one")
    assert copy(folders, tmp_path / "two", GRID[::-1], workers=2) == one
    assert copy(folders, tmp_path / "later", GRID[1:]) != one
    assert copy(folders, tmp_path / "later", GRID[:1]) == one, "conditions can be added"
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "later")


def test_the_manifest_by_hand(folders: Path, tmp_path: Path) -> None:
    total = copy(folders, tmp_path / "copy", seed=4)
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    assert (manifest["engine"], manifest["seed"], manifest["replicate"]) == ("fast", 4, 0)
    assert manifest["file_format"] == {"name": "png", "quality": None}
    assert (manifest["source"]["kind"], manifest["source"]["split"], manifest["source"]["images"]) == (
        "folder",
        None,
        5,
    )
    assert manifest["versions"]["numpy"] == np.__version__
    assert str(tmp_path) not in json.dumps(manifest)
    pixels = read_pixels(tmp_path / "copy/contrast/3/wolf/a.png")
    images = json.loads((tmp_path / "copy/contrast/3/manifest.json").read_text())["images"]
    assert images["wolf/a.png"] == hashlib.sha256(b"40 48 3\n" + pixels.tobytes()).hexdigest()
    listing = "".join(f"{images[name]}  {name}\n" for name in sorted(images))
    assert manifest["conditions"]["contrast/3"] == hashlib.sha256(listing.encode()).hexdigest()
    assert list(manifest["conditions"]) == ["gaussian_noise/1", "contrast/3"]
    listing = "".join(f"{each}  {name}\n" for name, each in manifest["conditions"].items())
    assert total == manifest["sha256"] == hashlib.sha256(listing.encode()).hexdigest()
    sources = json.loads((tmp_path / "copy/source.json").read_text())
    assert sources["images"]["wolf/a.JPEG"] == pixel_hash(read_pixels(folders / "wolf/a.JPEG"))
    assert sources["annotations"] == {}


def test_seed_replicate_and_engine_matter_to_noise(folders: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{}, {"seed": 1}, {"replicate": 1}, {"engine": "reference"}]
    hashes = [copy(folders, tmp_path / str(n), GRID[:1], **change) for n, change in enumerate(changes)]
    assert len(set(hashes[:3])) == 3
    manifests = [json.loads((tmp_path / str(n) / "manifest.json").read_text()) for n in range(4)]
    assert [manifest["engine"] for manifest in manifests] == ["fast", "fast", "fast", "reference"]
    pixels = read_pixels(tmp_path / "3/gaussian_noise/1/ant/y.PNG")
    source = read_pixels(folders / "ant/y.PNG")
    wanted = corrupt(source, "gaussian_noise", 1, image_id="ant/y.PNG", engine="reference")
    np.testing.assert_array_equal(pixels, wanted)


# --- going on


def test_a_finished_image_is_not_made_again(folders: Path, tmp_path: Path) -> None:
    copy(folders, tmp_path / "copy")
    before = tree(tmp_path / "copy")
    (tmp_path / "copy/contrast/3/ant/x.png").unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "copy").rglob("*.png")}
    source = open_source(folders)
    assert write_copies(source, tmp_path / "copy", GRID, Settings()).made == 1
    assert tree(tmp_path / "copy") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_run_that_fails_keeps_what_is_done_and_another_may_come_between(folders: Path, tmp_path: Path) -> None:
    copy(folders, tmp_path / "whole")
    last = folders / "ant/z.jpg"
    good = last.read_bytes()
    last.write_bytes(good[:200])
    with pytest.raises(UserError, match=r"cannot decode the image .*ant/z\.jpg"):
        copy(folders, tmp_path / "copy", GRID[:1])
    assert len((tmp_path / "copy/journal.jsonl").read_text().splitlines()) == 4
    last.write_bytes(good)
    with (tmp_path / "copy/journal.jsonl").open("a") as journal:
        journal.write('{"file": "ant/')  # a kill in the middle of a line
    (tmp_path / "copy/gaussian_noise/1/ant/.z.png.part").write_bytes(b"and of a file")
    copy(folders, tmp_path / "copy", GRID[1:])
    with pytest.raises(UserError, match="is not finished"):
        verify_copies(tmp_path / "copy")
    copy(folders, tmp_path / "copy", GRID[:1])
    assert tree(tmp_path / "copy") == tree(tmp_path / "whole")


NAMES = [f"{letter}.png" for letter in "abcdefghijkl"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for name in NAMES:
        save(tmp_path / "many" / name, 64, 64)
    return tmp_path / "many"


@pytest.fixture
def in_the_middle(many: Path, tmp_path: Path) -> Any:
    """A run by two workers of which one image is finished; its process group is its own, as in a shell."""
    command = [sys.executable, "-m", "robnb.cli", "corrupt", str(many), str(tmp_path / "copy"), "--severities", "2"]
    process = subprocess.Popen(
        [*command, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = tmp_path / "copy/journal.jsonl"
    wait_until(lambda: process.poll() is not None or (journal.exists() and journal.stat().st_size > 0))
    yield process
    process.kill()
    process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail after a minute, long after what is waited for should be true."""
    for _ in range(20000):
        if condition():
            return
        time.sleep(0.003)
    pytest.fail("waited in vain")


def assert_goes_on(many: Path, tmp_path: Path) -> None:
    """The interrupted copy ends as the tree that a run by one worker makes in one go."""
    assert (tmp_path / "copy/journal.jsonl").exists(), "it was interrupted in the middle"
    arguments = ["--severities", "2", "--workers", "1"]
    assert main(["corrupt", str(many), str(tmp_path / "copy"), *arguments]) == 0
    assert main(["corrupt", str(many), str(tmp_path / "whole"), *arguments]) == 0
    assert tree(tmp_path / "copy") == tree(tmp_path / "whole")


def group_is_empty(group: int) -> bool:
    """Whether no process of this group runs; one that has ended and that nobody has waited for does not."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            return False
    return True


def test_a_killed_run_leaves_no_worker_and_goes_on(in_the_middle: subprocess.Popen, many: Path, tmp_path: Path) -> None:
    in_the_middle.kill()
    in_the_middle.wait()
    wait_until(lambda: group_is_empty(in_the_middle.pid))
    assert_goes_on(many, tmp_path)


def ctrl_c(process: subprocess.Popen) -> None:
    """What a terminal does: the workers get it too."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize(("send", "code"), [(ctrl_c, 130), (subprocess.Popen.terminate, 143)], ids=["ctrl-c", "term"])
def test_an_interrupted_run_says_how_to_go_on(
    in_the_middle: subprocess.Popen, many: Path, tmp_path: Path, send: Callable[[subprocess.Popen], None], code: int
) -> None:
    send(in_the_middle)
    _, stderr = in_the_middle.communicate(timeout=60)
    assert (in_the_middle.returncode, stderr) == (
        code,
        "\nrobnb: interrupted; finished work is kept, and the same command goes on from there.\n",
    )
    assert_goes_on(many, tmp_path)


def test_a_killed_worker_is_told(in_the_middle: subprocess.Popen, many: Path, tmp_path: Path) -> None:
    children = Path(f"/proc/{in_the_middle.pid}/task/{in_the_middle.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    _, stderr = in_the_middle.communicate(timeout=60)
    assert in_the_middle.returncode == 2
    assert stderr == (
        "robnb: a worker process was killed, mostly for want of memory: give fewer workers; finished work is kept.\n"
    )
    assert_goes_on(many, tmp_path)


# --- formats and verification


def test_jpeg_is_warned_of_and_hashed_as_it_is_decoded(folders: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = [str(folders), str(tmp_path / "copy"), "--corruptions", "contrast", "--severities", "3"]
    assert main(["corrupt", *arguments, "--format", "jpeg", "--workers", "1"]) == 0
    assert "a 16th corruption" in capsys.readouterr().err
    folder = tmp_path / "copy/contrast/3"
    names = sorted(path.name for path in folder.glob("*/*"))
    assert names == ["a.JPEG", "b.jpg", "x.jpeg", "y.jpg", "z.jpg"]
    wanted = corrupt(read_pixels(folders / "wolf/b.png"), "contrast", 3, image_id="wolf/b.png").astype(int)
    with Image.open(folder / "wolf/b.jpg") as image:
        assert image.format == "JPEG" and 0 < np.abs(np.asarray(image) - wanted).max() < 40
    assert json.loads((tmp_path / "copy/manifest.json").read_text())["file_format"]["quality"] == 95
    assert verify_copies(tmp_path / "copy").good


def test_verify_finds_everything(ade: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "copy"
    total = copy(ade, folder)
    check = ["corrupt", "--verify", str(folder), "--workers", "1"]
    assert main(check) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "files     14, 0 missing, 0 changed, 0 extra",
        f"sha256    {total}",
    ]
    images = folder / "contrast/3/images/validation"
    again = read_pixels(images / "ADE_val_3.png")
    Image.fromarray(again).save(images / "ADE_val_3.png", compress_level=9)
    assert verify_copies(folder).good, "other bytes, the same pixels"
    again[3, 4, 1] ^= 1
    Image.fromarray(again).save(images / "ADE_val_3.png")
    (images / "ADE_val_2.png").write_bytes(b"no image")
    (images / "ADE_val_1.png").unlink()
    save(images / "ADE_val_9.png")
    (folder / "contrast/3/annotations/validation/ADE_val_1.png").unlink()
    (folder / "contrast/3/objectInfo150.txt").write_text("Idx\tName\n1\twall\n")
    found = verify_copies(folder)
    assert found.changed == (
        "contrast/3/images/validation/ADE_val_2.png",
        "contrast/3/images/validation/ADE_val_3.png",
        "contrast/3/objectInfo150.txt",
    )
    assert found.missing == (
        "contrast/3/annotations/validation/ADE_val_1.png",
        "contrast/3/images/validation/ADE_val_1.png",
    )
    assert found.extra == ("contrast/3/images/validation/ADE_val_9.png",)
    assert main(check) == 1
    printed = capsys.readouterr().out
    assert f"missing   {images}/ADE_val_1.png" in printed and f"extra     {images}/ADE_val_9.png" in printed
    assert "files     14, 2 missing, 3 changed, 1 extra" in printed and total not in printed


def test_verify_finds_manifests_that_do_not_add_up(folders: Path, tmp_path: Path) -> None:
    copy(folders, tmp_path / "copy")
    path = tmp_path / "copy/contrast/3/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["images"]["wolf/a.png"]
    path.write_text(json.dumps(manifest))
    found = verify_copies(tmp_path / "copy", workers=2)
    assert (found.changed, found.extra) == (("contrast/3/manifest.json",), ("contrast/3/wolf/a.png",))
    top = tmp_path / "copy/manifest.json"
    top.write_text(top.read_text().replace('"sha256": "', '"sha256": "0'))
    assert "manifest.json" in verify_copies(tmp_path / "copy").changed


# --- what is refused


@pytest.fixture
def refused(capsys: Any) -> Callable[..., None]:
    """Expect exit code 2 and one sentence with this in it."""

    def run(says: str, *arguments: object) -> None:
        workers = ["--workers", "1"] * ("--workers" not in arguments)
        code = main(["corrupt", *map(str, arguments), *workers])
        lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
        assert code == 2 and len(lines) == 1, lines
        assert lines[0].startswith("robnb: ") and lines[0].endswith(".") and re.search(says, lines[0]), lines

    return run


def test_bad_arguments(folders: Path, coco: Path, ade: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    new = tmp_path / "copy"
    (tmp_path / "notes.txt").touch()
    refused("there is no folder .*nowhere", tmp_path / "nowhere", new)
    (tmp_path / "empty").mkdir()
    refused("empty has no images", tmp_path / "empty", new)
    refused("unknown corruption or set of them 'fogg': did you mean 'fog'", folders, new, "--corruptions", "fogg")
    refused("severity must be an integer from 1 to 5, got 6", folders, new, "--severities", "6")
    refused("is neither a COCO nor an ADE20K root", folders, new, "--split", "val")
    refused("no annotation file .*instances_train2017", coco, new, "--split", "train2017")
    refused("no folder .*images/training", ade, new, "--split", "training")
    refused("limit is 0", folders, new, "--limit", "0")
    refused("workers is 0", folders, new, "--workers", "0")
    refused("a PNG has no quality", folders, new, "--quality", "90")
    refused("from 1 to 100, not 0", folders, new, "--quality", "0", "--format", "jpeg")
    refused("is inside the source", folders, folders / "copy")
    refused("is inside the source", folders, folders)
    refused("cannot write .*notes.txt/copy .Not a directory.", folders, folders.parents[1] / "notes.txt/copy")
    refused("one folder was given", new)
    refused("--verify needs no SRC", folders, new, "--verify")
    refused("there is no .*manifest.json", folders, "--verify")
    assert not new.exists() and not (folders / "copy").exists()


def test_two_images_of_one_name_are_refused(folders: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    save(folders / "wolf/a.png")
    refused(r"wolf/a\.JPEG and wolf/a\.png would both become wolf/a\.png", folders, tmp_path / "copy")


def test_an_image_that_is_too_small_is_named(folders: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    save(folders / "wolf/small.png", 31, 64)
    refused(r"wolf/small\.png: an image must be at least 32 x 32 pixels, got 31 x 64", folders, tmp_path / "copy")
    assert len((tmp_path / "copy/journal.jsonl").read_text().splitlines()) == 5


def test_a_copy_made_otherwise_is_refused(folders: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    done = tmp_path / "copy"
    copy(folders, done)
    before = tree(done)
    refused("was made with seed 0, and now it is 1", folders, done, "--seed", "1")
    refused("was made with engine 'fast', and now it is 'reference'", folders, done, "--engine", "reference")
    refused("was made with file_format name 'png', and now it is 'jpeg'", folders, done, "--format", "jpeg")
    refused("was made with source images 5, and now it is 2", folders, done, "--limit", "2")
    save(folders / "ant/x.jpeg", 50, 50)
    refused(r"ant/x\.jpeg has other pixels than the image that .* was made from", folders, done)
    manifest = json.loads((done / "manifest.json").read_text())
    manifest["versions"]["numpy"] = "1.0"
    (done / "manifest.json").write_text(json.dumps(manifest))
    refused("was made with versions numpy '1.0', and now it is", folders, done)
    (done / "manifest.json").write_bytes(before["manifest.json"])
    assert tree(done) == before


def test_a_folder_of_something_else_is_refused(folders: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    refused("is not empty and no copy", folders, tmp_path / "mine")
    (tmp_path / "mine/manifest.json").write_text("[]")
    refused("manifest.json is damaged", folders, tmp_path / "mine")
    refused("manifest.json is damaged", "--verify", tmp_path / "mine")


def test_a_folder_in_use_is_refused(folders: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    (tmp_path / "copy").mkdir()
    with FileLock(tmp_path / "copy/.lock"):
        refused("another robnb is writing to", folders, tmp_path / "copy")


def test_a_lost_file_that_comes_out_differently_is_told(
    folders: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    copy(folders, tmp_path / "copy")
    path = tmp_path / "copy/contrast/3/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["images"]["ant/x.png"] = "0" * 64
    path.write_text(json.dumps(manifest))
    (path.parent / "ant/x.png").unlink()
    refused(
        r"contrast/3/ant/x\.png was lost, and made again it has other pixels", folders, tmp_path / "copy",
        "--corruptions", "contrast", "--severities", "3",
    )  # fmt: skip


def test_a_full_disk_is_told_and_the_run_goes_on_later(
    folders: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    """A limit on the size of files stands for the disk: the system refuses the write with an OSError too."""
    save(folders / "wolf/large.png", 200, 200)
    copy(folders, tmp_path / "whole", GRID[:1])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        refused(
            r"cannot write .*copy/gaussian_noise/1/wolf/large\.png \(File too large\): free space",
            folders, tmp_path / "copy", "--corruptions", "gaussian_noise", "--severities", "1",
        )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    copy(folders, tmp_path / "copy", GRID[:1])
    assert tree(tmp_path / "copy") == tree(tmp_path / "whole")
