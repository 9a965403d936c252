"""The command ``robnb``.

Exit codes: 0 done; 2 bad input, said in one sentence; 1 anything else; 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import yaml

import robnb
from robnb.errors import UserError

if TYPE_CHECKING:
    from robnb.runner import Products

#: The checkout that this package was installed from (editable): notebooks/ and params/ lie beside it.
ROOT = Path(robnb.__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = _parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return arguments.command(arguments)
    except UserError as error:
        print(f"robnb: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, _Terminated) as stopped:
        print("\nrobnb: interrupted; finished work is kept, and the same command goes on from there.", file=sys.stderr)
        return 130 if isinstance(stopped, KeyboardInterrupt) else 143
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(SystemExit):
    """SIGTERM, leaving through the same doors as any exception so that the kernel is shut down."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="robnb", description=robnb.__doc__)
    parser.add_argument("--version", action="version", version=f"robnb {robnb.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="execute a notebook",
        description="Execute a notebook with a profile's parameters. Finished work is kept in the outputs folder and "
        "never repeated: an interrupted run goes on when the same command is given again.",
        epilog="Example: robnb run 01_fixed_feature --profile smoke -p seed 1",
    )
    run.add_argument("name", metavar="NAME", help="a notebook, as 01_fixed_feature or 01")
    run.add_argument("--profile", default="mini", metavar="P", help="a folder of params/ (default: mini)")
    run.add_argument(
        "--outputs", type=Path, metavar="DIR", help="where everything goes (default: outputs/ of this checkout)"
    )
    run.add_argument(
        "-p",
        dest="overrides",
        action="append",
        nargs=2,
        default=[],
        metavar=("PARAMETER", "VALUE"),
        help="set a parameter, before the profile's value; the value is read as YAML; repeatable",
    )
    run.add_argument(
        "--execution-timeout", type=int, metavar="S", help="seconds that one cell may take (default: no limit)"
    )
    run.add_argument(
        "--root",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help="the folder with notebooks/ and params/ (default: %(default)s)",
    )
    run.set_defaults(command=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from robnb import runner  # here, so that --help and --version do not wait for it

    outputs = (arguments.outputs or arguments.root / "outputs").expanduser().resolve()
    try:
        products = runner.run(
            arguments.name,
            arguments.profile,
            outputs,
            notebooks=arguments.root / "notebooks",
            params=arguments.root / "params",
            overrides={name: _value(text) for name, text in arguments.overrides},
            timeout=arguments.execution_timeout,
        )
    except runner.RunFailed as error:
        print(f"robnb: {error}", file=sys.stderr)
        print(f"robnb: the notebook as far as it got: {error.notebook}", file=sys.stderr)
        return 1
    _report(products)
    return 0


def _value(text: str) -> object:
    """The value of ``-p name text``: as YAML, but 1e-3 is a number here."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _report(products: Products) -> None:
    if products.summary:
        import pandas as pd

        print(pd.read_csv(products.summary).to_string(index=False, float_format="{:.1f}".format, na_rep=""))
        print()
    print(f"notebook  {products.notebook}")
    print(f"html      {products.html}")
    for figure in products.figures:
        print(f"figure    {figure}")


if __name__ == "__main__":
    sys.exit(main())
