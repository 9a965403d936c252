"""The pages that a run leaves, as a browser shows them: the executed notebook's, and the profile's."""

import base64
import copy
import io
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from browser import DESK, PHONE, chromium, faults, headless
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from playwright.sync_api import Browser, Page

from robnb.notebook_page import as_html

ROOT = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
LONG = "scores = " + " + ".join(f"term_{k}" for k in range(60))
each_width = pytest.mark.parametrize("width", [DESK, PHONE])


@pytest.fixture(scope="module")
def browser():
    with headless() as opened:
        yield opened


def picture(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (0, 90, 160)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shown(data: dict[str, object], **metadata: object) -> nbformat.NotebookNode:
    return new_output("display_data", data=data, metadata=metadata)


def executed() -> nbformat.NotebookNode:
    """A notebook with everything that is hard to show: wide, moving, or in need of a kernel."""
    table = (
        "<table class='dataframe'><tr>" + "".join(f"<td>-12.3 [-{k}.0, 4.5]</td>" for k in range(25)) + "</tr></table>"
    )
    bar = new_output("stream", text="score:   0%|     | 0/9\rscore:  50%|##   | 4/9\rscore: 100%|#####| 9/9\n")
    view = {WIDGET: {"model_id": "a", "version_major": 2, "version_minor": 0}}
    cells = [
        new_markdown_cell(
            "# 01 Hard *things*\n\n**Question.** Does `a_very_long_name_of_a_file_that_never_ends.csv` fit?"
        ),
        new_markdown_cell("| " + " | ".join("abcdefghij") + " |\n" + "|---" * 10 + "|\n" + "| a long cell " * 10 + "|"),
        new_code_cell("steps = 2", metadata={"tags": ["parameters"]}),
        new_code_cell("steps = 3", metadata={"tags": ["injected-parameters"]}),
        new_markdown_cell("## A wide figure\n\nAs wide as two screens."),
        new_code_cell(LONG, outputs=[bar, shown({"image/png": picture(2400, 300), "text/plain": "<Figure>"})]),
        new_code_cell("table", outputs=[shown({"text/html": table, "text/plain": "a table"})]),
        new_code_cell("print(1)", outputs=[new_output("stream", text="what a cell printed\n")]),
        new_code_cell(
            "browser",
            outputs=[
                shown(
                    {**view, "image/png": picture(300, 80), "text/plain": "two dogs"},
                    **{"image/png": {"alt": "two dogs"}},
                )
            ],
        ),
        new_code_cell("slider", outputs=[shown({**view, "text/plain": "IntSlider(value=3)"})]),
    ]
    state = {
        "state": {"a": {"model_name": "VBoxModel", "model_module": "m", "model_module_version": "2.0.0", "state": {}}}
    }
    return new_notebook(cells=cells, metadata={"widgets": {STATE: {**state, "version_major": 2, "version_minor": 0}}})


@pytest.fixture(scope="module")
def essay(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("essay") / "01_hard.html"
    path.write_text(as_html(executed()))
    return path


@pytest.fixture
def page(browser: Browser, essay: Path) -> Page:
    opened = browser.new_page()
    opened.goto(essay.as_uri())
    yield opened
    opened.close()


# The executed notebook


@each_width
def test_nothing_is_wrong_with_a_hard_notebook(browser, essay, width):
    assert faults(browser, essay, width) == []


def test_code_is_folded_and_unfolds_by_cell_or_all_at_once(page):
    assert page.title() == "01 Hard things"
    codes = page.locator("details.code")
    sources = codes.locator(".highlight")
    assert codes.count() == 7
    assert [sources.nth(k).is_visible() for k in range(7)] == [False] * 7
    page.get_by_text("Parameters of this run").click()
    assert [sources.nth(k).is_visible() for k in range(7)] == [False, True] + [False] * 5
    everything = page.get_by_role("button", name="Show all code")
    everything.click()
    assert [sources.nth(k).is_visible() for k in range(7)] == [True] * 7
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long line scrolls in its own box"
    everything.click()
    assert not sources.first.is_visible()


def test_a_widget_is_its_picture_or_its_text(page, essay):
    """The exporter's copy has no trace of the widgets; the notebook itself keeps them."""
    assert "vnd.jupyter" not in essay.read_text()
    assert page.get_by_alt_text("two dogs").is_visible()
    assert page.get_by_text("IntSlider(value=3)").is_visible()
    assert page.locator("img").first.get_attribute("alt") == "Figure 1: A wide figure"
    notebook = executed()
    before = copy.deepcopy(notebook)
    as_html(notebook)
    assert notebook == before


def test_a_progress_bar_is_folded_and_only_its_end_is_kept(page):
    progress = page.get_by_text("score:")
    assert progress.inner_text() == "" and not progress.is_visible()
    page.get_by_text("Progress", exact=True).click()
    assert progress.inner_text().strip() == "score: 100%|#####| 9/9"
    assert page.get_by_text("what a cell printed").is_visible()


def test_without_scripts_the_code_unfolds_too(browser, essay):
    opened = browser.new_page(java_script_enabled=False)
    opened.goto(essay.as_uri())
    assert not opened.locator("button").is_visible(), "it would do nothing"
    opened.locator("details.code summary").first.click()
    assert opened.locator("details.code .highlight").first.is_visible()
    opened.close()


def test_print_leaves_out_the_code_and_keeps_the_rest(page):
    page.emulate_media(media="print")
    hidden = [
        page.locator("details.code summary").first,
        page.get_by_text("Progress", exact=True),
        page.locator("button"),
    ]
    assert not any(each.is_visible() for each in hidden)
    assert page.get_by_alt_text("two dogs").is_visible() and page.locator("table").first.is_visible()


# What the other tests rely on


def test_a_page_with_faults_is_found_out(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><img src='gone.png' alt='gone'><script src='https://example.org/a.js'></script>"
        f"<script>undefined_name()</script><img src='data:image/png;base64,{picture(900, 9)}'>"
    )
    found = "\n".join(faults(browser, path, PHONE))
    for fault in ("failed: file:", "not loaded", "https://example.org/a.js", "error: undefined_name", "no description"):
        assert fault in found
    assert found.endswith("scrolls sideways")


def test_without_a_chromium_it_is_skipped_loudly_and_fails_in_ci(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ROBNB_CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NO CHROMIUM WAS FOUND"):
        chromium()
    monkeypatch.setenv("ROBNB_CI", "1")
    with pytest.raises(pytest.fail.Exception, match="NO CHROMIUM WAS FOUND"):
        chromium()
    assert "export ROBNB_CI=1" in (ROOT / ".ci/run").read_text()


# A real run


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """What a run of 00_inspect_corruptions and `robnb report` leave."""
    outputs = tmp_path_factory.mktemp("outputs")
    for arguments in (["run", "00_inspect_corruptions"], ["report"]):
        command = [sys.executable, "-m", "robnb.cli", *arguments, "--profile", "smoke", "--outputs", str(outputs)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    return outputs / "smoke"


@pytest.mark.slow
@each_width
@pytest.mark.parametrize("name", ["00_inspect_corruptions/00_inspect_corruptions.html", "index.html"])
def test_nothing_is_wrong_with_what_a_run_leaves(browser, smoke, name, width):
    assert faults(browser, smoke / name, width) == []


@pytest.mark.slow
def test_the_widget_of_the_run_is_a_picture(browser, smoke):
    opened = browser.new_page()
    opened.goto((smoke / "00_inspect_corruptions/00_inspect_corruptions.html").as_uri())
    assert opened.get_by_alt_text("under the 15 corruptions").is_visible()
    opened.close()
