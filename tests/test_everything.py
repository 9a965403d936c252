"""Everything in smoke: `robnb run all` from nothing, by the real command, and what it leaves."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import nbformat
import pandas as pd
import pytest
import yaml
from browser import DESK, PHONE, faults, headless

from robnb.ledger.claims import CLAIMS
from robnb.ledger.verdicts import VERDICTS

ROOT = Path(__file__).parents[1]
LIST = yaml.safe_load((ROOT / "params" / "smoke" / "all.yaml").read_text())
VARIATIONS = [f"{name}@{variation}" for variation, of in LIST["variations"].items() for name in of["notebooks"]]
FOLDERS = [*LIST["notebooks"], *VARIATIONS, *LIST["after_all"]]

VIEW = "application/vnd.jupyter.widget-view+json"
#: Notebooks that transfer models.
SCORED = [name for name in LIST["notebooks"] if not name.startswith("00_")]

pytestmark = pytest.mark.slow


def run_all(outputs: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "robnb.cli", "run", "all", "--profile", "smoke", "--outputs", str(outputs)]
    return subprocess.run([*command, "--lanes", "1"], capture_output=True, text=True, cwd=ROOT, timeout=2400)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """The outputs of the smoke profile."""
    outputs = tmp_path_factory.mktemp("everything")
    done = run_all(outputs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" finished ") == len(FOLDERS), done.stdout
    return outputs / "smoke"


@pytest.mark.parametrize("name", FOLDERS)
def test_the_executed_notebook_is_clean(smoke, name):
    """No error, no warning, no leftover log in it; every figure is there once, as PNG and PDF."""
    folder, plain = smoke / name, name.partition("@")[0]
    notebook = nbformat.read(folder / f"{plain}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    streams = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "Warning" not in streams and "INFO" not in streams
    pictures = [output.data for output in outputs if "image/png" in output.get("data", {})]
    images = [data for data in pictures if VIEW not in data]  # of a widget it is no figure
    assert len(images) == len(list((folder / "figures").glob("*.png"))) == len(list((folder / "figures").glob("*.pdf")))
    tables = {form: {path.stem for path in (folder / "tables").glob(f"*.{form}")} for form in ("csv", "md", "tex")}
    assert tables["csv"] and tables["csv"] == tables["md"] == tables["tex"]
    assert json.loads((folder / "provenance.json").read_text())["parameters"]["profile"] == "smoke"


def test_no_model_is_trained_or_scored_twice(smoke):
    """Names of finished work are keys: as many as there are different trainings, whatever the notebooks ask for."""
    names = set()
    for name in ("00_pretrain", *SCORED, *VARIATIONS, "08_your_backbone"):
        scores = pd.read_csv(smoke / name / "scores.csv")
        upstream = scores[scores["task"] == "upstream"]
        names |= set(upstream[["backbone", "weights", "seed"]].itertuples(index=False, name=None))
    assert len(list((smoke / "store" / "pretrain").glob("*"))) == len(names)


# The ledger, on what the notebooks found


@pytest.fixture(scope="module")
def ledger(smoke) -> pd.DataFrame:
    return pd.read_csv(smoke / "07_does_it_transfer" / "ledger.csv").set_index("id")


def test_every_claim_has_a_verdict_and_a_reason(ledger):
    assert list(ledger.index) == [claim.id for claim in CLAIMS]
    assert set(ledger["verdict"]) <= set(VERDICTS)
    assert ledger["why"].str.len().gt(10).all()
    assert set(ledger["profile"]) == {"smoke"}


def test_what_smoke_cannot_say_is_not_run_and_says_why(ledger):
    """It has four corruptions, one radius beside the control, and no Small or Base."""
    assert ledger.loc["C25", "why"] == "01_fixed_feature has 4 of the 15 corruptions."
    assert ledger.loc["C13", "verdict"] == "not run"
    assert "03_model_size has no Base" in ledger.loc["C13", "why"]
    assert ledger.loc["C17", "why"].startswith("it takes two radii above 0. ")


def test_the_page_to_keep_has_every_claim_and_says_what_world_it_is_of(smoke, ledger):
    folder = smoke / "07_does_it_transfer"
    page = (folder / "results.md").read_text()
    assert "miniworld results, not the paper's" in page
    assert json.loads((folder / "provenance.json").read_text())["ended"] in page
    assert all(f"| {name} |" in page and row["verdict"] in page for name, row in ledger.iterrows())
    assert (folder / "figures" / "statements.png").is_file() and "](figures/statements.png)" in page


def test_its_numbers_are_the_notebooks(smoke):
    """Every difference of drops in C4, from the table of notebook 02, and its interval from differences.csv."""
    each = pd.read_csv(smoke / "07_does_it_transfer" / "statements.csv")
    drops = pd.read_csv(smoke / "02_full_network" / "drops.csv")
    drops = drops[(drops["category"] == "all") & (drops["regime"] == "full_network")]
    drops = drops.set_index(["weights", "metric", "backbone"])["drop"]
    values = each[each["id"] == "C4"]["value"].tolist()
    expected = [
        drops[weights, metric, "resnet_nano"] - drops["regular", metric, "resnet_nano"]
        for metric in ("box_AP", "mIoU")
        for weights in ("ant3x3", "deepaug_augmix")
    ]
    assert values == pytest.approx(expected, nan_ok=True)


def test_all_models_are_in_the_order_that_is_compared(smoke):
    agreement = pd.read_csv(smoke / "07_does_it_transfer" / "agreement.csv")
    plain = {}
    for name in SCORED:
        drops = pd.read_csv(smoke / name / "drops.csv").query("category == 'all'").dropna(subset="drop")
        for task, regime, metric, *model in drops[["task", "regime", "metric", "backbone", "weights"]].to_numpy():
            if "," not in model[1]:  # a transfer of its own kind has no upstream score of its own
                plain.setdefault((task, regime, metric), set()).add(tuple(model))
    for row in agreement.itertuples():
        assert row.models == len(plain.get((row.task, row.regime, row.metric), ()))


def test_the_page_has_the_ledger_and_every_notebook(smoke):
    page = (smoke / "index.html").read_text()
    for name in FOLDERS:
        assert f"{quote(name)}/{name.partition('@')[0]}.html" in page
    assert all(f">{claim.id}<" in page for claim in CLAIMS)


def test_nothing_is_wrong_with_any_page(smoke):
    """No request, no error, every picture there and described, no sideways scrolling; on a desk and on a phone."""
    pages = [smoke / "index.html", *(smoke / name / f"{name.partition('@')[0]}.html" for name in FOLDERS)]
    with headless() as browser:
        found = {(page.name, width): faults(browser, page, width) for page in pages for width in (DESK, PHONE)}
    assert {where: what for where, what in found.items() if what} == {}


# nbval, on every executed notebook


def compare(smoke: Path, *names: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tests" / "compare_executed.py", *names, "--outputs", smoke.parent]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=2400)


def test_every_cell_prints_the_same_when_it_is_executed_again(smoke):
    """What was computed in the first execution and what is read from the store in the second are the same tables."""
    products = {path: path.stat().st_mtime_ns for name in FOLDERS for path in (smoke / name).rglob("*")}
    done = compare(smoke)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " finished " not in done.stderr, "they were up to date"
    assert len(re.findall(r"^smoke/\S+\.ipynb \.+ ", done.stdout, re.MULTILINE)) == len(FOLDERS)
    assert {path: path.stat().st_mtime_ns for path in products} == products


def test_a_planted_digit_is_found_and_its_cell_named(smoke):
    path = smoke / "01_fixed_feature" / "01_fixed_feature.ipynb"
    before = path.read_text()
    notebook = nbformat.reads(before, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number, table = next(
        (k, o) for k, cell in enumerate(code) for o in cell.outputs if "text/html" in o.get("data", {})
    )
    html = table.data["text/html"]
    table.data["text/html"] = re.sub(r"\d(?=[^<>]*</td>)", lambda digit: str(9 - int(digit[0])), html, count=1)
    nbformat.write(notebook, path)
    done = compare(smoke, "01_fixed_feature")
    path.write_text(before)
    assert done.returncode == 1
    assert re.findall(r"^FAILED \S+::Cell \d+", done.stdout, re.MULTILINE) == [
        f"FAILED smoke/01_fixed_feature/01_fixed_feature.ipynb::Cell {number}"
    ]
