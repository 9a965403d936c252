"""The command ``robnb``.

Exit codes: 0 done; 2 bad input, said in one sentence; 1 anything else (a copy that does not verify among it);
130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Collection, Sequence
from types import FrameType

import robnb
from robnb.cli import convert, corrupt, export, fetch, inspect, plan, report, run, status
from robnb.errors import UserError
from robnb.names import choose


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments = _understood(sys.argv[1:] if argv is None else argv)
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


def _understood(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, parsed. What argparse would call invalid or unrecognized is said with what was probably meant."""
    parser, commands = _parser()
    first = next(iter(argv), "-")
    if first[:1].isdigit() or first.startswith("notebooks/"):
        raise UserError(f"{first!r} is no command: to execute a notebook, write `robnb run {first}`.")
    if not first.startswith("-"):
        choose(first, commands, "command")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        name = unknown[0].lstrip("-").partition("=")[0]
        meant = unknown[0].startswith("--") and "overrides" in arguments  # the command is one that takes parameters
        hint = f" A parameter of a notebook is set with `-p {name} VALUE`." if meant else ""
        raise UserError(f"unknown argument {unknown[0]!r}: `robnb {first} --help` lists what there is.{hint}")
    return arguments


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """The parser, and the names of the commands."""
    parser = argparse.ArgumentParser(prog="robnb", description=robnb.__doc__)
    parser.add_argument("--version", action="version", version=f"robnb {robnb.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        run,
        plan,
        status,
        report,
        export,
        fetch,
        convert,
        inspect,
        corrupt,
    ):  # each imports what it needs only when it is called
        command.add(commands)
    return parser, commands.choices
