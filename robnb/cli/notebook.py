"""Naming a notebook with its parameters: what ``robnb run``, ``plan`` and ``export`` have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

import robnb

#: The checkout that this package was installed from (editable): notebooks/ and params/ lie beside it.
ROOT = Path(robnb.__file__).resolve().parents[1]


def add_notebook(command: argparse.ArgumentParser) -> None:
    """The arguments that say which notebook, with which parameters, and where its outputs are."""
    command.add_argument("name", metavar="NOTEBOOK", help="as 01_fixed_feature or 01")
    command.add_argument("--profile", default="mini", metavar="P", help="a folder of params/ (default: mini)")
    add_outputs(command)
    command.add_argument(
        "-p",
        dest="overrides",
        action="append",
        nargs=2,
        default=[],
        metavar=("PARAMETER", "VALUE"),
        help="set a parameter, before the profile's value; the value is read as YAML; repeatable",
    )


def add_outputs(command: argparse.ArgumentParser) -> None:
    """``--outputs`` and ``--root``."""
    command.add_argument(
        "--outputs", type=Path, metavar="DIR", help="where everything goes (default: outputs/ of this checkout)"
    )
    command.add_argument(
        "--root",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help="the folder with notebooks/ and params/ (default: %(default)s)",
    )


def outputs_of(arguments: argparse.Namespace) -> Path:
    """The folder of all outputs."""
    return (arguments.outputs or arguments.root / "outputs").expanduser().resolve()


def overrides_of(arguments: argparse.Namespace) -> dict[str, object]:
    """What ``-p`` sets."""
    return {name: _value(text) for name, text in arguments.overrides}


def parameters_of(arguments: argparse.Namespace) -> tuple[str, dict[str, object]]:
    """The notebook's full name, and every parameter that a run with these arguments would have.

    Raises:
        UserError: as `robnb.runner.prepare`.
    """
    from robnb.parameters import notebook_parameters
    from robnb.runner import prepare

    root = arguments.root
    job = prepare(
        arguments.name,
        arguments.profile,
        outputs_of(arguments),
        notebooks=root / "notebooks",
        params=root / "params",
        overrides=overrides_of(arguments),
    )
    return job.source.stem, {**notebook_parameters(job.source), **job.parameters}


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
