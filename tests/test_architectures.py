"""Names of backbones: ours, timm's, and a reader's own files."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm

from robnb.errors import UserError
from robnb.models import timm_nets
from robnb.models.architectures import ARCHITECTURES, BackboneName, architecture_named


def test_ours_win_and_every_other_name_is_timms():
    assert architecture_named("resnet50") is ARCHITECTURES["resnet50"]
    assert architecture_named("resnet50").library == "mm"
    resnet, vit = architecture_named("resnet18"), architecture_named("vit_tiny_patch16_224")
    assert (resnet.library, resnet.family, resnet.type, resnet.slim) == ("timm", "resnet", "TimmBackbone", False)
    assert (vit.library, vit.family) == ("timm", "swin")
    assert architecture_named("test_vit").slim, "timm's miniatures get narrow heads too"
    assert not set(ARCHITECTURES) - {"resnet50"} & set(timm.list_models())


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("regnetx_002", "resnet"),
        ("efficientnet_b0", "resnet"),
        ("convnext_atto", "swin"),
        ("swin_tiny_patch4_window7_224", "swin"),
        ("xcit_nano_12_p16_224", "swin"),  # BatchNorm in the patch embedding, LayerNorm in every block
    ],
)
def test_the_family_is_how_such_a_network_is_trained(name, family):
    assert architecture_named(name).family == family


@pytest.mark.parametrize("name", [name for name, ours in ARCHITECTURES.items() if ours.timm])
def test_our_full_size_swins_are_timms_too(name):
    """The same channels and, but for mmdet's norm of every map, as many parameters."""
    ours = ARCHITECTURES[name]
    assert timm_nets.maps_of(ours.timm).out_channels == ours.channels
    pretrained = ours.options.get("pretrain_img_size", 224)
    assert timm.get_pretrained_cfg(ours.timm).input_size == (3, pretrained, pretrained)
    net = timm_nets.build(ours.timm, meta=True)
    assert net.layers[0].blocks[0].window_size == (ours.options["window_size"],) * 2


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet_nano", (8, 16, 32, 64)),
        ("resnet50", (256, 512, 1024, 2048)),
        ("swin_base_w12", (128, 256, 512, 1024)),
        ("resnext50_32x4d", (256, 512, 1024, 2048)),
        ("convnext_atto", (40, 80, 160, 320)),
        ("vit_tiny_patch16_224", (48, 96, 192, 192)),  # of the simple feature pyramid: C/4, C/2, C, C
    ],
)
def test_channels_of_the_four_maps(name, channels):
    assert architecture_named(name).channels == channels


@pytest.mark.parametrize(
    ("text", "architecture", "weights", "file"),
    [
        ("resnet50.l2_eps0.5", "resnet50", "l2_eps0.5", None),
        ("convnext_tiny.fb_in1k", "convnext_tiny", "fb_in1k", None),
        ("resnet50@weights/run1/best.v2.pth.tar", "resnet50", "best.v2", "weights/run1/best.v2.pth.tar"),
        ("vit_tiny_patch16_224@/data/mine.safetensors", "vit_tiny_patch16_224", "mine", "/data/mine.safetensors"),
        ("resnet50.run1@run1/best.pth", "resnet50", "run1", "run1/best.pth"),
    ],
)
def test_names_are_taken_apart(text, architecture, weights, file):
    name = BackboneName.parse(text)
    assert name == BackboneName(architecture, weights, file and Path(file))
    assert str(name) == f"{architecture}.{weights}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "resnet5.regular",
            "unknown backbone architecture 'resnet5': did you mean 'resnet50'.* Choose from resnet_nano",
        ),
        ("convnext_tini.fb_in1k", "did you mean 'convnext_tiny'"),
        ("@mine.pth", "unknown backbone architecture ''"),
        ("resnet50@", "names no weights"),
        ("convnext_tiny", "write architecture.weights, e.g. convnext_tiny.in12k_ft_in1k, or architecture@path"),
    ],
)
def test_bad_names_are_refused_with_what_was_meant(text, message):
    with pytest.raises(UserError, match=message):
        BackboneName.parse(text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mixer_s16_224", "mixer_s16_224 cannot be the backbone of a detector .* images of one size only"),
        ("maxvit_tiny_tf_224", "images of one size only"),
        ("inception_v3", "strides 2.0.*: choose a model with maps at strides 4, 8, 16 and 32"),
    ],
)
def test_a_network_without_these_maps_is_refused_as_a_backbone(name, message):
    """As a classifier it may still serve."""
    with pytest.raises(UserError, match=message):
        _ = architecture_named(name).channels


def test_our_own_names_need_neither_mmdet_nor_timm():
    """Settings name architectures; they should not take seconds to import."""
    code = (
        "import sys; from robnb.models.architectures import BackboneName, architecture_named\n"
        "BackboneName.parse('resnet50.ant3x3'); _ = architecture_named('swin_tiny').channels\n"
        "sys.exit(bool({'mmdet', 'mmseg', 'mmengine', 'timm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_size_of_a_backbone_is_counted_without_its_head():
    import torchvision

    from robnb.models.backbones import millions

    whole = torchvision.models.resnet50()
    without = sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in whole.fc.parameters())
    assert millions(architecture_named("resnet50")) == without / 1e6
    vit = timm.create_model("test_vit", num_classes=0)
    assert millions(architecture_named("test_vit")) == sum(p.numel() for p in vit.parameters()) / 1e6
