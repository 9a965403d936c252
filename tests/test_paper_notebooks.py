"""Every paper notebook, run by the real command on stand-ins in the published formats: full-size networks, tiny data.

Nothing here says that a score is right: random weights score nothing. It says that every published format is read,
every step is done and every table and figure is made.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import paper_world
import pytest

from robnb.parameters import notebook_parameters
from robnb.runner import load_parameters
from robnb.study import Study

ROOT = Path(__file__).parents[1]
#: What of each notebook's arms is run: those that differ in architecture, starting weights, regime or augmentation.
ARMS = {
    "00_assets": {"backbones": ["resnet50.l2_eps1", "swin_tiny.in1k"], "test_images": 4},
    "00_inspect_corruptions": {"images": 2},
    "01_fixed_feature": {"backbones": ["swin_tiny.in1k"]},
    "02_full_network": {"backbones": ["resnet50.regular"], "classifier_images": "published"},
    "03_model_size": {"backbones": ["swin_tiny.in1k"]},
    "04_adversarial_priors": {"backbones": ["resnet50.l2_eps1"]},
    "05_finetuning_lr": {"learning_rates": {"detection": [0.001], "segmentation": [0.001]}},
    "06_prime": {"backbones": ["resnet50.deepaug_augmix"]},
    "08_your_backbone": {"backbones": ["resnet50.regular"], "yours": ["resnet18.tv_in1k"]},
    "authors_models": {
        "trained": [
            "authors04_fixed_feature_detection_swin_tiny",
            "authors05_fixed_feature_segmentation_regular",
            "authors18_prime_detection_prime",
            "authors24_prime_segmentation_swin_tiny",
        ]
    },
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Data root and outputs, which the notebooks share."""
    return tmp_path_factory.mktemp("paper")


def reduced(name: str, root: Path) -> dict:
    """What is set beside the paper's own parameters, and the stand-ins for what is then needed."""
    declared = notebook_parameters(ROOT / "notebooks" / f"{name}.py")
    published = load_parameters(name, "paper", ROOT / "params")
    small = {**paper_world.SMALL, "data_root": str(root / "data")}
    changes = {parameter: value for parameter, value in small.items() if parameter in declared}
    changes["scales"] = {task: scale for task, scale in small["scales"].items() if task in declared["scales"]}
    for task in ("detection", "segmentation", "classification"):
        if published.get(task):
            changes[task] = paper_world.budgets(*published[task])
    changes |= ARMS[name]
    paper_world.make(root / "data", Study.from_notebook(name, {**declared, **published, **changes}).needed_assets)
    return changes


def test_every_paper_notebook_is_run():
    of_no_images = {"07_does_it_transfer", "09_speed", "all"}
    assert set(ARMS) == {path.stem for path in (ROOT / "params" / "paper").glob("*.yaml")} - of_no_images


@pytest.mark.parametrize("name", list(ARMS))
def test_it_runs_from_beginning_to_end(name, root):
    products = run(name, root, reduced(name, root))
    shutil.rmtree(root / "outputs" / "paper" / "store", ignore_errors=True)  # gigabytes of full-size models
    if name == "00_assets":
        found = pd.read_csv(products / "clean_accuracy.csv")
        assert found["published"].tolist() == [70.43, 81.2] and (found["n_images"] == 4).all()
        states = pd.read_csv(products / "assets.csv").set_index("asset")["state"]
        assert states["imagenet"] == states["swin_tiny.in1k"] == "present" and states["coco"] == "missing"
        return
    if name == "00_inspect_corruptions":
        assert set(pd.read_csv(products / "strengths.csv")["corruption"]) == set(paper_world.SMALL["corruptions"])
        return
    scores = pd.read_csv(products / "scores.csv")
    assert scores["value"].between(0, 100).all() and set(scores["profile"]) == {"paper"}
    called = set(scores["weights"])
    assert name != "06_prime" or called == {"deepaug_augmix", "deepaug_augmix, PRIME in transfer"}
    assert name != "05_finetuning_lr" or called == {"prime, lr 0.001"}
    assert set(scores["corruption"]) == {"clean", *paper_world.SMALL["corruptions"]}
    used = json.loads((products / "provenance.json").read_text())["parameters"]
    assert (used["variant"], used["notebook"]) == ("as_released", name)


def run(name: str, root: Path, changes: dict) -> Path:
    """The notebook's folder of products, after a run without warnings."""
    command = [sys.executable, "-m", "robnb.cli", "run", name, "--profile", "paper", "--outputs", str(root / "outputs")]
    for parameter, value in changes.items():
        command += ["-p", parameter, json.dumps(value)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    products = root / "outputs" / "paper" / name
    notebook = nbformat.read(products / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return products
