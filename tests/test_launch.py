"""Training in several real processes: what they share, that they agree, and that nothing of them stays behind."""

import contextlib
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import small
import torch

from robnb import launch, training, transfer
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.models.architectures import ARCHITECTURES
from robnb.models.classifier import Classifier
from robnb.pretrain import PretrainSpec
from robnb.pretrain import train as pretrain
from robnb.store import Store
from robnb.training import Budget, Resumable
from robnb.transfer import TransferSpec

HERE = os.path.dirname(__file__)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A folder with a miniworld in it."""
    folder = tmp_path_factory.mktemp("outputs")
    _ = small.study(folder).tasks
    return folder


@pytest.fixture(scope="module", autouse=True)
def environment():
    """The processes find this file, and each uses one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", HERE)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def spec_of(data: TaskData, architecture: str = "resnet_nano", **changes) -> PretrainSpec:
    budget = Budget(**{"iterations": 8, "batch_size": 12, "lr": 0.01, **changes.pop("budget", {})})
    return PretrainSpec(architecture, "regular", data.fingerprint, 64, budget, 0, **changes)


def differing(first: dict, second: dict) -> list[str]:
    assert set(first) == set(second)
    return [name for name in first if not torch.equal(first[name], second[name])]


# ---- Every family of models, in one pair of processes

FAMILIES = [
    (architecture, task, regime)
    for architecture in ("resnet_nano", "swin_nano")
    for task in ("classification", "detection", "segmentation")
    for regime in ("fixed_feature", "full_network")
]

#: Those that may not depend on the number of processes.
ALONE = [
    ("resnet_nano", "classification", "fixed_feature"),
    ("swin_nano", "classification", "fixed_feature"),
    ("swin_nano", "classification", "full_network"),
]


def train_all(outputs: Path, processes: int, cases: list[list[str]]) -> None:
    """Called in each process: upstream, then every case; each process keeps its own weights."""
    tasks = small.study(outputs).tasks
    for architecture in sorted({case[0] for case in cases}):
        spec = spec_of(tasks["upstream"], architecture, budget={"iterations": 2, "lr": 1e-8}, processes=processes)
        upstream = outputs / f"{processes}-{architecture}"
        _keep_own_weights(pretrain, upstream)
        pretrain.train(spec, tasks["upstream"], upstream, 0, None, None, {})
        if processes > 1:
            torch.distributed.barrier()
    for architecture, task, regime in cases:
        folder = outputs / f"{processes}-{architecture}-{task}-{regime}"
        scale = (64, 64) if task == "classification" else (160, 128)
        budget = Budget(10 if task == "classification" else 4, 4, 1e-2 if architecture == "resnet_nano" else 1e-3)
        spec = TransferSpec(
            f"{architecture}.regular", "", task, regime, tasks[task].fingerprint,
            len(tasks[task].open("train").classes), scale, budget, 0, processes,
        )  # fmt: skip
        _keep_own_weights(transfer, folder)
        # From the same file whatever the number of processes, for the comparison.
        transfer.train(spec, outputs / f"2-{architecture}" / "weights.pth", tasks[task], folder, 0)


def _keep_own_weights(module, folder: Path) -> None:
    (folder / "scratch").mkdir(parents=True, exist_ok=True)

    def fit_and_keep(*arguments, **options):
        model = training.fit(*arguments, **options)
        torch.save(model.state_dict(), folder / f"rank-{os.environ.get('RANK', 0)}.pth")
        return model

    module.fit = fit_and_keep


@pytest.fixture(scope="module")
def trained(outputs):
    """Function that gives the weights that each of two processes ended with."""
    launch.together(train_all, {"outputs": outputs, "processes": 2, "cases": FAMILIES}, 2, outputs)
    return lambda *case: [torch.load(outputs / "-".join(("2", *case)) / f"rank-{rank}.pth") for rank in (0, 1)]


@pytest.mark.parametrize("case", FAMILIES, ids="-".join)
@pytest.mark.slow
def test_the_processes_agree_in_every_tensor(trained, outputs, case):
    """Parameters and statistics, for each family and regime: no parameter waits in vain for its gradient either."""
    first, second = trained(*case)
    assert differing(first, second) == []
    upstream = torch.load(outputs / f"2-{case[0]}" / "weights.pth")
    shared = [name for name in upstream if name.startswith("backbone.") and name in first]
    changed = [name for name in shared if not torch.equal(upstream[name], first[name])]
    assert bool(changed) == (case[2] == "full_network")


@pytest.fixture(scope="module")
def alone(outputs, trained):
    """Function that gives the weights that one process ends with."""
    before = pretrain.fit, transfer.fit
    train_all(outputs, 1, ALONE)
    pretrain.fit, transfer.fit = before
    return lambda *case: torch.load(outputs / "-".join(("1", *case)) / "rank-0.pth")


@pytest.mark.slow
@pytest.mark.parametrize("case", ALONE, ids="-".join)
def test_without_batch_statistics_two_processes_learn_what_one_learns(trained, alone, case):
    """The mean of the shares' mean gradients is the batch's, and the batch is the same.

    So it is for a linear head, and for a whole Swin, of which some parameters get no gradient.
    """
    one, two = alone(*case), trained(*case)[0]
    fresh = training.initialise(partial(Classifier, ARCHITECTURES[case[0]], len(one["head.bias"])), 0)
    assert (one["head.weight"] - fresh.head.weight).abs().max() > 1e-3, "it should have learned"
    for name, tensor in one.items():
        if name.endswith("qkv.bias"):  # the key's has no gradient but for rounding, and AdamW makes steps of that
            query, _, value = two[name].chunk(3)
            torch.testing.assert_close(torch.cat([query, value]), torch.cat([*tensor.chunk(3)[::2]]), atol=1e-5, rtol=0)
        else:
            torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_running_statistics_are_those_of_the_whole_batch(trained, alone):
    """Of the first layer, before which nothing differs."""
    name = "backbone.bn1.running_mean"
    two, one = trained("resnet_nano")[0][name], alone("resnet_nano")[name]
    assert one.abs().max() > 1e-3
    torch.testing.assert_close(two, one, atol=1e-6, rtol=1e-5)


# ---- Through the store, with kills


def stopping(
    spec: PretrainSpec,
    data: TaskData,
    folder: Path,
    workers: int,
    parent: Path | None,
    start: Path | None,
    networks: dict[str, Path],
) -> None:
    """Called in each process: `pretrain.train` with a checkpoint every three iterations, once undisturbed, then so:

    STOP in the environment is "rank iteration": there, the process of that rank kills itself; with rank "all",
    all wait for ever. ``begun-RANK`` holds the first iteration after the last start.
    """
    who, where = os.environ.get("STOP", "none -1").split()
    rank = os.environ["RANK"]
    begun = folder / f"begun-{rank}"
    begun.unlink(missing_ok=True)
    inherited = Resumable.after_train_iter

    def stop(self, runner, batch_idx, **rest):
        inherited(self, runner, batch_idx, **rest)
        if not begun.exists():
            begun.write_text(str(batch_idx))
        if batch_idx == int(where) and who == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        if batch_idx == int(where) and who == "all":
            (folder / f"waits-{rank}").touch()
            time.sleep(1000)

    training.fit.__kwdefaults__["checkpoint_every"] = 3
    undisturbed = folder / "undisturbed"
    if not undisturbed.exists():
        torch.distributed.barrier()  # rank 0 makes it now, and the others have looked
        (undisturbed / "scratch").mkdir(parents=True, exist_ok=True)
        pretrain.train(spec, data, undisturbed, workers, parent, start, networks)
    Resumable.after_train_iter = stop
    pretrain.train(spec, data, folder, workers, parent, start, networks)


def running(root: Path) -> int:
    """How many processes run a job below this folder: torchrun, what it has started, and the loaders of that."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            found += b"robnb.launch" in (line := path.read_bytes()) and os.fsencode(root) in line
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("two minutes are over")


PARENT = """
import sys
from pathlib import Path
import small, test_launch
from robnb.pretrain import train as pretrain
from robnb.store import Store
pretrain.train = test_launch.stopping
data = small.study(Path(sys.argv[1])).tasks["upstream"]
pretrain.pretrain(test_launch.spec_of(data, processes=3), data, Store(Path(sys.argv[2])), 1)
"""


@pytest.mark.slow
def test_killed_processes_go_on_and_end_with_the_same_weights(outputs, tmp_path, monkeypatch, capfd):
    """One process is killed, then the parent, then all may finish: equal in every byte to the undisturbed training.

    Three processes, because the sum of two gradients does not depend on their order.
    """
    data = small.study(outputs).tasks["upstream"]
    spec = spec_of(data, processes=3)
    monkeypatch.setattr(pretrain, "train", stopping)
    store = Store(tmp_path)
    unfinished = store.root / "unfinished" / f"pretrain-{spec.key}"

    monkeypatch.setenv("STOP", "1 4")
    log = re.escape(str(unfinished / "scratch" / "output.txt"))
    with pytest.raises(RuntimeError, match=f"in 3 processes ended with exit code 1; .* {log}. one of them was killed"):
        pretrain.pretrain(spec, data, store, 1)
    shown = capfd.readouterr()
    assert "pretrain resnet_nano.regular: 100%" in shown.out
    assert shown.err == ""
    wait_until(lambda: not running(store.root))

    monkeypatch.setenv("STOP", "all 6")
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", PARENT, str(outputs), str(store.root)])
    wait_until(lambda: len(list(unfinished.glob("waits-*"))) == 3)
    assert (unfinished / "begun-0").read_text() == "3", "it should go on from the checkpoint after three iterations"
    assert running(store.root) >= 4, "torchrun and three processes"
    parent.kill()
    parent.wait()
    wait_until(lambda: not running(store.root))

    monkeypatch.delenv("STOP")
    path = pretrain.pretrain(spec, data, store)
    assert (path.parent / "begun-2").read_text() == "6"
    assert differing(torch.load(path.parent / "undisturbed" / "weights.pth"), torch.load(path)) == []


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_all_processes_with_the_sentence(outputs, tmp_path):
    data = small.study(outputs).tasks["upstream"]
    diverges = spec_of(data, processes=2, budget={"iterations": 30, "lr": 1e12})
    with pytest.raises(
        UserError, match=r"^pretrain resnet_nano.regular: the loss became (nan|inf) .* \(it is 1e\+12\)"
    ):
        pretrain.pretrain(diverges, data, Store(tmp_path))
    assert not list(tmp_path.glob("pretrain/*"))
    wait_until(lambda: not running(tmp_path))


NODES = """
import subprocess, sys
torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
            "--master-addr=127.0.0.1", "--master-port=" + sys.argv[1]]
nodes = [subprocess.Popen([*torchrun, f"--node-rank={rank}", *sys.argv[2:]]) for rank in (1, 0)]
sys.exit(max([node.wait() for node in nodes]))
"""


@pytest.mark.slow
def test_another_command_starts_the_processes_as_on_two_machines(outputs, trained, tmp_path, monkeypatch):
    """Two torchruns that meet at an address, as srun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "nodes.py").write_text(NODES)
    monkeypatch.setenv(launch.TORCHRUN, f"{sys.executable} {tmp_path / 'nodes.py'} {port}")
    data, store = small.study(outputs).tasks["upstream"], Store(tmp_path / "store")
    path = pretrain.pretrain(spec_of(data, processes=2, budget={"iterations": 2, "lr": 1e-8}), data, store)
    assert differing(trained("resnet_nano")[0], torch.load(path)) == []


# ---- Guards, without other processes


def test_a_process_without_torchrun_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["robnb.launch", "job.json"])
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SystemExit):
        launch.main()
    assert "set processes in a notebook" in capsys.readouterr().err


def test_a_command_that_starts_another_number_of_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="ROBNB_TORCHRUN starts 2 processes but the notebook says 4: make them equal"):
        launch._join(4)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="a machine with 1 GPUs cannot train in 2 processes: give at most"):
        launch._join(2)


@pytest.mark.parametrize(
    ("errors", "kind", "message"),
    [
        ([UserError("a sentence."), RuntimeError("connection lost")], UserError, "^a sentence.$"),
        ([OSError(errno.ENOSPC, "No space left on device")], OSError, "No space left"),
        ([KeyError("x"), RuntimeError("connection lost")], RuntimeError, "it failed; .*output.txt. KeyError: 'x'"),
        ([], RuntimeError, "it failed; .*output.txt. cause: none was given"),
    ],
)
def test_the_first_failure_is_the_one_that_is_raised(tmp_path, monkeypatch, errors, kind, message):
    (tmp_path / "output.txt").write_text("exitcode  : 1 (pid: 9)")
    for rank, error in enumerate(errors):
        monkeypatch.setenv("RANK", str(rank))
        launch._say_why(error, tmp_path / "job.json")
    with pytest.raises(kind, match=message) as raised:
        launch._raise_failure(tmp_path / "job.json", tmp_path / "output.txt", "it failed")
    assert type(raised.value) is kind
    if kind is OSError:
        assert raised.value.errno == errno.ENOSPC, "by which the store says that the disk is full"
