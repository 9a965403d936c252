"""The classifier computes what the published network does, and freezes all of it but the last layer."""

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
import torchvision

from robnb.errors import UserError
from robnb.models import timm_nets
from robnb.models.architectures import ARCHITECTURES, architecture_named
from robnb.models.backbones import MEAN, STD, build_backbone, load_backbone
from robnb.models.classifier import Classifier, load_published
from robnb.models.timm_backbone import TimmBackbone
from robnb.pretrain import has_unused_parameters
from robnb.training import initialise, state_of


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def network(name: str, classes: int = 10) -> torch.nn.Module:
    """torchvision's ResNet-50 or timm's network, with random weights and BatchNorm statistics, in eval mode."""
    if name == "resnet50":
        net = torchvision.models.resnet50(num_classes=classes)
    else:
        net = timm.create_model(name, num_classes=classes)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def saved(net: torch.nn.Module, folder: Path) -> Path:
    torch.save({"model": net.state_dict()}, folder / "published.pth")
    return folder / "published.pth"


def images(side: int, number: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (number, 3, side, side), dtype=torch.uint8)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """As torchvision and timm do it, on 0..1."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@pytest.mark.parametrize(
    ("name", "source", "side"),
    [
        ("resnet50", "resnet50", 224),
        ("swin_tiny", "swin_tiny_patch4_window7_224", 224),
        pytest.param("swin_base_w12", "swin_base_patch4_window12_384", 384, marks=pytest.mark.slow),
        ("resnet18", "resnet18", 224),
        ("convnext_atto", "convnext_atto", 224),
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224", 224),  # class token
        ("test_vit2", "test_vit2", 160),  # average pooling and fc_norm
        ("deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16_224", 224),  # two last layers
        ("mixer_s16_224", "mixer_s16_224", 224),  # no backbone for a detector, but a classifier
    ],
)
def test_logits_are_the_published_networks(tmp_path, name, source, side):
    published = network(source)
    model = load_published(Classifier(architecture_named(name), 10), saved(published, tmp_path)).eval()
    pixels = images(side)
    with torch.inference_mode():
        torch.testing.assert_close(model.logits(pixels), published(normalised(pixels)), atol=1e-5, rtol=1e-5)


def test_mmdets_swin_would_not_give_the_published_logits(tmp_path):
    """It shifts the windows of the last stage at 224 pixels: why the classifier is timm's."""
    published = network("swin_tiny_patch4_window7_224")
    detectors = build_backbone(ARCHITECTURES["swin_tiny"])
    detectors.eval()  # mmdet's returns nothing
    load_backbone(detectors, saved(published, tmp_path), ARCHITECTURES["swin_tiny"])
    pixels = normalised(images(224))
    with torch.inference_mode():
        theirs = published.forward_intermediates(pixels, norm=True, intermediates_only=True)
        ours = detectors(pixels)
    difference = (ours[3] - theirs[3]).abs().max()
    assert difference > 1e-4


def test_another_number_of_classes_is_refused(tmp_path):
    model = Classifier(architecture_named("convnext_atto"), 10)
    before = state_of(model)
    for classes, message in ((7, "has no classifier for 10 classes"), (21841, "22k.*ft_in1k")):
        with pytest.raises(UserError, match=message):
            load_published(model, saved(network("convnext_atto", classes), tmp_path))
    headless = {name: t for name, t in network("convnext_atto").state_dict().items() if not name.startswith("head.fc")}
    torch.save(headless, tmp_path / "headless.pth")
    with pytest.raises(UserError, match="has no classifier for 10 classes"):
        load_published(model, tmp_path / "headless.pth")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("name", "learns"),
    [
        ("resnet50", ["head.weight", "head.bias"]),
        ("swin_tiny", ["backbone.head.fc.weight", "backbone.head.fc.bias"]),
        ("test_vit2", ["backbone.head.weight", "backbone.head.bias"]),
        (
            "deit_tiny_distilled_patch16_224",
            ["backbone.head.weight", "backbone.head.bias", "backbone.head_dist.weight", "backbone.head_dist.bias"],
        ),
    ],
)
def test_frozen_is_everything_but_the_last_layer(name, learns):
    model = initialise(partial(Classifier, architecture_named(name), 10, frozen=True), 0).train()
    assert [key for key, parameter in model.named_parameters() if parameter.requires_grad] == learns
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    model(images(64 if name == "resnet50" else 32, 2), torch.tensor([1, 2]), mode="loss")["loss"].backward()
    optimizer.step()
    changed = [key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])]
    assert sorted(changed) == sorted(learns)


@pytest.mark.parametrize("name", ["swin_tiny", "convnext_atto", "resnet50"])
def test_a_transferred_classifier_takes_the_file_without_its_last_layer(tmp_path, name):
    architecture = architecture_named(name)
    published = network(architecture.timm or name, classes=1000)
    model = Classifier(architecture, 10)
    head = {key: t.clone() for key, t in model.state_dict().items() if key.startswith(("head.", "backbone.head.fc."))}
    load_backbone(model.backbone, saved(published, tmp_path), architecture)
    state = model.state_dict()
    assert head and all(torch.equal(state[key], tensor) for key, tensor in head.items())
    taken = {key: tensor for key, tensor in published.state_dict().items() if not key.startswith(("fc.", "head.fc."))}
    assert all(torch.equal(state[f"backbone.{key}"], tensor) for key, tensor in taken.items())


@pytest.mark.parametrize("name", ["swin_tiny", "convnext_atto", "resnet50"])
def test_what_is_trained_upstream_here_goes_into_a_detectors_backbone(tmp_path, name):
    architecture = architecture_named(name)
    model = initialise(partial(Classifier, architecture, 10), 0).eval()
    torch.save(state_of(model), tmp_path / "weights.pth")
    backbone = build_backbone(architecture)
    load_backbone(backbone, tmp_path / "weights.pth", architecture)
    backbone.eval()
    # At a size that windows of 7 divide: timm pads a map after shifting it, mmdet before.
    side = 448 if name == "swin_tiny" else 96
    pixels = torch.randn(1, 3, side, side)
    if architecture.timm:
        maps = timm_nets.maps_of(architecture.timm)
        net = timm.create_model(
            architecture.timm, num_classes=10, **({"img_size": side} if name == "swin_tiny" else {})
        )
        net.load_state_dict(model.backbone.state_dict())
        expected = net.eval().forward_intermediates(pixels, indices=list(maps.indices), intermediates_only=True)
        found = timm_nets.features(backbone.net, pixels, maps) if isinstance(backbone, TimmBackbone) else None
        if found is None:  # mmdet's Swin norms its maps
            expected = [torch.nn.functional.layer_norm(e.permute(0, 2, 3, 1), e.shape[1:2]) for e in expected[:3]]
            expected, found = [each.permute(0, 3, 1, 2) for each in expected], backbone(pixels)[:3]
    else:
        expected, found = model.backbone(pixels), backbone(pixels)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_images_of_another_size_than_the_networks_own():
    """The lab's upstream images are smaller than ImageNet's; all parameters that learn have a gradient."""
    for name in ("swin_tiny", "vit_tiny_patch16_224", "convnext_atto"):
        model = Classifier(architecture_named(name), 10).train()
        model(images(64, 2), torch.tensor([1, 2]), mode="loss")["loss"].backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert not has_unused_parameters(architecture_named(name))


def test_normalisation_is_the_weights_own():
    pixels, architecture = images(160), architecture_named("test_resnet")
    model = Classifier(architecture, 10, mean=(127.5,) * 3, std=(127.5,) * 3).eval()
    torch.testing.assert_close(model.logits(pixels), model.backbone(pixels / 127.5 - 1), atol=1e-5, rtol=1e-5)
    default = Classifier(architecture, 10)
    assert default.mean.flatten().tolist() == pytest.approx(MEAN)
    assert default.std.flatten().tolist() == pytest.approx(STD)
    assert not {"mean", "std"} & set(model.state_dict())


def test_drop_path_is_the_architectures():
    model = Classifier(ARCHITECTURES["swin_tiny"], 10)
    assert model.backbone.layers[3].blocks[1].drop_path1.drop_prob == pytest.approx(0.2)
