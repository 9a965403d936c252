"""Training is a pure function of its seed: through kills, with any number of workers, whatever was drawn before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from torch.utils.data import Dataset

from robnb import training
from robnb.errors import UserError
from robnb.pretrain import PretrainSpec
from robnb.training import Budget, KeyedBatches, KeyedDraws
from robnb.transfer import TransferSpec


class Numbers(Dataset):
    """Five samples, each with draws from every global generator as its augmentation."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, float, float]:
        return index, float(np.random.rand()), float(torch.rand(1))


def test_each_pass_is_a_permutation_and_passes_differ():
    batches = KeyedBatches(Numbers(), seed=0, positions=15)
    passes = [[batches[p][0] for p in range(start, start + 5)] for start in (0, 5, 10)]
    assert all(sorted(one) == list(range(5)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_a_position_does_not_depend_on_order_workers_or_what_was_drawn_before():
    in_order = [KeyedBatches(Numbers(), 0, 15)[p] for p in range(15)]
    torch.manual_seed(99), np.random.seed(99)
    batches = KeyedBatches(Numbers(), 0, 15)
    assert [batches[p] for p in reversed(range(15))] == in_order[::-1]
    loader = torch.utils.data.DataLoader(batches, batch_size=5, num_workers=2, collate_fn=list)
    assert [item for batch in loader for item in batch] == in_order
    assert [KeyedBatches(Numbers(), 1, 15)[p] for p in range(15)] != in_order


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_each_batch(monkeypatch, processes):
    """In each iteration their shares are disjoint, equally large, and together the batch; from the middle on too."""
    monkeypatch.setattr(training, "get_world_size", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(training, "get_rank", lambda rank=rank: rank)
        loader = training._loader(Numbers(), list, Budget(4, 6, 0.1), 0, 0)
        loader.sampler.start = 1
        assert len(loader) == 3
        shares.append(list(loader))
    assert {len(batch) for share in shares for batch in share} == {6 // processes}
    whole = [KeyedBatches(Numbers(), 0, 24)[p] for p in range(6, 24)]
    assert [item for iteration in zip(*shares, strict=True) for share in iteration for item in share] == whole


def test_each_process_has_draws_of_its_own(monkeypatch):
    def drawn(rank: int, iteration: int) -> float:
        monkeypatch.setattr(training, "get_rank", lambda: rank)
        KeyedDraws(0).before_train_iter(None, iteration)
        return float(torch.rand(1))

    draws = [drawn(rank, iteration) for rank in (0, 1, 2) for iteration in (0, 1, 2)]
    assert len(set(draws)) == 9
    assert drawn(1, 2) == draws[5]


@pytest.mark.parametrize(
    ("batch_size", "processes", "message"),
    [
        (8, 3, "3 processes cannot share a batch of 8 images evenly: make batch_size a multiple"),
        (8, 0, "processes is 0: give the number"),
        (8, "2", "processes is '2': give the number"),
        (8, True, "processes is True: give the number"),
    ],
)
def test_a_number_of_processes_is_checked(batch_size, processes, message):
    with pytest.raises(UserError, match=message):
        PretrainSpec("resnet_nano", "regular", "", 64, Budget(1, batch_size, 0.1), 0, processes)
    with pytest.raises(UserError, match=message):
        budget = Budget(1, batch_size, 0.1)
        TransferSpec("resnet_nano.regular", "", "detection", "", "", 10, (64, 64), budget, 0, processes)


def test_a_segmentor_gets_two_images_a_process():
    with pytest.raises(
        UserError, match=r"segmentation trains with one image a process, .* needs two: raise batch_size"
    ):
        TransferSpec("resnet_nano.regular", "", "segmentation", "", "", 10, (64, 64), Budget(1, 4, 0.1), 0, 4)


def test_the_number_of_processes_is_part_of_the_key():
    one, two = (PretrainSpec("resnet_nano", "regular", "", 64, Budget(1, 8, 0.1), 0, n) for n in (1, 2))
    assert one.key != two.key


def pretrained(outputs: Path, iterations: int = 12, **changes: object) -> dict[str, torch.Tensor]:
    study = small.study(outputs, upstream=small.budgets(iterations, 8), **changes)
    (model,) = study.pretrain()
    return torch.load(model.path, weights_only=True)


def test_equal_seeds_equal_bytes_and_workers_do_not_matter(tmp_path):
    first, second = pretrained(tmp_path / "a"), pretrained(tmp_path / "b", workers=2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = pretrained(tmp_path / "c", seed=1)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_only_the_workers_that_are_wanted_load(tmp_path):
    """Two trainings one after the other: no process loads what nobody takes, and none complains of another's."""
    loaded = tmp_path / "loaded"
    code = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import small
from robnb.training import KeyedBatches
inherited = KeyedBatches.__getitem__
def noted(self, position):
    with open({str(loaded)!r}, "a") as file:
        print(os.getpid(), position, file=file)
    return inherited(self, position)
KeyedBatches.__getitem__ = noted
backbones = ["resnet_nano.regular", "swin_nano.regular"]
small.study({str(tmp_path)!r}, backbones=backbones, upstream=small.budgets(6, 8), workers=2).pretrain()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
    processes, positions = zip(*(map(int, line.split()) for line in loaded.read_text().splitlines()), strict=True)
    assert len(set(processes)) == 2 * 2
    assert sorted(positions) == sorted([*range(6 * 8)] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["upstream", "detection", "segmentation"])
def test_a_killed_training_resumes_and_ends_with_the_same_weights(tmp_path, task):
    """kill -9 after a checkpoint, then the same call: every tensor equals the undisturbed run's, bit for bit."""
    code = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {os.path.dirname(__file__)!r})
import small, torch
from robnb import training
from robnb.training import Resumable
outputs, kill_at, task = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
training.fit.__kwdefaults__["checkpoint_every"] = 3
inherited = Resumable.after_train_iter
def kill(self, runner, batch_idx, **rest):
    inherited(self, runner, batch_idx, **rest)
    done.append(batch_idx)
    if batch_idx == kill_at:
        os.kill(os.getpid(), {int(signal.SIGKILL)})
done = []
study = small.study(outputs, upstream=small.budgets(7, 8), detection=small.budgets(7), segmentation=small.budgets(7))
if task == "upstream":
    Resumable.after_train_iter = kill
backbones = study.pretrain()
if task != "upstream":
    Resumable.after_train_iter = kill
    study.transfer(backbones, "full_network", task)
print(done[0])
"""

    def run(outputs: Path, kill_at: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "ignore", "-c", code, str(outputs), str(kill_at), task]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    undisturbed = run(tmp_path / "a", -1)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert run(tmp_path / "b", 4).returncode == -signal.SIGKILL
    resumed = run(tmp_path / "b", -1)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == "3", "it should go on from the checkpoint after three iterations"
    kind = "pretrain" if task == "upstream" else "transfer"
    (first,), (second,) = ((tmp_path / x / "smoke" / "store" / kind).glob("*/weights.pth") for x in "ab")
    first, second = torch.load(first, weights_only=True), torch.load(second, weights_only=True)
    assert set(first) == set(second)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path):
    with pytest.raises(
        UserError, match=r"pretrain resnet_nano.regular: the loss became (nan|inf) at iteration \d+; lower"
    ):
        small.study(tmp_path, upstream=small.budgets(30, 8, resnet=1e12)).pretrain()
    assert not list((tmp_path / "smoke" / "store").glob("pretrain/*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 1, "batch_size": 1, "lr": "1e-3"}, r"detection.resnet.lr is '1e-3': .*write 1.0e-3"),
        ({"iterations": 1.5, "batch_size": 1, "lr": 0.1}, "iterations is 1.5: it must be a positive number"),
        ({"iterations": 1, "batch_size": 0, "lr": 0.1}, "batch_size is 0"),
        ({"iterations": 1, "batch_size": 1}, "detection.resnet has no lr: add it"),
        ({"iteration": 1, "batch_size": 1, "lr": 0.1}, "did you mean 'iterations'"),
    ],
)
def test_a_budget_is_checked(settings, message):
    with pytest.raises(UserError, match=message):
        Budget.from_settings(settings, "detection.resnet")
