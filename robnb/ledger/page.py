"""The ledger as a page of Markdown that can be kept beside the code: verdicts, figure, and what made them."""

from __future__ import annotations

from typing import Any

from robnb.ledger.verdicts import Rules

_WORLDS = {
    True: "These are results of the paper's data and published weights.",
    False: "**These are miniworld results, not the paper's:** small networks, trained here on handwritten digits over "
    "photographs. A verdict says what holds in that world.",
}
_PACKAGES = ("robnb", "torch", "mmdet", "mmsegmentation")


def results_page(profile: str, counted: str, table: str, rules: Rules, resamples: int, stamp: dict[str, Any]) -> str:
    """The page of a profile.

    Args:
        counted: how many claims have which verdict, as a sentence.
        table: the ledger in Markdown.
        stamp: of `robnb.provenance`.
    """
    versions = ", ".join(f"{name} {stamp['versions'][name]}" for name in _PACKAGES)
    parts = [
        f"# The ledger of claims, profile {profile}",
        _WORLDS[profile == "paper"],
        counted,
        f"Judged from its store on {stamp['device']}, {stamp['ended']}, commit {stamp['commit']} ({versions}). "
        f"Level alpha {rules.alpha:g}, margin {rules.margin:g} points, {resamples:,} resamples. How verdicts are made: "
        f"`robnb/ledger/verdicts.py`. To make all of it again: `robnb run all --profile {profile}`.",
        table.strip(),
        "Every statement of every claim with its 95 % interval. To the right of zero is what the claim says.",
        "![Every statement of every claim with its interval](figures/statements.png)",
    ]
    return "\n\n".join(parts) + "\n"
