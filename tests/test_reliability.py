"""What a sweep survives: kills, damage, a full disk, a second process, a changed model, a dying worker."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import small
from sweeping import Sweeper, contents

from robnb import distributed
from robnb.corruptions import conditions
from robnb.errors import UserError
from robnb.evaluation import shards
from robnb.evaluation.sweep import sweep
from robnb.store import Store
from robnb.threads import one_thread

GRID = conditions(["shot_noise", "glass_blur", "snow", "pixelate"], [1])
HOW = {"shard": 2, "seed": 3}


@pytest.fixture(scope="module", autouse=True)
def no_workers_left():
    yield
    distributed.close()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two models of two architectures, their data, and the grid: what `sweep` takes first."""
    study = small.study(tmp_path_factory.mktemp("outputs"), backbones=["resnet_nano.regular", "swin_nano.regular"])
    return study.transfer(study.pretrain(), "fixed_feature", "detection"), study.tasks["detection"], GRID


@pytest.fixture(scope="module")
def sweeper(work, tmp_path_factory):
    sweeper = Sweeper(tmp_path_factory.mktemp("sweeper"), *work, **HOW)
    yield sweeper
    sweeper.close()


@pytest.fixture(scope="module")
def undisturbed(sweeper, tmp_path_factory):
    """(contents of the store, seconds it took)."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweeper.do(f"run {folder / 'warm'}")
    started = time.monotonic()
    assert sweeper.do(f"run {folder / 'store'}") == ["ok"]
    return contents(folder / "store"), time.monotonic() - started


def test_killed_at_20_random_moments_it_ends_with_the_same_bytes(sweeper, undisturbed, tmp_path):
    """Each kill is followed by another run on the same store, until one gets to its end; then on a fresh store."""
    expected, seconds = undisturbed
    assert len(expected) == 2 * 2 * (3 + 3), "two models, two panels: three shards, spec, model and result each"
    rng, kills, finished = random.Random(0), 0, 0
    while kills < 20:
        store = tmp_path / str(finished)
        while sweeper.do(f"kill {store} {rng.uniform(0, 0.7 * seconds):.3f}") == ["killed"]:
            kills += 1
            if kills % 5 == 0:
                break
        assert sweeper.do(f"run {store}") == ["ok"]
        assert contents(store) == expected
        assert not [path for path in store.glob("unfinished/*") if path.is_dir()]
        finished += 1
    assert kills >= 20 and finished >= 4


def test_two_processes_on_one_store_share_the_work_and_do_none_twice(sweeper, undisturbed, tmp_path):
    store = tmp_path / "store"
    assert sweeper.do(f"run {store}", f"run {store}", f"run {store}") == ["ok"] * 3
    assert contents(store) == undisturbed[0]
    assert Counter((tmp_path / "store.begun").read_text().split()) == Counter("012")


def test_when_the_holder_is_killed_the_one_that_waits_goes_on(sweeper, undisturbed, tmp_path):
    expected, seconds = undisturbed
    store = tmp_path / "store"
    assert sweeper.do(f"kill {store} {seconds / 2:.3f}", f"run {store}") in (["killed", "ok"], ["ok", "ok"])
    assert contents(store) == expected


@pytest.fixture
def finished(work, sweeper, undisturbed, tmp_path):
    assert sweeper.do(f"run {tmp_path}") == ["ok"]
    (tmp_path.parent / f"{tmp_path.name}.begun").unlink()
    return tmp_path


@pytest.mark.parametrize("harm", ["flip a bit", "cut", "delete"])
def test_a_damaged_shard_is_found_and_only_it_is_computed_again(harm, work, sweeper, undisturbed, finished):
    path = sorted(finished.glob("sweep/*/00001-*.parquet"))[1]
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(bytes(content) if harm == "flip a bit" else content[:200])
    assert sweeper.do(f"run {finished}") == ["ok"]
    assert contents(finished) == undisturbed[0]
    assert (finished.parent / f"{finished.name}.begun").read_text().split() == ["1"]


def test_damage_that_comes_while_results_are_read_is_said_clearly(work, finished):
    models, _, grid = work
    evaluation = sweep(*work, Store(finished), **HOW)
    path = sorted(finished.glob("sweep/*/*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"\.parquet is damaged or gone; run again: it is computed anew"):
        for model in models:
            for condition in grid:
                evaluation.per_image(model, condition)


@pytest.mark.parametrize("when", ["finished", "unfinished"])
def test_a_model_file_that_changed_since_is_refused(when, work, finished, tmp_path_factory):
    models, data, grid = work
    copy = tmp_path_factory.mktemp("weights") / "weights.pth"
    shutil.copy(models[0].path, copy)
    moved = type(models[0])(**{**vars(models[0]), "path": copy})
    store = Store(finished)
    sweep([moved], data, grid, store, **HOW)  # the same content elsewhere is the same model
    if when == "unfinished":
        for folder in finished.glob("sweep/*"):
            shutil.move(folder, finished / "unfinished" / f"sweep-{folder.name}")
            next((finished / "unfinished" / f"sweep-{folder.name}").glob("00000-*")).unlink()
    with copy.open("ab") as file:
        file.write(b"more")
    with pytest.raises(
        UserError, match=r"weights\.pth has changed since resnet_nano\.regular .* put the old file back"
    ):
        sweep([moved], data, grid, store, **HOW)


def test_a_model_file_that_changes_during_a_sweep_is_refused_by_the_worker(work):
    (model, _), *_ = work
    with pytest.raises(UserError, match="has changed since"):
        model.predictor(None, None, "0" * 64)


def test_a_full_disk_is_said_clearly_and_loses_nothing(work, undisturbed, sweeper, tmp_path, monkeypatch):
    models, data, grid = work
    replace, written = os.replace, []

    def full(source, target):
        if str(target).endswith(".parquet"):
            if len(written) == 5:
                raise OSError(28, "No space left on device")
            written.append(target)
        replace(source, target)

    monkeypatch.setattr(shards.os, "replace", full)
    full_disk = pytest.raises(
        UserError, match=r"no space left under .*; free some and run again: finished work is kept"
    )
    with one_thread(), full_disk:  # as the sweeper's children compute, to the bit
        sweep(models, data, grid, Store(tmp_path), **HOW)
    monkeypatch.undo()
    assert len(list(tmp_path.glob("unfinished/*/*.parquet"))) == 5
    assert not list(tmp_path.glob("**/*.part"))
    assert sweeper.do(f"run {tmp_path}") == ["ok"]
    assert contents(tmp_path) == undisturbed[0]
    assert (tmp_path.parent / f"{tmp_path.name}.begun").read_text().split() == ["1", "2"]


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(work, undisturbed, tmp_path):
    """A real scheduler and two real worker processes, one of which is killed in the middle."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
    address_file, store = tmp_path / "scheduler.json", tmp_path / "store"

    def start(program: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "distributed.cli." + program, "--scheduler-file", str(address_file), *options]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    workers = []
    try:
        while not address_file.exists():
            time.sleep(0.1)
            assert scheduler.poll() is None
        address = small.read_json(address_file)["address"]
        workers += [start("dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
        with small.meanwhile(lambda: kill_when_busy(workers[0], store)) as killer:
            evaluation = sweep(*work, Store(store), scheduler=address, **HOW)
        assert killer.result() == "killed"
        assert len(evaluation.scores) == 2 * len(GRID) * 2
        assert contents(store) == undisturbed[0]
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def kill_when_busy(worker: subprocess.Popen, store) -> str:
    """Kill it as soon as anything has been written."""
    while not list(store.glob("unfinished/*/*.parquet")):
        time.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    return "killed"


@pytest.mark.slow
def test_worker_processes_of_this_machine_give_the_same_bytes(work, undisturbed, tmp_path):
    sweep(*work, Store(tmp_path), scheduler="local", workers=2, **HOW)
    assert contents(tmp_path) == undisturbed[0]
