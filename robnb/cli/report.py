"""``robnb report``."""

from __future__ import annotations

import argparse

from robnb.cli.notebook import add_outputs, outputs_of


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    report = commands.add_parser(
        "report",
        help="write a profile's page",
        description="Write outputs/<profile>/index.html: the tables and figures of all notebooks that have been run, "
        "what has not been run, and what made them. `robnb run all` does it at its end.",
        epilog="Example: robnb report --profile smoke",
    )
    report.add_argument("--profile", default="mini", metavar="P", help="a folder of params/ (default: mini)")
    add_outputs(report)
    report.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> int:
    from robnb import report  # here, so that --help does not wait for it

    print(f"page  {report.write(arguments.profile, outputs_of(arguments), arguments.root)}")
    return 0
