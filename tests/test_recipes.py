"""The recipes: what a transfer resolves to, field by field, and what its optimizer and schedule then do.

Expected values are those of the authors' released configs (github.com/runopti/RobustDownstreamTransfer).
"""

from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

from robnb import training
from robnb.errors import UserError
from robnb.models import detector, segmentor
from robnb.models.architectures import architecture_named
from robnb.models.prime_preprocessor import PrimeDetDataPreprocessor, PrimeSegDataPreProcessor
from robnb.models.released import build_released
from robnb.recipes import SWITCHES, Switches
from robnb.recipes.budget import Budget
from robnb.recipes.optimization import one_cycle, short_optimizer
from robnb.recipes.transfer import CIFAR, budget_lr, model_options, start_weights, transfer_recipe
from robnb.transfer import TransferSpec, build_model, resolved

FIXED, FULL = "fixed_feature", "full_network"
SCALES = {"detection": (1333, 800), "segmentation": (2048, 512), "classification": (256, 224)}
CLASSES = {"detection": 80, "segmentation": 150, "classification": 10}
BUDGETS = {
    ("detection", "resnet"): Budget(117266, 24, 0.04),
    ("detection", "swin"): Budget(175899, 16, 1e-4),
    ("segmentation", "resnet"): Budget(80000, 24, 0.01),
    ("segmentation", "swin"): Budget(80000, 16, 6e-5),
    ("classification", "resnet"): Budget(117188, 64, 0.01),
    ("classification", "swin"): Budget(117188, 64, 0.01),
}
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
NO_DECAY = {name: {"decay_mult": 0.0} for name in ("absolute_pos_embed", "relative_position_bias_table", "norm")}
AT_ZERO = {"backbone": {"lr_mult": 0.0, "decay_mult": 0.0}}


def spec(
    task: str, backbone: str, regime: str = FULL, variant: str = "corrected", *, prime: bool = False, **changes
) -> TransferSpec:
    """A transfer of the paper's, as a notebook asks for it."""
    family = architecture_named(backbone.split(".")[0]).family
    released = Switches.of(variant).of_transfer(task=task, family=family, regime=regime, prime=prime)
    given = {"budget": BUDGETS[task, family], "recipe": "paper", "released": released, "prime": prime, **changes}
    return TransferSpec(
        backbone=backbone, weights="", task=task, regime=regime, data="", classes=CLASSES[task], scale=SCALES[task],
        seed=0, **given,
    )  # fmt: skip


# ---- What each of the 24 trained models resolves to

#: (task, backbone, regime, variant) -> what is said of the backbone, and whether its rate is zero.
FREEZING = {
    ("detection", "resnet50.regular", FIXED, "as_released"): ({"frozen_stages": 1, "norm_eval": True}, True),
    ("detection", "resnet50.regular", FIXED, "corrected"): ({"frozen_stages": 4, "norm_eval": True}, False),
    ("detection", "resnet50.regular", FULL, "as_released"): ({"frozen_stages": 1, "norm_eval": True}, False),
    ("detection", "resnet50.regular", FULL, "corrected"): ({"frozen_stages": -1, "norm_eval": True}, False),
    ("segmentation", "resnet50.regular", FIXED, "as_released"): ({"frozen_stages": -1, "norm_eval": False}, True),
    ("segmentation", "resnet50.regular", FIXED, "corrected"): ({"frozen_stages": 4, "norm_eval": True}, False),
    ("segmentation", "resnet50.regular", FULL, "as_released"): ({"frozen_stages": -1, "norm_eval": False}, False),
    ("segmentation", "resnet50.regular", FULL, "corrected"): ({"frozen_stages": -1, "norm_eval": False}, False),
    ("detection", "swin_tiny.in1k", FIXED, "as_released"): ({"frozen_stages": -1, "drop_path_rate": 0.2}, True),
    ("detection", "swin_tiny.in1k", FIXED, "corrected"): ({"frozen_stages": 4, "drop_path_rate": 0.2}, False),
    ("detection", "swin_tiny.in1k", FULL, "as_released"): ({"frozen_stages": -1, "drop_path_rate": 0.2}, False),
    ("segmentation", "swin_tiny.in1k", FIXED, "as_released"): ({"frozen_stages": -1, "drop_path_rate": 0.3}, True),
    ("segmentation", "swin_tiny.in1k", FIXED, "corrected"): ({"frozen_stages": 4, "drop_path_rate": 0.3}, False),
    ("segmentation", "swin_tiny.in1k", FULL, "as_released"): ({"frozen_stages": -1, "drop_path_rate": 0.3}, False),
}
#: Optimizer without its rate, and schedule, for each task and family.
TRAINING = {
    ("detection", "resnet"): (
        {"type": "SGD", "momentum": 0.9, "weight_decay": 1e-4},
        [
            {"type": "LinearLR", "start_factor": 0.001, "begin": 0, "end": 500},
            # After 16 and 22 of 24 epochs of 117,266 images in batches of 24.
            {"type": "MultiStepLR", "milestones": [78177, 107494], "gamma": 0.1, "begin": 0, "end": 117266},
        ],
    ),
    ("detection", "swin"): (
        {"type": "AdamW", "betas": (0.9, 0.999), "weight_decay": 0.05},
        [
            {"type": "LinearLR", "start_factor": 0.001, "begin": 0, "end": 500},
            {"type": "MultiStepLR", "milestones": [117266, 161241], "gamma": 0.1, "begin": 0, "end": 175899},
        ],
    ),
    ("segmentation", "resnet"): (
        {"type": "SGD", "momentum": 0.9, "weight_decay": 5e-4},
        [{"type": "PolyLR", "power": 0.9, "eta_min": 1e-4, "begin": 0, "end": 80000}],
    ),
    ("segmentation", "swin"): (
        {"type": "AdamW", "betas": (0.9, 0.999), "weight_decay": 0.01},
        [
            {"type": "LinearLR", "start_factor": 1e-6, "begin": 0, "end": 1500},
            {"type": "PolyLR", "power": 1.0, "eta_min": 0.0, "begin": 0, "end": 80000},
        ],
    ),
}


@pytest.mark.parametrize("case", FREEZING, ids="-".join)
def test_a_transfer_resolves_to_the_released_config(case):
    task, backbone, *_ = case
    expected, at_zero = FREEZING[case]
    family = "resnet" if backbone.startswith("resnet") else "swin"
    config, budget = resolved(spec(*case)), BUDGETS[task, family]
    found = config["model"]["backbone"]
    assert {name: found[name] for name in expected} == expected
    assert found["type"] == {"resnet": "ResNet", "swin": "SwinTransformer"}[family]
    preprocessor = config["model"]["data_preprocessor"]
    assert {name: preprocessor[name] for name in IMAGENET} == IMAGENET
    assert preprocessor["bgr_to_rgb"] is True

    optimizer, schedule = TRAINING[task, family]
    wrapper = config["optim_wrapper"]
    assert wrapper["optimizer"] == {**optimizer, "lr": budget.lr}
    assert "clip_grad" not in wrapper
    keys = (NO_DECAY if family == "swin" else {}) | (AT_ZERO if at_zero else {})
    assert wrapper.get("paramwise_cfg", {}).get("custom_keys", {}) == keys
    half = (task, family) == ("detection", "swin")
    assert (wrapper["type"], wrapper.get("loss_scale")) == (
        ("AmpOptimWrapper", {"init_scale": 512}) if half else ("OptimWrapper", None)
    )
    assert config["param_scheduler"] == [{**step, "by_epoch": False} for step in schedule]
    assert config["train_cfg"]["max_iters"] == budget.iterations
    assert config["train_dataloader"]["batch_size"] == budget.batch_size


def shipped(library, name: str) -> Config:
    return Config.fromfile(Path(library.__file__).parent / ".mim" / "configs" / name)


def test_pipelines_are_the_shipped_ones_that_the_authors_used():
    """At the paper's scale nothing is changed: R50 on COCO flips only, Swin on COCO crops at several scales."""
    resnet = resolved(spec("detection", "resnet50.regular"))
    stock = shipped(mmdet, "mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py")
    assert resnet["train_pipeline"] == stock.train_pipeline
    assert resnet["test_pipeline"] == stock.test_pipeline
    swin = resolved(spec("detection", "swin_tiny.in1k"))
    assert swin["train_pipeline"] == shipped(mmdet, "swin/mask-rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco.py").train_pipeline
    assert swin["test_pipeline"] == stock.test_pipeline
    stock = shipped(mmseg, "upernet/upernet_r50_4xb4-80k_ade20k-512x512.py")
    for backbone in ("resnet50.regular", "swin_tiny.in1k"):
        config = resolved(spec("segmentation", backbone))
        labels = [step for step in config["train_pipeline"] if step["type"] == "LoadAnnotations"]
        assert labels == [{"type": "LoadAnnotations", "reduce_zero_label": None}]  # the data set says it
        rest = [step for step in config["train_pipeline"] if step["type"] != "LoadAnnotations"]
        assert rest == [step for step in stock.train_pipeline if step["type"] != "LoadAnnotations"]
        assert config["test_pipeline"] == stock.test_pipeline
        assert config["model"]["data_preprocessor"]["size"] == (512, 512)


def test_the_multi_scale_crop_keeps_its_proportions_at_another_scale():
    *_, flip, choice, _ = detector.train_pipeline((160, 128), "multi_scale_crop", flip=False)
    assert flip == {"type": "RandomFlip", "prob": 0.0}
    (whole,), (first, crop, last) = choice["transforms"]
    assert whole["scales"] == last["scales"]
    assert (whole["scales"][0], whole["scales"][-1]) == ((77, 160), (128, 160))  # 480 and 800 of 800
    assert first["scales"] == [(64, 160), (80, 160), (96, 160)]
    assert crop["crop_size"] == (61, 96)  # 384 and 600 of 800


def test_models_have_the_heads_of_the_authors():
    maskrcnn = resolved(spec("detection", "swin_tiny.in1k"))["model"]
    assert maskrcnn["neck"]["in_channels"] == [96, 192, 384, 768]
    assert maskrcnn["test_cfg"]["rcnn"]["score_thr"] == 0.05
    upernet = resolved(spec("segmentation", "resnet50.regular"))["model"]
    assert upernet["backbone"]["type"] == "ResNet", "a plain stem: mmseg's own is ResNetV1c"
    assert (upernet["decode_head"]["channels"], upernet["decode_head"]["num_classes"]) == (512, 150)
    assert upernet["decode_head"]["pool_scales"] == (1, 2, 3, 6)
    assert upernet["auxiliary_head"]["loss_decode"]["loss_weight"] == 0.4
    assert upernet["test_cfg"]["mode"] == "whole"
    assert resolved(spec("detection", "swin_base.in1k"))["model"]["backbone"]["drop_path_rate"] == 0.3
    assert resolved(spec("detection", "swin_small.in1k"))["model"]["backbone"]["drop_path_rate"] == 0.2
    wide = resolved(spec("segmentation", "swin_base_w12.in22k"))["model"]["backbone"]
    assert (wide["window_size"], wide["embed_dims"], wide["drop_path_rate"]) == (12, 128, 0.3)


@pytest.mark.parametrize("backbone", ["resnet50.regular", "swin_tiny.in1k"])
def test_cifar_is_trained_alike_for_every_family(backbone):
    released, corrected = (resolved(spec("classification", backbone, FULL, v)) for v in ("as_released", "corrected"))
    sgd = {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    assert released["optim_wrapper"] == corrected["optim_wrapper"] == {"type": "OptimWrapper", "optimizer": sgd}
    # 117,188 iterations of 64 are 150 epochs of 50,000 images.
    (steps,) = released["param_scheduler"]
    assert (steps["milestones"], steps["gamma"]) == ([23438, 46875, 70313, 93750], 0.1)
    assert corrected["param_scheduler"][0]["milestones"] == [39063, 78125]
    assert [tuple(released["model"]["data_preprocessor"][name]) for name in ("mean", "std")] == [*CIFAR]
    assert corrected["model"]["data_preprocessor"]["mean"] == IMAGENET["mean"]
    assert [round(value / 255, 4) for values in CIFAR for value in values] == [
        0.4914, 0.4822, 0.4465, 0.2023, 0.1994, 0.2010,
    ]  # fmt: skip
    crop, flip = released["train_pipeline"]
    assert (crop["size"], crop["scale"], crop["ratio"]) == (224, (0.08, 1.0), (3 / 4, 4 / 3))
    assert flip["p"] == 0.5
    assert [step["size"] for step in released["test_pipeline"]] == [256, 224]


def test_several_processes_share_batch_statistics_where_there_are_gpus(monkeypatch):
    """And a timm network's too, which knows no norm_cfg."""
    shared = spec("segmentation", "resnet50.regular", processes=4)
    assert resolved(shared)["train_dataloader"]["batch_size"] == 6
    assert resolved(shared)["model"]["backbone"]["norm_cfg"]["type"] == "BN", "a CPU has no SyncBN"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # mmengine's logger asks for the GPU's number
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model = resolved(shared)["model"]
    for part in ("backbone", "decode_head", "auxiliary_head"):
        assert model[part]["norm_cfg"] == {"type": "SyncBN", "requires_grad": True}
    assert resolved(spec("segmentation", "resnet50.regular"))["model"]["decode_head"]["norm_cfg"]["type"] == "BN"
    for backbone in ("resnet50.regular", "resnet18.tv_in1k"):
        built = build_model(spec("segmentation", backbone, processes=4))
        norms = [module for module in built.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        assert norms
        assert all(isinstance(module, nn.SyncBatchNorm) for module in norms)
    short = spec("segmentation", "resnet50.regular", processes=4, recipe="short")
    assert resolved(short)["model"]["decode_head"]["norm_cfg"]["type"] == "BN"


# ---- The short recipe is what it was


def test_the_short_recipe_has_the_numbers_that_it_had():
    assert short_optimizer("resnet", 0.1) == {
        "type": "OptimWrapper",
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True, "lr": 0.1},
        "clip_grad": {"max_norm": 10.0},
    }
    assert short_optimizer("swin", 0.1) == {
        "type": "OptimWrapper",
        "optimizer": {"type": "AdamW", "betas": (0.9, 0.999), "weight_decay": 0.05, "lr": 0.1},
        "paramwise_cfg": {"custom_keys": NO_DECAY},
    }
    assert one_cycle(10) == [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": 3},
        {"type": "CosineAnnealingLR", "eta_min": 0.0, "by_epoch": False, "begin": 3, "end": 10},
    ]
    for task in SCALES:
        for regime, frozen in ((FIXED, 4), (FULL, -1)):
            recipe = transfer_recipe("short", task=task, family="resnet", regime=regime, budget=Budget(10, 2, 0.1))
            assert recipe.optim_wrapper == short_optimizer("resnet", 0.1)
            assert recipe.param_scheduler == one_cycle(10)
            assert recipe.pipeline == {"detection": "flip", "segmentation": "random_crop"}.get(task, "mild_crop")
            if task != "classification":
                assert recipe.model.backbone == {"frozen_stages": frozen, "norm_eval": True}


# ---- Learning rates over time


def rates(schedule: list[dict], lr: float, at: list[int]) -> list[float]:
    """mmengine's learning rate in these iterations, for a parameter group with this rate at the start."""
    from mmengine.registry import PARAM_SCHEDULERS

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedulers = [PARAM_SCHEDULERS.build(dict(step), default_args={"optimizer": optimizer}) for step in schedule]
    found, wanted = [], set(at)
    for iteration in range(max(at) + 1):
        if iteration in wanted:
            found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


def test_a_rate_of_zero_rises_to_1e_minus_4_on_ade20k():
    schedule = resolved(spec("segmentation", "resnet50.regular", FIXED, "as_released"))["param_scheduler"]
    assert [f"{rate:.1e}" for rate in rates(schedule, 0.0, [0, 8000, 40000, 79999])] == [
        "0.0e+00", "9.0e-06", "4.6e-05", "1.0e-04",
    ]  # fmt: skip
    for iteration, rate in zip((0, 8000, 40000), rates(schedule, 0.01, [0, 8000, 40000]), strict=True):
        assert rate == pytest.approx((0.01 - 1e-4) * (1 - iteration / 80000) ** 0.9 + 1e-4, rel=1e-4)


def test_swins_schedule_counts_from_zero_under_the_warm_up():
    schedule = resolved(spec("segmentation", "swin_tiny.in1k"))["param_scheduler"]
    at = [0, 750, 1500, 40000, 79998]
    for iteration, rate in zip(at, rates(schedule, 6e-5, at), strict=True):
        ramp = min(1.0, 1e-6 + (1 - 1e-6) * iteration / 1500)
        assert rate == pytest.approx(6e-5 * ramp * (1 - iteration / 80000), rel=2e-3, abs=2e-9)
    assert rates(schedule, 0.0, [0, 8000, 79999]) == [0.0, 0.0, 0.0], "eta_min is 0: a frozen backbone stays frozen"


def test_cocos_rate_warms_up_and_falls_twice():
    schedule = resolved(spec("detection", "resnet50.regular"))["param_scheduler"]
    at = [0, 250, 500, 78176, 78177, 107493, 107494, 117265]
    expected = [4e-5, 0.02, 0.04, 0.04, 0.004, 0.004, 4e-4, 4e-4]
    assert rates(schedule, 0.04, at) == pytest.approx(expected, rel=4e-3)
    assert rates(schedule, 0.0, [0, 500, 1000]) == [0.0, 0.0, 0.0]


# ---- What the real constructor makes of real models


def groups(wanted: TransferSpec) -> tuple[dict[str, dict], nn.Module]:
    """The parameter group of every parameter that the optimizer has, by name."""
    if not MMLogger.check_instance_created("robnb"):  # mmengine logs every parameter
        MMLogger.get_instance("robnb", log_level="ERROR")
    model = build_model(wanted)
    wrapper = build_optim_wrapper(model, training.on_this_machine(wanted.training.optim_wrapper))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group for group in wrapper.optimizer.param_groups for p in group["params"]}, model


@pytest.mark.parametrize(("task", "lr"), [("detection", 1e-4), ("segmentation", 6e-5)])
def test_a_swin_at_zero_rate_trains_its_position_tables(task, lr):
    found, model = groups(spec(task, "swin_tiny.in1k", FIXED, "as_released"))
    backbone = {name: group for name, group in found.items() if name.startswith("backbone.")}
    training_ones = {name for name, group in backbone.items() if group["lr"] != 0}
    assert len(training_ones) == 12
    assert all(name.endswith("relative_position_bias_table") for name in training_ones)
    parameters = dict(model.named_parameters())
    assert sum(parameters[name].numel() for name in training_ones) == 23322
    assert {backbone[name]["lr"] for name in training_ones} == {lr}
    assert len(backbone) - len(training_ones) == 165
    assert {group["weight_decay"] for group in backbone.values()} == {0.0}
    heads = [group for name, group in found.items() if not name.startswith("backbone.")]
    assert {group["lr"] for group in heads} == {lr}
    assert any(module.training and type(module).__name__ == "DropPath" for module in model.train().backbone.modules())


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("backbone", ["resnet50.regular", "swin_tiny.in1k"])
def test_nothing_of_a_corrected_frozen_backbone_is_trained(task, backbone):
    wanted = spec(task, backbone, FIXED)
    model = build_model(wanted).train()
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    matter = ("BatchNorm2d", "DropPath")
    assert not [m for m in model.backbone.modules() if m.training and type(m).__name__ in matter]


def test_a_resnet_at_zero_rate():
    """159 weights and biases of the 265 tensors (the rest are statistics); on COCO the frozen ones are left out."""
    found, model = groups(spec("segmentation", "resnet50.regular", FIXED, "as_released"))
    assert len([name for name in model.backbone.state_dict() if "num_batches" not in name]) == 265
    backbone = [group for name, group in found.items() if name.startswith("backbone.")]
    assert (len(backbone), {(g["lr"], g["weight_decay"]) for g in backbone}) == (159, {(0.0, 0.0)})
    assert all(m.training for m in model.train().backbone.modules() if isinstance(m, nn.BatchNorm2d))
    found, model = groups(spec("detection", "resnet50.regular", FIXED, "as_released"))
    backbone = [group for name, group in found.items() if name.startswith("backbone.")]
    assert (len(backbone), {g["lr"] for g in backbone}) == (159 - 33, {0.0})  # stem and first stage have 33
    assert not any(m.training for m in model.train().backbone.modules() if isinstance(m, nn.BatchNorm2d))


def test_swins_norms_and_tables_do_not_decay():
    found, _ = groups(spec("segmentation", "swin_tiny.in1k"))
    spared = {name for name, group in found.items() if group["weight_decay"] == 0}
    assert {group["lr"] for group in found.values()} == {6e-5}
    assert spared == {name for name in found if "norm" in name or "relative_position_bias_table" in name}


def test_a_pyramid_that_was_never_pretrained_learns_at_zero_rate_too():
    found, _ = groups(spec("segmentation", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", FIXED, "as_released"))
    new = {name for name, group in found.items() if name.startswith("backbone.") and group["lr"] != 0}
    assert new
    assert all(name.startswith("backbone.pyramid.") for name in new)


@pytest.mark.parametrize(
    ("model", "architecture", "keys"),
    [("mask_rcnn", "resnet50", 360), ("mask_rcnn", "swin_tiny", 231), ("upernet", "resnet50", 400),
     ("upernet", "swin_tiny", 271)],
)  # fmt: skip
def test_built_models_have_as_many_tensors_as_the_authors(model, architecture, keys):
    classes = 150 if model == "upernet" else 80
    assert len(build_released(model, architecture_named(architecture), classes).state_dict()) == keys


# ---- PRIME


@pytest.mark.parametrize(
    ("task", "kind"), [("detection", PrimeDetDataPreprocessor), ("segmentation", PrimeSegDataPreProcessor)]
)
def test_prime_in_transfer(task, kind):
    released = spec(task, "resnet50.prime", FULL, "as_released", prime=True)
    section = resolved(released.trained)["model"]["data_preprocessor"]
    assert section["type"] == kind.__name__
    assert (section["range"], section["depth"], section["padded_first"]) == ("bytes", 1, True)
    assert {name: section[name] for name in IMAGENET} == IMAGENET
    section = resolved(spec(task, "resnet50.prime", FULL, prime=True))["model"]["data_preprocessor"]
    assert (section["range"], section["depth"], section["padded_first"]) == ("unit", -1, False)
    assert type(build_model(spec(task, "resnet50.prime", FULL, prime=True)).data_preprocessor) is kind
    # The released test pipelines do not normalise; that changes scores, not weights.
    tested = resolved(released)["model"]["data_preprocessor"]
    assert (tested["mean"], tested["std"]) == ([0.0] * 3, [1.0] * 3)
    assert tested["type"] != kind.__name__
    assert released.key != released.trained.key
    normalised = Switches.of("as_released", {"prime_test_normalisation": "corrected"})
    about = {"task": task, "family": "resnet", "regime": FULL, "prime": True}
    assert released.trained.released == normalised.of_transfer(**about)


def test_swin_on_ade20k_was_trained_on_raw_pixels_without_prime():
    section = resolved(spec("segmentation", "swin_tiny.in1k", FULL, "as_released", prime=True).trained)
    preprocessor = section["model"]["data_preprocessor"]
    assert preprocessor["type"] == "SegDataPreProcessor"
    assert (preprocessor["mean"], preprocessor["std"]) == ([0.0] * 3, [1.0] * 3)
    corrected = resolved(spec("segmentation", "swin_tiny.in1k", FULL, prime=True))["model"]["data_preprocessor"]
    assert corrected["type"] == "PrimeSegDataPreProcessor"
    on_coco = resolved(spec("detection", "swin_tiny.in1k", FULL, "as_released", prime=True).trained)
    assert on_coco["model"]["data_preprocessor"]["type"] == "PrimeDetDataPreprocessor"


# ---- Switches


def test_each_switch_is_documented():
    for name, switch in SWITCHES.items():
        assert switch.id == name
        assert all((switch.title, switch.why, switch.source, switch.as_released, switch.corrected))
        assert switch.as_released != switch.corrected


def test_a_variant_turns_all_switches_and_single_ones_can_be_turned_back():
    turned = {name for name, switch in SWITCHES.items() if not switch.parameter}
    assert set(Switches.of("as_released").released) == turned
    assert Switches.of("corrected").released == ()
    one = Switches.of("as_released", {"bn_drift": "corrected"})
    assert (one["bn_drift"], one["rising_lr"]) == ("corrected", "as_released")
    assert Switches.of("corrected", {"channel_order": "as_released"}).released == ("channel_order",)


def test_only_what_touches_a_transfer_is_in_its_key():
    """So that both variants share what is the same in both."""
    everything = Switches.of("as_released")
    touched = {
        ("segmentation", "resnet", FIXED, False): ("bn_drift", "rising_lr"),
        ("segmentation", "resnet", FULL, False): (),
        ("detection", "resnet", FIXED, False): ("zero_lr",),
        ("detection", "resnet", FULL, False): ("frozen_stem",),
        ("detection", "swin", FIXED, False): ("position_bias",),
        ("detection", "swin", FULL, False): (),
        ("classification", "swin", FIXED, False): ("cifar_normalisation", "cifar_steps"),
        ("segmentation", "swin", FULL, True): (
            "prime_range", "prime_depth", "prime_padding", "prime_swin_ade", "prime_test_normalisation",
        ),
    }  # fmt: skip
    for (task, family, regime, prime), names in touched.items():
        assert everything.of_transfer(task=task, family=family, regime=regime, prime=prime) == names


def test_the_switches_of_ade20ks_frozen_resnet_are_independent():
    def backbone(**sides: str) -> tuple[dict, bool, bool]:
        wanted = spec("segmentation", "resnet50.regular", FIXED, released=Switches.of("corrected", sides).released)
        options = wanted.model_options
        at_zero = "backbone" in wanted.training.optim_wrapper.get("paramwise_cfg", {}).get("custom_keys", {})
        return options.backbone, options.backbone_learns, at_zero

    assert backbone(bn_drift="as_released") == ({"frozen_stages": -1, "norm_eval": False}, False, False)
    assert backbone(rising_lr="as_released") == ({"frozen_stages": -1, "norm_eval": True}, True, True)
    assert backbone() == ({"frozen_stages": 4, "norm_eval": True}, True, False)


def test_start_weights_and_the_rate_of_regular():
    released, corrected = Switches.of("as_released"), Switches.of("corrected")
    assert start_weights("swin_tiny.in1k", "detection", released) == "swin_tiny.in1k_openmmlab"
    assert start_weights("swin_tiny.in1k", "segmentation", released) == "swin_tiny.in1k"
    assert start_weights("swin_tiny.in1k", "detection", corrected) == "swin_tiny.in1k"
    assert budget_lr(0.04, "resnet50.regular", "detection", FULL, released) == 0.02
    for other in (
        ("resnet50.regular", "detection", FULL, corrected), ("resnet50.regular", "detection", FIXED, released),
        ("resnet50.ant3x3", "detection", FULL, released), ("resnet50.regular", "segmentation", FULL, released),
    ):  # fmt: skip
        assert budget_lr(0.04, *other) == 0.04


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Switches.of("released"), "unknown variant 'released': did you mean 'as_released'"),
        (lambda: Switches.of("corrected", {"bn_drif": "corrected"}), "unknown switch 'bn_drif': did you mean 'bn_dr"),
        (lambda: Switches.of("corrected", {"bn_drift": "on"}), "unknown side of the switch bn_drift 'on'"),
        (lambda: Switches.of("corrected", {"severities": "corrected"}), "set the parameter severities instead"),
        (lambda: spec("detection", "resnet50.regular", recipe="papre"), "unknown recipe 'papre': did you mean 'paper'"),
        (lambda: spec("detection", "resnet50.regular", released=("bn_drif",)), "unknown switch 'bn_drif'"),
        (lambda: spec("classification", "resnet50.regular", prime=True), "classification has no PRIME .*: set prime"),
        (lambda: model_options("paper", task="detection", family="resnet", regime="frozen"), "unknown regime 'frozen'"),
        (lambda: build_released("yolo", architecture_named("resnet50"), 80), "unknown model 'yolo'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_half_precision_needs_a_gpu(monkeypatch):
    half = spec("detection", "swin_tiny.in1k").training.optim_wrapper
    single = training.on_this_machine(half)
    assert (single["type"], "loss_scale" in single) == ("OptimWrapper", False)
    assert single["optimizer"] == half["optimizer"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.on_this_machine(half) == half


def test_training_crops_are_the_short_side():
    assert segmentor.training_crop((2048, 512)) == (512, 512)
