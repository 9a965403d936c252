"""What a study's backbones ask for upstream: parents, helper networks, the larger set, controls of the same compute."""

import json
from pathlib import Path

import paper_world
import pytest
import small
import torch

from robnb.data.folders import ClassFolders
from robnb.errors import UserError
from robnb.pretrain import PretrainSpec
from robnb.published import parent_of
from robnb.study import Study
from robnb.upstream import control_spec, pretrain_spec

NETWORKS = {"iterations": 2, "batch_size": 4, "lr": 0.001}
BUDGETS = {**small.budgets(), "networks": NETWORKS}


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def spec(name: str, outputs: Path, **changes) -> PretrainSpec:
    return pretrain_spec(small.study(outputs, backbones=[name], upstream=BUDGETS, **changes), name, 3, "data")


def test_a_recipe_begins_with_its_parents_weights(tmp_path):
    """One iteration at a rate near zero leaves them where they were."""
    budgets = {**BUDGETS, "resnet_nano.prime": {"iterations": 1, "batch_size": 4, "lr": 1e-9}}
    study = small.study(tmp_path, backbones=["resnet_nano.regular", "resnet_nano.prime"], upstream=budgets)
    regular, prime = (weights(model.path) for model in study.pretrain())
    learned = [name for name in regular if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(regular[name], prime[name], atol=1e-6) for name in learned)
    assert any(not torch.equal(regular[name], prime[name]) for name in regular if "running_mean" in name)


def test_a_parent_is_the_same_work_as_the_backbone_of_that_name(tmp_path):
    prime, regular = spec("resnet_nano.prime", tmp_path), spec("resnet_nano.regular", tmp_path)
    assert prime.parent == regular and regular.parent is None
    study = small.study(tmp_path, backbones=["resnet_nano.prime"], upstream=BUDGETS)
    study.pretrain()
    kept = [json.loads(path.read_text())["recipe"] for path in study.store.root.glob("pretrain/*/spec.json")]
    assert sorted(kept) == ["prime", "regular"]


def test_what_a_training_depends_on_is_in_its_key(tmp_path):
    usual = spec("resnet_nano.prime", tmp_path)
    longer = {**BUDGETS, "resnet_nano.regular": {"iterations": 9, "batch_size": 4, "lr": 0.01}}
    study = small.study(tmp_path, backbones=["resnet_nano.prime"], upstream=longer)
    other_parent = pretrain_spec(study, "resnet_nano.prime", 3, "data")
    half = spec("resnet_nano.prime", tmp_path, pretraining={"precision": "bfloat16"})
    assert other_parent.budget == usual.budget
    assert len({usual.key, other_parent.key, half.key}) == 3


def test_deepaugments_networks_are_shared_by_recipes_architectures_and_seeds(tmp_path):
    one, other = spec("resnet_nano.deepaug", tmp_path), spec("swin_nano.deepaug_augmix", tmp_path)
    assert [network.network for network in one.networks] == ["edsr", "cae"]
    assert one.networks == other.networks
    with pytest.raises(UserError, match=r"helper networks.* add .*networks"):
        small.study(tmp_path, backbones=["resnet_nano.deepaug"])


@pytest.mark.parametrize(
    ("name", "iterations"),
    [
        ("resnet_nano.regular", None),
        ("resnet_nano.l2_eps0", 20),  # one pass an image
        ("resnet_nano.augmix", 60),  # three views
        ("resnet_nano.prime", 40),  # as many as its parent, on top
        ("resnet_nano.deepaug_augmix", 80),
    ],
)
def test_a_control_has_at_least_as_many_passes(tmp_path, name, iterations):
    study = small.study(tmp_path, backbones=[name], upstream={**small.budgets(20), "networks": NETWORKS})
    training = pretrain_spec(study, name, 3, "data")
    control = control_spec(study, training, "passes")
    if iterations is None:
        assert control is None
        return
    assert (control.recipe, control.seed, control.budget.iterations) == ("regular", 3, iterations)
    assert control.passes >= training.passes


@pytest.mark.parametrize(
    ("name", "iterations"), [("resnet_nano.augmix", 20), ("resnet_nano.prime", 40), ("resnet_nano.deepaug_augmix", 40)]
)
def test_a_control_of_as_many_steps_counts_the_parents(tmp_path, name, iterations):
    study = small.study(tmp_path, backbones=[name], upstream={**small.budgets(20), "networks": NETWORKS})
    control = control_spec(study, pretrain_spec(study, name, 3, "data"), "steps")
    assert (control.recipe, control.budget.iterations, control.steps) == ("regular", iterations, iterations)


def test_controls_are_trained_once_and_called_by_their_length(tmp_path):
    names = [f"resnet_nano.{recipe}" for recipe in ("regular", "augmix", "l2_eps0")]
    study = small.study(tmp_path, backbones=names, training_seeds=[0, 1])
    models, compared = study.controls()
    assert [(model.called, model.seed) for model in models] == [
        (("resnet_nano", "regular, 12 iterations"), 0), (("resnet_nano", "regular, 12 iterations"), 1)
    ]  # fmt: skip
    assert compared["passes"] == {
        ("resnet_nano", "augmix"): ("resnet_nano", "regular, 12 iterations"),
        ("resnet_nano", "l2_eps0"): ("resnet_nano", "regular"),
    }
    assert compared["steps"] == dict.fromkeys(compared["passes"], ("resnet_nano", "regular"))
    study.pretrain()
    costs = study.costs().set_index(["weights", "seed"])
    assert costs["passes"].to_dict() == {
        (weights, seed): passes
        for weights, passes in {"regular": 16, "augmix": 48, "l2_eps0": 16, "regular, 12 iterations": 48}.items()
        for seed in (0, 1)
    }
    assert (costs["seconds"] > 0).all()


def test_the_larger_set_has_the_usual_images_more_of_them_and_the_same_test(tmp_path):
    counts = {**small.COUNTS, "upstream_larger": 130}
    study = small.study(tmp_path, backbones=["resnet_nano.regular_larger"], miniworld=counts)
    usual, larger = study.tasks["upstream"], study.larger_upstream
    assert study.pretrain_spec("resnet_nano.regular_larger", 0).data == larger.fingerprint != usual.fingerprint

    def content(reader: ClassFolders) -> set[tuple[str, bytes]]:
        return {(sample.image_id, sample.image.tobytes()) for sample in reader}

    assert content(usual.open("train")) < content(larger.open("train"))
    assert content(usual.open("test")) == content(larger.open("test"))
    (model,) = study.pretrain()
    assert model.called == ("resnet_nano", "regular_larger")
    with pytest.raises(UserError, match=r"larger upstream set: say how large, miniworld\.upstream_larger"):
        small.study(tmp_path, backbones=["resnet_nano.regular_larger"])


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("resnet50.augmix", None),  # from random weights
        ("resnet50.deepaug", "resnet50.regular"),
        ("swin_small.prime", "swin_small.in1k"),
        ("convnext_atto.prime", "convnext_atto.d2_in1k"),
    ],
)
def test_on_imagenet_a_recipe_begins_with_published_weights(name, parent):
    assert parent_of(name) == parent


def paper(outputs: Path, data: Path, *names: str, **changes) -> Study:
    budgets = {"swin": {"iterations": 2, "batch_size": 2, "lr": 1e-9}}
    return Study(
        notebook="test", profile="paper", outputs=str(outputs), data="paper", data_root=str(data),
        backbones=list(names), upstream=budgets, **{**paper_world.SMALL, **changes},
    )  # fmt: skip


def test_a_backbone_that_nobody_publishes_is_made_of_imagenets_images(tmp_path):
    """At a rate near zero it is the published one that it began with; the file's content is in its key."""
    study = paper(tmp_path, tmp_path / "data", "swin_tiny.in1k", "swin_tiny.prime")
    assert [asset.name for asset in study.needed_assets] == ["swin_tiny.in1k", "imagenet"]
    paper_world.make(tmp_path / "data", study.needed_assets)
    (tmp_path / "data" / "imagenet" / "train").symlink_to(tmp_path / "data" / "imagenet" / "val")
    published, made = study.pretrain()
    spec = study.pretrain_spec("swin_tiny.prime", 0)
    assert (spec.start, spec.parent, spec.crop) == (published.key, None, "full_crop")
    assert made.called == ("swin_tiny", "prime")
    before, after = published.load(published.build(), published.path), made.load(made.build(), made.path)
    pairs = zip(before.state_dict().values(), after.state_dict().values(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)
    with pytest.raises(UserError, match="upstream has no settings for resnet backbones, but resnet50"):
        paper(tmp_path, tmp_path / "data", "resnet50.augmix")


def test_radii_are_those_of_the_names_and_a_backbone_without_one_is_found_before_training(tmp_path):
    named = small.study(tmp_path, backbones=["resnet_nano.l2_eps0", "resnet_nano.l2_eps0.25"])
    assert named.radii() == {("resnet_nano", "l2_eps0"): 0.0, ("resnet_nano", "l2_eps0.25"): 0.25}
    with pytest.raises(UserError, match=r"resnet_nano\.regular has no radius: name adversarial trainings alone"):
        small.study(tmp_path, backbones=["resnet_nano.regular"]).radii()
