"""The real notebooks, run by the real command: a kill in the middle, and every kind of bad input."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]
ROBNB = [sys.executable, "-m", "robnb.cli"]

pytestmark = pytest.mark.slow


def robnb(*arguments: object, **options: object) -> subprocess.CompletedProcess:
    command = [*ROBNB, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, **options)


def results(outputs: Path) -> set[Path]:
    store = outputs / "smoke" / "store"
    return {path for kind in ("pretrain", "transfer", "evaluation") for path in (store / kind).glob("*/*")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """Outputs of an uninterrupted smoke run of notebook 01, then 02."""
    outputs = tmp_path_factory.mktemp("undisturbed")
    for name in ("01_fixed_feature", "02_full_network"):
        done = robnb("run", name, "--profile", "smoke", "--outputs", outputs)
        assert done.returncode == 0, done.stderr
        assert f"{name}.html" in done.stdout and "mPC" in done.stdout
    return outputs


def test_kill_9_in_the_middle_then_the_same_command(undisturbed, tmp_path):
    """It finishes, repeats no finished work, and the table equals the undisturbed run's."""
    command = [*ROBNB, "run", "01_fixed_feature", "--profile", "smoke", "--outputs", str(tmp_path)]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while len(list((tmp_path / "smoke" / "store" / "transfer").glob("*"))) < 2:
        assert running.poll() is None and time.monotonic() < deadline, "it should have been in the middle by now"
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    time.sleep(1)  # the kernel ends with its parent; let what it was writing settle
    before = {path: path.stat().st_mtime_ns for path in results(tmp_path)}
    assert 0 < len(before) < len(results(undisturbed))
    assert not (tmp_path / "smoke" / "01_fixed_feature" / "summary.csv").exists()
    done = robnb("run", "01_fixed_feature", "--profile", "smoke", "--outputs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == modified for path, modified in before.items())
    for name in ("scores", "drops", "summary"):
        tables = [pd.read_csv(o / "smoke" / "01_fixed_feature" / f"{name}.csv") for o in (undisturbed, tmp_path)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_second_run_computes_nothing(undisturbed):
    before = {path: path.stat().st_mtime_ns for path in results(undisturbed)}
    done = robnb("run", "01_fixed_feature", "--profile", "smoke", "--outputs", undisturbed)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in results(undisturbed)} == before


def test_the_notebooks_share_their_backbones(undisturbed):
    """Four backbones, one of them the others' parent, pretrained once for both notebooks; two helper networks."""
    store = undisturbed / "smoke" / "store"
    assert [len(list((store / kind).glob("*"))) for kind in ("pretrain", "network")] == [4, 2]


def test_plain_papermill_works_and_finds_a_misspelt_parameter(undisturbed, tmp_path):
    """papermill itself only logs the misspelt name; the notebook's setup cell stops."""
    params = yaml.safe_load((ROOT / "params" / "smoke" / "01_fixed_feature.yaml").read_text())
    command = [sys.executable, "-m", "papermill", "notebooks/01_fixed_feature.py", str(tmp_path / "out.ipynb")]

    def papermill(**more: object) -> subprocess.CompletedProcess:
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "outputs": str(undisturbed), **more}))
        arguments = [*command, "-f", str(tmp_path / "params.yaml")]
        return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, timeout=600)

    good = papermill()
    assert good.returncode == 0, good.stderr
    bad = papermill(severitis=[1])
    assert bad.returncode != 0
    assert "unknown parameter 'severitis': did you mean 'severities'" in bad.stderr


def an_image_of_each_world(outputs: Path) -> list[Path]:
    """The larger upstream set of 00_pretrain is a world of its own."""
    return [next(world.glob("coco/val2017/*.jpg")) for world in outputs.glob("smoke/data/*")]


def truncate_an_image(outputs: Path) -> None:
    for image in an_image_of_each_world(outputs):
        image.write_bytes(image.read_bytes()[:400])


def remove_an_annotated_image(outputs: Path) -> None:
    for image in an_image_of_each_world(outputs):
        image.unlink()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "sevrities", "[1]"], "unknown parameter 'sevrities': did you mean 'severities'"),
        (["-p", "seed", "one"], "seed should be a whole number"),
        (["-p", "backbones", "[resnet_nono.regular]"], "unknown backbone architecture 'resnet_nono'"),
        (["-p", "corruptions", "[fogg]"], "did you mean 'fog'"),
        (["-p", "severities", "[0]"], "severity must be an integer from 1 to 5"),
        (["--profile", "smoek"], "unknown profile 'smoek': did you mean 'smoke'"),
        (["--profile", "paper"], "of the files and folders that this needs are not there"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(tmp_path, arguments, sentence):
    profile = [] if "--profile" in arguments else ["--profile", "smoke"]
    done = robnb("run", "01_fixed_feature", *profile, "--outputs", tmp_path, *arguments)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("robnb: ")]
    assert sentence in line and "Traceback" not in done.stderr + done.stdout


def test_a_learning_rate_that_yaml_reads_as_text(tmp_path):
    settings = "{resnet: {iterations: 1, batch_size: 1, lr: 1e-3}, swin: {iterations: 1, batch_size: 1, lr: 0.1}}"
    done = robnb("run", "01_fixed_feature", "--profile", "smoke", "--outputs", tmp_path, "-p", "detection", settings)
    assert done.returncode == 2 and "write 1.0e-3" in done.stderr


def test_an_outputs_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = robnb("run", "01_fixed_feature", "--profile", "smoke", "--outputs", tmp_path / "file" / "below")
    assert done.returncode == 2 and "cannot write to the outputs folder" in done.stderr


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [(truncate_an_image, "is damaged|changed|another"), (remove_an_annotated_image, "missing|not there")],
)
def test_damaged_data_end_with_a_sentence_and_lose_nothing(undisturbed, tmp_path, damage, sentence):
    import re
    import shutil

    outputs = tmp_path / "outputs"
    shutil.copytree(undisturbed, outputs)
    damage(outputs)
    before = results(outputs)
    done = robnb("run", "01_fixed_feature", "--profile", "smoke", "--outputs", outputs)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("robnb: ")]
    assert re.search(sentence, line)
    assert results(outputs) == before
    assert os.path.exists(outputs / "smoke" / "01_fixed_feature" / "summary.csv")
