"""The catalogue is complete, consistent, and says where everything is from."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from robnb import assets
from robnb.assets import Backbone, DataSet, Trained, hashes
from robnb.assets.catalogue import read_catalogue
from robnb.assets.roots import DEFAULTS
from robnb.errors import UserError
from robnb.names import CORRUPTIONS, METRICS, REGIMES, TASKS, VALIDATION_CORRUPTIONS

CATALOGUE = assets.catalogue()
BACKBONES = {
    "resnet50": "regular ant1x1 ant3x3 ant1x1_sin ant3x3_sin deepaug deepaug_augmix prime prime_jsd l2_eps0 l2_eps0.01 "
    "l2_eps0.03 l2_eps0.05 l2_eps0.1 l2_eps0.25 l2_eps0.5 l2_eps1 l2_eps3 l2_eps5",
    "swin_tiny": "in1k in1k_openmmlab",
    "swin_small": "in1k",
    "swin_base": "in1k in22k in22k_ft_in1k",
    "swin_base_w12": "in22k in22k_ft_in1k",
}


def of(kind):
    return [asset for asset in CATALOGUE.values() if isinstance(asset, kind)]


def test_every_backbone_of_the_paper_is_there():
    names = [f"{architecture}.{weights}" for architecture, each in BACKBONES.items() for weights in each.split()]
    assert [asset.name for asset in of(Backbone)] == names
    assert all(asset.architecture == asset.name.split(".")[0] for asset in of(Backbone))


def test_the_24_trained_models_are_a_full_table():
    ours = [asset for asset in of(Trained) if asset.number is not None]
    assert [asset.number for asset in ours] == list(range(1, 25))
    robust, swin = ["ant3x3", "deepaug_augmix"], {"detection": "in1k_openmmlab", "segmentation": "in1k"}
    for task in ("detection", "segmentation"):
        for regime in REGIMES:
            row = [asset for asset in ours if (asset.task, asset.regime, asset.arm) == (task, regime, "")]
            assert [asset.backbone.partition(".")[2] for asset in row] == ["regular", *robust, swin[task]]
        row = [asset for asset in ours if (asset.task, asset.arm) == (task, "PRIME")]
        assert [asset.backbone.partition(".")[2] for asset in row] == ["regular", "prime", robust[1], swin[task]]
    for asset in ours:
        about = f"{'ade20k' if asset.task == 'segmentation' else 'cocodetect'}_"
        assert about in asset.files[0].path
        assert asset.config.startswith("mmdetection/" if asset.task == "detection" else "mmsegmentation/")
        assert asset.model == ("mask_rcnn" if asset.task == "detection" else "upernet")


def test_trained_models_refer_to_backbones_of_the_catalogue():
    for asset in of(Trained):
        assert isinstance(CATALOGUE[asset.backbone], Backbone)
        assert asset.task in TASKS and asset.regime in REGIMES
        assert asset.model in ("mask_rcnn", "cascade_mask_rcnn", "upernet")


@pytest.mark.parametrize("library", ["mmdet", "mmseg"])
def test_public_models_are_those_of_the_installed_libraries(library):
    """Addresses, configs and scores as the metafiles in the wheels state them."""
    import importlib.util

    import yaml

    folder = Path(importlib.util.find_spec(library).submodule_search_locations[0]) / ".mim/configs/swin"
    metafile = next(folder.glob("metafile.y*ml"))
    published = {model["Weights"]: model for model in yaml.safe_load(metafile.read_text())["Models"]}
    found = [asset for asset in of(Trained) if asset.config.startswith(f"{library}::")]
    assert found
    for asset in found:
        model = published[asset.files[0].url]
        assert model["Config"] == f"configs/{asset.config.removeprefix(f'{library}::')}"
        results = model["Results"] if isinstance(model["Results"], list) else [model["Results"]]
        metrics = {name.replace(" ", "_"): value for result in results for name, value in result["Metrics"].items()}
        assert {score.metric: score.value for score in asset.scores}.items() <= metrics.items()
        assert (folder.parents[0] / asset.config.partition("::")[2]).is_file()


@pytest.mark.parametrize("asset", CATALOGUE.values(), ids=list(CATALOGUE))
def test_an_entry_says_all_that_one_needs_to_know(asset):
    assert asset.title and asset.licence and asset.citation and asset.paths
    assert urlsplit(asset.source).scheme in ("http", "https")
    assert asset.root in DEFAULTS and (asset.files or asset.manual)
    for file in asset.files:
        for url in file.urls:
            parts = urlsplit(url)
            assert parts.scheme in ("http", "https") and parts.hostname and len(parts.path) > 1 and " " not in url
            assert parts.scheme == "https" or file.hash, "what comes unencrypted has a hash"
        assert file.bytes is None or file.bytes > 0
        assert not Path(file.path).is_absolute() and ".." not in file.path
        assert file.unpack or file.path in asset.paths
        assert not file.unpack or file.unpacked
        if file.hash:
            hashes.parse(file.hash)
    for score in asset.scores:
        assert 0 < score.value < 100 and score.source
        assert any(score.metric in metrics for metrics in METRICS.values())


def test_short_hashes_are_those_of_the_file_names():
    named = [file for asset in CATALOGUE.values() for file in asset.files if (file.hash or "").startswith("sha256-8:")]
    assert len(named) == 10
    assert all(re.search(rf"-{file.hash.partition(':')[2]}\.pth$", file.path) for file in named)


def test_no_two_assets_share_a_file():
    places = [(asset.root, file.path) for asset in CATALOGUE.values() for file in asset.files]
    assert len(places) == len(set(places))


def test_classifiers_are_backbones_with_a_published_top1():
    for asset in of(Backbone):
        assert CATALOGUE[asset.classifier].score.metric == "top1"
    assert CATALOGUE["swin_base_w12.in22k"].classifier == "swin_base_w12.in22k_ft_in1k"


def test_data_sets_have_what_their_files_unpack_to():
    for asset in of(DataSet):
        unpacked = {path for file in asset.files for path in file.unpacked}
        assert not asset.files or unpacked == set(asset.paths)
        for pattern, count in asset.counts:
            assert count > 0 and any(pattern.startswith(path) for path in asset.paths)
    assert [assets.data_of_task(task).name for task in TASKS] == ["imagenet", "coco", "ade20k", "cifar10"]
    corruptions = set(CORRUPTIONS)
    assert set(CATALOGUE["imagenet_c"].paths) == corruptions
    assert set(CATALOGUE["imagenet_c_extra"].paths) == set(VALIDATION_CORRUPTIONS)
    assert {Path(path).stem for path in CATALOGUE["cifar10_c"].paths} == {
        *corruptions,
        *VALIDATION_CORRUPTIONS,
        "labels",
    }


def test_groups_fill_in_what_an_entry_leaves_out():
    group = {
        "licence": "MIT", "citation": "c", "source": "https://x", "base": "https://x/", "container": "", "prefix": "",
        "image_size": 8, "resize": 9, "interpolation": "bilinear", "score_source": "s",
    }  # fmt: skip
    entry = {"like": "g", "title": "t", "file": "w.pth", "licence": "BSD", "scores": {"top1": 5}}
    made = read_catalogue({"groups": {"g": group}, "backbones": {"a.b": entry}})["a.b"]
    assert (made.licence, made.files[0].url, made.score.source) == ("BSD", "https://x/w.pth", "s")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet50.ant3x4", "did you mean resnet50.ant3x3"),
        ("convnext_tiny.fb_in1", "did you mean convnext_tiny.fb_in1k"),
        ("resnet50", "resnet50.a1_in1k, "),
        ("coco", "is no backbone but COCO 2017"),
    ],
)
def test_unknown_backbones_are_said_with_what_is_near(name, said):
    with pytest.raises(UserError, match=said):
        assets.backbone(name)


@pytest.mark.parametrize(
    ("look_up", "name", "near"), [("data_set", "cocoo", "coco"), ("data_of_task", "detect", "det")]
)
def test_unknown_data_is_said_with_what_is_near(look_up, name, near):
    with pytest.raises(UserError, match=f"did you mean '{near}"):
        getattr(assets, look_up)(name)


def test_any_model_of_timm_is_an_asset():
    made = assets.backbone("vit_small_patch16_224.augreg_in1k")
    assert (
        made.files[0].url
        == "https://huggingface.co/timm/vit_small_patch16_224.augreg_in1k/resolve/main/model.safetensors"
    )
    assert made.paths == ("timm/vit_small_patch16_224.augreg_in1k.safetensors",)
    assert (made.architecture, made.image_size, made.resize) == ("vit_small_patch16_224", 224, 248)
    assert (made.mean, made.interpolation, made.licence) == ((0.5, 0.5, 0.5), "bicubic", "apache-2.0")
    assert made.classifier == made.name


def test_every_pretrained_model_of_timm_can_be_told():
    import timm

    for name in timm.list_pretrained():
        made = assets.backbone(name)
        assert made.name == name and made.files[0].url.startswith("https://")
        assert made.resize >= made.image_size and made.interpolation in ("bicubic", "bilinear")


def test_a_model_of_timm_outside_the_hub_comes_from_its_own_address(monkeypatch):
    import dataclasses

    from timm.models import _registry

    name = "resnet50.tv_in1k"
    config = dataclasses.replace(_registry._model_pretrained_cfgs[name], hf_hub_id=None)
    monkeypatch.setitem(_registry._model_pretrained_cfgs, name, config)
    file = assets.backbone(name).files[0]
    assert file.url == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    assert file.hash == "sha256-8:0676ba61"
    monkeypatch.setitem(_registry._model_pretrained_cfgs, name, dataclasses.replace(config, url=""))
    with pytest.raises(UserError, match="knows no address"):
        assets.backbone(name)


def test_roots_by_parameter_environment_and_default(tmp_path, monkeypatch):
    coco = assets.data_set("coco")
    monkeypatch.setenv("ROBNB_COCO", str(tmp_path / "env"))
    roots = assets.Roots(tmp_path, {"ade20k": str(tmp_path / "given")})
    assert roots.path(coco, "val2017") == tmp_path / "env/val2017"
    assert roots.folder("ade20k") == tmp_path / "given"
    assert roots.folder("cifar10_c") == tmp_path / "CIFAR-10-C"
    assert assets.Roots(tmp_path, {"coco": str(tmp_path / "given")}).folder("coco") == tmp_path / "given"
    for given in ({"cocoo": "x"}, {"coco": ""}):
        with pytest.raises(UserError, match="root"):
            assets.Roots(tmp_path, given)
    with pytest.raises(UserError, match="unknown root"):
        roots.folder("nothing")


@pytest.mark.parametrize("text", ["md5:12", "sha256-8:0676BA61", "crc:00000000", "0676ba61"])
def test_malformed_hashes_are_refused(text):
    with pytest.raises(ValueError, match="not a published hash"):
        hashes.parse(text)
