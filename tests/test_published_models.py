"""What of a study is published: what it needs, what its transfers start from, and the released models it takes."""

from pathlib import Path

import pandas as pd
import pytest
import small

from robnb import assets, needs
from robnb.assets import DataSet, Trained
from robnb.errors import UserError
from robnb.models.released import load_released
from robnb.parameters import notebook_parameters
from robnb.published import AUTHORS, file_key, paper_name, trained_assets
from robnb.runner import load_parameters
from robnb.study import Study
from robnb.tables import with_labels

ROOT = Path(__file__).parents[1]
TASKS = {"upstream": {}, "classification": None}


def study(root: Path, **changes) -> Study:
    about = {"data": "paper", "data_root": str(root), "backbones": ["resnet50.regular", "swin_tiny.in1k"], **TASKS}
    return small.study(root / "out", **{**about, **changes})


def names(settings: Study) -> list[str]:
    return [asset.name for asset in settings.needed_assets]


def place(settings: Study, name: str, content: bytes = b"weights") -> Path:
    """Any bytes where an asset's file belongs."""
    asset = assets.asset(name)
    path = settings.places.path(asset, asset.paths[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_needs_are_the_backbones_the_trained_models_and_the_data_of_the_tasks(tmp_path):
    assert names(study(tmp_path)) == ["resnet50.regular", "swin_tiny.in1k", "imagenet", "coco", "ade20k"]
    released = study(tmp_path, variant="as_released")
    assert "swin_tiny.in1k_openmmlab" in names(released), "where the authors' detectors start"
    assert names(study(tmp_path, backbones=["swin_base.in22k"]))[:2] == [
        "swin_base.in22k_ft_in1k", "swin_base.in22k"
    ], "scored on ImageNet is its fine-tuned sister"  # fmt: skip
    alone = study(tmp_path, backbones=[], trained=[AUTHORS], upstream=None, segmentation=None)
    assert [name[:9] for name in names(alone)[:-1]] == [
        f"authors{k:02d}" for k in (*range(1, 5), *range(9, 13), *range(17, 21))
    ]
    assert names(alone)[-1] == "coco"
    with pytest.raises(UserError, match=r"^no weights at .*mine\.pth: put the file there or correct its path\.$"):
        study(tmp_path, backbones=[f"resnet50@{tmp_path}/mine.pth"])
    (tmp_path / "mine.pth").write_bytes(b"weights")
    own = study(tmp_path, backbones=[f"resnet50@{tmp_path}/mine.pth"])
    assert names(own) == ["imagenet", "coco", "ade20k"]
    assert small.study(tmp_path).needed_assets == ()


def test_published_copies_are_needed_where_they_are_asked_for(tmp_path):
    everything = study(tmp_path, classifier_images="published", classification=small.budgets())
    assert {"imagenet_c", "cifar10_c"} < set(names(everything)) and "imagenet_c_extra" not in names(everything)
    extra = study(tmp_path, classifier_images="published", corruptions=["spatter"])
    assert "imagenet_c_extra" in names(extra) and "imagenet_c" not in names(extra)


@pytest.mark.parametrize("path", sorted((ROOT / "params/paper").glob("*_*.yaml")), ids=lambda path: path.stem)
def test_every_paper_notebook_stops_at_once_with_its_list(path, tmp_path):
    """An empty data root: one sentence with every file, and nothing written."""
    parameters = {
        **notebook_parameters(ROOT / "notebooks" / f"{path.stem}.py"),
        **load_parameters(path.stem, "paper", ROOT / "params"),
    }
    if parameters.get("data") != "paper":
        return  # it reads nothing that is published
    settings = Study.from_notebook(
        path.stem, {**parameters, "data_root": str(tmp_path), "outputs": str(tmp_path / "out")}
    )
    assert settings.needed_assets
    with pytest.raises(UserError) as caught:
        settings.tasks  # noqa: B018
    sentence = str(caught.value)
    for asset in settings.needed_assets:
        for file in asset.paths[:1]:
            assert str(settings.places.path(asset, file)) in sentence
        assert asset.name in sentence.split("get them with")[1]
    assert "\n" not in sentence and not list(tmp_path.iterdir())


def test_every_published_size_stands_for_a_transfer(tmp_path):
    """Section 5 of the paper: a model that is listed and started elsewhere would be trained anew without a word."""
    parameters = notebook_parameters(ROOT / "notebooks" / "03_model_size.py")
    parameters |= load_parameters("03_model_size", "paper", ROOT / "params")
    settings = Study.from_notebook(
        "03_model_size", {**parameters, "data_root": str(tmp_path), "outputs": str(tmp_path)}
    )
    assert len(settings.shelf.trained) == 8
    for asset in settings.shelf.trained:
        backbone = str(paper_name(asset))
        assert backbone in settings.backbones
        assert settings.shelf.same_transfer(backbone, asset.regime, asset.task, prime=False) is asset


def test_the_overview_has_every_asset_once_with_its_notebooks(tmp_path):
    needed = needs.notebook_needs("paper", ROOT)
    assert set(needed) == {
        "00_assets", "00_inspect_corruptions", "01_fixed_feature", "02_full_network", "03_model_size",
        "04_adversarial_priors", "05_finetuning_lr", "06_prime", "08_your_backbone", "authors_models",
    }  # fmt: skip
    roots = assets.Roots(tmp_path)
    found = needs.states(needed, roots)
    table = needs.overview(needed, found, roots).set_index("asset")
    assert table.index.is_unique and set(table["state"]) == {"missing"}
    assert table.loc["cifar10", "needed_by"] == "02, 08"
    assert table.loc["resnet50.regular", ["size", "licence"]].tolist() == ["102.5 MB", "BSD-3-Clause"]
    assert table.loc["imagenet", "size"] == "registration"
    commands = needs.commands(needed, found, roots, "paper")
    assert "    robnb fetch --for 01_fixed_feature --profile paper\n" in commands and "register at" in commands
    with pytest.raises(UserError, match="no notebook of the profile smoke reads published data"):
        needs.notebook_needs("smoke", ROOT)


def test_a_transfer_starts_where_the_protocol_says(tmp_path):
    ours, theirs = study(tmp_path), study(tmp_path, variant="as_released")
    official, openmmlab = place(ours, "swin_tiny.in1k"), place(ours, "swin_tiny.in1k_openmmlab", b"other")
    assert ours.shelf.start("swin_tiny.in1k", "detection").path == official
    assert theirs.shelf.start("swin_tiny.in1k", "detection").path == openmmlab
    assert theirs.shelf.start("swin_tiny.in1k", "segmentation").key == file_key(official)
    own = tmp_path / "mine.pth"
    own.write_bytes(b"mine")
    assert ours.shelf.start(f"resnet50@{own}", "detection").path == own
    with pytest.raises(UserError, match=r"no weights at .*gone\.pth: put the file there"):
        ours.shelf.start(f"resnet50@{tmp_path / 'gone.pth'}", "detection")


def test_a_timm_backbone_brings_its_own_normalisation_and_preprocessing(tmp_path):
    name = "vit_small_patch16_224.augreg_in1k"
    settings = study(tmp_path, backbones=[name])
    place(settings, name)
    mean, std = settings.shelf.start(name, "detection").normalisation
    assert mean == std == (127.5, 127.5, 127.5)
    model = settings.shelf.classifier(name, FewClasses(settings._paper_tasks()["upstream"]), (256, 224))
    assert model.scale[1] == 224 and model.interpolation == "bicubic"


def test_the_authors_24_become_models_that_tables_tell_apart(tmp_path):
    """Eight for each pair of task and regime arm; named as the paper names them, scored through the strict loader."""
    settings = study(tmp_path, backbones=[], trained=[AUTHORS], upstream=None)
    for asset in trained_assets([AUTHORS]):
        place(settings, asset.name, asset.name.encode())
    data = settings._paper_tasks()
    found = []
    for asset in settings.shelf.trained:
        settings_of = settings.shelf.released(asset, FewClasses(data[asset.task]), (160, 128))
        found.append(settings_of)
        assert settings_of.load is load_released and settings_of.key == file_key(settings_of.path)
    assert settings.baseline == ("resnet50", "regular")
    swin = next(asset.name for asset in settings.shelf.trained if asset.number == 4)
    assert study(tmp_path, backbones=[], trained=[swin]).baseline == ("swin_tiny", "in1k") == (found[3].called), (
        "whichever file of it a model started from"
    )
    assert len({(m.backbone, m.task, m.regime) for m in found}) == len({m.key for m in found}) == 24
    assert {m.backbone.architecture for m in found} == {"resnet50", "swin_tiny"}
    rows = pd.DataFrame([(m.backbone.architecture, m.backbone.weights) for m in found], columns=["backbone", "weights"])
    assert set(with_labels(rows)["model"]) == {
        "Regular", "ANT", "DeepAug+", "Swin-T", "Regular, PRIME in transfer", "PRIME, PRIME in transfer",
        "DeepAug+, PRIME in transfer", "Swin-T, PRIME in transfer",
    }  # fmt: skip


class FewClasses:
    """What a model needs of its data before it is scored."""

    def __init__(self, data):
        self.task, self.classes, self.prepare = data.task, ("one", "two"), data.prepare


def test_the_normalisation_of_a_prime_model_is_a_switch_and_part_of_its_key(tmp_path):
    asset = next(asset for asset in trained_assets([AUTHORS]) if asset.number == 24)
    keys = {}
    for variant in ("corrected", "as_released"):
        settings = study(tmp_path, trained=[asset.name], variant=variant)
        place(settings, asset.name)
        model = settings.shelf.released(asset, FewClasses(settings._paper_tasks()["segmentation"]), (160, 128))
        keys[variant] = model.key
        mean = [255 * value for value in assets.kinds.IMAGENET_MEAN] if variant == "corrected" else [0, 0, 0]
        assert model.build().data_preprocessor.mean.flatten().tolist() == pytest.approx(mean, abs=1e-3)
    assert keys["corrected"] != keys["as_released"]


def test_a_published_transfer_is_found_for_its_start_regime_task_and_arm(tmp_path):
    theirs = study(tmp_path, trained=[AUTHORS], variant="as_released").shelf

    def number(*transfer) -> int | None:
        found = theirs.same_transfer(*transfer)
        return found.number if found else None

    assert number("resnet50.regular", "fixed_feature", "detection", False) == 1
    assert number("swin_tiny.in1k", "full_network", "detection", False) == 12
    assert number("resnet50.prime", "full_network", "segmentation", True) == 22
    assert number("resnet50.prime", "full_network", "segmentation", False) is None, "the authors released none"
    ours = study(tmp_path, trained=[AUTHORS]).shelf
    assert ours.same_transfer("swin_tiny.in1k", "full_network", "detection", False) is None, "theirs starts elsewhere"
    several = study(tmp_path, trained=["public"]).shelf
    with pytest.raises(UserError, match=r"several models in trained are swin_tiny\.in1k .*: name only one of public"):
        several.same_transfer("swin_tiny.in1k", "full_network", "detection", False)


def test_two_models_of_one_name_are_refused(tmp_path):
    settings = study(tmp_path, backbones=[], trained=["public_mask_rcnn_swin_tiny", "public_mask_rcnn_swin_tiny_amp"])
    for name in settings.trained:
        place(settings, name, name.encode())
    settings.__dict__["tasks"] = {"detection": FewClasses(settings._paper_tasks()["detection"])}
    with pytest.raises(UserError, match=r"are both swin_tiny\.in1k \(detection, full_network\): name one of them"):
        settings.released("detection")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trained": ["author"]}, "unknown published model 'author': did you mean 'authors'"),
        ({"roots": {"cocoo": "x"}}, "unknown root 'cocoo': did you mean 'coco'"),
        ({"variant": "fixed"}, "unknown variant 'fixed'"),
        ({"switches": {"bn_drif": "corrected"}}, "unknown switch 'bn_drif': did you mean 'bn_drift'"),
        ({"classifier_images": "crop"}, "unknown classifier_images 'crop': did you mean 'crops'"),
        ({"recipe": "papr"}, "unknown recipe 'papr': did you mean 'paper'"),
        ({"classifier_images": "published", "replicates": 2}, "published copies are one draw: set it to 1"),
        ({"learning_rates": {"detection": [0.1, 0.1]}}, "name at least one rate above 0, each only once"),
        ({"learning_rates": {"upstream": [0.1]}}, "unknown downstream task in learning_rates 'upstream'"),
        ({"backbones": [], "trained": []}, "no backbone was given"),
        ({"backbones": ["resnet50"]}, "names no weights"),
        ({"backbones": ["resnet5.regular"]}, "unknown backbone architecture 'resnet5'"),
    ],
)
def test_bad_parameters_are_one_sentence(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as caught:
        study(tmp_path, **change).needed_assets  # noqa: B018
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["trained", "roots", "classifier_images"])
def test_miniworld_takes_nothing_of_the_paper(tmp_path, name):
    value = {"trained": [AUTHORS], "roots": {"coco": "x"}, "classifier_images": "crops"}[name]
    with pytest.raises(UserError, match=f"{name} is of the paper's data sets, and data is miniworld: leave it out"):
        small.study(tmp_path, **{name: value})


def test_kinds_of_the_catalogue_are_what_the_study_takes_them_for():
    assert all(isinstance(asset, Trained) for asset in trained_assets([AUTHORS, "public"]))
    assert len(trained_assets([AUTHORS])) == 24
    assert {task for asset in assets.catalogue().values() if isinstance(asset, DataSet) for task in asset.tasks} == {
        "upstream", "detection", "segmentation", "classification",
    }  # fmt: skip
