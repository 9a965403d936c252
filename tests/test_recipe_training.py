"""What the recipes' trainings do to a backbone, and that they too go on after a kill as if nothing had happened."""

from dataclasses import replace
from functools import partial

import pytest
import small
import torch

from robnb import training, transfer
from robnb.data.miniworld import MiniworldSpec, make_miniworld
from robnb.data.sources import miniworld
from robnb.models.architectures import architecture_named
from robnb.models.backbones import build_backbone
from robnb.recipes import Switches
from robnb.recipes.budget import Budget
from robnb.training import Resumable
from robnb.transfer import TransferSpec

FIXED, FULL = "fixed_feature", "full_network"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Tasks of a small miniworld."""
    return miniworld(make_miniworld(MiniworldSpec(**small.COUNTS, seed=0), tmp_path_factory.mktemp("data"), 1), "world")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Architecture -> a file of its random weights."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("resnet_nano", "swin_nano"):
        backbone = training.initialise(partial(build_backbone, architecture_named(name)), 0)
        torch.save(backbone.state_dict(), folder / f"{name}.pth")
    return lambda name: folder / f"{name}.pth"


def spec(
    task: str, architecture: str, regime: str, sides: dict | str, *, prime: bool = False, **budget
) -> TransferSpec:
    """A transfer by the paper's recipe, with these switches as_released or a whole variant."""
    switches = Switches.of(sides) if isinstance(sides, str) else Switches.of("corrected", sides)
    family = architecture.split("_")[0]
    about = {"task": task, "regime": regime, "prime": prime}
    rate = 1e-3 if family == "swin" else 0.01
    return TransferSpec(
        backbone=f"{architecture}.regular", weights="", data="", classes=10,
        scale=(64, 64) if task == "classification" else (160, 128),
        budget=Budget(**{"iterations": 3, "batch_size": 2, "lr": rate, **budget}), seed=0, recipe="paper",
        released=switches.of_transfer(family=family, **about), **about,
    ).trained  # fmt: skip


def changed(wanted: TransferSpec, start, data, folder) -> set[str]:
    """Names of the backbone's tensors that the training changed."""
    (folder / "scratch").mkdir(parents=True)
    classes = len(data.open("train").classes)
    transfer.train(replace(wanted, classes=classes), start, data, folder, 0)
    before, after = torch.load(start), torch.load(folder / "weights.pth")
    return {name for name in before if not torch.equal(before[name], after[f"backbone.{name}"])}


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_released_frozen_swin_changes_in_its_position_tables_alone(world, weights, tmp_path, task):
    """COCO's warm-up starts at a thousandth of the rate, ADE20K's at a millionth: tables move, if little."""
    wanted = spec(task, "swin_nano", FIXED, "as_released", lr=1.0)
    names = changed(wanted, weights("swin_nano"), world[task], tmp_path)
    assert names == {f"stages.{stage}.blocks.0.attn.w_msa.relative_position_bias_table" for stage in range(4)}


def test_each_gap_of_the_frozen_resnet_on_ade20k_changes_what_it_should(world, weights, tmp_path):
    def names(**sides: str) -> set[str]:
        wanted = spec("segmentation", "resnet_nano", FIXED, sides)
        return changed(wanted, weights("resnet_nano"), world["segmentation"], tmp_path / "-".join(["x", *sides]))

    statistics = {
        name for name in torch.load(weights("resnet_nano")) if name.endswith(("running_mean", "running_var", "tracked"))
    }
    assert names() == set()
    assert names(bn_drift="as_released") == statistics
    rising = names(rising_lr="as_released")
    assert rising
    assert not rising & statistics
    assert names(bn_drift="as_released", rising_lr="as_released") == rising | statistics


def test_a_frozen_resnet_on_coco_stays_either_way_and_all_of_it_trains_in_the_corrected_full_network(
    world, weights, tmp_path
):
    data, start = world["detection"], weights("resnet_nano")
    assert changed(spec("detection", "resnet_nano", FIXED, "as_released"), start, data, tmp_path / "released") == set()
    assert changed(spec("detection", "resnet_nano", FIXED, "corrected"), start, data, tmp_path / "corrected") == set()
    released = changed(spec("detection", "resnet_nano", FULL, "as_released"), start, data, tmp_path / "full")
    assert released
    assert not [name for name in released if name.startswith(("conv1", "bn1", "layer1"))]
    corrected = changed(spec("detection", "resnet_nano", FULL, "corrected"), start, data, tmp_path / "all")
    assert {"conv1.weight", "layer1.0.conv1.weight"} <= corrected
    assert not [name for name in corrected if "running" in name]


class Killed(Exception):
    """Instead of a kill."""


CASES = {
    "detection, swin, PRIME": ("detection", "swin_nano", FULL, "corrected", True),
    "detection, resnet, PRIME as released": ("detection", "resnet_nano", FULL, "as_released", True),
    "segmentation, resnet, PRIME as released": ("segmentation", "resnet_nano", FULL, "as_released", True),
    "segmentation, resnet at zero rate": ("segmentation", "resnet_nano", FIXED, "as_released", False),
    "segmentation, swin": ("segmentation", "swin_nano", FULL, "corrected", False),
    "classification": ("classification", "resnet_nano", FULL, "as_released", False),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_training_ends_with_the_same_bytes(world, weights, tmp_path, monkeypatch, case):
    """Interrupted after a checkpoint and an iteration more: schedules, momentum and PRIME's draws go on."""
    task, architecture, regime, variant, prime = CASES[case]
    wanted = spec(task, architecture, regime, variant, prime=prime, iterations=6)
    wanted = replace(wanted, classes=len(world[task].open("train").classes))
    monkeypatch.setitem(training.fit.__kwdefaults__, "checkpoint_every", 3)

    def trained(name: str) -> dict[str, torch.Tensor]:
        (tmp_path / name / "scratch").mkdir(parents=True, exist_ok=True)
        transfer.train(wanted, weights(architecture), world[task], tmp_path / name, 0)
        return torch.load(tmp_path / name / "weights.pth")

    undisturbed, inherited = trained("undisturbed"), Resumable.after_train_iter

    def interrupt(self, runner, batch_idx, **rest):
        inherited(self, runner, batch_idx, **rest)
        if batch_idx == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Resumable, "after_train_iter", interrupt)
        with pytest.raises(Killed):
            trained("interrupted")
    resumed = trained("interrupted")
    assert [name for name in undisturbed if not torch.equal(undisturbed[name], resumed[name])] == []
    other = replace(wanted, seed=1)
    (tmp_path / "other" / "scratch").mkdir(parents=True)
    transfer.train(other, weights(architecture), world[task], tmp_path / "other", 0)
    fresh = torch.load(tmp_path / "other" / "weights.pth")
    assert any(not torch.equal(undisturbed[name], fresh[name]) for name in undisturbed)
