"""The speed notebook: what is timed is what it says, and tables and sentences follow from the timings alone."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import nbformat
import numba
import numpy as np
import pandas as pd
import pytest
import torch

from robnb import plots, seeding
from robnb.corruptions import reference
from robnb.errors import UserError
from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS
from robnb.progress import bar
from robnb.speed import Benchmark, engines, report, timing
from robnb.speed.machine import machine, processor

ROOT = Path(__file__).parents[1]
NAMES = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
INSTALLED = Path(importlib.util.find_spec("imagecorruptions").submodule_search_locations[0]) / "corruptions.py"
PARAMETERS = {
    "notebook": "09_speed", "profile": "smoke", "outputs": "", "sizes": [[32, 40]], "severities": [1], "batch": 2,
    "repeats": 1, "seconds": 1.0, "numba_version": "", "gpu_size": [32, 40], "gpu_batch": 2, "gpu_repeats": 1,
    "calibration_size": [32, 40], "calibration_draws": 1,
}  # fmt: skip


@pytest.fixture
def photograph() -> np.ndarray:
    return Benchmark(**PARAMETERS).photograph([40, 48])


@pytest.fixture
def no_torch_uncertainty() -> Iterator[None]:
    """Neither the real one nor a test's stand-in is imported before or after."""

    def forget() -> None:
        for module in [name for name in sys.modules if name.split(".")[0] == "torch_uncertainty"]:
            del sys.modules[module]

    forget()
    yield
    forget()


def measured(engines_timed, names=("contrast",), severities=(1,), repeats=1, seconds=1.0, image=None):
    image = np.full((32, 40, 3), 99, np.uint8) if image is None else image
    progress = bar(len(names) * len(severities), "")
    return timing.measure(engines_timed, image, names, severities, repeats=repeats, seconds=seconds, progress=progress)


# What is timed


@pytest.mark.parametrize("name", [name for name in NAMES if name != "impulse_noise"])
def test_the_package_made_to_run_is_the_package(photograph, name):
    """Seeded alike, its pixels are those of the reference engine. impulse_noise cannot be seeded."""
    key = ("speed", name)
    call = engines.package().prepare(photograph, name, 3)
    np.random.set_state(seeding.random_state(*key).get_state())
    np.testing.assert_array_equal(call(), reference.corrupt(photograph, name, 3, key))


def test_ours_is_corrupt_with_another_draw_each_time(photograph):
    call = engines.ours().prepare(photograph, "gaussian_noise", 3)
    first, second = call(), call()
    assert first.shape == photograph.shape and not np.array_equal(first, second)
    batch = engines.ours_batched(4)
    images = batch.prepare(photograph, "gaussian_noise", 3)()
    assert batch.images == len(images) == len({image.numpy().tobytes() for image in images}) == 4
    assert np.array_equal(images[0].numpy(), first), "the same ids, and so the same work"


def test_every_engine_that_is_always_there_makes_every_corruption(photograph):
    frame = measured([engines.ours(), engines.ours_batched(2), engines.package()], NAMES, (1, 5), image=photograph)
    assert list(frame.columns) == timing.COLUMNS and len(frame) == 3 * 19 * 2
    assert (frame["ms"] > 0).all() and (frame["runs"] == 1).all() and (frame["reason"] == "").all()


def test_what_an_engine_cannot_do_is_an_empty_cell_with_its_reason(photograph):
    """The installed file as numba_version: it is run unrepaired, and three of its functions raise on today's numpy."""
    others = [engines.ours(), engines.numba_version(INSTALLED)]
    timings = measured(others, NAMES, image=photograph)
    failed = timings[timings["ms"].isna()]
    assert set(failed["engine"]) == {engines.NUMBA_VERSION}
    assert {"fog", "glass_blur", "gaussian_blur"} <= set(failed["corruption"])
    assert "multichannel" in failed.set_index("corruption")["reason"]["glass_blur"]
    frame = report.table(timings)
    assert frame[f"{engines.NUMBA_VERSION} (ms)"].isna()[["fog", "glass_blur", report.SUM]].all(), "never a zero"
    assert frame["ours (ms)"].notna().all()
    assert f"{engines.NUMBA_VERSION}, fog" in report.failures(timings)


def test_our_own_failure_is_an_error():
    def broken(image, name, severity):
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        measured([engines.Engine("ours", broken, foreign=False)])


def test_torch_uncertainty_gets_its_own_names_and_images(tmp_path, monkeypatch, photograph, no_torch_uncertainty):
    """A stand-in for the optional package: a class per corruption, called on a float tensor (3, H, W) in 0..1."""
    folder = tmp_path / "torch_uncertainty" / "transforms"
    folder.mkdir(parents=True)
    for path in (folder.parent / "__init__.py", folder / "__init__.py"):
        path.write_text("")
    classes = ("GaussianNoise", "Elastic", "JPEGCompression", "Saturation", "GlassBlur")
    body = "    def __init__(self, severity): self.severity = severity\n    def __call__(self, x): return self, x\n"
    (folder / "corruption.py").write_text("\n".join(f"class {name}:\n{body}" for name in classes))
    monkeypatch.syspath_prepend(tmp_path)
    engine = engines.torch_uncertainty()
    for name, title in zip(
        ("gaussian_noise", "elastic_transform", "jpeg_compression", "saturate", "glass_blur"), classes, strict=True
    ):
        transform, image = engine.prepare(photograph, name, 4)()
        assert type(transform).__name__ == title and transform.severity == 4
        assert image.shape == (3, 40, 48) and image.dtype == torch.float32
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy() * 255, photograph, atol=1e-4)
    timings = measured([engines.ours(), engine], ("spatter",), image=photograph)
    assert "torch-uncertainty, spatter: NotImplementedError: it has no spatter" in report.failures(timings)


def test_an_optional_engine_that_is_not_there_is_a_sentence_and_no_column(monkeypatch, tmp_path, no_torch_uncertainty):
    monkeypatch.setitem(sys.modules, "torch_uncertainty", None)
    benchmark = Benchmark(**PARAMETERS | {"outputs": str(tmp_path)})
    assert 'pip install -e ".[speed]"' in benchmark.left_out and "numba_version" in benchmark.left_out
    (timings,) = benchmark.cpu().values()
    assert list(timings["engine"].unique()) == ["ours", "ours, batch of 2", "imagecorruptions"]


# How it is timed


def test_engines_take_turns_after_one_untimed_call_each():
    log = []
    pair = [engines.Engine(title, lambda *_, title=title: lambda: log.append(title)) for title in "ab"]
    frame = measured(pair, repeats=3)
    assert "".join(log) == "ab" + "ababab"
    assert list(frame["runs"]) == [3, 3]


def test_the_fastest_call_counts_per_image_and_a_slow_engine_is_not_repeated(monkeypatch):
    """A clock that is moved by the calls: warm-up, then 4, 1 and 2 seconds for two images; the other takes 9."""
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def taking(*seconds):
        left = iter(seconds)
        return lambda *_: lambda: clock.__setitem__(0, clock[0] + next(left))

    pair = [engines.Engine("quick", taking(100, 4, 1, 2), images=2), engines.Engine("slow", taking(100, 9, 9, 9))]
    frame = measured(pair, repeats=3, seconds=8).set_index("engine")
    assert frame.loc["quick", "ms"] == 500 and frame.loc["quick", "runs"] == 3
    assert frame.loc["slow", "ms"] == 9000 and frame.loc["slow", "runs"] == 1


def test_one_thread_and_then_as_before():
    def threads():
        return torch.get_num_threads(), cv2.getNumThreads(), numba.get_num_threads()

    before = threads()
    with pytest.raises(ZeroDivisionError), timing.one_thread():
        assert threads() == (1, 1, 1)
        _ = 1 / 0
    assert threads() == before


def test_the_gpus_path_runs_on_the_cpu():
    frame, sentence = Benchmark(**PARAMETERS).on_device("cpu", copy=2**16)
    assert list(frame.index) == [*CORRUPTIONS, report.SUM, *VALIDATION_CORRUPTIONS]
    assert (frame > 0).all(axis=None)
    assert "batches of 2 at 32x40" in sentence and "aim: 2 ms" in sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_there_is_a_sentence():
    frame, sentence = Benchmark(**PARAMETERS).gpu()
    assert frame.empty and "no GPU" in sentence and report.markdown(frame) == ""


# Tables and sentences


def made_up(**ms: float) -> pd.DataFrame:
    """Timings at severities 1 and 3: ``ms`` and three times that, twice ``ms`` in the mean."""
    rows = [
        (title, name, severity, severity * value, 1, "")
        for title, value in ms.items()
        for name in NAMES
        for severity in (1, 3)
    ]
    return pd.DataFrame(rows, columns=timing.COLUMNS)


def test_the_table_by_hand():
    timings = made_up(ours=1.0, imagecorruptions=5.0)
    timings.loc[(timings["corruption"] == "fog") & (timings["engine"] == "ours"), "ms"] = [30.0, 50.0]
    frame = report.table(timings)
    assert list(frame.index) == [*CORRUPTIONS, report.SUM, *VALIDATION_CORRUPTIONS]
    assert list(frame.columns) == ["ours (ms)", "imagecorruptions (ms)", "imagecorruptions / ours"]
    assert list(frame.loc["snow"]) == [2.0, 10.0, 5.0]
    assert list(frame.loc["fog"]) == [40.0, 10.0, 0.25]
    assert list(frame.loc[report.SUM]) == [14 * 2.0 + 40.0, 150.0, 150.0 / 68.0]


def test_the_verdicts_follow_from_the_table():
    timings = made_up(**{"ours": 1.0, "imagecorruptions": 11.0, "imagecorruptions, numba": 3.0})
    timings.loc[(timings["corruption"] == "fog") & (timings["engine"] == "ours"), "ms"] = 8.0
    frame = report.table(timings)
    text = report.verdicts(frame, "480x640").splitlines()
    assert text == [
        "- 480x640: for the 15 together, imagecorruptions takes **9.2 times** as long as ours alone "
        "(aim: 10 times, missed).",
        "- 480x640: ours is slower than imagecorruptions in 0 of 19 single corruptions.",
        "- 480x640: for the 15 together, imagecorruptions, numba takes **2.5 times** as long as ours alone "
        "(aim: 4 times, missed).",
        "- 480x640: ours is slower than imagecorruptions, numba in 1 of 19 single corruptions: "
        "fog (1.33 times as long).",
    ]
    good = report.table(made_up(ours=1.0, imagecorruptions=10.0))
    assert "(aim: 10 times, reached)" in report.verdicts(good, "480x640")
    assert "aim" not in report.verdicts(good, "224x224"), "the aim is set for one size"


def test_bytes_per_second_by_hand():
    """An image of 1000 pixels in 2 ms: 6000 bytes, 3 MB/s; a copy that moves 30 MB/s is ten times as fast."""
    timings = pd.DataFrame([(name, 1, 2.0) for name in NAMES], columns=timing.DEVICE_COLUMNS)
    frame = report.device_table(timings, pixels=1000, bandwidth=3e7)
    np.testing.assert_allclose(frame.loc["fog"], [2.0, 0.003, 10.0])
    np.testing.assert_allclose(frame.loc[report.SUM], [30.0, 0.003, 10.0])
    sentence = report.device_sentence(frame, "A GPU", 3e12, 64, [480, 640])
    assert "**30.00 ms** per image" in sentence and "missed" in sentence and "moves 3000 GB/s" in sentence


def test_markdown_has_no_nan_and_breaks_no_table():
    frame = pd.DataFrame(
        {"ms": [1.2345, float("nan"), 0.0123], "what": ["a|b", "", "c"]}, index=pd.Index([1, 2, 3], name="n")
    )
    assert report.markdown(frame).splitlines() == [
        "| n | ms | what |", "| ---: | ---: | --- |", "| 1 | 1.23 | a\\|b |", "| 2 |  |  |", "| 3 | 0.012 | c |",
    ]  # fmt: skip


def test_the_calibrations_sentence_names_the_worst():
    frame = pd.DataFrame(
        {
            "corruption": ["fog", "snow"], "severity": [1, 2], "equal": [99.0, 90.0], "within_1": [100.0, 99.5],
            "largest": [1, 3], "mean_fast": [100.0, 50.0], "mean_reference": [101.5, 50.0],
            "mean_error": [0.75, 0.0], "psnr_fast": [20.0, 10.0], "psnr_reference": [20.5, 9.5], "psnr_error": [0.2, 0],
        }
    )  # fmt: skip
    sentence = report.calibration_sentence(frame)
    assert "at least 99.500 %" in sentence and "more than 3 (snow at severity 2)" in sentence
    # snow has no error here, as what draws nothing, and is left out: 1.5 / 0.75 and 0.5 / 0.2 are fog's.
    assert "1 conditions" in sentence and "2.0 standard errors apart, the PSNRs at most 2.5" in sentence
    assert list(report.calibration_table(frame).columns) == list(report.CALIBRATION_TITLES.values())


def test_the_figure_shows_every_engine_and_corruption():
    figure = plots.speed(made_up(ours=1.0, imagecorruptions=10.0))
    (axis,) = figure.axes
    assert axis.get_xscale() == "log" and axis.yaxis_inverted()
    assert [label.get_text().replace(" ", "_") for label in axis.get_yticklabels()] == list(NAMES)
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {"ours", "imagecorruptions"}


def test_the_processor_has_a_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor 3000\n")
    assert processor(tmp_path / "cpuinfo") == "A Processor 3000"
    assert processor(tmp_path / "nothing")
    assert {"processor", "cores", "GPU", "torch", "numba", "opencv-python"} <= set(machine())


# The notebook


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": []}, "no size was given"),
        ({"sizes": [[480]]}, r"\[height, width\].*not \[480\]"),
        ({"gpu_size": [16, 480]}, "each at least 32"),
        ({"sizes": [["480", 640]]}, "should be a whole number"),
        ({"severities": [6]}, "severity must be an integer from 1 to 5"),
        ({"severities": []}, "no severity was given"),
        ({"repeats": 0}, "repeats should be at least 1, not 0"),
        ({"batch": -1}, "batch should be at least 1"),
        ({"calibration_draws": 0}, "calibration_draws should be at least 1"),
        ({"numba_version": "nowhere/corruptions.py"}, "no folder frost beside it"),
    ],
)
def test_bad_parameters_are_one_sentence(change, message):
    with pytest.raises(UserError, match=message) as caught:
        Benchmark(**PARAMETERS | change)
    assert "\n" not in str(caught.value)


def test_a_misspelt_injected_parameter_is_found():
    namespace = {name: value for name, value in PARAMETERS.items() if name != "notebook"}
    assert Benchmark.from_notebook("09_speed", namespace) == Benchmark(**PARAMETERS)
    with pytest.raises(UserError, match="unknown parameter 'repeat': did you mean 'repeats'"):
        Benchmark.from_notebook("09_speed", {**namespace, "In": ["# Parameters\nrepeat = 3\n"], "repeat": 3})


@pytest.mark.slow
def test_the_notebook_runs_by_its_command(tmp_path):
    command = [sys.executable, "-m", "robnb.cli", "run", "09_speed", "--profile", "smoke", "--outputs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    assert report.SUM in done.stdout and "CPU, 64x64" in done.stdout and "figures/speed.png" in done.stdout
    folder = tmp_path / "smoke" / "09_speed"
    table = pd.read_csv(folder / "speed.csv")
    assert len(table) == 2 * (15 + 1 + 4) and set(table["profile"]) == {"smoke"}
    assert (table[["ours (ms)", "imagecorruptions (ms)"]] > 0).all(axis=None)
    assert len(pd.read_csv(folder / "calibration.csv")) == 19 * 5
    assert {"deepaug_augmix", "cae"} < set(pd.read_csv(folder / "recipes.csv")["recipe"])
    assert set(pd.read_csv(folder / "executions.csv")["way"]) > {"bfloat16 + channels_last"}
    for name in ("speed", "calibration"):
        text = (folder / f"{name}.md").read_text()
        assert text.startswith("Profile smoke.") and "| processor |" in text and "nan" not in text.lower().split()
    stamp = json.loads((folder / "provenance.json").read_text())
    assert stamp["parameters"]["batch"] == 2 and stamp["machine"]["torch"] == torch.__version__.split("+")[0]
    cells = nbformat.read(folder / "09_speed.ipynb", as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 4
