"""The published data sets: CIFAR-10's pickles, ImageNet-C and CIFAR-10-C, prepared images, and the sweep on them."""

from __future__ import annotations

import hashlib
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import published_data
import pytest
import small
import torch
import torchvision
from PIL import Image
from sweeping import Sweeper, contents
from torch import nn
from torchvision import transforms

from robnb import assets, distributed
from robnb.assets import Roots
from robnb.corruptions import Condition, conditions, corrupt
from robnb.data import AdeImages, CifarBatches, ClassFolders, CocoImages, Prepared
from robnb.data.corrupted import CifarCopies, ImageNetCopies
from robnb.data.sources import IMAGENET_C, TaskData, miniworld, paper
from robnb.errors import UserError
from robnb.evaluation.compute import ResidentModels
from robnb.evaluation.predict import ClassifierPredictor
from robnb.evaluation.spec import Sweep
from robnb.evaluation.sweep import sweep
from robnb.evaluation.trained import TrainedModel
from robnb.models.execution import Execution
from robnb.names import CORRUPTIONS
from robnb.store import Store

CPU = torch.device("cpu")
NAMES = ("gaussian_noise", "snow", "contrast")
GRID = conditions(NAMES, [1, 3])


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stand-ins by the keys of the data sets' roots; 12 ImageNet images of 40 classes have copies."""
    below = tmp_path_factory.mktemp("published")
    imagenet, cifar = published_data.imagenet(below / "imagenet", 40), published_data.cifar10(below / "cifar10")
    return {
        "imagenet": imagenet,
        "cifar10": cifar,
        "imagenet_c": published_data.imagenet_c(below / "imagenet-c", imagenet, NAMES, [1, 3], limit=12),
        "cifar10_c": published_data.cifar10_c(below / "CIFAR-10-C", cifar, NAMES),
        "coco": published_data.coco(below / "coco"),
        "ade20k": published_data.ade20k(below / "ADEChallengeData2016"),
    }


class Network(nn.Module):
    """A small classifier of uint8 images, whose answer with random weights follows the image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        features = (nn.Conv2d(3, 16, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.backbone = nn.Sequential(*features, nn.LayerNorm(256), nn.Linear(256, classes))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C)."""
        return self.backbone(images.float() / 255)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Random weights; it takes images of 224 pixels as they are."""
    from robnb.evaluation import trained

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(Network(40).state_dict(), path)
    name = trained.BackboneName.parse("resnet50.regular")
    return TrainedModel(name, "upstream", "pretrained", "random", 0, (224, 224), path, partial(Network, 40))


# --- CIFAR-10


def test_the_stand_ins_are_pickled_as_the_published_files_were() -> None:
    """torchvision knows the md5 of the published batches.meta."""
    made = published_data.python2_pickle(published_data.cifar_meta(10_000))
    assert hashlib.md5(made).hexdigest() == torchvision.datasets.CIFAR10.meta["md5"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar_is_read_as_torchvision_reads_it(
    roots: dict[str, Path], split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    theirs = torchvision.datasets.CIFAR10(str(roots["cifar10"]), train=split == "train")
    ours = CifarBatches(roots["cifar10"], split)
    assert len(ours) == len(theirs) == (100 if split == "train" else 20)
    assert ours.classes == tuple(theirs.classes) == published_data.CIFAR_CLASSES
    assert ours.labels == theirs.targets
    for number, sample in enumerate(ours):
        image, label = theirs[number]
        assert sample.image.dtype == np.uint8 and np.array_equal(sample.image, image)
        assert (sample.target, sample.image_id) == (label, f"{split}_{number:05d}")
    assert ours.image_ids == [sample.image_id for sample in ours]


def test_cifar_limit_keeps_the_first_and_reads_no_more_files(roots: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("batches.meta", "data_batch_1", "data_batch_2"):
        (folder / name).symlink_to(roots["cifar10"] / "cifar-10-batches-py" / name)
    limited, whole = CifarBatches(tmp_path, "train", limit=33), CifarBatches(roots["cifar10"], "train")
    assert len(limited) == 33 and limited.labels == whole.labels[:33]
    assert np.array_equal(limited[32].image, whole[32].image) and limited[-1].image_id == "train_00032"
    with pytest.raises(UserError, match="data_batch_3: check the data set's root"):
        CifarBatches(tmp_path, "train")


def test_a_batch_written_again_by_python_3_is_read_too(roots: dict[str, Path], tmp_path: Path) -> None:
    for protocol in (2, 4):
        place = published_data.cifar10(tmp_path / str(protocol), 20) / "cifar-10-batches-py" / "test_batch"
        place.write_bytes(pickle.dumps(published_data.cifar_batch(0, 20), protocol=protocol))
        again, first = (CifarBatches(root, "test") for root in (tmp_path / str(protocol), roots["cifar10"]))
        assert all(np.array_equal(a.image, b.image) for a, b in zip(again, first, strict=True))


class Payload:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.fromfile])
def test_a_payload_is_refused_and_not_run(tmp_path: Path, function: Any, protocol: int) -> None:
    mark = tmp_path / "ran"
    argument = f"open({str(mark)!r}, 'w')" if function is eval else str(mark)
    place = published_data.cifar10(tmp_path / "data") / "cifar-10-batches-py" / "test_batch"
    content = published_data.cifar_batch(0, 20)
    place.write_bytes(pickle.dumps({**content, b"data": Payload(function, argument)}, protocol=protocol))
    refusal = rf"test_batch is no file of CIFAR-10 \(it wants to run .*{function.__name__}\): delete it"
    with pytest.raises(UserError, match=refusal):
        CifarBatches(tmp_path / "data", "test")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"labels": [0] * 19}, "19 labels and pixels of shape"),
        ({b"labels": [0] * 19 + [10]}, "the label 10, and there are 10 classes"),
        ({b"labels": [0] * 19 + [b"cat"]}, "the label b'cat'"),
        ({b"data": np.zeros((20, 3071), np.uint8)}, r"shape \(20, 3071\), not 3072 bytes"),
        ({b"data": np.zeros((20, 3072), np.float32)}, "is not a batch of CIFAR-10 .*not u1"),
        ({b"data": [1, 2]}, "is not a batch of CIFAR-10"),
        ({b"labels": None}, "is not a batch of CIFAR-10"),
        ({b"labels": [], b"data": np.zeros((0, 3072), np.uint8)}, "0 labels"),
    ],
)
def test_a_batch_of_another_shape_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    place = published_data.cifar10(tmp_path) / "cifar-10-batches-py" / "test_batch"
    place.write_bytes(published_data.python2_pickle({**published_data.cifar_batch(0, 20), **change}))
    with pytest.raises(UserError, match=message):
        CifarBatches(tmp_path, "test")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x80\x02K\x01.", "cut"])
def test_a_file_that_is_no_batch_is_refused(tmp_path: Path, content: bytes | str) -> None:
    place = published_data.cifar10(tmp_path) / "cifar-10-batches-py" / "test_batch"
    place.write_bytes(place.read_bytes()[:30_000] if content == "cut" else content)
    with pytest.raises(UserError, match=r"test_batch is no file of CIFAR-10 \(.*fetch cifar-10-python.tar.gz again"):
        CifarBatches(tmp_path, "test")


def test_cifar_without_its_class_names_or_split_is_refused(tmp_path: Path) -> None:
    place = published_data.cifar10(tmp_path) / "cifar-10-batches-py" / "batches.meta"
    with pytest.raises(UserError, match="unknown split of CIFAR-10 'val'"):
        CifarBatches(tmp_path, "val")
    place.write_bytes(published_data.python2_pickle({b"num_vis": 3072}))
    with pytest.raises(UserError, match="does not hold the class names"):
        CifarBatches(tmp_path, "test")
    place.unlink()
    with pytest.raises(UserError, match=r"there is no file .*batches\.meta"):
        CifarBatches(tmp_path, "test")


# --- prepared images


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("sizes", [(256, 224), (64, 64), (40, 33)])
def test_prepared_images_are_torchvisions(roots: dict[str, Path], kind: str, sizes: tuple[int, int]) -> None:
    resize = transforms.Resize(sizes[0], interpolation=transforms.InterpolationMode(kind))
    theirs = transforms.Compose([resize, transforms.CenterCrop(sizes[1])])
    reader = ClassFolders(roots["imagenet"], "val", limit=4)
    prepared = Prepared(reader, *sizes, kind)
    assert (prepared.classes, prepared.labels, len(prepared)) == (reader.classes, reader.labels, 4)
    assert prepared.image_ids == reader.image_ids == [sample.image_id for sample in prepared]
    for sample in prepared:
        expected = theirs(Image.open(reader.folder / sample.image_id).convert("RGB"))
        assert np.array_equal(sample.image, expected) and sample.image.shape == (sizes[1], sizes[1], 3)


@pytest.mark.parametrize(
    "prepare", [(224, 256, "bilinear"), (256, 0, "bilinear"), (256.0, 224, "bilinear"), (256, 224)]
)
def test_images_that_cannot_be_prepared_so_are_refused(roots: dict[str, Path], prepare: tuple) -> None:
    with pytest.raises(UserError, match="images cannot be prepared by"):
        paper(roots, prepare={"upstream": prepare})
    with pytest.raises(UserError, match="unknown interpolation 'bilinaer': did you mean 'bilinear'"):
        paper(roots, prepare={"classification": (256, 224, "bilinaer")})
    with pytest.raises(UserError, match="unknown task whose test images can be prepared 'detection'"):
        paper(roots, prepare={"detection": (256, 224, "bilinear")})


def test_prepared_images_are_other_test_images_but_the_same_training_images(roots: dict[str, Path]) -> None:
    plain = paper(roots)["classification"]
    prepared = paper(roots, prepare={"classification": (256, 224, "bicubic")})["classification"]
    assert plain.fingerprint == prepared.fingerprint == plain.test_fingerprint
    assert prepared.test_fingerprint == "cifar10-as-released 256/224 bicubic"
    assert prepared.open("train")[0].image.shape == (32, 32, 3)
    assert prepared.open("test", 2)[0].image.shape == (224, 224, 3)
    with pytest.raises(UserError, match="unknown split 'val'"):
        prepared.open("val")


# --- where the data of the tasks are


def test_the_papers_tasks_are_read_in_their_published_layouts(roots: dict[str, Path]) -> None:
    tasks = paper(roots)
    assert list(tasks) == ["upstream", "detection", "segmentation", "classification"]
    assert [type(data.open("test")) for data in tasks.values()] == [ClassFolders, CocoImages, AdeImages, CifarBatches]
    assert [len(data.classes) for data in tasks.values()] == [40, 80, 150, 10]
    assert not any(data.copies or data.prepare for data in tasks.values())
    for task, data in tasks.items():
        samples = list(data.open("test", 4))
        assert len(samples) == 4 and data.classes == data.open("test").classes, task
        if task != "upstream":
            assert data.open("train").classes == data.classes
    assert len(tasks["detection"].open("train")[1].target.labels) == 0, "an image without objects"
    assert list(paper({"coco": roots["coco"]})) == ["detection"]


def test_copies_go_with_images_prepared_as_they_were(roots: dict[str, Path]) -> None:
    tasks = paper(roots, copies=True)
    assert tasks["upstream"].copies == roots["imagenet_c"] and tasks["upstream"].prepare == IMAGENET_C
    assert tasks["classification"].copies == roots["cifar10_c"] and tasks["classification"].prepare is None
    assert tasks["detection"].copies is None
    large = paper(roots, copies=True, prepare={"classification": (256, 224, "bilinear")})["classification"]
    assert large.copies is None, "CIFAR-10-C has 32 pixels"
    with pytest.raises(UserError, match="no published corrupted copies for detection"):
        TaskData("detection", roots["coco"], "train2017", "val2017", "coco", True, copies=roots["imagenet_c"])


def test_classes_take_only_what_tells_them(tmp_path: Path) -> None:
    """No image, no training set; asked again, no file."""
    tasks = paper({key: tmp_path / key for key in ("imagenet", "coco", "ade20k", "cifar10")})
    for data in tasks.values():
        with pytest.raises(UserError, match=r"there is no|has neither"):
            _ = data.classes
    published_data.imagenet(tmp_path / "imagenet", classes=3)
    published_data.coco(tmp_path / "coco")
    published_data.ade20k(tmp_path / "ade20k")
    published_data.cifar10(tmp_path / "cifar10")
    kept = ("instances_val2017.json", "objectInfo150.txt", "batches.meta")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in kept:
            path.unlink()
    assert [len(data.classes) for data in tasks.values()] == [3, 80, 150, 10]
    for name in kept:
        next(tmp_path.rglob(name)).unlink()
    assert [len(data.classes) for data in tasks.values()] == [3, 80, 150, 10]
    assert tasks["detection"].classes[:2] == ("category 1", "category 2")
    with pytest.raises(UserError, match="there is no folder"):
        _ = miniworld(tmp_path / "nowhere", "x")["upstream"].classes


# --- published corrupted copies


def top_classes(network: Network, images: list[Image.Image]) -> list[list[int]]:
    with torch.inference_mode():
        logits = [network.logits(transforms.functional.pil_to_tensor(image)[None]) for image in images]
    return [one[0].topk(5).indices.tolist() for one in logits]


def test_imagenet_c_is_scored_as_by_hand(roots: dict[str, Path], model: TrainedModel, tmp_path: Path) -> None:
    """By hand: every file through CenterCrop(224) alone, and the clean ones through Resize(256) before."""
    data = paper(roots, copies=True)["upstream"]
    found = sweep([model], data, GRID, Store(tmp_path), engine="published", limit=12, batch_size=5)
    network, reader = model.load(model.build(), model.path).eval(), data.open("test", 12)
    crop = transforms.CenterCrop(224)
    clean = transforms.Compose([transforms.Resize(256), crop])
    for condition in GRID:
        if condition.severity:
            folder = roots["imagenet_c"] / condition.corruption / str(condition.severity)
            images = [crop(Image.open(folder / image_id).convert("RGB")) for image_id in reader.image_ids]
        else:
            images = [clean(Image.open(roots["imagenet"] / "val" / image_id)) for image_id in reader.image_ids]
        expected = top_classes(network, images)
        table = found.per_image(model, condition)
        assert table["top"].to_pylist() == expected and len({top[0] for top in expected}) > 1
        score = found.scores.query("corruption == @condition.corruption and severity == @condition.severity")["value"]
        right = np.mean([top[0] == label for top, label in zip(expected, reader.labels, strict=True)])
        assert score.item() == pytest.approx(100 * right)
    gone = paper({**roots, "imagenet_c": tmp_path / "nowhere"}, copies=True)["upstream"]
    again = sweep([model], gone, GRID, Store(tmp_path), engine="published", limit=12)
    assert again.scores.equals(found.scores), "finished work needs no copies"


def test_images_made_on_the_fly_are_those_of_the_files(roots: dict[str, Path]) -> None:
    """Without the JPEG, `corrupt` of the prepared image; with it, the published file's own pixels, to the byte."""
    data = paper(roots, copies=True)["upstream"]
    reader, how = data.open("test", 3), {"data": data, "conditions": GRID, "limit": 3}
    plain, saved, published = (
        Sweep((), **how, **more).pixels for more in ({}, {"jpeg": 85}, {"engine": "published"})
    )  # fmt: skip
    held = [plain.held(sample) for sample in reader]
    for condition in GRID[1:]:
        name, severity = condition.corruption, condition.severity
        expected = [corrupt(sample.image, name, severity, image_id=sample.image_id) for sample in reader]
        assert np.array_equal(plain.block(held, condition, 0), expected)
        files = published.block(held, condition, 0)
        assert torch.equal(saved.block(held, condition, 0), files)
        assert not torch.equal(files, plain.block(held, condition, 0)), "JPEG is lossy"
    assert torch.equal(saved.block(held, GRID[0], 0), plain.block(held, GRID[0], 0)), "clean images are not saved"


def test_cifar_10_c_rows_are_images_by_severity(roots: dict[str, Path], model: TrainedModel, tmp_path: Path) -> None:
    data = paper(roots, copies=True)["classification"]
    copies, reader = data.open_copies(), data.open("test")
    copies.check([(name, severity) for name in NAMES for severity in (1, 5)], reader)
    rows = np.load(roots["cifar10_c"] / "snow.npy")
    for severity in (1, 2, 5):
        for number in (0, 7, 19):
            image = copies.pixels("snow", severity, f"test_{number:05d}")
            assert np.array_equal(image, rows[20 * (severity - 1) + number]) and image.flags.writeable
            expected = corrupt(reader[number].image, "snow", severity, image_id=f"test_{number:05d}")
            assert np.array_equal(image, expected)
    small = TrainedModel(**{**vars(model), "task": "classification", "scale": (32, 32)})
    found = sweep([small], data, GRID, Store(tmp_path), engine="published", limit=12)
    by_hand = top_classes(
        model.load(model.build(), model.path).eval(), [Image.fromarray(image) for image in rows[40:52]]
    )
    assert found.per_image(small, Condition("snow", 3))["top"].to_pylist() == by_hand


@pytest.fixture(scope="module")
def no_workers_left() -> Any:
    yield
    distributed.close()


@pytest.mark.slow
def test_the_published_engine_depends_on_no_batch_order_or_worker(
    roots: dict[str, Path], model: TrainedModel, tmp_path: Path, no_workers_left: None
) -> None:
    data, how = paper(roots, copies=True)["upstream"], {"engine": "published", "limit": 8, "shard": 3}
    sweeper = Sweeper(tmp_path, (model,), data, GRID, **how)
    try:
        assert sweeper.do(f"run {tmp_path / 'first'}") == ["ok"]
        sweeper.do(f"kill {tmp_path / 'second'} 0.15")
        assert sweeper.do(f"run {tmp_path / 'second'}") == ["ok"]
    finally:
        sweeper.close()
    expected = contents(tmp_path / "first")
    assert contents(tmp_path / "second") == expected and len(expected) == 3 * (3 + 3)
    sweep([model], data, GRID, Store(tmp_path / "third"), scheduler="local", workers=2, **how)
    assert contents(tmp_path / "third") == expected
    scores = [
        sweep([model], data, GRID[::-1], Store(tmp_path / str(n)), **{**how, **more}).scores
        for n, more in enumerate(({}, {"batch_size": 1}, {"batch_size": 50, "shard": 100}))
    ]
    for frame in scores:
        keys = ["corruption", "severity"]
        assert frame.sort_values(keys)["value"].tolist() == scores[0].sort_values(keys)["value"].tolist()


def test_what_the_copies_lack_is_listed_before_anything_is_computed(
    roots: dict[str, Path], model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robnb.evaluation.sweep.compute", None)
    data = paper(roots, copies=True)["upstream"]

    def refused(message: str, data: TaskData = data, grid: tuple[Condition, ...] = GRID, limit: int = 12) -> None:
        with pytest.raises(UserError, match=message) as caught:
            sweep([model], data, grid, Store(tmp_path / "store"), engine="published", limit=limit)
        assert "\n" not in str(caught.value)

    refused("ImageNet-C in .* lacks snow/2, fog/1, fog/2: fetch it", grid=conditions(["snow", "fog"], [1, 2]))
    refused(r"lacks 28 of 40 images of gaussian_noise/1 \(the first n\d+/ILSVRC2012_val_.*\.JPEG\), ", limit=40)
    nowhere = paper({**roots, "imagenet_c": tmp_path / "nowhere"}, copies=True)["upstream"]
    refused("lacks gaussian_noise/1, .* and 67 more: fetch it", nowhere, conditions(["benchmark"], [1, 2, 3, 4, 5]))
    unprepared = TaskData("upstream", roots["imagenet"], "train", "val", "imagenet", True, copies=roots["imagenet_c"])
    refused("ImageNet-C in .* is 224 x 224 pixels, and the clean one 100 x 130: prepare", unprepared)


def test_a_copy_of_another_size_or_gone_meanwhile_is_found(roots: dict[str, Path], tmp_path: Path) -> None:
    reader = paper(roots, copies=True)["upstream"].open("test", 2)
    for sample in reader:
        published_data.save_jpeg(tmp_path / "fog" / "1" / sample.image_id, sample.image)
    copies, second = ImageNetCopies(tmp_path), reader[1]
    copies.check([("fog", 1)], reader)
    pixels = Sweep((), TaskData("upstream", roots["imagenet"], "", "val", "x", True, copies=tmp_path), GRID,
                   engine="published").pixels  # fmt: skip
    published_data.save_jpeg(tmp_path / "fog" / "1" / second.image_id, second.image[:200])
    with pytest.raises(UserError, match="is 224 x 200 pixels, and the clean one 224 x 224"):
        pixels.block([pixels.held(second)], Condition("fog", 1), 0)
    (tmp_path / "fog" / "1" / second.image_id).unlink()
    with pytest.raises(UserError, match=r"the image .* is missing"):
        pixels.block([pixels.held(second)], Condition("fog", 1), 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels", np.zeros(100, np.uint8), "does not have the labels of the 20 test images"),
        ("labels", np.zeros((5, 20), np.uint8), "does not have the labels"),
        ("labels", np.zeros(95, np.uint8), "does not have the labels"),
        ("snow", np.zeros((99, 32, 32, 3), np.uint8), r"snow.npy is uint8 \(99, 32, 32, 3\), not one uint8 image"),
        ("snow", np.zeros((100, 32, 32, 3), np.float32), "snow.npy is float32"),
        ("snow", np.zeros((100, 64, 64, 3), np.uint8), "is 64 x 64 pixels, and the clean one 32 x 32"),
        ("snow", np.array([Payload(os.mkdir, "ran")] * 100), "snow.npy is damaged"),
        ("snow", b"", "snow.npy is damaged"),
        ("snow", b"<html>", "snow.npy is damaged"),
        ("snow", pickle.dumps(Payload(os.mkdir, "ran")), "snow.npy is damaged"),
        ("snow", "cut", "snow.npy is damaged"),
        ("snow", None, r"CIFAR-10-C in .* lacks snow.npy: fetch it"),
    ],
)
def test_cifar_10_c_that_does_not_fit_is_refused(
    roots: dict[str, Path], tmp_path: Path, name: str, content: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in roots["cifar10_c"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    place = tmp_path / f"{name}.npy"
    if isinstance(content, np.ndarray):
        np.save(place, content, allow_pickle=True)
    elif content is None:
        place.unlink()
    else:
        place.write_bytes(place.read_bytes()[:5000] if content == "cut" else content)
    with pytest.raises(UserError, match=message):
        CifarCopies(tmp_path).check([("snow", 1)], CifarBatches(roots["cifar10"], "test"))
    assert not Path("ran").exists()


def test_a_corruption_that_has_no_file_is_named_when_it_is_read(roots: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"there is no file .*fog.npy: fetch cifar10_c, or leave fog out"):
        CifarCopies(roots["cifar10_c"]).pixels("fog", 1, "test_00000")


# --- channels, JPEG, and what is in a key


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_bgr_corrupts_the_image_with_its_channels_turned_round(roots: dict[str, Path], engine: str) -> None:
    """What it changes is what it changes of imagecorruptions itself: nothing but snow, frost, JPEG and the noises."""
    data = paper(roots, prepare={"upstream": (64, 64, "bilinear")})["upstream"]
    sample, differs = data.open("test")[0], {}
    rgb, bgr = (Sweep((), data, GRID, engine=engine, channels=channels).pixels for channels in ("rgb", "bgr"))
    for name in CORRUPTIONS:
        condition = Condition(name, 3)
        one, other = (pixels.block([pixels.held(sample)], condition, 0)[0].numpy() for pixels in (rgb, bgr))
        turned = np.ascontiguousarray(sample.image[..., ::-1])
        expected = corrupt(turned, name, 3, image_id=sample.image_id, engine=engine)[..., ::-1]
        assert np.array_equal(other, expected), name
        differs[name] = int(np.abs(one.astype(int) - other).max())
    assert max(differs[name] for name in CORRUPTIONS if name not in _ONLY_IN_BGR) <= 1, differs
    assert min(differs[name] for name in _ONLY_IN_BGR) > 5, differs


_ONLY_IN_BGR = {"snow", "frost", "jpeg_compression", "gaussian_noise", "shot_noise", "impulse_noise"}


def spec_of(model: TrainedModel, data: TaskData, **how: Any) -> Any:
    """The key of the corrupted panel."""
    asked = Sweep((model,), data, conditions(["fog"], [1]), limit=4, **how)
    return asked.spec(model, asked.panels[-1])


def test_keys_of_earlier_work_stay_and_new_choices_change_them(roots: dict[str, Path], model: TrainedModel) -> None:
    """The literal is what this key was before there were channels, JPEG, interpolation, copies or preparation."""
    data = paper(roots)["upstream"]
    assert spec_of(model, data).key == "078c0321d9c7963b"
    prepared, copies = paper(roots, prepare={"upstream": IMAGENET_C})["upstream"], paper(roots, copies=True)["upstream"]
    bicubic = TrainedModel(**{**vars(model), "interpolation": "bicubic"})
    keys = [
        spec_of(model, data), spec_of(model, data, channels="bgr"), spec_of(model, data, jpeg=85),
        spec_of(bicubic, data), spec_of(model, prepared), spec_of(model, copies, engine="published"),
        spec_of(model, data, engine="reference"), spec_of(model, data, seed=1),
    ]  # fmt: skip
    assert len({spec.key for spec in keys}) == len(keys)
    assert spec_of(model, copies).key == spec_of(model, prepared).key, "copies that are not used change nothing"
    same = [spec_of(model, copies, engine="published", seed=seed).key for seed in (0, 1)]
    assert same[0] == same[1], "published copies are drawn"
    clean = [
        Sweep((model,), copies, GRID[:1], limit=4, **how) for how in ({}, {"channels": "bgr"}, {"engine": "published"})
    ]
    assert len({asked.spec(model, asked.panels[0]).key for asked in clean}) == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"engine": "publishd"}, "unknown engine 'publishd': did you mean 'published'"),
        ({"channels": "gbr"}, "unknown order of the channels 'gbr'"),
        ({"jpeg": 0}, "the JPEG quality is 0"),
        ({"jpeg": 85.0}, "the JPEG quality is 85.0"),
        ({"engine": "published", "replicates": 2}, "published copies are drawn once"),
        ({"engine": "published", "channels": "bgr"}, "published copies are drawn once"),
        ({"engine": "published", "jpeg": 85}, "published copies are drawn once"),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused(roots: dict[str, Path], how: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sweep((), paper(roots, copies=True)["upstream"], GRID, **how)


def test_published_copies_that_were_not_named_are_refused(roots: dict[str, Path]) -> None:
    for task in ("upstream", "detection"):
        with pytest.raises(UserError, match=f"no published corrupted copies of the {task} images were named"):
            Sweep((), paper(roots)[task], GRID, engine="published")


def test_a_classifiers_interpolation_is_torchvisions(roots: dict[str, Path], model: TrainedModel) -> None:
    reader = ClassFolders(roots["imagenet"], "val", limit=3)
    network, resident = model.load(model.build(), model.path).eval(), ResidentModels()
    found = {}
    for kind in ("bilinear", "bicubic"):
        chosen = TrainedModel(**{**vars(model), "interpolation": kind, "scale": (72, 64)})
        predictor = resident.predictor(chosen, CPU, Execution(), model.sha256())
        assert isinstance(predictor, ClassifierPredictor)
        resize = transforms.v2.Resize(72, transforms.InterpolationMode(kind), antialias=True)
        by_hand = transforms.v2.Compose([resize, transforms.v2.CenterCrop(64)])
        found[kind] = [by_hand(torch.from_numpy(sample.image).permute(2, 0, 1)) for sample in reader]
        with torch.inference_mode():
            expected = [network.logits(image[None])[0].topk(5).indices.tolist() for image in found[kind]]
        blocks = [torch.from_numpy(sample.image)[None] for sample in reader]
        assert [top.tolist() for top in predictor(blocks)] == expected
    assert not torch.equal(found["bilinear"][0], found["bicubic"][0])
    other = TrainedModel(**{**vars(model), "scale": (80, 64)})
    assert resident.predictor(other, CPU, Execution(), model.sha256()) is not predictor, "its images are others"
    with pytest.raises(UserError, match="unknown interpolation 'nearest'"):
        ClassifierPredictor(network, (72, 64), CPU, interpolation="nearest")


def test_what_was_accepted_in_a_releases_place_is_other_data(tmp_path):
    """Two subsets of one size, a changed annotation, and the release, which is known by its name."""
    parameters = {"data": "paper", "upstream": None, "segmentation": None, "classification": None, "backbones": []}

    def fingerprint(root: Path) -> str:
        study = small.study(tmp_path / "out", data_root=str(root), trained=["authors"], **parameters)
        return study._paper_tasks()["detection"].fingerprint

    roots = [tmp_path / "one", tmp_path / "other"]
    for root in roots:
        published_data.coco(root / "coco")
        assert fingerprint(root) == "coco-as-released", "nothing was accepted yet"
        assets.accept(assets.data_set("coco"), Roots(root))
    same = fingerprint(roots[0])
    assert same == fingerprint(roots[1]) != "coco-as-released", "wherever it lies"
    image = next((roots[0] / "coco" / "val2017").glob("*.jpg"))
    image.rename(image.with_name("000000999999.jpg"))
    renamed = fingerprint(roots[0])
    annotations = roots[0] / "coco" / "annotations" / "instances_val2017.json"
    annotations.write_text(annotations.read_text().replace('"iscrowd": 0', '"iscrowd": 1', 1))
    assert len({same, renamed, fingerprint(roots[0])}) == 3
