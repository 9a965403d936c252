"""``robnb export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from robnb.cli.notebook import add_notebook, parameters_of


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    export = commands.add_parser(
        "export",
        help="write a notebook's per-image results for other evaluators",
        description="Write what a notebook has scored as files that other evaluators read: COCO results and ground "
        "truth, confusion counts, predicted classes. Only finished work is read, nothing is trained or scored.",
        epilog="Example: robnb export 01_fixed_feature --profile smoke results",
    )
    add_notebook(export)
    export.add_argument("dst", type=Path, metavar="DST", help="the folder to write into; its files are replaced")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    from robnb.evaluation.results import Evaluation
    from robnb.export import export
    from robnb.planning.outlook import Outlook
    from robnb.store import Store

    outlook = Outlook.from_notebook(*parameters_of(arguments))
    for sweep in outlook.finished_sweeps():
        for folder in export(Evaluation(sweep, Store(outlook.store_root)), sweep.reader, arguments.dst):
            print(folder)
    return 0
