"""Which published weights and data sets each notebook needs, and which of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from robnb import assets
from robnb.assets import Asset, Roots, State
from robnb.errors import UserError
from robnb.parameters import notebook_parameters
from robnb.runner import load_parameters
from robnb.study import Study

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def notebook_needs(profile: str, root: Path) -> dict[str, tuple[Asset, ...]]:
    """What every notebook that reads published things needs, by its name.

    Args:
        profile: a folder of ``root``/params; notebooks without parameters in it are left out.
        root: the folder with notebooks/ and params/.

    Raises:
        UserError: unknown profile, or a notebook's parameters cannot be meant.
    """
    found = {}
    for source in sorted((root / "notebooks").glob("*.py")):
        if not (root / "params" / profile / f"{source.stem}.yaml").is_file():
            continue
        parameters = {**notebook_parameters(source), **load_parameters(source.stem, profile, root / "params")}
        if parameters.get("data") == "paper" and _reads_something(parameters):
            found[source.stem] = Study.from_notebook(source.stem, parameters).needed_assets
    if not found:
        raise UserError(f"no notebook of the profile {profile} reads published data: name another, such as paper.")
    return found


def _reads_something(parameters: Mapping[str, object]) -> bool:
    """Whether a notebook scores models or looks at images; 00_assets does neither until it is given backbones."""
    return bool(parameters.get("backbones", True) or parameters.get("trained"))


def states(needed: Mapping[str, tuple[Asset, ...]], roots: Roots) -> dict[Asset, State]:
    """The state of every asset that is needed; each is looked at once, however many notebooks need it."""
    wanted = dict.fromkeys(asset for of_notebook in needed.values() for asset in of_notebook)
    return {state.asset: state for state in assets.states(wanted, roots)}


def overview(needed: Mapping[str, tuple[Asset, ...]], found: Mapping[Asset, State], roots: Roots) -> pd.DataFrame:
    """One row for each asset that a notebook needs: whether it is there, and what it would take.

    Returns:
        asset, what, state ("verified", "present", "incomplete", "missing", "damaged"), size (of the download; "?" where
        it is not published), licence, needed_by (notebooks), folder.
    """
    by: dict[Asset, list[str]] = {}
    for notebook, of_notebook in needed.items():
        for asset in of_notebook:
            by.setdefault(asset, []).append(notebook.partition("_")[0] if notebook[0].isdigit() else notebook)
    rows = [
        {
            "asset": state.asset.name,
            "what": state.asset.title,
            "state": state.state,
            "size": size(state),
            "licence": state.asset.licence,
            "needed_by": ", ".join(by[state.asset]),
            "folder": str(roots.path(state.asset)),
        }
        for state in (found[asset] for asset in by)
    ]
    return pd.DataFrame(rows)


def commands(needed: Mapping[str, tuple[Asset, ...]], found: Mapping[Asset, State], roots: Roots, profile: str) -> str:
    """Markdown: what to type for each notebook that lacks something, and what has to be got by hand."""
    lines, by_hand = [], {}
    for notebook, of_notebook in needed.items():
        lacking = [asset for asset in of_notebook if not found[asset].usable]
        by_hand |= {asset.name: asset for asset in lacking if not asset.files}
        if any(asset.files for asset in lacking):
            lines.append(f"    robnb fetch --for {notebook} --profile {profile}")
    if not lines and not by_hand:
        return "Everything is there."
    said = [f"- {asset.title}: {asset.manual.format(folder=roots.path(asset))}" for asset in by_hand.values()]
    return "\n".join([*lines, "", *said])


def size(state: State) -> str:
    """Of the downloads, or "registration" where there is none."""
    if not state.asset.files:
        return "registration"
    if state.asset.bytes is None:
        return "?"
    return next(f"{state.asset.bytes / unit:.1f} {name}" for unit, name in _UNITS if state.asset.bytes >= unit)
