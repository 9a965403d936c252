"""`robnb status`: what the stores hold, finished, begun, locked and damaged."""

import shutil

import pytest
import small
import torch
from filelock import FileLock

from robnb.cli import main
from robnb.cli.text import duration, hours, size, table
from robnb.planning.holdings import holdings
from robnb.pretrain import NetworkSpec
from robnb.recipes.budget import Budget
from robnb.store import Store


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A pretraining, a transfer, two sweeps, and the draws of one score."""
    folder = tmp_path_factory.mktemp("outputs")
    study = small.study(folder, notebook="01", test_images=6)
    backbones = study.pretrain()
    study.results([study.evaluate(backbones)])
    study.evaluate(study.transfer(backbones, "fixed_feature", "detection"))
    return folder


@pytest.fixture
def copied(outputs, tmp_path):
    return shutil.copytree(outputs, tmp_path / "outputs")


def status(capsys, *arguments: object) -> str:
    assert main(["status", *map(str, arguments)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100 + len(str(arguments))  # paths are as long as they are
    return shown


def line_with(shown: str, *parts: str) -> list[str]:
    (line,) = [line for line in shown.splitlines() if all(part in line for part in parts)]
    return line.split()


def test_finished_work_is_listed_by_kind(outputs, capsys):
    shown = status(capsys, "--outputs", outputs)
    assert f"profile smoke: {outputs / 'smoke' / 'store'}" in shown
    for title in (
        "pretrain: 1 finished", "transfer detection, fixed_feature: 1 finished",
        "sweep upstream, pretrained: 2 finished", "sweep detection, fixed_feature: 2 finished",
        "bootstrap: 3 finished",
    ):  # fmt: skip
        assert title in shown
    after = shown.split("sweep detection, fixed_feature: 2 finished")[1].split("\n\n")[0]
    assert line_with(after, "clean")[:5] == ["resnet_nano.regular,", "seed", "0", "clean", "6"]
    assert "2 at severity 1" in after
    total = sum(path.stat().st_size for kind in ("pretrain", "transfer", "sweep", "bootstrap")
                for path in (outputs / "smoke/store" / kind).rglob("*") if path.is_file())  # fmt: skip
    assert f"in all: 9 finished, 0 unfinished, 0 damaged, {size(total)}" in shown


def test_the_store_is_not_changed_by_looking(outputs, capsys):
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("*")}
    status(capsys, "--outputs", outputs)
    assert {path: path.stat().st_mtime_ns for path in outputs.rglob("*")} == before


def test_unfinished_work_shows_its_progress_and_who_is_at_it(copied, capsys):
    store = copied / "smoke" / "store"
    folder = next(store.glob("sweep/*"))
    shutil.move(folder, store / "unfinished" / f"sweep-{folder.name}")
    shown = status(capsys, "--outputs", copied)
    assert "1 of 1 shards" in shown and "nobody" in shown and "1 unfinished" in shown
    with FileLock(store / "unfinished" / f"sweep-{folder.name}.lock"):
        shown = status(capsys, "--outputs", copied)
        assert "now" in line_with(shown, "1 of 1 shards") and "nobody" not in shown
    (transfer,) = store.glob("transfer/*")
    begun = store / "unfinished" / f"transfer-{transfer.name}"
    shutil.move(transfer, begun)
    assert "no checkpoint yet" in status(capsys, "--outputs", copied)
    (begun / "scratch").mkdir()
    torch.save({"meta": {"iter": 3}}, begun / "scratch" / "resume.pth")
    assert "step 3 of 4" in status(capsys, "--outputs", copied)
    (begun / "spec.json").unlink()
    shown = status(capsys, "--outputs", copied)
    assert "step 3 of ?" in shown and transfer.name in shown, "what it is cannot be known, but is not a traceback"


def test_helper_networks_are_trainings_too(copied, capsys):
    store = Store(copied / "smoke" / "store")
    finished, begun = (NetworkSpec("edsr", "data", 64, Budget(4, 2, 0.1), seed) for seed in (0, 1))
    with store.work(finished):
        pass
    with pytest.raises(KeyboardInterrupt), store.work(begun):
        raise KeyboardInterrupt
    shown = status(capsys, "--outputs", copied)
    after = shown.split("network: 1 finished")[1].split("\n\n")[0]
    assert line_with(after, "steps x images")[:5] == ["network", "seed", "steps", "x", "images"]
    assert line_with(after, "edsr")[:5] == ["edsr", "0", "4", "x", "2"]
    line_with(shown, "network", "edsr, seed 1", "no checkpoint yet", "nobody")


def test_damaged_folders_are_listed_and_not_a_traceback(copied, capsys):
    store = copied / "smoke" / "store"
    (one,) = store.glob("pretrain/*")
    (one / "spec.json").unlink()
    other = next(store.glob("sweep/*"))
    (other / "spec.json").write_text('{"cut short')
    shown = status(capsys, "--outputs", copied)
    assert "delete these folders" in shown and "2 damaged" in shown
    assert str(one) in shown and str(other) in shown
    assert f"weights {one.name}" in shown, "the models of its sweeps have lost their name"


def test_one_profile_of_several(copied, capsys):
    shutil.copytree(copied / "smoke", copied / "mini")
    assert "profile mini" in status(capsys, "--outputs", copied)
    shown = status(capsys, "--outputs", copied, "--profile", "smoke")
    assert "profile smoke" in shown and "profile mini" not in shown
    assert main(["status", "--outputs", str(copied), "--profile", "smok"]) == 2
    assert "did you mean 'smoke'" in capsys.readouterr().err


def test_where_nothing_was_run(tmp_path, capsys):
    assert "no notebook has been run there" in status(capsys, "--outputs", tmp_path / "none")
    assert holdings(tmp_path / "none") == [] and not (tmp_path / "none").exists()


def test_numbers_as_they_are_shown():
    assert [duration(s) for s in (0, 89, 90, 5399, 5400, 172800, 1e8)] == [
        "0 s", "89 s", "2 min", "90 min", "1.5 h", "2.0 d", "3.2 years",
    ]  # fmt: skip
    assert [hours(s, "core") for s in (12, 600, 7200, 3.6e6)] == [
        "12 core-seconds", "10 core-minutes", "2.0 core-hours", "1,000.0 core-hours",
    ]  # fmt: skip
    assert [size(b) for b in (0, 999, 1000, 12_345, 999_999, 2.5e9)] == [
        "0 B", "999 B", "1.0 kB", "12.3 kB", "1.0 MB", "2.5 GB",
    ]  # fmt: skip
    assert table(["a", "b"], [["xx", 1], ["y", 10]], right=[1]) == "a    b\nxx   1\ny   10"
