"""``robnb run``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from robnb.cli import run_all
from robnb.cli.notebook import add_notebook, outputs_of, overrides_of
from robnb.errors import UserError

if TYPE_CHECKING:
    from robnb.runner import Products


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    run = commands.add_parser(
        "run",
        help="execute a notebook, or all of a profile",
        description="Execute a notebook with a profile's parameters, or with `all` every notebook that "
        "params/<profile>/all.yaml lists. Finished work is kept in the outputs folder and never repeated: an "
        "interrupted run goes on when the same command is given again.",
        epilog="Example: robnb run 01_fixed_feature --profile smoke -p seed 1",
    )
    add_notebook(run)
    run.add_argument(
        "--variation",
        default="",
        metavar="NAME",
        help="a name for a run with other parameters: its products go to <notebook>@NAME, beside the profile's own",
    )
    run.add_argument(
        "--lanes",
        type=int,
        metavar="N",
        help="with all: notebooks at once, each in a process with its share of the cores (default: one with a GPU, "
        "otherwise one per core, at most 4)",
    )
    run.add_argument(
        "--execution-timeout", type=int, metavar="S", help="seconds that one cell may take (default: no limit)"
    )
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.name == "all":
        return run_all.run(arguments)
    if arguments.lanes is not None:
        raise UserError("--lanes is for `robnb run all`: leave it out for one notebook.")
    from robnb import runner  # here, so that --help and --version do not wait for it

    job = runner.prepare(
        arguments.name,
        arguments.profile,
        outputs_of(arguments),
        notebooks=arguments.root / "notebooks",
        params=arguments.root / "params",
        overrides=overrides_of(arguments),
        variation=arguments.variation,
    )
    try:
        products = runner.run(job, timeout=arguments.execution_timeout)
    except runner.RunFailed as error:
        print(f"robnb: {error}", file=sys.stderr)
        print(f"robnb: the notebook as far as it got: {error.notebook}", file=sys.stderr)
        return 1
    _report(products)
    return 0


def _report(products: Products) -> None:
    if products.summary:
        import pandas as pd

        from robnb.tables import with_intervals

        summary = with_intervals(pd.read_csv(products.summary))
        print(summary.to_string(index=False, float_format="{:.1f}".format, na_rep=""))
        print()
    print(f"notebook  {products.notebook}")
    print(f"html      {products.html}")
    for figure in products.figures:
        print(f"figure    {figure}")
