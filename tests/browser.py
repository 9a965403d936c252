"""A headless Chromium for the tests, and what a reader would find wrong with a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

#: As in .ci/chromium.
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Root needs the first two; the others keep Chromium from looking for things outside.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Widths of a window in pixels.
PHONE, DESK = 360, 1200
#: Milliseconds; for machines that do other things beside.
PATIENCE = 120_000
#: What nbconvert writes where a picture has no description.
_UNDESCRIBED = "No description has been provided for this image"
_OF_THE_PAGE = """(undescribed) => [
    ...[...document.images].filter((image) => !image.naturalWidth).map((image) => `not loaded: ${image.outerHTML}`),
    ...[...document.images].filter((image) => !image.alt.trim() || image.alt == undescribed)
        .map((image) => `no description: ${image.outerHTML}`),
    ...document.documentElement.scrollWidth > innerWidth ? ["scrolls sideways"] : [],
]"""


def chromium() -> str:
    """The path of this machine's Chromium. Where there is none a test is skipped, and fails in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        sentence = "NO CHROMIUM WAS FOUND, so nothing was looked at in a browser: install it (.ci/chromium, as root)."
        pytest.fail(sentence) if os.environ.get("ROBNB_CI") else pytest.skip(sentence)
    return found


@contextmanager
def headless() -> Iterator[Browser]:
    """A browser without a window."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


def faults(browser: Browser, path: Path, width: int = DESK) -> list[str]:
    """What is wrong with a page that is opened from its file, without a network, in a window of so many pixels."""
    found: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    page = context.new_page()
    page.on("console", lambda said: found.append(f"{said.type}: {said.text}") if said.type != "log" else None)
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else found.append(request.url)
    )
    page.goto(path.as_uri(), timeout=PATIENCE)
    found += page.evaluate(_OF_THE_PAGE, _UNDESCRIBED)
    context.close()
    return [fault[:200] for fault in found]
