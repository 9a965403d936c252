"""The page itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from robnb.errors import UserError
from robnb.names import choose
from robnb.report.products import NOT_RUN, Run, command, runs

#: Where the claims of the paper are judged, and the order and marks in which verdicts are counted.
LEDGER = "07_does_it_transfer"
_MARKS = {"holds": "✔︎", "does not hold": "✘︎", "undecided": "?", "not run": "…"}
_OF_ENVIRONMENT = ("commit", "python", "platform", "device", "threads", "versions")


@dataclass(frozen=True)
class Made:
    """What made the products of some notebooks: commit, Python, platform, device, threads and versions."""

    by: dict[str, Any]
    notebooks: list[str]


def write(profile: str, outputs: Path, root: Path) -> Path:
    """Write ``<outputs>/<profile>/index.html``, whole or not at all; returns the path.

    Args:
        root: the folder with notebooks/ and params/.

    Raises:
        UserError: there is no such profile, nothing in its outputs folder, or no way to write there.
    """
    folder = outputs / profile
    if not folder.is_dir():
        choose(profile, sorted(path.name for path in (root / "params").glob("*/")), "profile")
        raise UserError(f"nothing is in {folder}: run `robnb run all --profile {profile}` first, or say --outputs.")
    path, unfinished = folder / "index.html", folder / ".index.html.part"
    try:
        unfinished.write_text(_page(profile, outputs, root), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): free some space, or make it writable.") from None
    return path


def _page(profile: str, outputs: Path, root: Path) -> str:
    found = runs(profile, outputs, root)
    notebooks = [run for run in found if not run.variation]
    known = {run.notebook for run in notebooks}
    notebooks += [run for run in found if run.notebook not in known]  # a variation alone
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    ).get_template("page.html.j2")
    claims = _ledger(outputs / profile / LEDGER / "ledger.csv")
    return template.render(
        profile=profile,
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        notebooks=notebooks,
        variations={run.name: [one for one in found if one.variation and one.notebook == run.name] for run in found},
        runs=found,
        not_run=[run for run in found if run.state == NOT_RUN],
        claims=claims,
        verdicts=[(verdict, count) for verdict, count in _counted(claims).items() if count],
        marks=_MARKS,
        made=_made(found),
        ledger_run=next((run for run in found if run.name == LEDGER), None),
        command=command(profile, "all"),
        has_list=(root / "params" / profile / "all.yaml").is_file(),
    )


def _ledger(path: Path) -> list[dict[str, str]]:
    """The claims of the paper with their verdicts, as notebook 07 has written them; empty if it has not."""
    if not path.is_file():
        return []
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = ["id", "section", "claim", "paper", "measured", "verdict", "why"]
    return frame.reindex(columns=columns, fill_value="").to_dict("records")


def _counted(claims: Sequence[dict[str, str]]) -> dict[str, int]:
    counts = Counter(claim["verdict"] for claim in claims)
    return {verdict: counts[verdict] for verdict in dict.fromkeys([*_MARKS, *counts])}


def _made(found: Sequence[Run]) -> list[Made]:
    """The environments that the products come from, mostly one."""
    made: list[Made] = []
    for run in found:
        if not run.provenance:
            continue
        by = {key: run.provenance.get(key) for key in _OF_ENVIRONMENT}
        same = next((one for one in made if one.by == by), None)
        if same is None:
            made.append(same := Made(by, []))
        same.notebooks.append(run.name)
    return made
