"""What each regime trains: with fixed_feature the backbone does not change by a byte, with full_network it does."""

import pytest
import small
import torch

from robnb.errors import UserError
from robnb.models.architectures import ARCHITECTURES, BackboneName
from robnb.models.backbones import build_backbone, load_backbone
from robnb.models.classifier import Classifier, load_published
from robnb.models.detector import build_detector
from robnb.models.segmentor import build_segmentor
from robnb.recipes.transfer import model_options
from robnb.training import initialise

BACKBONES = ["resnet_nano.regular", "swin_nano.regular"]


def built(task: str, architecture: str, regime: str, classes: int = 10):
    """A detector or segmentor as the short recipe builds it."""
    wanted = ARCHITECTURES[architecture]
    options = model_options("short", task=task, family=wanted.family, regime=regime)
    if task == "detection":
        return build_detector(wanted, classes, options)
    return build_segmentor(wanted, classes, options, (160, 128))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small.study(tmp_path_factory.mktemp("outputs"), backbones=BACKBONES)


@pytest.fixture(scope="module")
def upstream(study):
    return study.pretrain()


def backbone_of(path) -> dict[str, torch.Tensor]:
    state = torch.load(path, weights_only=True)
    return {name.removeprefix("backbone."): t for name, t in state.items() if name.startswith("backbone.")}


@pytest.mark.parametrize("task", ["detection", "segmentation", "classification"])
def test_fixed_feature_leaves_every_byte_and_full_network_does_not(study, upstream, task):
    """Parameters and buffers: weights, BN statistics, relative-position tables and indices."""
    for name, first, model in zip(BACKBONES, upstream, study.transfer(upstream, "fixed_feature", task), strict=True):
        before, after = backbone_of(first.path), backbone_of(model.path)
        assert set(before) == set(after) == set(build_backbone(study.architecture(name)).state_dict())
        assert all(before[key].numpy().tobytes() == after[key].numpy().tobytes() for key in before)
    for name, first, model in zip(BACKBONES, upstream, study.transfer(upstream, "full_network", task), strict=True):
        before, after = backbone_of(first.path), backbone_of(model.path)
        learns = dict(build_backbone(study.architecture(name)).named_parameters())
        # A bias whose gradient is exactly zero may stay; no whole stage may.
        same = [key for key in learns if torch.equal(before[key], after[key])]
        assert len(same) < 0.1 * len(learns), same


@pytest.mark.parametrize("architecture", ["resnet_nano", "swin_nano", "swin_tiny"])
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_frozen_backbone_has_no_gradient_and_stays_in_eval_mode(architecture, task):
    """Also drop-path, which the paper's released Swin configs leave on."""
    model = built(task, architecture, "fixed_feature").train()
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    mode_matters = ("BatchNorm2d", "Dropout", "DropPath")
    active = [name for name, m in model.backbone.named_modules() if m.training and type(m).__name__ in mode_matters]
    assert active == []
    features = model.backbone(torch.rand(2, 3, 64, 64))
    assert not any(feature.requires_grad for feature in features)
    again = model.backbone(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    twice = model.backbone(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(a, b) for a, b in zip(again, twice, strict=True))
    assert any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("architecture", ["resnet_mini", "swin_mini", "resnet50", "swin_tiny"])
def test_one_upstream_checkpoint_fits_detector_and_segmentor_and_gives_the_same_features(tmp_path, architecture):
    """mmdet's and mmseg's backbone classes compute the same from the same file."""
    backbone = initialise(lambda: build_backbone(ARCHITECTURES[architecture]), 0)
    backbone.eval()  # mmdet's returns nothing
    torch.save({"state_dict": {f"module.{k}": v for k, v in backbone.state_dict().items()}}, tmp_path / "weights.pth")
    image = torch.rand(1, 3, 64, 96)
    expected = backbone(image)
    for task in ("detection", "segmentation"):
        model = built(task, architecture, "full_network")
        load_backbone(model.backbone, tmp_path / "weights.pth", ARCHITECTURES[architecture])
        model.eval()
        for ours, theirs in zip(expected, model.backbone(image), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_weights_of_another_layout_are_refused(tmp_path):
    backbone = build_backbone(ARCHITECTURES["resnet_nano"])
    state = dict(backbone.state_dict())
    cases = {
        "renamed": ({f"encoder.{k}": v for k, v in state.items()}, "0 of 120 tensors match, 100 are missing"),
        "short": ({k: v for k, v in state.items() if k != "layer4.1.conv2.weight"}, "119 of 120 tensors match, 1 are"),
        "other": (build_backbone(ARCHITECTURES["resnet_mini"]).state_dict(), "20 of 120 tensors match, .* 100 are"),
        "more": ({**state, "layer5.weight": torch.zeros(1)}, "120 of 120 tensors match, .* 1 are unexpected"),
    }
    for name, (tensors, message) in cases.items():
        torch.save(tensors, tmp_path / f"{name}.pth")
        before = {k: v.clone() for k, v in backbone.state_dict().items()}
        with pytest.raises(UserError, match=message):
            load_backbone(backbone, tmp_path / f"{name}.pth", ARCHITECTURES["resnet_nano"])
        assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items()), "nothing may be half loaded"
    torch.save({**state, "fc.weight": torch.zeros(2, 64), "fc.bias": torch.zeros(2)}, tmp_path / "whole.pth")
    load_backbone(backbone, tmp_path / "whole.pth", ARCHITECTURES["resnet_nano"])


def test_a_published_classifier_is_read_whole(tmp_path):
    """Backbone and head, from torchvision's layout and from OpenMMLab's, which lacks Swin's downstream norms."""
    for architecture, head in (("resnet_nano", "fc"), ("swin_nano", "head.fc")):
        published = Classifier(ARCHITECTURES[architecture], 10).eval()
        state = {
            k: v for k, v in published.backbone.state_dict().items() if not k.startswith(("norm0", "norm1", "norm2"))
        }
        state |= {f"{head}.{name}": tensor for name, tensor in published.head.state_dict().items()}
        torch.save({"model": state}, tmp_path / "published.pth")
        loaded = load_published(Classifier(ARCHITECTURES[architecture], 10), tmp_path / "published.pth").eval()
        images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        assert torch.equal(published.logits(images), loaded.logits(images))
        with pytest.raises(UserError, match="has no classifier for 7 classes"):
            load_published(Classifier(ARCHITECTURES[architecture], 7), tmp_path / "published.pth")


class Malicious:
    """Would run a command if it were unpickled."""

    def __reduce__(self):
        return (print, ("executed",))


def test_unreadable_weights_are_refused_and_never_executed(tmp_path, capsys):
    backbone = build_backbone(ARCHITECTURES["resnet_nano"])
    with pytest.raises(UserError, match=r"no weights at .*missing.pth"):
        load_backbone(backbone, tmp_path / "missing.pth", ARCHITECTURES["resnet_nano"])
    torch.save(backbone.state_dict(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:1000])
    torch.save({"state_dict": backbone.state_dict(), "extra": Malicious()}, tmp_path / "malicious.pth")
    (tmp_path / "page.pth").write_text("<html>Quota exceeded</html>")
    causes = {"cut": "cut short", "malicious": "would import builtins.print", "page": "a web page"}
    for name, cause in causes.items():
        with pytest.raises(UserError, match=rf"{name}\.pth .*{cause}"):
            load_backbone(backbone, tmp_path / f"{name}.pth", ARCHITECTURES["resnet_nano"])
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_min.regular", "unknown backbone architecture 'resnet_min': did you mean 'resnet_mini'"),
        ("resnet_mini", "names no weights: write architecture.weights, e.g. resnet_mini.regular"),
        ("resnet_mini.", "names no weights"),
    ],
)
def test_backbone_names_are_checked(name, message):
    with pytest.raises(UserError, match=message):
        BackboneName.parse(name)


def test_published_heads_are_untouched():
    """For a full-size backbone the shipped config is used as it is, but for backbone and classes."""
    detector = built("detection", "resnet50", "full_network", classes=80)
    assert detector.neck.out_channels == 256
    assert detector.roi_head.bbox_head.fc_out_channels == 1024
    # The authors' released Mask R-CNN files hold 360 tensors; a ResNet-50 without counters and classifier holds 265.
    assert len(detector.state_dict()) == 360
    assert len([name for name in detector.backbone.state_dict() if "num_batches" not in name]) == 265
