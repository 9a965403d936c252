"""What is planned is what the real notebook does: before, in the middle and after; and what is estimated for it."""

import hashlib
import re
import shutil
from pathlib import Path

import jupytext
import numpy as np
import pytest
import small
import torch
import yaml

from robnb.cli import main
from robnb.errors import UserError
from robnb.evaluation.results import Evaluation
from robnb.parameters import notebook_parameters
from robnb.planning import measure
from robnb.planning.images import finished_evaluations, wanted_images
from robnb.planning.outlook import STEPS, AbsentData, Outlook
from robnb.planning.plan import BEGUN, DONE, LEFT, plan
from robnb.planning.rates import IN_STORE, NOW, images_of
from robnb.planning.stand_ins import PAPER_SHAPES, paper_like
from robnb.pretrain import train as pretraining
from robnb.statistics import Results, images_for
from robnb.store import Store
from robnb.study import Study
from robnb.training import Budget, fit
from robnb.transfer import TransferSpec

ROOT = Path(__file__).parents[1]
TINY = small.budgets(2)
CHANGES = {
    "profile": "smoke",
    "miniworld": {**small.COUNTS, "detection_val": 40},  # two shards
    "backbones": ["resnet_nano.regular", "resnet_nano.augmix"],
    "corruptions": ["gaussian_noise", "fog"],
    "resamples": 40,
    "workers": 0,
    "upstream": TINY,
    "detection": TINY,
    "segmentation": TINY,
}


def executed(name: str, outputs: Path, **changes: object) -> Path:
    """Run the code cells of a real notebook in this process; returns ``outputs``."""
    namespace: dict[str, object] = {}
    for cell in jupytext.read(ROOT / "notebooks" / f"{name}.py", fmt="py:percent").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(CHANGES, outputs=str(outputs), **changes)
    return outputs


def outlook(outputs: Path, name: str = "01_fixed_feature", **changes: object) -> Outlook:
    defaults = notebook_parameters(ROOT / "notebooks" / f"{name}.py")
    return Outlook.from_notebook(name, {**defaults, **CHANGES, "outputs": str(outputs), **changes})


def pieces(outputs: Path, **how: object) -> list:
    return [piece for step in plan(outlook(outputs), **{"measures": False, **how}) for piece in step.pieces]


def command(*arguments: object, name: str = "01") -> list[str]:
    """A command line with the parameters of `CHANGES`."""
    verb, *rest = map(str, arguments)
    options = [(key, yaml.safe_dump(value, default_flow_style=True)) for key, value in CHANGES.items()]
    overrides = [part for key, value in options if key != "profile" for part in ("-p", key, value)]
    return [verb, name, "--profile", "smoke", *overrides, *rest]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return executed("01_fixed_feature", tmp_path_factory.mktemp("done"))


@pytest.fixture
def copied(done, tmp_path):
    return Path(shutil.copytree(done, tmp_path / "copied"))


def unfinish(outputs: Path, kind: str, folder: Path) -> Path:
    """Make finished work unfinished, as a kill would have left it."""
    target = folder.parents[1] / "unfinished" / f"{kind}-{folder.name}"
    shutil.move(folder, target)
    return target


def test_before_everything_is_left_and_planning_writes_nothing(tmp_path):
    found = pieces(tmp_path / "outputs")
    assert {piece.state for piece in found} == {LEFT}
    assert [piece.left for piece in found] == [piece.units for piece in found]
    assert not (tmp_path / "outputs").exists()
    trainings, sweeps = 3 * 2, 3 * 2 * 2
    assert len(found) == trainings + sweeps
    assert sum(piece.units for piece in found if piece.spec.kind == "sweep") == 2 * 3 * (20 + 40 + 6)
    assert {piece.units for piece in found if piece.spec.kind != "sweep"} == {2 * 4}


def test_after_the_notebook_nothing_is_left(done):
    found = pieces(done)
    assert {piece.state for piece in found} == {DONE}
    assert sum(piece.seconds for piece in found) == sum(piece.bytes_to_come for piece in found) == 0
    store = done / "smoke" / "store"
    assert len(found) == len([*store.glob("pretrain/*"), *store.glob("transfer/*"), *store.glob("sweep/*")])
    files = [path for kind in ("pretrain", "transfer", "sweep") for path in store.glob(f"{kind}/*/*")]
    assert sum(piece.bytes for piece in found) == sum(path.stat().st_size for path in files)


#: A recipe that begins with Regular's weights, and wants two networks.
DEEPAUG = {
    "backbones": ["resnet_nano.deepaug", "resnet_nano.augmix"],
    "upstream": {
        **TINY,
        "resnet_nano.regular": {"iterations": 5, "batch_size": 4, "lr": 0.01},
        "networks": {"iterations": 3, "batch_size": 2, "lr": 0.001},
    },
}


def upstream_pieces(outputs: Path, changes: dict, **how: object) -> dict:
    """Those of the first step, the trainings upstream, by what they are."""
    (step, *_) = plan(outlook(outputs, **changes), **{"measures": False, **how})
    assert step.title == "upstream: training"
    assert len({piece.spec.key for piece in step.pieces}) == len(step.pieces)
    return {piece.what: piece for piece in step.pieces}


def test_what_a_training_needs_is_planned_before_it_and_once(tmp_path):
    found = upstream_pieces(tmp_path, DEEPAUG)
    assert {what: piece.left for what, piece in found.items()} == {
        "edsr network, for resnet_nano.deepaug": 3 * 2,
        "cae network, for resnet_nano.deepaug": 3 * 2,
        "resnet_nano.regular, for resnet_nano.deepaug": 5 * 4,
        "resnet_nano.deepaug": 2 * 4,
        "resnet_nano.augmix": 2 * 4,
    }
    # A parent that is a backbone of the study itself keeps its name; both seeds share the networks.
    both = {"backbones": ["resnet_nano.deepaug", "resnet_nano.regular"], "training_seeds": [0, 1]}
    assert list(upstream_pieces(tmp_path, {**DEEPAUG, **both})) == [
        "edsr network, for resnet_nano.deepaug, seed 0",
        "cae network, for resnet_nano.deepaug, seed 0",
        "resnet_nano.regular, seed 0",
        "resnet_nano.deepaug, seed 0",
        "resnet_nano.regular, seed 1",
        "resnet_nano.deepaug, seed 1",
    ]


def test_what_a_training_needed_has_a_state_of_its_own(tmp_path):
    """Done, then begun; and what is done needs nothing any more."""
    ours = {**DEEPAUG, "backbones": ["resnet_nano.deepaug"]}
    study = Study.from_notebook("01", {**notebook_parameters(ROOT / "notebooks" / "01_fixed_feature.py"), **CHANGES,
                                       **ours, "outputs": str(tmp_path)})  # fmt: skip
    study.pretrain()
    pieces = upstream_pieces(tmp_path, ours)
    assert [piece.state for piece in pieces.values()] == [DONE] * 4
    edsr, cae, regular, trained = pieces.values()
    store = tmp_path / "smoke" / "store"
    unfinish(tmp_path, "pretrain", store / "pretrain" / regular.spec.key)
    assert [piece.state for piece in upstream_pieces(tmp_path, ours).values()] == [DONE, DONE, BEGUN, DONE]
    shutil.rmtree(store / "unfinished" / f"pretrain-{regular.spec.key}")
    shutil.rmtree(store / "network" / edsr.spec.key)
    assert list(upstream_pieces(tmp_path, ours)) == [cae.what, trained.what]
    shutil.rmtree(store / "pretrain" / trained.spec.key)
    assert [piece.state for piece in upstream_pieces(tmp_path, ours).values()] == [LEFT, DONE, LEFT, LEFT]


def test_what_a_training_needs_is_measured_and_none_of_it_needs_another(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "SECONDS", 0.2)
    said = []
    ours = {**DEEPAUG, "backbones": ["resnet_nano.deepaug"], "corruptions": ["fog"], "training_seeds": [0, 1]}
    found = upstream_pieces(tmp_path / "none", ours, measures=True, say=said.append)
    assert all(piece.rate.source == NOW and piece.bytes_to_come > 0 for piece in found.values())
    assert sum(one.startswith("measuring network") for one in said) == 2
    trainings = [one for one in said if one.startswith("measuring pretrain")]
    assert len(trainings) == 2, "one of each recipe, whatever the seed"
    assert not (tmp_path / "none").exists()


def test_the_rate_of_a_recipe_knows_how_it_was_run(tmp_path):
    """The store tells the rate of another seed's training, but not of one in half precision."""
    ours = {**DEEPAUG, "backbones": ["resnet_nano.regular"]}
    parameters = {**notebook_parameters(ROOT / "notebooks" / "01_fixed_feature.py"), **CHANGES, **ours}
    Study.from_notebook("01", {**parameters, "outputs": str(tmp_path)}).pretrain()
    (other,) = upstream_pieces(tmp_path, {**ours, "training_seeds": [1]}).values()
    assert other.rate.source == IN_STORE
    half = {"pretraining": {"precision": "bfloat16", "channels_last": False, "compile": False}}
    (other,) = upstream_pieces(tmp_path, {**ours, **half, "training_seeds": [1]}).values()
    assert other.rate is None


@pytest.mark.slow
def test_after_the_other_notebook_nothing_is_left(tmp_path):
    """With `STEPS` this would fail for a notebook that has got another step."""
    keep_nothing = {"00_assets", "00_inspect_corruptions", "07_does_it_transfer", "09_speed"}
    assert set(STEPS) == {path.stem for path in (ROOT / "notebooks").glob("*.py")} - keep_nothing
    executed("02_full_network", tmp_path, classification=TINY)
    steps = plan(outlook(tmp_path, "02_full_network", classification=TINY), measures=False)
    assert {piece.state for step in steps for piece in step.pieces} == {DONE}
    folders = [path for kind in ("pretrain", "transfer", "sweep") for path in tmp_path.glob(f"smoke/store/{kind}/*")]
    assert sum(len(step.pieces) for step in steps) == len(folders)


def test_half_way_a_sweep_counts_its_missing_shards_at_the_stores_rate(copied):
    store = copied / "smoke" / "store"
    folder = next(path for path in store.glob("sweep/*") if len(list(path.glob("*.parquet"))) == 2 and clean(path))
    left = unfinish(copied, "sweep", folder)
    next(left.glob("00001-*.parquet")).unlink()
    (piece,) = [piece for piece in pieces(copied) if piece.state != DONE]
    assert (piece.state, piece.progress, piece.left) == (BEGUN, "1/2", 40 - 32)
    other = next(path for path in store.glob("sweep/*") if path != folder and two_shards_alike(path, left))
    speed, files = small.read_json(other / "speed.json"), list(other.glob("*.parquet"))
    assert piece.rate.source == IN_STORE
    assert piece.seconds == pytest.approx(8 * speed["seconds"] / speed["images"])
    assert piece.bytes_to_come == pytest.approx(8 * sum(path.stat().st_size for path in files) / 40)


def clean(folder: Path) -> bool:
    return small.read_json(folder / "spec.json")["engine"] == "clean"


def two_shards_alike(path: Path, other: Path) -> bool:
    """Both are of the same task, and clean."""
    specs = [small.read_json(folder / "spec.json") for folder in (path, other)]
    return specs[0]["task"] == specs[1]["task"] and clean(path)


def test_a_finished_sweep_that_lost_a_shard_is_not_taken_for_done(copied):
    folder = next(path for path in (copied / "smoke/store").glob("sweep/*") if len(list(path.glob("*.parquet"))) == 2)
    next(folder.glob("00000-*.parquet")).unlink()
    (piece,) = [piece for piece in pieces(copied) if piece.state != DONE]
    assert (piece.state, piece.progress) == (BEGUN, "1/2")
    assert piece.left == 32 * len(piece.spec.conditions)


@pytest.fixture
def interrupted(copied, monkeypatch):
    """A pretraining that was interrupted after its second step of four, and everything that was not."""
    folder = next(path for path in (copied / "smoke/store").glob("pretrain/*") if recipe(path) == "regular")
    shutil.rmtree(folder)

    def interrupt(model):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretraining, "fit", lambda *a, **k: fit(*a, **k, checkpoint_every=1))
    monkeypatch.setattr(pretraining, "state_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        executed("01_fixed_feature", copied)
    return copied


def recipe(folder: Path) -> str:
    return small.read_json(folder / "spec.json")["recipe"]


def test_an_interrupted_training_counts_the_steps_after_its_checkpoint(interrupted):
    (piece,) = [piece for piece in pieces(interrupted) if piece.state != DONE]
    assert (piece.state, piece.progress, piece.left) == (BEGUN, "1/2", 1 * 4)
    assert piece.rate is None, "the other pretraining has another recipe, whose images cost something else"


def test_rates_of_finished_trainings_are_their_seconds_by_their_images(copied):
    folder = next(path for path in (copied / "smoke/store").glob("transfer/*"))
    spec = small.read_json(folder / "spec.json")
    shutil.rmtree(folder)
    (piece,) = [piece for piece in pieces(copied) if piece.state != DONE]
    (other,) = [
        path for path in (copied / "smoke/store").glob("transfer/*")
        if small.read_json(path / "spec.json")["task"] == spec["task"]
    ]  # fmt: skip
    stamp = small.read_json(other / "provenance.json")
    assert piece.rate.source == IN_STORE and piece.rate.threads == stamp["threads"]
    assert piece.seconds == pytest.approx(stamp["seconds"])
    assert piece.bytes_to_come == pytest.approx(sum(path.stat().st_size for path in other.glob("*")))


def test_the_rate_of_another_device_is_not_used(copied):
    for path in (copied / "smoke/store").glob("transfer/*/provenance.json"):
        path.write_text(path.read_text().replace('"device": "', '"device": "another '))
    shutil.rmtree(next((copied / "smoke/store").glob("transfer/*")))
    (piece,) = [piece for piece in pieces(copied) if piece.state != DONE]
    assert piece.rate is None and piece.seconds == 0


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A plan where nothing has been done: its pieces, and what was said while they were measured."""
    said, folder = [], tmp_path_factory.mktemp("nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "SECONDS", 0.2)
        found = pieces(folder, measures=True, say=said.append)
    assert not list(folder.iterdir())
    return found, said


def test_what_the_store_does_not_tell_is_measured_once_for_equal_work(measured):
    found, said = measured
    assert {piece.rate.source for piece in found} == {NOW}
    assert all(0 < piece.seconds < 600 and piece.bytes_to_come > 0 for piece in found)
    # Two recipes upstream; elsewhere two backbones of one architecture are the same work.
    assert len(said) == 2 + 1 + 2 * (1 + 1)


def test_measured_bytes_of_a_training_are_those_of_its_weights(done, measured):
    """Of all that is measured, this is not an estimate."""
    size = {piece.spec.kind + piece.task: piece.bytes_to_come for piece in measured[0]}
    for piece in pieces(done):
        if piece.spec.kind != "sweep":
            assert size[piece.spec.kind + piece.task] == pytest.approx(piece.bytes, rel=0.1)


@pytest.mark.parametrize("task", ["detection", "segmentation", "classification"])
def test_stand_ins_for_the_papers_data_can_be_trained_on_at_any_scale(task, tmp_path):
    data = paper_like(task, tmp_path)
    images = data.open("test")
    assert images[0].image.shape[:2] == PAPER_SHAPES[task]
    spec = TransferSpec(
        backbone="swin_nano.regular", weights="", task=task, regime="full_network", data="", classes=80,
        scale=(64, 64) if task == "classification" else (160, 128), budget=Budget(10, 4, 0.1), seed=0,
    )  # fmt: skip
    assert 0 < measure.training_rate(spec, data, workers=2).seconds < 60


def test_the_paper_is_planned_without_its_data(tmp_path, capsys):
    arguments = ["plan", "02", "--profile", "paper", "--outputs", str(tmp_path / "out"), "--no-measure"]
    assert main([*arguments, "-p", "data_root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for line in (
        "COCO 2017, from https://cocodataset.org/#download: coco/train2017", "ANT 3x3, from", "CIFAR-10, from",
        "scoring on 50,000 images x 16 conditions", "detection, full_network: scoring on 5,000 images",
        "segmentation, full_network: scoring on 2,000 images", "classification, full_network: scoring on 10,000",
        "in all: 0 of 44 pieces of work are done, 44 are left.", "(without 44 whose rate is not known)",
    ):  # fmt: skip
        assert line in re.sub(r"\s+", " ", shown), line
    assert max(map(len, shown.splitlines()[1:])) <= 100, "the first line has the store's path"
    assert "upstream: training" not in shown, "published weights are not trained"
    assert not (tmp_path / "out").exists()


def test_published_weights_that_are_there_are_known_by_their_content(tmp_path):
    about = {"data": "paper", "data_root": str(tmp_path), "backbones": ["resnet50.regular", "swin_tiny.in1k"]}
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet50-0676ba61.pth").write_bytes(b"weights")
    ours = outlook(tmp_path, **about)
    there, absent = ours.pretrain()
    assert there.key == hashlib.sha256(b"weights").hexdigest()[:16]
    assert absent.key == "missing swin_tiny_patch4_window7_224.pth"
    assert next(asset.title for asset, _ in ours.missing).startswith("Swin-T")
    assert isinstance(ours.tasks["detection"], AbsentData)


def test_the_command_shows_each_piece(copied, capsys):
    folder = next(path for path in (copied / "smoke/store").glob("sweep/*") if len(list(path.glob("*.parquet"))) == 2)
    next(unfinish(copied, "sweep", folder).glob("00001-*.parquet")).unlink()
    assert main([*command("plan"), "--outputs", str(copied)]) == 0
    shown = capsys.readouterr().out
    assert "in all: 17 of 18 pieces of work are done, 1 are left." in shown
    (line,) = [line for line in shown.splitlines() if "begun, 1/2" in line]
    assert line.endswith("  in the store") and "resnet_nano." in line
    assert re.search(r"estimate for what is left: \d+ core-seconds, \d+ s on this machine", shown)
    assert max(map(len, shown.splitlines()[1:])) <= 100, "the first line has the store's path"


def test_wanted_images_are_those_of_the_present_standard_errors(done, capsys):
    ours = outlook(done)
    evaluations, lacking = finished_evaluations(ours)
    assert len(evaluations) == 3 and not lacking
    frame = wanted_images(evaluations, 5.0, 40, 0, Store(ours.store_root))
    conditions = [(condition.corruption, condition.severity) for condition in ours.conditions]
    errors = Results.of(evaluations, conditions, resamples=40, seed=0).variance()
    errors = errors[errors["quantity"] == "drop"].reset_index(drop=True)
    overall = frame[frame["category"] == "all"].reset_index(drop=True)
    assert overall["images"].tolist() == [
        {"upstream": 20, "detection": 40, "segmentation": 6}[t] for t in overall["task"]
    ]
    told = overall["wanted"].notna()
    assert told.any()
    for row in np.flatnonzero(told):
        assert overall["wanted"][row] == images_for(5.0, errors["images"][row], overall["images"][row])
    main([*command("plan", "--half-width", "5"), "--outputs", str(done)])
    shown = capsys.readouterr().out
    assert f"{overall['wanted'].max():,.0f} (" in shown and "+-5 percentage points" in shown
    with pytest.raises(UserError, match=r"half-width is 0: it must be above 0"):
        wanted_images(evaluations, 0.0, 40, 0, Store(ours.store_root))


def test_wanted_images_of_what_is_finished_only(copied, tmp_path, capsys):
    for folder in (copied / "smoke/store").glob("sweep/*"):
        if small.read_json(folder / "spec.json")["task"] == "detection":
            unfinish(copied, "sweep", folder)
    evaluations, lacking = finished_evaluations(outlook(copied))
    assert [evaluation.task for evaluation in evaluations] == ["upstream", "segmentation"]
    assert len(lacking) == 2 and "detection" in lacking[0]
    assert main([*command("plan", "--no-measure", "--half-width", "5"), "--outputs", str(tmp_path / "none")]) == 0
    assert "no evaluation is finished yet" in capsys.readouterr().out


def test_export_writes_what_is_finished(done, tmp_path, capsys):
    assert main([*command("export", tmp_path / "dst"), "--outputs", str(done)]) == 0
    folders = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(folders) == 3 * 2 and all((folder / "scores.csv").is_file() for folder in folders)
    (sweep,) = [sweep for sweep in outlook(done).sweeps() if sweep.data.task == "detection"]
    scores = Evaluation(sweep, Store(done / "smoke/store")).scores
    folder = tmp_path / "dst" / "resnet_nano.regular" / "detection" / "fixed_feature" / "seed0"
    truth = small.read_json(folder / "ground_truth.json")
    assert len(truth["images"]) == 40
    ours = scores[(scores["weights"] == "regular") & (scores["corruption"] == "fog") & (scores["metric"] == "box_AP")]
    assert small.read_json(folder / "fog-1" / "boxes.json")
    if ours["value"].item() > 0:
        theirs = small.pycocotools_ap(folder / "ground_truth.json", folder / "fog-1" / "boxes.json", "bbox")
        assert theirs == pytest.approx(ours["value"].item(), abs=1e-6)


def test_export_of_unfinished_work_names_it_and_writes_nothing(copied, tmp_path, capsys):
    unfinish(copied, "sweep", next((copied / "smoke/store").glob("sweep/*")))
    assert main([*command("export", tmp_path / "dst"), "--outputs", str(copied)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and not (tmp_path / "dst").exists()
    assert re.fullmatch(
        r"robnb: resnet_nano\.\w+ \(\w+, \w+, seed 0\): not scored yet under all conditions with these parameters; "
        r"run it first: robnb run 01_fixed_feature --profile smoke\.\n",
        captured.err,
    )


def test_export_of_the_paper_without_its_data_lists_what_is_missing(tmp_path, capsys):
    arguments = ["export", "01", str(tmp_path / "dst"), "--profile", "paper", "-p", "data_root", str(tmp_path)]
    assert main(arguments) == 2
    assert "of the files and folders that this needs are not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["09"], "unknown notebook with stored work '09_speed': Choose from 01_fixed_feature, 02_"),
        (["01", "-p", "severitis", "[1]"], "-p: unknown parameter 'severitis': did you mean 'severities'"),
        (["01", "-p", "outputs", "x"], "-p outputs cannot be set: use --outputs."),
        (["01", "--profile", "smok"], "unknown profile 'smok': did you mean 'smoke'"),
        (["33"], "unknown notebook '33'"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "export"])
def test_bad_input_is_one_sentence(verb, arguments, sentence, tmp_path, capsys):
    more = [str(tmp_path / "dst")] if verb == "export" else []
    if "--profile" not in arguments:
        arguments = [*arguments, "--profile", "smoke"]
    assert main([verb, arguments[0], *more, *arguments[1:]]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_images_of_shards():
    assert images_of([0, 1, 2], 32, 70) == 70
    assert images_of([2], 32, 70) == 6
    assert images_of([3], 32, 70) == 0


def test_a_checkpoint_that_cannot_be_read_counts_for_nothing(interrupted):
    (checkpoint,) = (interrupted / "smoke/store").glob("unfinished/*/scratch/resume.pth")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    (piece,) = [piece for piece in pieces(interrupted) if piece.state != DONE]
    assert (piece.state, piece.left) == (BEGUN, 2 * 4)
    torch.save({"meta": {"iter": 1}}, checkpoint)
    (piece,) = [piece for piece in pieces(interrupted) if piece.state != DONE]
    assert piece.left == 4
