"""timm's networks as backbones: they compute what timm does, fit mmdet's and mmseg's heads, and freeze whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from robnb.errors import UserError
from robnb.models import timm_nets
from robnb.models.architectures import ARCHITECTURES, architecture_named
from robnb.models.backbones import backbone_options, build_backbone, load_backbone
from robnb.models.detector import build_detector
from robnb.models.segmentor import build_segmentor
from robnb.models.timm_backbone import TimmBackbone
from robnb.recipes.transfer import model_options
from robnb.training import initialise

from mmdet.testing import demo_mm_inputs  # isort: skip
from mmengine.structures import PixelData  # isort: skip
from mmseg.structures import SegDataSample  # isort: skip

#: One small network of each kind, and what makes timm's own take an image of 256 x 320 pixels.
SWIN = "swin_tiny_patch4_window7_224"
KINDS = {
    "resnet18": {},
    "resnext50_32x4d": {},
    "convnext_atto": {},
    SWIN: {"img_size": (256, 320)},
    "vit_tiny_patch16_224": {"dynamic_img_size": True, "out_indices": [-1]},
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def published(name: str, folder: Path, classes: int = 1000) -> Path:
    """A file of timm's own network with random weights, head and BatchNorm's statistics too."""
    net = timm.create_model(name, num_classes=classes)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.save(net.state_dict(), folder / "published.pth")
    return folder / "published.pth"


def same(before: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    """Whether no byte of parameters and buffers has changed."""
    return all(before[name].numpy().tobytes() == t.numpy().tobytes() for name, t in module.state_dict().items())


def copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("name", "options"), KINDS.items())
def test_maps_are_timms_own_features(tmp_path, name, options):
    """From the published file, at another size than the network was made for."""
    path = published(name, tmp_path)
    reference = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, features_only=True, **options
    ).eval()
    backbone = TimmBackbone(name)
    load_backbone(backbone, path, architecture_named(name))
    backbone.eval()
    images = torch.randn(1, 3, 256, 320)
    ours, theirs = timm_nets.features(backbone.net, images, backbone.maps), reference(images)[-4:]
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        other = other if one.shape == other.shape else other.permute(0, 3, 1, 2)  # timm's own Swin gives NHWC
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    if architecture_named(name).family == "resnet":
        assert all(torch.equal(one, other) for one, other in zip(backbone(images), ours, strict=True))


@pytest.mark.parametrize("name", [*KINDS, "regnetx_002", "efficientnet_b0", "vit_small_patch14_dinov2"])
def test_images_of_any_size_give_maps_at_strides_4_to_32(name):
    backbone = build_backbone(architecture_named(name)).eval()
    for height, width in ((75, 107), (64, 96)):
        maps = backbone(torch.randn(1, 3, height, width))
        expected = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
        assert [tuple(each.shape[2:]) for each in maps] == expected
        assert tuple(each.shape[1] for each in maps) == architecture_named(name).channels


def test_patches_of_14_pixels_fall_on_stride_16():
    """The network sees the image at 14/16 of its size."""
    backbone = TimmBackbone("vit_small_patch14_dinov2").eval()
    images = torch.randn(1, 3, 64, 96)
    smaller = torch.nn.functional.interpolate(images, (56, 84), mode="bilinear", antialias=True)
    (ours,) = timm_nets.features(backbone.net, images, backbone.maps)
    tokens = backbone.net.forward_intermediates(smaller, intermediates_only=True)[-1]
    assert ours.shape == (1, 384, 4, 6)
    torch.testing.assert_close(ours, tokens)


def test_normalised_maps_have_mean_0_and_variance_1():
    """Of a network without BatchNorm: before the heads train, every position is normalised over its channels."""
    for each in TimmBackbone("convnext_atto").eval()(10 * torch.randn(1, 3, 64, 96)):
        torch.testing.assert_close(each.mean(dim=1), torch.zeros_like(each[:, 0]), atol=1e-4, rtol=0)
        torch.testing.assert_close(each.var(dim=1, unbiased=False), torch.ones_like(each[:, 0]), atol=0.01, rtol=0)


def test_a_file_has_to_fill_every_tensor(tmp_path):
    architecture = architecture_named("convnext_atto")
    path = published("convnext_atto", tmp_path, classes=7)
    backbone = TimmBackbone("convnext_atto")
    new = copied(backbone.pyramid)
    load_backbone(backbone, path, architecture)  # its last layer, for 7 classes, is left out
    state = torch.load(path, weights_only=True)
    assert same({name: state[name] for name in backbone.net.state_dict()}, backbone.net)
    assert same(new, backbone.pyramid)
    before = copied(backbone)
    short = {name: tensor for name, tensor in state.items() if name != "stages.3.blocks.1.norm.weight"}
    cases = {"short": short, "more": {**state, "stages.4.weight": torch.zeros(1)}, "none": {"a.weight": torch.zeros(1)}}
    for name, tensors in cases.items():
        torch.save(tensors, tmp_path / f"{name}.pth")
        with pytest.raises(UserError, match=f"{name}.pth"):
            load_backbone(backbone, tmp_path / f"{name}.pth", architecture)
    with pytest.raises(UserError, match=r"published\.pth"):
        load_backbone(TimmBackbone("vit_tiny_patch16_224"), path, architecture_named("vit_tiny_patch16_224"))
    assert same(before, backbone)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_frozen_whole_but_the_pyramid_learns(name):
    backbone = TimmBackbone(name, frozen_stages=4, drop_path_rate=0.9).train()
    before, images = copied(backbone), torch.randn(2, 3, 64, 96)
    maps = backbone(images)
    assert all(torch.equal(one, other) for one, other in zip(maps, backbone(images), strict=True)), "drop-path is off"
    learns = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in learns} == {id(parameter) for parameter in backbone.pyramid.parameters()}
    if learns:
        optimizer = torch.optim.SGD(learns, lr=0.1, weight_decay=0.1)
        sum((each * torch.randn_like(each)).sum() for each in maps).backward()
        assert all(parameter.grad is not None for parameter in learns)
        optimizer.step()
        assert not same({name: before[f"pyramid.{name}"] for name in backbone.pyramid.state_dict()}, backbone.pyramid)
    assert same({name: before[f"net.{name}"] for name in backbone.net.state_dict()}, backbone.net)
    assert not any(module.training for module in backbone.net.modules())


def test_not_frozen_everything_that_is_used_learns_and_drop_path_is_on():
    for name in ("convnext_atto", "efficientnet_b0"):  # with a norm and a convolution after the maps, for timm's head
        backbone = TimmBackbone(name, drop_path_rate=0.5).train()
        images = torch.randn(2, 3, 64, 96)
        maps = backbone(images)
        assert not torch.equal(maps[3], backbone(images)[3])
        sum((each * torch.randn_like(each)).sum() for each in maps).backward()
        for key, parameter in backbone.named_parameters():
            assert parameter.requires_grad == (parameter.grad is not None), f"DDP would wait for {key}"
        assert sum(parameter.requires_grad for parameter in backbone.net.parameters()) > 100


def test_the_first_stages_can_be_frozen_as_in_mmdet():
    backbone = TimmBackbone("resnet18", frozen_stages=1).train()
    still = {key.split(".")[0] for key, parameter in backbone.net.named_parameters() if not parameter.requires_grad}
    assert still == {"conv1", "bn1", "layer1"}
    assert [m.training for m in (backbone.net.bn1, backbone.net.layer1, backbone.net.layer2)] == [False, False, True]
    with pytest.raises(UserError, match=r"frozen_stages is 1, but a VisionTransformer .* whole \(4\)"):
        TimmBackbone("vit_tiny_patch16_224", frozen_stages=1)


def test_batch_norm_keeps_its_statistics_with_norm_eval():
    for norm_eval in (True, False):
        backbone = TimmBackbone("resnet18", norm_eval=norm_eval).train()
        before = backbone.net.layer4[1].bn2.running_mean.clone()
        backbone(torch.randn(2, 3, 64, 64))
        assert torch.equal(before, backbone.net.layer4[1].bn2.running_mean) == norm_eval
        assert backbone.net.layer4[1].bn2.weight.requires_grad


def test_a_recipes_options_reach_the_classes_that_have_them():
    recipe = {"frozen_stages": 1, "norm_eval": False, "norm_cfg": {"type": "SyncBN"}, "drop_path_rate": 0.4}
    kept = {
        "resnet50": {"frozen_stages", "norm_eval", "norm_cfg"},
        "swin_tiny": {"frozen_stages", "drop_path_rate"},
        "resnet18": {"frozen_stages", "norm_eval", "drop_path_rate"},
        "vit_tiny_patch16_224": {"frozen_stages", "norm_eval", "drop_path_rate"},
    }
    for name, settings in kept.items():
        options = backbone_options(architecture_named(name), recipe)
        assert {key: options.get(key) for key in settings} == {key: recipe[key] for key in settings}
        assert not (set(recipe) - settings) & set(options)
    assert backbone_options(ARCHITECTURES["swin_tiny"], {})["drop_path_rate"] == 0.2
    assert backbone_options(ARCHITECTURES["resnet50"], {})["frozen_stages"] == -1


def test_the_seed_decides_the_weights_and_they_are_timms_own_draws():
    one, two = (initialise(lambda: TimmBackbone("vit_tiny_patch16_224"), 3) for _ in range(2))
    assert same(copied(one), two)
    drawn = copied(one)
    one.init_weights()
    assert same(drawn, one)


@pytest.mark.parametrize("name", KINDS)
def test_mask_rcnn_trains_and_predicts_with_it_frozen(tmp_path, name):
    architecture = replace(architecture_named(name), slim=True)  # narrow heads, which take less time
    options = model_options("short", task="detection", family=architecture.family, regime="fixed_feature")
    model = initialise(lambda: build_detector(architecture, 5, options), 0)
    load_backbone(model.backbone, published(name, tmp_path), architecture)
    before = copied(model.backbone.net)
    data = demo_mm_inputs(2, [(3, 96, 128), (3, 80, 144)], num_items=[2, 2], num_classes=5, with_mask=True)
    model.train()
    loss, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad is None for parameter in model.backbone.net.parameters())
    assert all(parameter.grad is not None for parameter in model.backbone.pyramid.parameters())
    assert model.neck.lateral_convs[0].conv.weight.grad.abs().sum() > 0
    assert same(before, model.backbone.net)
    model.eval()
    one = model.data_preprocessor({key: value[1:] for key, value in data.items()}, False)
    (found,) = model(**one, mode="predict")
    assert found.pred_instances.masks.shape[1:] == found.ori_shape


@pytest.mark.parametrize("name", KINDS)
def test_upernet_trains_and_predicts_with_all_of_it(tmp_path, name):
    architecture = replace(architecture_named(name), slim=True)
    options = model_options("short", task="segmentation", family=architecture.family, regime="full_network")
    model = initialise(lambda: build_segmentor(architecture, 5, options, (96, 64)), 0)
    load_backbone(model.backbone, published(name, tmp_path), architecture)
    rng = np.random.default_rng(0)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(rng.integers(0, 5, (1, 64, 64)))))
    sample.set_metainfo({"img_shape": (64, 64), "ori_shape": (64, 64)})
    pixels = torch.from_numpy(rng.integers(0, 256, (3, 64, 64), dtype=np.uint8))
    model.train()
    data = model.data_preprocessor({"inputs": [pixels] * 2, "data_samples": [sample, sample.clone()]}, True)
    loss, _ = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    lacking = [key for key, p in model.backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not lacking, "DDP would wait for them"
    assert any(
        parameter.grad.abs().sum() > 0 for parameter in model.backbone.net.parameters() if parameter.requires_grad
    )
    model.eval()
    whole = SegDataSample(metainfo={"img_shape": (75, 107), "ori_shape": (75, 107)})
    (found,) = model.predict(torch.randn(1, 3, 75, 107), [whole])  # mmseg predicts on whole images of any size
    assert found.pred_sem_seg.data.shape == (1, 75, 107)
