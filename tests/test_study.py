"""A study's parameters are checked before anything is computed, and its steps share the store."""

import json
import re

import pandas as pd
import pytest
import small

from robnb.errors import UserError
from robnb.metrics import COLUMNS, summarise
from robnb.study import Study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbones": ["resnet_nan.regular"]}, "did you mean 'resnet_nano'"),
        ({"backbones": ["resnet_nano.regulr"]}, "unknown upstream recipe 'regulr': did you mean 'regular'"),
        ({"backbones": ["resnet_nano@/data/mine.pth"]}, r"mine\.pth is not made here.*say --profile paper"),
        ({"backbones": ["convnext_tiny.fb_in1k"]}, r"convnext_tiny\.fb_in1k is not made here.*say --profile paper"),
        ({"backbones": []}, "no backbone was given"),
        ({"scales": {"upstream": [64, 64]}}, r"scales has no \w+: add the size of its images"),
        ({"scales": {"detction": [64, 64]}}, "unknown task in scales 'detction': did you mean 'detection'"),
        ({"scales": {"upstream": [64]}}, r"scales\.upstream is \[64\]: it must be two numbers of pixels"),
        ({"scales": {"detection": [-160, 128]}}, r"scales\.detection is \[-160, 128\]: it must be two numbers"),
        ({"switches": {"severitie": "corrected"}}, "unknown switch 'severitie': Choose from"),
        ({"switches": {"severities": "corrected"}}, "severities is no switch: set the parameter severities instead"),
        ({"corruptions": ["gausian_noise"]}, "did you mean 'gaussian_noise'"),
        ({"severities": [6]}, "severity must be an integer from 1 to 5"),
        ({"severities": ["1"]}, "severities.* should be a whole number, not the text '1'"),
        ({"data": "coco"}, "unknown data 'coco'"),
        ({"seed": "zero"}, "seed should be a whole number"),
        ({"detection": {"resnet": {"iterations": 1, "batch_size": 1, "lr": "1e-3"}}}, r"1e-3.*write 1\.0e-3"),
        ({"detection": {"swin": {"iterations": 1, "batch_size": 1, "lr": 0.1}}}, "add detection.resnet"),
        ({"detection": {"resnett": {}}}, "did you mean 'resnet'"),
        ({"detection": small.budgets(batch_size=3), "processes": 2}, "batch_size"),
        ({"scheduler": "loca"}, r"scheduler is 'loca': it must be null .* local .* or the address"),
        ({"replicates": 0}, "replicates is 0: it must be at least 1"),
        ({"resamples": 39}, "resamples is 39: it must be at least 40"),
        ({"training_seeds": [1, 1]}, r"training_seeds is \[1, 1\]: name at least one seed, and each only once"),
        ({"training_seeds": []}, "name at least one seed"),
        ({"inference": {"precison": "bfloat16"}}, "unknown setting of inference 'precison': did you mean 'precision'"),
        ({"inference": {"precision": "half"}}, "unknown precision 'half'"),
        ({"miniworld": {"upstrem_train": 10}}, "unknown split of miniworld 'upstrem_train': did you mean"),
    ],
)
def test_bad_parameters_are_one_sentence(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as caught:
        small.study(tmp_path, **change).tasks  # noqa: B018 (its making is what is tested)
    assert "\n" not in str(caught.value)


def test_a_misspelt_injected_parameter_is_found():
    """papermill would log it and go on with the default."""
    study = small.study("unused")
    namespace = {name: getattr(study, name) for name in Study.__dataclass_fields__ if name != "notebook"}
    history = ["", "profile = 'mini'", "# Parameters\nseverites = [3]\nprofile = 'smoke'\n"]
    with pytest.raises(UserError, match="unknown parameter 'severites': did you mean 'severities'"):
        Study.from_notebook("x", {**namespace, "In": history, "severites": [3]})
    later = {**namespace, "In": history[:2], "scores": 1, "summary": 2}
    assert Study.from_notebook("x", later) == Study(**{**namespace, "notebook": "x"}), (
        "other names are nobody's business"
    )


def test_a_notebook_without_a_parameter_that_it_takes_is_told_which():
    with pytest.raises(UserError, match="the notebook has no parameter data: add it to the cell tagged parameters"):
        Study.from_notebook("x", {"profile": "mini", "outputs": "", "scales": {}})


def test_settings_for_one_backbone_go_before_its_familys(tmp_path):
    settings = {**small.budgets(4), "resnet_nano.augmix": {"iterations": 9, "batch_size": 2, "lr": 0.5}}
    study = small.study(tmp_path, backbones=["resnet_nano.regular", "resnet_nano.augmix"], upstream=settings)
    assert study.budget("upstream", "resnet_nano.augmix").iterations == 9
    assert study.budget("upstream", "resnet_nano.regular").iterations == 4


def test_the_paper_profile_stops_at_once_and_lists_every_missing_file(tmp_path):
    study = small.study(
        tmp_path / "out", data="paper", data_root=str(tmp_path), backbones=["resnet50.regular", "swin_tiny.in1k"]
    )
    (tmp_path / "coco" / "train2017").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        study.tasks  # noqa: B018
    sentence = str(caught.value)
    for place in (
        "weights/resnet50-0676ba61.pth", "weights/swin_tiny", "imagenet/val", "coco/val2017",
        "coco/annotations/instances_val2017.json", "ADEChallengeData2016/objectInfo150.txt",
        "cifar10/cifar-10-batches-py/test_batch",
    ):  # fmt: skip
        assert str(tmp_path / place) in sentence
    assert f"{tmp_path / 'coco' / 'train2017'} " not in sentence
    assert re.search(rf"get them with `robnb fetch resnet50.regular .*imagenet.* --data-root {tmp_path}`", sentence)
    assert "\n" not in sentence
    with pytest.raises(UserError, match=r"unknown asset 'resnet50.ant': did you mean resnet50.ant"):
        small.study(tmp_path, data="paper", backbones=["resnet50.ant"]).tasks  # noqa: B018


@pytest.mark.slow
def test_end_to_end_table_and_products(tmp_path):
    """All tasks and both regimes give a complete long table; products carry the profile, intervals and parameters."""
    study = small.study(tmp_path, backbones=["resnet_nano.regular", "swin_nano.regular"])
    upstream = study.pretrain()
    evaluations = [study.evaluate(upstream)]
    for regime in ("fixed_feature", "full_network"):
        for task in ("detection", "segmentation", "classification"):
            evaluations.append(study.evaluate(study.transfer(upstream, regime, task)))
    results = study.results(evaluations)
    scores = results.scores
    assert list(scores.columns) == [*COLUMNS, "low", "high"]
    assert len(scores) == 2 * 3 * (1 + 2 * 4), "backbones x conditions x (top1; two APs, mIoU, top1 per regime)"
    assert scores["value"].between(0, 100).all()
    assert (scores["low"] <= scores["value"]).all() and (scores["value"] <= scores["high"]).all()
    overview = study.finish(results)
    assert len(overview) == 2 * (1 + 2 * 4)
    written = pd.read_csv(study.folder / "scores.csv")
    pd.testing.assert_frame_equal(written[list(scores.columns)], scores, check_dtype=False)
    for name in ("scores", "drops", "differences", "agreement", "variance", "corruption_error", "summary"):
        assert set(pd.read_csv(study.folder / f"{name}.csv")["profile"]) == {"smoke"}
    errors = pd.read_csv(study.folder / "corruption_error.csv").set_index(["task", "regime", "backbone"])
    assert len(errors) == 2 * 3 and errors.loc[("upstream", "pretrained", "resnet_nano"), "mCE"] == pytest.approx(100)
    stamp = json.loads((study.folder / "provenance.json").read_text())
    assert stamp["parameters"]["seed"] == 0 and stamp["versions"]["mmdet"] and stamp["seconds"] > 0


def test_training_seeds_and_replicates_are_averaged_and_their_variance_is_given(tmp_path):
    study = small.study(tmp_path, training_seeds=[0, 5], replicates=2)
    upstream = study.pretrain()
    assert [model.seed for model in upstream] == [0, 5] and upstream[0].path != upstream[1].path
    models = study.transfer(upstream, "fixed_feature", "classification")
    assert [model.seed for model in models] == [0, 5]
    results = study.results([study.evaluate(upstream), study.evaluate(models)])
    assert len(results.scores) == 4 * (1 + 2 * 2), "models x (clean, conditions x replicates)"
    assert set(results.summary["seeds"]) == {2}
    by_hand = summarise(results.scores, [(c.corruption, c.severity) for c in study.conditions])
    mine = results.summary.set_index(["task", "category"])["mPC"]
    for key, rows in by_hand.groupby(["task", "category"]):
        assert mine[key] == pytest.approx(rows["mPC"].mean())
    assert len(results.variance()) > 0


def test_models_are_shared_not_trained_twice(tmp_path, monkeypatch):
    first = small.study(tmp_path, notebook="one")
    upstream = first.pretrain()
    models = first.transfer(upstream, "fixed_feature", "detection")
    monkeypatch.setattr("robnb.training.Runner", None)
    second = small.study(tmp_path, notebook="two")
    assert second.pretrain()[0].path == upstream[0].path
    again = second.transfer(second.pretrain(), "fixed_feature", "detection")
    assert [model.path for model in again] == [model.path for model in models]
