"""What the notebooks of a profile have left, as a page needs it: text, tables, figures and provenance of each one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jupytext
import nbformat
import pandas as pd
from PIL import Image

from robnb.parameters import notebook_parameters
from robnb.report.essay import Essay
from robnb.rounds.entries import Listed, listed
from robnb.runner import load_parameters
from robnb.tables import with_intervals

FINISHED, FAILED, UNFINISHED, NOT_RUN = "finished", "failed", "unfinished", "not run"
#: What a run is told by its place, not by its parameters.
_PLACE = {"profile", "outputs", "variation"}
_TABLES = (".csv", ".md", ".tex")


@dataclass(frozen=True)
class Table:
    """Cells as text; ``numeric`` has the columns that are aligned to the right."""

    caption: str
    columns: list[str]
    rows: list[list[str]]
    numeric: set[int]


@dataclass(frozen=True)
class Figure:
    """A drawing: links to its image and, where there is one, its PDF; what it shows, in words; its size in pixels."""

    image: str
    pdf: str | None
    caption: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class Run:
    """A notebook in one variation of its parameters ("" for the profile's own): what there is of it.

    ``state`` is one of "finished", "failed", "unfinished" (products without a finished run of ``robnb run``: one that
    is in the middle, or was made in an editor) and "not run". Links are relative to the page; ``files`` are tables by
    name, with the link of each form. ``changed`` are the parameters that differ from the profile's.
    """

    notebook: str
    variation: str
    essay: Essay
    state: str
    command: str
    changed: Mapping[str, object] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    summary: Table | None = None
    files: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    minutes: float | None = None
    ended: str = ""

    @property
    def name(self) -> str:
        """As the folder of its products."""
        return f"{self.notebook}@{self.variation}" if self.variation else self.notebook


def runs(profile: str, outputs: Path, root: Path) -> list[Run]:
    """Every notebook that the profile has parameters for, every variation that it lists, and whatever else was run.

    Args:
        root: the folder with notebooks/ and params/.

    Returns:
        them by name, each notebook before its variations.

    Raises:
        UserError: the profile's list of notebooks cannot be meant.
    """
    folder = outputs / profile
    there = [path.stem for path in (root / "notebooks").glob("*.py")]
    named = {name: Listed(name) for name in there if (root / "params" / profile / f"{name}.yaml").is_file()}
    if (root / "params" / profile / "all.yaml").is_file():
        named |= {entry.name: entry for entry in listed(profile, root)}
    for path in folder.glob("*/"):
        notebook, _, variation = path.name.partition("@")
        if any(path.glob("*.ipynb")) or any(path.glob("*.csv")):  # which neither the store nor the data have
            named.setdefault(path.name, Listed(notebook, variation))
    return [_run(named[name], profile, folder, root) for name in sorted(named)]


def _run(entry: Listed, profile: str, page: Path, root: Path) -> Run:
    folder, name = page / entry.name, entry.notebook
    source = root / "notebooks" / f"{name}.py"
    executed = _executed(folder / f"{name}.ipynb")
    essay = Essay.of(executed or (jupytext.read(source, fmt="py:percent") if source.is_file() else None), name)
    about = executed.metadata.get("papermill", {}) if executed else {}
    given = about.get("parameters", entry.parameters or {})
    changed = _changed(given, source, profile, root / "params")
    links = {
        kind: _link(folder / f"{name}{suffix}", page)
        for kind, suffix in {"html": ".html", "ipynb": ".ipynb", "failed": ".failed.ipynb"}.items()
        if (folder / f"{name}{suffix}").is_file()
    }
    files = _files(folder, page)
    figures = tuple(_figure(path, page, essay) for path in sorted((folder / "figures").glob("*.png")))
    return Run(
        name,
        entry.variation,
        essay,
        _state(links, bool(files or figures or list(folder.glob("*.running.ipynb")))),
        command(profile, name, entry.variation, changed),
        changed,
        links,
        read_table(folder / "summary.csv", profile),
        files,
        figures,
        _provenance(folder / "provenance.json"),
        about["duration"] / 60 if about.get("duration") else None,
        str(about.get("end_time") or "")[:16].replace("T", " "),
    )


def command(profile: str, notebook: str, variation: str = "", changed: Mapping[str, object] | None = None) -> str:
    """What to type for this run."""
    words = ["robnb", "run", notebook, "--profile", profile, *(["--variation", variation] if variation else [])]
    for name, value in (changed or {}).items():
        words += ["-p", name, json.dumps(value, default=str)]
    return shlex.join(words)


def read_table(path: Path, profile: str) -> Table | None:
    """A CSV file for reading, every number with its interval; None if it is not there.

    The column that stamps the profile on every row is left out: the page says it once.
    """
    if not path.is_file():
        return None
    full = pd.read_csv(path)
    frame = with_intervals(full)
    if "profile" in frame and (frame["profile"] == profile).all():
        frame = frame.drop(columns="profile")
    numeric = {place for place, kind in enumerate(frame.dtypes) if pd.api.types.is_numeric_dtype(kind)}
    rows = [[_text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    said = [f"Summary of {path.parent.name}"]
    said += ["P, mPC, rPC and drop in percent"] * ({"P", "mPC", "drop"} <= set(full))
    said += ["95 % intervals in brackets"] * any(str(column).endswith("_low") for column in full)
    return Table("; ".join(said), [str(column) for column in frame.columns], rows, numeric)


def _text(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _executed(path: Path) -> nbformat.NotebookNode | None:
    return nbformat.read(path, as_version=4) if path.is_file() else None


def _state(links: Mapping[str, str], products: bool) -> str:
    if "ipynb" in links:
        return FINISHED
    if "failed" in links:
        return FAILED
    return UNFINISHED if products else NOT_RUN


def _changed(given: Mapping[str, object], source: Path, profile: str, params: Path) -> dict[str, object]:
    """The parameters of a run that are not what the profile has now."""
    if not (source.is_file() and (params / profile / f"{source.stem}.yaml").is_file()):
        return {}
    usual = {**notebook_parameters(source), **load_parameters(source.stem, profile, params)}
    return {name: value for name, value in given.items() if name not in _PLACE and usual.get(name) != value}


def _files(folder: Path, page: Path) -> dict[str, list[tuple[str, str]]]:
    """Tables by name, each with its forms: {"tables/ranks": [("csv", link), ("tex", link)]}."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in _sorted(each for each in folder.rglob("*") if each.suffix in _TABLES and each.name[0] != "."):
        name = str(path.relative_to(folder).with_suffix(""))
        found.setdefault(name, []).append((path.suffix[1:], _link(path, page)))
    return found


def _sorted(paths: Iterable[Path]) -> list[Path]:
    """Those of the notebook's folder first, then those below it."""
    return sorted(paths, key=lambda path: (len(path.parts), path))


def _figure(path: Path, page: Path, essay: Essay) -> Figure:
    pdf = path.with_suffix(".pdf")
    words = path.stem.replace("_", " ")
    heading = essay.headings.get(path.stem)
    caption = f"{heading} ({words})" if heading and heading.lower() != words else heading or words
    with Image.open(path) as image:
        width, height = image.size
    link = _link(pdf, page) if pdf.is_file() else None
    return Figure(_link(path, page), link, caption, f"{essay.title}: {caption}", width, height)


def _provenance(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # not every notebook writes one
        return {}


def _link(path: Path, page: Path) -> str:
    return quote(str(path.relative_to(page)))
