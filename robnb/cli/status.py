"""``robnb status``."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robnb.cli.notebook import add_outputs, outputs_of
from robnb.cli.text import duration, size, table

if TYPE_CHECKING:
    from robnb.planning.holdings import Holding


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    status = commands.add_parser(
        "status",
        help="list what is kept",
        description="List the finished and unfinished work in the stores of the outputs folder, with its time and "
        "size, and whether a process is at it now.",
        epilog="Example: robnb status --profile smoke",
    )
    status.add_argument("--profile", metavar="P", help="only this one's store (default: all)")
    add_outputs(status)
    status.set_defaults(command=_status)


def _status(arguments: argparse.Namespace) -> int:
    from robnb.names import choose
    from robnb.planning.holdings import holdings

    outputs = outputs_of(arguments)
    stores = {path.parent.name: path for path in sorted(outputs.glob("*/store"))}
    if not stores:
        print(f"nothing is kept below {outputs}: no notebook has been run there.")
        return 0
    chosen = [choose(arguments.profile, stores, "profile with a store")] if arguments.profile else list(stores)
    for profile in chosen:
        _show(profile, stores[profile], holdings(stores[profile]))
    return 0


def _show(profile: str, root: Path, held: Sequence[Holding]) -> None:
    names = _Names(held)
    whole = [holding for holding in held if holding.finished and not holding.damaged]
    unfinished = [holding for holding in held if not holding.finished]
    damaged = [holding for holding in held if holding.damaged]
    print(f"profile {profile}: {root}")
    groups = defaultdict(list)
    for holding in whole:
        groups[names.group(holding)].append(holding)
    kinds = [*_TABLES, *sorted({holding.kind for holding in whole} - set(_TABLES))]
    for kind, what in sorted(groups, key=lambda group: (kinds.index(group[0]), group)):
        members = groups[kind, what]
        print(f"\n{kind}{what}: {len(members)} finished")
        print(_TABLES.get(kind, _others)(members, names))
    if unfinished:
        print("\nunfinished")
        print(_unfinished(unfinished, names))
    if damaged:
        print("\ndamaged: no spec.json tells what it is; delete these folders, and the work is done again")
        for holding in damaged:
            print(f"  {holding.folder} ({size(holding.bytes)})")
    total = size(sum(holding.bytes for holding in held))
    print(f"\nin all: {len(whole)} finished, {len(unfinished)} unfinished, {len(damaged)} damaged, {total}\n")


class _Names:
    """What the models that sweeps and transfers name by their keys are called."""

    def __init__(self, held: Sequence[Holding]) -> None:
        self._specs = {holding.key: holding.spec for holding in held if holding.kind in ("pretrain", "transfer")}

    def model(self, key: str) -> str:
        """``resnet50.regular, seed 0``, or the key of weights that were not trained here."""
        spec = self._specs.get(key)
        return f"{trained(spec)}, seed {spec['seed']}" if spec else f"weights {key}"

    def group(self, holding: Holding) -> tuple[str, str]:
        """The kind, and what its members have in common."""
        spec = holding.spec
        if holding.kind not in ("transfer", "sweep"):
            return holding.kind, ""
        of_model = self._specs.get(spec.get("model"), {}) if holding.kind == "sweep" else spec
        return holding.kind, f" {spec.get('task')}, {of_model.get('regime', 'pretrained')}"


def trained(spec: dict[str, Any]) -> str:
    """``architecture.weights`` of a backbone's training, or which helper network is trained."""
    named = spec.get("backbone") or spec.get("network")
    return named or f"{spec.get('architecture', '?')}.{spec.get('recipe', '?')}"


def _when(holding: Holding) -> list[str]:
    """Finished, took and size."""
    ended = str(holding.provenance.get("ended", "?")).replace("T", " ")[:16]
    return [ended, duration(holding.provenance.get("seconds") or 0), size(holding.bytes)]


_WHEN = ["finished (UTC)", "took", "size"]


def _budget(spec: dict[str, Any]) -> str:
    budget = spec.get("budget", {})
    return f"{budget.get('iterations', '?')} x {budget.get('batch_size', '?')}"


def _trained(held: Sequence[Holding], names: _Names) -> str:
    rows = [[trained(h.spec), h.spec.get("seed"), _budget(h.spec), *_when(h)] for h in held]
    what = "network" if held[0].kind == "network" else "backbone"
    return table([what, "seed", "steps x images", *_WHEN], sorted(rows, key=str), right=(1, 4, 5))


def _swept(held: Sequence[Holding], names: _Names) -> str:
    rows = [[names.model(h.spec.get("model")), panel(h.spec), h.spec.get("images"), *_when(h)] for h in held]
    # What is scored in one call shares its images, and so its time.
    when = [_WHEN[0], "together took", _WHEN[2]]
    return table(["model", "conditions", "images", *when], sorted(rows, key=str), right=(2, 4, 5))


def panel(spec: dict[str, Any]) -> str:
    """``clean``, or ``15 at severity 3``; the draw is named if it is not the first."""
    conditions = spec.get("conditions") or [["?", 0]]
    if len(conditions) == 1 and conditions[0][1] == 0:
        return str(conditions[0][0])
    draw = f", draw {spec['replicate'] + 1}" if spec.get("replicate") else ""
    return f"{len(conditions)} at severity {conditions[0][1]}{draw}"


def _resampled(held: Sequence[Holding], names: _Names) -> str:
    """There is one for each score, so they are added up."""
    groups = defaultdict(list)
    for holding in held:
        groups[tuple(holding.spec.get(name) for name in ("metric", "images", "resamples", "seed"))].append(holding)
    rows = []
    for group, members in sorted(groups.items(), key=str):
        last = max(str(member.provenance.get("ended", "?")) for member in members).replace("T", " ")[:16]
        rows.append([*group, len(members), last, size(sum(member.bytes for member in members))])
    return table(["metric", "images", "resamples", "seed", "scores", "last (UTC)", "size"], rows, right=(1, 2, 3, 4, 6))


def _others(held: Sequence[Holding], names: _Names) -> str:
    return table(["key", *_WHEN], [[holding.key, *_when(holding)] for holding in held], right=(2, 3))


#: Kinds of work that are trainings.
_TRAININGS = ("network", "pretrain", "transfer")
_TABLES = {**dict.fromkeys(_TRAININGS, _trained), "sweep": _swept, "bootstrap": _resampled}


def _unfinished(held: Sequence[Holding], names: _Names) -> str:
    rows = []
    for holding in held:
        touched = time.strftime("%Y-%m-%d %H:%M", time.gmtime(holding.touched)) if holding.touched else "?"
        now = "now" if holding.held else "nobody"
        rows.append([holding.kind, _what(holding, names), _progress(holding), touched, now, size(holding.bytes)])
    return table(["kind", "what", "progress", "last written (UTC)", "at it", "size"], rows, right=(5,))


def _what(holding: Holding, names: _Names) -> str:
    spec = holding.spec
    if not spec:
        return holding.key
    if holding.kind == "sweep":
        return f"{names.model(spec['model'])}, {spec['task']}, {panel(spec)}"
    if holding.kind in _TRAININGS:
        return ", ".join([trained(spec), *([spec["task"]] if "task" in spec else []), f"seed {spec['seed']}"])
    return holding.key


def _progress(holding: Holding) -> str:
    from robnb.planning.holdings import iteration_of

    if holding.kind == "sweep":
        return f"{len(holding.shards)} of {holding.wanted_shards or '?'} shards"
    if holding.checkpoint:
        iterations = holding.spec.get("budget", {}).get("iterations", "?")
        return f"step {iteration_of(holding.checkpoint) or '?'} of {iterations}"
    return "no checkpoint yet" if holding.kind in _TRAININGS else "begun"
