"""`make lab`: a real JupyterLab, used in a browser as a reader uses it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest
import yaml
from browser import PATIENCE, chromium, headless
from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.py"))
INSPECT = "00_inspect_corruptions.py"
#: For the tests alone: every cell is on the page, whether in sight or not.
SETTINGS = '{"windowingMode": "none"}'
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"

pytestmark = pytest.mark.slow


def in_smoke(path: Path, outputs: Path) -> None:
    """Give a percent notebook the smoke profile's parameters, in a cell of its own behind its parameters."""
    values = yaml.safe_load((ROOT / "params/smoke" / f"{path.stem}.yaml").read_text())
    values |= {"profile": "smoke", "outputs": str(outputs)}
    cell = "\n".join(["# %%", *(f"{name} = {value!r}" for name, value in values.items())])
    head, parameters, rest = re.split(r'(# %% tags=\["parameters"\]\n.*?\n\n)', path.read_text(), flags=re.DOTALL)
    path.write_text(f"{head}{parameters}{cell}\n\n{rest}")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """What `make lab` needs of this one; notebook 00_inspect_corruptions in smoke, the others as they are."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("notebooks", ".jupyter"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("Makefile", "jupytext.toml", "robnb/runner.py"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    in_smoke(root / "notebooks" / INSPECT, root / "outputs")
    return root


def said_address(log: Path, port: int) -> str:
    """What the log calls JupyterLab's address, once something listens there; the log is a moment too early."""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        said = re.search(r"(http://\S+\?token=\w+)\s", log.read_text())
        with socket.socket() as line:
            if said and line.connect_ex(("127.0.0.1", port)) == 0:
                return said[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def address(checkout) -> Iterator[str]:
    """Where `make lab` says that it is, token and all."""
    chromium()
    of_jupyter = checkout / "jupyter"
    settings = of_jupyter / "lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS)
    kinds = {"JUPYTER_CONFIG_DIR": "", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = {**os.environ, **{name: str(of_jupyter / below) for name, below in kinds.items()}}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--no-browser", f"--port={port}", "--port-retries=0", *["--allow-root"] * (os.geteuid() == 0)]
    command = ["make", "--old-file=venv", "lab", f"BIN={Path(sys.executable).parent}", f"ARGS={' '.join(arguments)}"]
    log = checkout / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield said_address(log, port)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the browser's console has called an error, and whatever was asked of another machine."""
    return []


@pytest.fixture(scope="module")
def lab(address, complaints) -> Iterator[Page]:
    """JupyterLab after its start, with the folder of the notebooks open."""
    here = f"http://{urlsplit(address).netloc}/"
    with headless() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: one.url.startswith((here, "data:", "blob:")) or complaints.append(one.url))
        page.goto(address)
        page.locator("#jupyterlab-splash").wait_for(state="detached")
        yield page


def opened(lab: Page, name: str) -> Locator:
    """The notebook that a double click on a file opens, when its kernel is ready."""
    lab.locator(f".jp-DirListing-item[title*='Name: {name}']").dblclick()
    lab.locator(f".jp-mod-current[title*='Name: {name}']").wait_for()
    expect(lab.locator(f"{PANEL} .jp-MarkdownCell h1").first).to_be_visible()
    expect(lab.locator(f"{PANEL} .jp-KernelName")).to_have_text(re.compile("^Python 3"))
    lab.locator(f"{PANEL} .jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for()
    return lab.locator(PANEL)


def saved(lab: Page, path: Path) -> str:
    """What is in a file after a save."""
    before = path.stat().st_mtime_ns
    lab.keyboard.press("Control+s")
    deadline = time.monotonic() + PATIENCE / 1000
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        lab.wait_for_timeout(50)
    lab.wait_for_timeout(200)  # until the whole of it is written
    return path.read_text()


def asked(address: str, path: str, method: str = "GET") -> IO[bytes]:
    """The answer of the server itself, which takes the token that the address ends with."""
    parts = urlsplit(address)
    header = {"Authorization": parts.query.replace("=", " ")}
    return urllib.request.urlopen(
        urllib.request.Request(f"http://{parts.netloc}/{path}", headers=header, method=method)
    )


def test_it_listens_on_localhost_and_wants_its_token(address):
    parts = urlsplit(address)
    assert parts.hostname == "127.0.0.1" and parts.path == "/lab/tree/notebooks"
    assert asked(address, "api/contents").status == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):
        asked(address.replace("token=", "token=0"), "api/contents")


@pytest.mark.parametrize("name", NAMES)
def test_a_double_click_opens_a_notebook_and_a_save_changes_nothing(lab, checkout, complaints, name):
    path = checkout / "notebooks" / name
    before = path.read_text()
    opened(lab, name)
    assert lab.locator(".jp-Dialog").count() == 0
    assert saved(lab, path) == before
    assert complaints == []


def test_the_corruptions_are_looked_at_in_smoke(lab, checkout, complaints):
    """Run all, move the slider, choose another corruption: the picture follows, and the file stays as it was."""
    path = checkout / "notebooks" / INSPECT
    before = path.read_text()
    panel = opened(lab, INSPECT)
    lab.locator(".lm-MenuBar-itemLabel:text-is('Run')").click()
    lab.locator(".lm-Menu-itemLabel:text-is('Run All Cells')").click()
    expect(panel.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output")).to_be_visible()
    panel.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for()
    assert panel.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0

    slider = panel.locator(".widget-slider", has_text="severity").locator(".noUi-handle")
    chosen = panel.get_by_label("corruption", exact=True)
    picture = panel.locator(".widget-html img[alt*=' at severity ']").first
    first = picture.get_attribute("src")
    slider.focus()
    lab.keyboard.press("ArrowRight")
    expect(picture).to_have_attribute("alt", re.compile("at severity 4"))
    second = picture.get_attribute("src")
    chosen.select_option(label="weather: fog")
    expect(picture).to_have_attribute("alt", re.compile("^fog at severity 4"))
    assert len({first, second, picture.get_attribute("src")}) == 3
    assert picture.evaluate("image => image.naturalWidth > 0")
    lab.screenshot(path=checkout / "inspect_corruptions.png")

    assert saved(lab, path) == before
    assert complaints == []


def test_a_program_is_not_changed_by_being_opened_as_a_notebook(lab, checkout):
    """JupyterLab opens every .py so; at least no header and no cell marks are written into it."""
    path = checkout / "robnb/runner.py"
    before = path.read_text()
    lab.locator(".jp-BreadCrumbs-home").click()
    for name in ("robnb", "runner.py"):
        lab.locator(f".jp-DirListing-item[title*='Name: {name}']").dblclick()
    lab.locator(".jp-Dialog .jp-mod-accept").click()  # of a kernel, which would be written into the header
    lab.locator(f"{PANEL} .jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for()
    assert saved(lab, path) == before
