"""Every published layout, with random weights, computes what its source computes; anything else is one sentence."""

import subprocess
import sys
from pathlib import Path

import published
import pytest
import timm
import torch
import torchvision
from torch import nn

from robnb import checkpoints
from robnb.assets import Backbone, catalogue
from robnb.checkpoints.strict import compare
from robnb.errors import UserError
from robnb.models.architectures import ARCHITECTURES
from robnb.models.backbones import build_backbone

# After robnb.models.backbones, which registers the ops that they import.
import mmdet.models.backbones  # isort: skip
import mmseg.models.backbones  # isort: skip

MM = {"mmdet": mmdet.models.backbones, "mmseg": mmseg.models.backbones}


def source(architecture: str, classes: int) -> nn.Module:
    """The source library's own model, to be loaded by its own strict loading."""
    name = published.TIMM_NAMES.get(architecture, architecture)
    if hasattr(torchvision.models, name):
        return torchvision.models.get_model(name, num_classes=classes).eval()
    return timm.create_model(name, num_classes=classes).eval()


def flat_of(path: Path, architecture: str) -> dict[str, torch.Tensor]:
    return checkpoints.flat(checkpoints.read(path), architecture)


@pytest.mark.parametrize(
    ("name", "container", "prefix", "dropped"),
    [
        ("resnet50.regular", "", "", 0),
        ("resnet50.ant3x3_sin", "model_state_dict", "", 0),
        ("resnet50.deepaug_augmix", "state_dict", "module.", 0),
        ("resnet50.prime", "", "", 0),
        ("resnet50.l2_eps0.01", "model", "module.model.", 126),
    ],
)
def test_resnets_compute_what_torchvisions_compute(tmp_path, name, container, prefix, dropped):
    """In every container and prefix of the paper's files; with a ResNet-18 for speed, and one ResNet-50."""
    architecture = "resnet50" if name == "resnet50.ant3x3_sin" else "resnet18"
    made = published.write(name, tmp_path / "w.pth", classes=10, architecture=architecture)
    checkpoint = checkpoints.read(tmp_path / "w.pth")
    assert (checkpoint.container, checkpoint.prefix, len(checkpoint.dropped)) == (container, prefix, dropped)
    assert checkpoints.layout(checkpoint.tensors) == checkpoints.Layout("resnet", "torchvision", architecture, 10)
    model = source(architecture, 10)
    model.load_state_dict(checkpoints.flat(checkpoint, architecture), strict=True)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(model(images), made(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("weights", "style"), [("in1k", "microsoft"), ("in1k_openmmlab", "openmmlab")])
def test_swins_compute_what_timms_compute(tmp_path, weights, style):
    made = published.write(f"swin_tiny.{weights}", tmp_path / "w.pth", classes=10)
    checkpoint = checkpoints.read(tmp_path / "w.pth")
    assert checkpoints.layout(checkpoint.tensors) == checkpoints.Layout("swin", style, "swin_tiny", 10)
    model = source("swin_tiny", 10)
    model.load_state_dict(checkpoints.flat(checkpoint, "swin_tiny"), strict=True)
    images = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(model(images), made(images), atol=1e-5, rtol=0)


def test_the_catalogue_names_containers_and_prefixes_as_they_are_found(tmp_path):
    """Every layout of the catalogue's backbones, in the small."""
    backbones = [asset for asset in catalogue().values() if isinstance(asset, Backbone)]
    layouts = {(b.container, b.prefix, b.architecture[:4], published.layout_of(b.name)): b for b in backbones}
    assert len(layouts) == 6
    for asset in layouts.values():
        small = "swin_tiny" if asset.architecture.startswith("swin") else "resnet18"
        published.write(asset.name, tmp_path / "w.pth", classes=3, architecture=small)
        checkpoint = checkpoints.read(tmp_path / "w.pth")
        assert (checkpoint.container, checkpoint.prefix) == (asset.container, asset.prefix), asset.name
        assert len(checkpoints.flat(checkpoint, small)) in (122, 173)


@pytest.mark.parametrize("library", ["mmdet", "mmseg"])
@pytest.mark.parametrize(("name", "architecture"), [("resnet50.l2_eps3", "resnet50"), ("swin_tiny.in1k", "swin_tiny")])
def test_backbones_of_mm_compute_what_the_source_computes(tmp_path, library, name, architecture):
    """All four maps of the ResNet; of the Swin the three whose windows are laid alike in both codes at this size."""
    made = published.write(name, tmp_path / "w.pth", classes=10)
    known = ARCHITECTURES[architecture]
    options = {key: value for key, value in known.options.items() if key != "drop_path_rate"}
    backbone = getattr(MM[library], known.type)(out_indices=(0, 1, 2, 3), **options)
    backbone.eval()  # mm's returns nothing
    tensors = checkpoints.to_mm(flat_of(tmp_path / "w.pth", architecture), known.family)
    report = checkpoints.load(backbone, tensors, tmp_path / "w.pth")
    images = torch.rand(1, 3, 224, 224)
    if known.family == "resnet":
        assert len(report.matched) == 318 and report.absent == ()
        features = nn.ModuleDict(made.named_children())
        x = features["maxpool"](features["relu"](features["bn1"](features["conv1"](images))))
        expected = [x := features[f"layer{i}"](x) for i in (1, 2, 3, 4)]
    else:
        # The file has no norms for the three shallower maps: they stay as they are, one and zero.
        assert {name[:5] for name in report.absent if "index" not in name} == {"norm0", "norm1", "norm2"}
        _, *maps = made.forward_intermediates(images)
        expected = [nn.functional.layer_norm(m.movedim(1, -1), m.shape[1:2]).movedim(-1, 1) for m in maps[0][:3]]
    for ours, theirs in zip(backbone(images), expected, strict=False):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_swins_last_map_is_microsofts_where_windows_shift_in_both(tmp_path):
    """At 448 pixels the last map is 14 x 14: larger than a window, so both codes shift."""
    made = published.write("swin_tiny.in1k", tmp_path / "w.pth", classes=10)
    wide = timm.create_model(published.TIMM_NAMES["swin_tiny"], num_classes=10, img_size=448).eval()
    wide.load_state_dict(made.state_dict())
    backbone = build_backbone(ARCHITECTURES["swin_tiny"])
    backbone.eval()
    tensors = checkpoints.to_mm(flat_of(tmp_path / "w.pth", "swin_tiny"), "swin")
    checkpoints.load(backbone, tensors, tmp_path / "w.pth")
    images = torch.rand(1, 3, 448, 448)
    torch.testing.assert_close(backbone(images)[-1], wide.forward_features(images).movedim(-1, 1), atol=1e-5, rtol=1e-5)


def test_a_window_of_12_loads_as_such_and_not_as_7(tmp_path):
    published.write("swin_base_w12.in22k", tmp_path / "w.pth", classes=10)
    checkpoint = checkpoints.read(tmp_path / "w.pth")
    assert checkpoints.layout(checkpoint.tensors).architecture == "swin_base_w12"
    tensors = checkpoints.to_mm(checkpoints.flat(checkpoint, "swin_base_w12"), "swin")
    checkpoints.load(build_backbone(ARCHITECTURES["swin_base_w12"]), tensors, "w")
    with pytest.raises(UserError, match=r"holds swin_base_w12 .*, not swin_base: name the architecture swin_base_w12"):
        checkpoints.flat(checkpoint, "swin_base")
    seven = build_backbone(ARCHITECTURES["swin_base"])
    with pytest.raises(UserError, match=r"attention windows of 12 and this model of 7: .* name the architecture"):
        checkpoints.load(seven, tensors, "w")


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224.augreg_in1k", "convnext_atto.d2_in1k", "resnet10t.c3_in1k", "seresnet18.x"]
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_any_model_of_timm_is_read_in_its_own_names(tmp_path, name, suffix):
    path = tmp_path / f"w{suffix}"
    made = published.write(name, path, classes=5)
    tensors = flat_of(path, name.partition(".")[0])
    assert set(tensors) == set(made.state_dict())
    assert all(torch.equal(tensor, made.state_dict()[key]) for key, tensor in tensors.items())


def test_the_authors_convnext_becomes_timms(tmp_path):
    """Through timm's own filter."""
    made = published.classifier("convnext_atto", 10, 0)
    names = {}
    for key, tensor in made.state_dict().items():
        key = key.replace("stages.0.downsample", "none").replace("stem.0", "downsample_layers.0.0")
        key = key.replace("stem.1", "downsample_layers.0.1").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        key = key.replace("conv_dw", "dwconv").replace("head.fc", "head").replace("head.norm", "norm")
        for stage in (1, 2, 3):
            key = key.replace(f"stages.{stage}.downsample.", f"downsample_layers.{stage}.")
        names[key.replace(".blocks.", ".")] = tensor
    torch.save({"model": names}, tmp_path / "w.pth")
    checkpoint = checkpoints.read(tmp_path / "w.pth")
    assert checkpoints.layout(checkpoint.tensors).style == "facebook"
    model = timm.create_model("convnext_atto", num_classes=10).eval()
    model.load_state_dict(checkpoints.flat(checkpoint, "convnext_atto"), strict=True)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(images), made(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "module.model.", "model.model.", "resnet.", "backbone.", "module.backbone."]
)
@pytest.mark.parametrize("container", ["", "model_state_dict", "state_dict", "model", "state_dict_ema"])
def test_every_container_and_prefix(tmp_path, prefix, container):
    state = {f"{prefix}{key}": tensor for key, tensor in published.classifier("resnet18", 3, 0).state_dict().items()}
    state |= {"normalize.mean": torch.zeros(3), "model.aug.weights": torch.zeros(1)}
    torch.save({container: state, "epoch": 3} if container else state, tmp_path / "w.pth")
    checkpoint = checkpoints.read(tmp_path / "w.pth")
    assert (checkpoint.container, checkpoint.prefix) == (container, prefix)
    assert checkpoint.dropped == ("normalize.mean", "model.aug.weights")
    assert checkpoint.others == (("epoch",) if container else ())
    assert len(checkpoints.flat(checkpoint, "resnet18")) == 122


def test_the_weights_come_before_their_average(tmp_path):
    state = published.classifier("resnet18", 3, 0).state_dict()
    torch.save({"state_dict_ema": {"conv1.weight": torch.zeros(1)}, "state_dict": state}, tmp_path / "w.pth")
    checkpoint = checkpoints.read(tmp_path / "w.pth")
    assert (checkpoint.container, checkpoint.others) == ("state_dict", ("state_dict_ema",))


def test_old_files_lack_batch_counters_and_are_complete(tmp_path):
    state = published.classifier("resnet18", 3, 0).state_dict()
    torch.save(
        {key: tensor for key, tensor in state.items() if "num_batches" not in key},
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=False,
    )
    assert list(flat_of(tmp_path / "w.pth", "resnet18")) != list(state)
    source("resnet18", 3).load_state_dict(flat_of(tmp_path / "w.pth", "resnet18"), strict=True)


@pytest.mark.parametrize(
    "architecture", ["resnet34", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d", "resnext101_64x4d"]
)
def test_sizes_are_told_from_shapes(architecture):
    with torch.device("meta"):
        state = torchvision.models.get_model(architecture).state_dict()
    assert checkpoints.layout(state) == checkpoints.Layout("resnet", "torchvision", architecture, 1000)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("swin_small_patch4_window7_224", "swin_small"),
        ("swin_base_patch4_window7_224", "swin_base"),
        ("swin_large_patch4_window12_384", "swin_large_patch4_window12_384"),
        ("vit_base_patch32_384", "vit_base_patch32_384"),
        ("convnext_small", "convnext_small"),
        ("seresnet50", None),
        ("swinv2_tiny_window8_256", None),
        ("swin_s3_tiny_224", None),
    ],
)
def test_sizes_of_timms_models_are_told_from_shapes(name, architecture):
    with torch.device("meta"):
        state = timm.create_model(name).state_dict()
    assert checkpoints.layout(state).architecture == architecture


def test_what_mmengine_loads_silently_is_read_or_refused_here(tmp_path):
    """ANT's and MadryLab's layouts: mmengine takes 0 of 265 tensors and says nothing that stops it."""
    for name in ("resnet50.ant3x3", "resnet50.l2_eps3"):
        published.write(name, tmp_path / "w.pth", classes=10)
        theirs = mmdet.models.backbones.ResNet(
            50, init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "w.pth")}
        )
        before = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}
        theirs.init_weights()
        wanted = flat_of(tmp_path / "w.pth", "resnet50")
        named = [key for key in before if "num_batches" not in key]
        assert len(named) == 265
        assert [key for key in named if torch.equal(theirs.state_dict()[key], wanted[key])] == []
        assert all(torch.equal(theirs.state_dict()[key], before[key]) for key in named)
        ours = build_backbone(ARCHITECTURES["resnet50"])
        checkpoints.load(ours, checkpoints.to_mm(wanted, "resnet"), "w")
        assert all(torch.equal(ours.state_dict()[key], wanted[key]) for key in named)


def test_a_whole_detector_is_recognised_and_is_no_backbone(tmp_path):
    published.write_detector(tmp_path / "r50.pth")
    checkpoint = checkpoints.read(tmp_path / "r50.pth")
    assert (len(checkpoint.tensors), checkpoint.others) == (360, ("meta", "optimizer"))
    found = checkpoints.layout(checkpoint.tensors)
    assert found == checkpoints.Layout("detector", "torchvision", "resnet50", 80, "mask_rcnn")
    with pytest.raises(UserError, match=r"is a whole detector .*, not the weights of a backbone"):
        checkpoints.flat(checkpoint, "resnet50")


def test_a_detector_of_swins_authors_becomes_mmdets(tmp_path):
    made = published.write_detector(tmp_path / "swin.pth", "swin_tiny", model="cascade_mask_rcnn", microsoft=True)
    tensors = checkpoints.read(tmp_path / "swin.pth").tensors
    assert checkpoints.layout(tensors) == checkpoints.Layout(
        "detector", "microsoft", "swin_tiny", 80, "cascade_mask_rcnn"
    )
    again, state = checkpoints.whole(tensors), made.state_dict()
    assert compare(state, again).complete
    assert all(torch.equal(tensor, state[key]) for key, tensor in again.items())


def test_a_segmentor_is_recognised(tmp_path):
    made = published.write_segmentor(tmp_path / "w.pth", "swin_tiny", classes=7)
    tensors = checkpoints.read(tmp_path / "w.pth").tensors
    assert checkpoints.layout(tensors) == checkpoints.Layout("segmentor", "openmmlab", "swin_tiny", 7, "upernet")
    assert compare(made.state_dict(), checkpoints.whole(tensors)).complete


def test_loading_is_complete_or_changes_nothing():
    state = published.classifier("resnet18", 3, 1).state_dict()
    model = source("resnet18", 3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    short = {key: tensor for key, tensor in state.items() if key != "layer4.1.conv2.weight"}
    more, four = state | {"x.y": torch.zeros(1)}, state | {"fc.bias": torch.zeros(4)}
    cases = {
        "121 of 122 tensors match, 1 are missing, 0 are of another shape, 0 are unexpected": short,
        "122 of 122 tensors match, 0 are missing, 0 are of another shape, 1 are unexpected": more,
        r"121 of 122 .* 1 are of another shape, .* fc.bias \(4,\) for \(3,\)": four,
    }
    for counts, tensors in cases.items():
        with pytest.raises(UserError, match=f"here does not fit this model: {counts}"):
            checkpoints.load(model, tensors, "here")
        assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    assert str(checkpoints.load(model, state, "here")).startswith("122 of 122 tensors match, 0 are missing")


def test_norms_inside_swins_blocks_are_not_dispensable(tmp_path):
    """mm names the norms of its maps alike."""
    published.write("swin_tiny.in1k", tmp_path / "w.pth", classes=3)
    tensors = checkpoints.to_mm(flat_of(tmp_path / "w.pth", "swin_tiny"), "swin")
    del tensors["stages.0.blocks.0.norm1.weight"]
    with pytest.raises(UserError, match="1 are missing"):
        checkpoints.load(build_backbone(ARCHITECTURES["swin_tiny"]), tensors, "w")


def test_heads(tmp_path):
    published.write("swin_tiny.in22k", tmp_path / "w.pth")
    tensors = flat_of(tmp_path / "w.pth", "swin_tiny")
    assert checkpoints.head(tensors, 21841, "w")["weight"].shape == (21841, 768)
    assert set(tensors) - set(checkpoints.without_head(tensors)) == {"head.fc.weight", "head.fc.bias"}
    with pytest.raises(UserError, match="w has no classifier for 1000 classes but ImageNet-22k's for 21841"):
        checkpoints.head(tensors, 1000, "w")
    with pytest.raises(UserError, match="no classifier for 1000 classes but one for 3; give"):
        checkpoints.head(published.classifier("resnet18", 3, 0).state_dict(), 1000, "w")
    with pytest.raises(UserError, match="has no classifier for 1000 classes, so its backbone cannot be scored"):
        checkpoints.head(checkpoints.without_head(tensors), 1000, "w")


def test_a_file_without_a_head_is_complete_as_a_backbone(tmp_path):
    """As the authors' own converters write them."""
    torch.save(checkpoints.without_head(published.classifier("resnet18", 3, 0).state_dict()), tmp_path / "w.pth")
    assert len(flat_of(tmp_path / "w.pth", "resnet18")) == 120


def test_importing_the_package_imports_no_mm_library():
    code = "import sys, robnb.checkpoints; sys.exit(any(m in sys.modules for m in ('mmengine', 'mmdet', 'mmseg')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
