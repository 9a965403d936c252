"""A reading of the store: what the ledger notebook's parameters ask for, done step by step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from robnb import parameters, provenance, tables
from robnb.errors import UserError
from robnb.ledger.entries import Entry, counts, judge_all, ledger
from robnb.ledger.found import Found, find
from robnb.ledger.page import results_page
from robnb.ledger.pool import Pool, pooled
from robnb.ledger.variations import judge_varied
from robnb.ledger.verdicts import Rules
from robnb.statistics.resampling import MIN_RESAMPLES
from robnb.store import write_json


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The ledger notebook's parameters, checked; what each means stands beside it in the notebook.

    Raises:
        UserError: a value that cannot be meant.
    """

    notebook: str
    profile: str
    outputs: str
    resamples: int
    seed: int
    alpha: float
    margin: float

    @classmethod
    def from_notebook(cls, notebook: str, namespace: dict[str, Any]) -> Reading:
        """Take the parameters from a notebook's globals; a misspelt one that was injected is an error."""
        names = {field.name for field in fields(cls)} - {"notebook"}
        return cls(notebook=notebook, **parameters.taken_from(namespace, names))

    def __post_init__(self) -> None:
        parameters.check_parameters(asdict(self), _EXAMPLES, "parameters")
        if self.resamples < MIN_RESAMPLES:
            raise UserError(f"resamples is {self.resamples}: it must be at least {MIN_RESAMPLES}.")
        _ = self.rules, self.started

    @cached_property
    def started(self) -> float:
        """When this reading began, in seconds since the epoch."""
        return time.time()

    @cached_property
    def rules(self) -> Rules:
        """How verdicts are made."""
        return Rules(self.alpha, self.margin)

    @cached_property
    def folder(self) -> Path:
        """Where this notebook's tables and figures go: outputs/<profile>/<notebook>."""
        return parameters.products_folder(self.outputs, self.profile, self.notebook)

    @cached_property
    def found(self) -> Found:
        """What the other notebooks have left in the store."""
        return find(self.folder.parent.parent, self.profile, self.resamples, self.seed)

    @cached_property
    def entries(self) -> list[Entry]:
        """Every claim with its verdict."""
        return judge_all(self.found, self.rules)

    @cached_property
    def varied(self) -> dict[str, list[Entry]]:
        """The claims about what each variation changes, with their verdicts."""
        return judge_varied(self.found, self.rules)

    @cached_property
    def pool(self) -> Pool:
        """All models together."""
        return pooled(self.found, self.resamples, self.seed)

    def finish(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Write the ledger, further tables in full precision and what made them; returns what ``robnb run`` prints.

        results.md is the ledger as a page of its own, with its figure and provenance.
        """
        entries = ledger(self.entries, self.rules)
        short = entries[["id", "claim", "measured", "verdict"]]
        for name, frame in {"ledger": entries, **frames}.items():
            tables.save(frame.assign(profile=self.profile), self.folder, name)
        tables.save(short, self.folder, "summary")
        stamp = provenance.stamp(seconds=time.time() - self.started)
        write_json(self.folder / "provenance.json", {"parameters": asdict(self), **stamp})
        tables.show(entries.drop(columns="section"), self.folder, "claims")
        table = (self.folder / "tables" / "claims.md").read_text(encoding="utf-8")
        page = results_page(self.profile, counts(self.entries), table, self.rules, self.resamples, stamp)
        (self.folder / "results.md").write_text(page, encoding="utf-8")
        return short


_EXAMPLES: dict[str, Any] = {
    "notebook": "", "profile": "", "outputs": "", "resamples": 0, "seed": 0, "alpha": 0.0, "margin": 0.0,
}  # fmt: skip
