"""Whole trained models as the authors and Swin's authors publish them: every tensor finds its place, or none does."""

import re
from functools import partial

import pytest
import torch

from robnb.checkpoints import read
from robnb.errors import UserError
from robnb.models.architectures import architecture_named
from robnb.models.detector import CONFIGS, shipped_config
from robnb.models.released import build_released, load_released
from robnb.speed.stand_ins import make_sure
from robnb.training import initialise

# After robnb.models.released, which registers the ops that mmdet imports.
from mmdet.structures import DetDataSample  # isort: skip


def random_state(model, seed: int) -> dict[str, torch.Tensor]:
    """Random values in every tensor of a model but those that are computed from its sizes."""
    draws = torch.Generator().manual_seed(seed)
    return {
        name: tensor.clone()
        if name.endswith(("relative_position_index", "num_batches_tracked"))
        else torch.rand(tensor.shape, generator=draws)
        for name, tensor in model.state_dict().items()
    }


def differing(model, state: dict[str, torch.Tensor]) -> list[str]:
    found = model.state_dict()
    assert set(found) == set(state)
    return [name for name in state if not torch.equal(found[name], state[name])]


def as_microsoft_names_it(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """mmdet's Swin in the names and the merging order of Swin-Transformer-Object-Detection.

    Four neighbours are merged: mmdet's weights are ordered by (channel, row, column), Microsoft's by (column, row,
    channel).
    """
    rules = [
        (r"^backbone\.stages", "backbone.layers"),
        (r"^backbone\.patch_embed\.projection", "backbone.patch_embed.proj"),
        (r"\.attn\.w_msa\.", ".attn."),
        (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
        (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    ]
    named = {}
    for name, tensor in state.items():
        if ".downsample." in name:
            channels = tensor.shape[-1] // 4
            merged = tensor.unflatten(-1, (channels, 2, 2))  # channel, row, column
            tensor = merged.movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3)
        for pattern, replacement in rules if name.startswith("backbone.") else ():
            name = re.sub(pattern, replacement, name)
        named[name] = tensor
    return named


@pytest.mark.parametrize("architecture", ["resnet50", "swin_tiny"])
@pytest.mark.parametrize("model", ["mask_rcnn", "upernet"])
def test_the_authors_files_are_read_as_they_are(tmp_path, model, architecture):
    """{"meta", "state_dict", "optimizer"}, with today's names."""
    built = build_released(model, architecture_named(architecture), 150 if model == "upernet" else 80)
    state = random_state(built, 1)
    torch.save({"meta": {"epoch": 24}, "state_dict": state, "optimizer": {"state": {}}}, tmp_path / "epoch_24.pth")
    assert differing(load_released(built, tmp_path / "epoch_24.pth"), state) == []


@pytest.mark.parametrize(("model", "architecture"), [("mask_rcnn", "swin_tiny"), ("cascade_mask_rcnn", "swin_base")])
def test_the_swin_authors_detectors_are_renamed(tmp_path, model, architecture):
    built = build_released(model, architecture_named(architecture), 80)
    state = random_state(built, 1)
    torch.save({"state_dict": as_microsoft_names_it(state)}, tmp_path / "swin.pth")
    assert "backbone.layers.0.downsample.reduction.weight" in read(tmp_path / "swin.pth").tensors
    assert differing(load_released(built, tmp_path / "swin.pth"), state) == []


def test_a_file_of_another_model_is_refused_and_nothing_is_loaded(tmp_path):
    resnet, swin = (build_released("mask_rcnn", architecture_named(name), 80) for name in ("resnet50", "swin_tiny"))
    short = random_state(resnet, 1)
    del short["roi_head.mask_head.conv_logits.weight"]
    torch.save({"state_dict": short}, tmp_path / "short.pth")
    torch.save({"state_dict": random_state(swin, 1)}, tmp_path / "swin.pth")
    other = build_released("mask_rcnn", architecture_named("resnet50"), 20)
    torch.save({"state_dict": random_state(other, 1)}, tmp_path / "classes.pth")
    before = {name: tensor.clone() for name, tensor in resnet.state_dict().items()}
    for name in ("short", "swin", "classes"):
        with pytest.raises(UserError, match=f"{name}.pth"):
            load_released(resnet, tmp_path / f"{name}.pth")
        assert differing(resnet, before) == []


def test_a_cascade_has_the_heads_of_swins_authors():
    model = build_released("cascade_mask_rcnn", architecture_named("swin_base"), 80)
    heads = model.roi_head.bbox_head
    assert [tuple(head.bbox_coder.stds) for head in heads] == [
        (0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067),
    ]  # fmt: skip
    for head in heads:
        assert (len(head.shared_convs), len(head.shared_fcs), head.fc_reg.out_features) == (4, 1, 4 * 80)
        assert head.reg_decoded_bbox
        assert type(head.shared_convs[0].norm).__name__ == "BatchNorm2d"
        assert (type(head.loss_bbox).__name__, head.loss_bbox.loss_weight) == ("GIoULoss", 10.0)
    assert model.neck.in_channels == [128, 256, 512, 1024]


def test_a_cascade_finds_objects():
    """Forward through all three stages and the masks, with random weights and no threshold."""
    model = build_released("cascade_mask_rcnn", architecture_named("swin_nano"), 3).eval()
    model.rpn_head.test_cfg.max_per_img, model.roi_head.test_cfg.score_thr = 20, 0.0
    about = {"ori_shape": (64, 96), "img_shape": (64, 96), "scale_factor": (1.0, 1.0)}
    sample = DetDataSample(metainfo=about)
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    (found,) = model.test_step({"inputs": [image], "data_samples": [sample]})
    assert found.pred_instances.masks.shape == (len(found.pred_instances.bboxes), 64, 96)
    assert len(found.pred_instances.bboxes) > 0


def test_a_cascade_with_random_weights_can_be_made_sure():
    """Every stage of it: `robnb plan` times one that finds as much as it may, with the usual threshold."""
    model = initialise(partial(build_released, "cascade_mask_rcnn", architecture_named("swin_nano"), 80), 0).eval()
    make_sure(model)
    model.roi_head.test_cfg.max_per_img = 12
    sample = DetDataSample(metainfo={"ori_shape": (64, 96), "img_shape": (64, 96), "scale_factor": (1.0, 1.0)})
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (found,) = model.test_step({"inputs": [image], "data_samples": [sample]})
    assert len(found.pred_instances.bboxes) == 12


def test_the_normalisation_that_a_model_was_trained_with_can_be_given():
    raw = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    model = build_released("upernet", architecture_named("resnet_nano"), 150, raw)
    assert model.data_preprocessor.mean.flatten().tolist() == [0.0, 0.0, 0.0]
    usual = build_released("mask_rcnn", architecture_named("resnet_nano"), 80)
    expected = shipped_config(CONFIGS["resnet"]).model.data_preprocessor.mean
    assert usual.data_preprocessor.mean.flatten().tolist() == pytest.approx(expected)
