"""``robnb plan``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from itertools import groupby
from typing import TYPE_CHECKING

from robnb.cli.notebook import add_notebook, parameters_of
from robnb.cli.text import WIDTH, duration, hours, paragraph, size, table

if TYPE_CHECKING:
    import pandas as pd

    from robnb.planning.outlook import Outlook
    from robnb.planning.plan import Piece, Step


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    plan = commands.add_parser(
        "plan",
        help="say what a notebook has still to do, and what it will cost",
        description="Say what of a notebook's work is done and what is left, with estimates of time and disk from "
        "rates measured on this machine. Nothing is trained or scored; where the store has no rate yet, a few "
        "steps of each kind of work are measured, which can take minutes for full-size models on a CPU.",
        epilog="Example: robnb plan 01_fixed_feature --profile paper --half-width 0.5",
    )
    add_notebook(plan)
    plan.add_argument(
        "--half-width",
        type=float,
        metavar="POINTS",
        help="also say how many test images would put a 95 %% interval of +-POINTS around each drop",
    )
    plan.add_argument("--no-measure", action="store_true", help="use rates of the store only; leave the others open")
    plan.set_defaults(command=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    name, parameters = parameters_of(arguments)
    _say("loading the models' libraries")
    from robnb.planning.outlook import Outlook
    from robnb.planning.plan import plan

    outlook = Outlook.from_notebook(name, parameters)
    steps = plan(outlook, not arguments.no_measure, _say)
    _say("")
    _head(outlook)
    _show(steps)
    _total([piece for step in steps for piece in step.pieces], outlook)
    if arguments.half_width is not None:
        _images(outlook, arguments.half_width)
    return 0


def _say(what: str) -> None:
    """One line in the terminal, which the next one replaces."""
    if sys.stderr.isatty():
        print(f"{what[: WIDTH - 1]:<{WIDTH - 1}}", end="\r", file=sys.stderr, flush=True)


def _head(outlook: Outlook) -> None:
    from robnb.planning.outlook import AbsentData

    print(f"{outlook.notebook}, profile {outlook.profile}: {outlook.store_root}")
    if outlook.missing:
        print("\nmissing, and needed before the notebook can run:")
        for asset, paths in outlook.missing:
            print(paragraph(f"  {asset.title}, from {asset.source}: {', '.join(paths)}", "    "))
    elif any(isinstance(data, AbsentData) for data in outlook.tasks.values()):
        print("its miniworld is not made yet (the notebook makes it), so nothing that was done with it is known here.")


def _show(steps: Sequence[Step]) -> None:
    """A line for each piece, or for some that share one; the columns are the same in all steps."""
    titles, rows = {}, []
    for step in steps:
        titles[len(rows)] = step.title
        for _, same in groupby(step.pieces, key=_group):
            pieces = list(same)
            state, progress = pieces[0].state, pieces[0].progress
            rows.append(["  " + _together(pieces), f"{state}, {progress}" if progress else state, *_cost(pieces)])
    head, *lines = table(["", "", "time left", "disk", "rate measured"], rows, right=(2, 3)).splitlines()
    print(f"\n{head}")
    for number, line in enumerate(lines):
        print(f"{titles[number]}\n{line}" if number in titles else line)


def _group(piece: Piece) -> tuple[str, str]:
    """Panels of a model in the same state share a line, unless they are half done."""
    return piece.state, piece.what.partition(":")[0] + (piece.what if piece.progress else "")


def _together(pieces: Sequence[Piece]) -> str:
    first, last = pieces[0].what, pieces[-1].what.partition(": ")[2]
    if len(pieces) == 1:
        return first
    middle = ", " if len(pieces) == 2 else " ... "
    return f"{first}{middle}{last}"


def _cost(pieces: Sequence[Piece]) -> tuple[str, str, str]:
    """Time left, size on disk when done, and where both are from."""
    there, to_come = sum(piece.bytes for piece in pieces), sum(piece.bytes_to_come for piece in pieces)
    if pieces[0].state == "done":
        return "", size(there), ""
    if any(piece.rate is None for piece in pieces):
        return "?", "?", "nowhere"
    sources = ", ".join(dict.fromkeys(piece.rate.source for piece in pieces))
    return duration(sum(piece.seconds for piece in pieces)), f"+{size(to_come)}", sources


def _total(pieces: Sequence[Piece], outlook: Outlook) -> None:
    import torch

    left = [piece for piece in pieces if piece.state != "done"]
    print(f"\nin all: {len(pieces) - len(left)} of {len(pieces)} pieces of work are done, {len(left)} are left.")
    if not left:
        return
    known = [piece for piece in left if piece.rate is not None]
    unknown = f" (without {len(left) - len(known)} whose rate is not known)" if len(known) < len(left) else ""
    gpu = torch.cuda.is_available()
    work = sum(piece.device_seconds * (1 if gpu else piece.rate.threads) for piece in known)
    wall = sum(piece.seconds for piece in known)
    disk = sum(piece.bytes_to_come for piece in known)
    where = {None: "one process for the scoring", "local": f"{outlook.workers} worker processes for the scoring"}
    how = where.get(outlook.scheduler, "one worker of the cluster; n of them score in an n-th of their part")
    print(
        paragraph(
            f"estimate for what is left{unknown}: {hours(work, 'GPU' if gpu else 'core')}, {duration(wall)} on this "
            f"machine ({outlook.processes} training process{'es' * (outlook.processes > 1)}, {how}), "
            f"{size(disk)} more on disk. Rates measured in the store are of finished work of the same kind; those "
            "measured now are of random weights on a few images, and can be off by a factor of two, disk by more. "
            "Making the data, resampling for the intervals and drawing the figures are not counted."
        )
    )


def _images(outlook: Outlook, half_width: float) -> None:
    from robnb.planning.images import finished_evaluations, wanted_images
    from robnb.store import Store

    evaluations, lacking = finished_evaluations(outlook)
    print(f"\ntest images for a 95 % interval of +-{half_width:g} percentage points around the drop")
    if not evaluations:
        print("no evaluation is finished yet: run the notebook, or a smaller profile of it, first.")
        return
    with redirect_stdout(sys.stderr):  # the bars
        frame = wanted_images(evaluations, half_width, outlook.resamples, outlook.seed, Store(outlook.store_root))
    print(_wanted(frame))
    more = " Where there is a question mark, the drop is not defined on these images, or does not vary."
    more = more if frame["wanted"].isna().any() else ""
    more += f" {len(lacking)} models are not scored yet." if lacking else ""
    print(
        paragraph(
            "In brackets, the half-width now. The rule is that an interval shrinks with the root of the number of "
            "images: an extrapolation, and a rough one from few images. More images do not shrink what another "
            f"training or another draw of the corruptions would change.{more}"
        )
    )


def _wanted(frame: pd.DataFrame) -> str:
    """A line for each model and metric, a column for each category."""
    categories = list(dict.fromkeys(frame["category"]))
    models = ["task", "regime", "metric", "backbone", "weights"]
    rows = []
    for key, group in frame.groupby(models, sort=False):
        by_category = group.set_index("category")
        cells = [_cell(*by_category.loc[category, ["wanted", "half_width"]]) for category in categories]
        rows.append([f"{key[0]} {key[2]}", f"{key[3]}.{key[4]}", f"{int(group['images'].iloc[0]):,}", *cells])
    return table(["", "", "now", *categories], rows, right=range(2, 3 + len(categories)))


def _cell(wanted: float, half_width: float) -> str:
    return "?" if wanted != wanted else f"{_count(wanted)} ({half_width:.1f})"


def _count(images: float) -> str:
    return f"{images:,.0f}" if images < 1e6 else f"{images / 1e6:.1f} M"
