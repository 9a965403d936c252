"""DeepAugment's helper networks learn images, survive a kill, and distort without destroying what they have learned."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from skimage.metrics import structural_similarity

from robnb.augment import recipe_named
from robnb.augment.deepaugment import NETWORKS, Distorter, load_network
from robnb.augment.deepaugment.draws import Draws
from robnb.augment.recipe import Setting
from robnb.data.crops import TrainingCrops
from robnb.data.miniworld import MiniworldSpec, make_miniworld
from robnb.data.sources import TaskData, miniworld
from robnb.errors import UserError
from robnb.pretrain import NetworkSpec, PretrainSpec, pretrain
from robnb.pretrain.networks import Reconstruction, psnr, train_network
from robnb.pretrain.train import learner
from robnb.recipes.budget import Budget
from robnb.store import Store
from robnb.threads import one_thread
from robnb.training import KeyedBatches

SIDE = 64


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On images this small, more would only wait for each other."""
    with one_thread():
        yield


def network_spec(name: str, iterations: int = 100, batch_size: int = 8, lr: float = 5e-3) -> NetworkSpec:
    return NetworkSpec(name, "miniworld", SIDE, Budget(iterations, batch_size, lr), 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> TaskData:
    """A miniworld's upstream images."""
    counts = {**dict.fromkeys(small.COUNTS, 10), "upstream_train": 200, "upstream_val": 50}
    root = make_miniworld(MiniworldSpec(**counts, seed=0), tmp_path_factory.mktemp("data"), 1)
    return miniworld(root, "miniworld")["upstream"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def files(data, store) -> dict[str, Path]:
    """Both networks after a short training."""
    with one_thread():
        return {name: train_network(network_spec(name), data, store) for name in NETWORKS}


@pytest.fixture(scope="module")
def unseen(data) -> torch.Tensor:
    """(50, 3, 64, 64) float in [0, 1], of the test split."""
    crops = KeyedBatches(TrainingCrops(data.open("test"), SIDE, False), 0, 50)
    return torch.stack([crops[i]["inputs"] for i in range(50)]) / 255


def signal_to_noise(made: torch.Tensor, images: torch.Tensor) -> np.ndarray:
    """In dB, of each image."""
    return -10 * np.log10(np.square(made.numpy() - images.numpy()).mean(axis=(1, 2, 3)) + 1e-12)


@torch.no_grad()
@pytest.mark.parametrize(("name", "gain"), [("edsr", 8.0), ("cae", 2.5)])
def test_a_trained_network_reproduces_images_it_has_not_seen(files, unseen, name, gain):
    """Beside each image's own mean colour, which is what a network that sees nothing could give at best."""
    made = load_network(name, files[name], SIDE)(unseen).clamp(0, 1)
    blank = unseen.mean(dim=(2, 3), keepdim=True).expand_as(unseen)
    assert signal_to_noise(made, unseen).mean() > signal_to_noise(blank, unseen).mean() + gain


@torch.no_grad()
def test_the_kept_ratio_is_that_of_training_crops(files, data, store):
    model = Reconstruction(load_network("edsr", files["edsr"], SIDE))
    crops = KeyedBatches(TrainingCrops(data.open("train"), SIDE, data.flip), 0, 64)
    images = torch.stack([crops[i]["inputs"] for i in range(64)]) / 255
    expected = signal_to_noise(model.network(images).clamp(0, 1), images).mean()
    assert store.read(network_spec("edsr"))["psnr"] == pytest.approx(expected, abs=1e-3)
    assert psnr(model, crops) == pytest.approx(expected, abs=1e-3)


def test_the_loss_is_the_mean_absolute_error():
    class Grey(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full_like(images, 0.5)

    images = torch.randint(256, (2, 3, 8, 8)).to(torch.uint8)
    expected = np.abs(images.numpy() / 255 - 0.5).mean()
    assert Reconstruction(Grey())(images, torch.zeros(2), mode="loss")["loss"].item() == pytest.approx(expected)


@pytest.mark.parametrize(("name", "lowest", "highest"), [("edsr", 14, 30), ("cae", 9, 22)])
def test_images_are_distorted_but_not_destroyed(files, unseen, name, lowest, highest):
    """Over hundreds of draws: far from the image on average, and more alike than images are among each other."""
    distorter = Distorter(load_network(name, files[name], SIDE), 1.0, True)
    made = torch.cat([distorter(unseen, Draws.of(torch.Generator().manual_seed(seed))) for seed in range(6)])
    images, others = unseen.repeat(6, 1, 1, 1), unseen.roll(1, 0).repeat(6, 1, 1, 1)
    ratios = signal_to_noise(made, images)
    assert lowest < ratios.mean() < highest
    assert ratios.mean() > signal_to_noise(others, images).mean() + 2

    def alike(one: torch.Tensor) -> float:
        pairs = zip(one.mean(dim=1).numpy(), images.mean(dim=1).numpy(), strict=True)
        return float(np.mean([structural_similarity(a, b, data_range=1.0) for a, b in pairs]))

    assert 2.5 * alike(others) < alike(made) < 0.95


def test_finished_work_is_found_again(files, data, store, monkeypatch):
    monkeypatch.setattr("robnb.pretrain.networks.fit", None)
    assert train_network(network_spec("edsr"), data, store) == files["edsr"]
    assert network_spec("edsr").key != network_spec("cae").key


def test_images_that_do_not_fit_are_refused(data, tmp_path):
    with pytest.raises(UserError, match=r"62 pixels do not fit the helper network cae: .* multiple of 4"):
        train_network(replace(network_spec("cae"), image_size=62), data, Store(tmp_path))


KILLED = """
import os, signal, sys
from pathlib import Path
from robnb import training
from robnb.data.sources import TaskData
from robnb.pretrain import NetworkSpec
from robnb.pretrain.networks import train_network
from robnb.recipes.budget import Budget
from robnb.store import Store
training.fit.__kwdefaults__["checkpoint_every"] = 3
inherited = training.Resumable.after_train_iter
done = []
def kill(self, runner, batch_idx, **rest):
    inherited(self, runner, batch_idx, **rest)
    done.append(batch_idx)
    if batch_idx == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
training.Resumable.after_train_iter = kill
data = TaskData("upstream", Path(sys.argv[1]), "train", "val", "miniworld", flip=False)
train_network(NetworkSpec("cae", "miniworld", 64, Budget(7, 4, 5e-3), 0), data, Store(Path(sys.argv[2])))
print(done[0])
"""


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(data, tmp_path):
    """The CAE draws random numbers in training too."""

    def run(folder: Path, kill_at: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "ignore", "-c", KILLED, str(data.root), str(folder), str(kill_at)]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=alone)

    assert run(tmp_path / "a", 4).returncode == -signal.SIGKILL
    resumed = run(tmp_path / "a", -1)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == "3", "it should go on from the checkpoint after three iterations"
    spec = network_spec("cae", 7, 4)
    train_network(spec, data, Store(tmp_path / "b"))
    kept = [torch.load(tmp_path / x / "network" / spec.key / "weights.pth", weights_only=True) for x in "ab"]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[1])


def pretrain_spec(recipe: str, iterations: int, batch_size: int, lr: float = 0.1) -> PretrainSpec:
    networks = tuple(map(network_spec, NETWORKS)) if recipe_named(recipe).networks else ()
    budget = Budget(iterations, batch_size, lr)
    return PretrainSpec("resnet_nano", recipe, "miniworld", SIDE, budget, 0, networks=networks)


@pytest.mark.parametrize("recipe", ["deepaug", "deepaug_augmix"])
def test_a_classifier_learns_by_it(files, data, store, recipe):
    spec = pretrain_spec(recipe, 2, 8)
    weights = torch.load(pretrain(spec, data, store), weights_only=True)
    assert not any("edsr" in name or "cae" in name for name in weights)
    begun = learner(spec, 10, files).state_dict()
    assert set(weights) == set(begun) and not torch.equal(weights["head.weight"], begun["head.weight"])


@pytest.mark.slow
def test_a_clean_classifier_recognises_distorted_images(tmp_path):
    """Networks and classifier as in a study, on digits of which one in ten is right by chance."""
    counts = {**dict.fromkeys(small.COUNTS, 10), "upstream_train": 2000, "upstream_val": 300}
    data = miniworld(make_miniworld(MiniworldSpec(**counts, seed=0), tmp_path, 1), "miniworld")["upstream"]
    store = Store(tmp_path / "store")
    spec = pretrain_spec("regular", 400, 32)
    model = learner(spec, 10, {})
    model.load_state_dict(torch.load(pretrain(spec, data, store), weights_only=True))
    model.eval()
    files = {name: train_network(network_spec(name, 400, 16), data, store) for name in NETWORKS}
    crops = KeyedBatches(TrainingCrops(data.open("test"), SIDE, False), 0, 300)
    images = torch.stack([crops[i]["inputs"] for i in range(300)])
    labels = torch.tensor([crops[i]["labels"] for i in range(300)])

    @torch.no_grad()
    def top1(pixels: torch.Tensor) -> float:
        return (model.logits(pixels).argmax(dim=1) == labels).float().mean().item()

    clean, seen = top1(images), {}
    for name, file in files.items():
        distorter = Distorter(load_network(name, file, SIDE), 0.05, True)
        draws = [Draws.of(torch.Generator().manual_seed(seed)) for seed in range(5)]
        seen[name] = np.mean([top1(distorter(images / 255, draw)) for draw in draws])
    augmenter = recipe_named("deepaug").augmenter(model, Setting(10, SIDE, files))
    seen["deepaug"] = np.mean([top1(augmenter.views(images, labels)[0]) for _ in range(5)])
    print(f"top-1: clean {clean:.3f}, " + ", ".join(f"{name} {value:.3f}" for name, value in seen.items()))
    assert clean > 0.6
    assert 0.3 < seen["cae"] < seen["edsr"] < clean
    assert 0.5 * clean < seen["deepaug"] < clean
