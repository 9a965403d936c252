"""The parameters of a notebook: what it declares, and whether what it is given fits.

papermill itself only logs a misspelt name and never looks at a type, so both are checked here, before a kernel starts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jupytext

from robnb.errors import UserError
from robnb.names import choose

#: The checkout that the package runs from; outputs/ and data/ lie in it unless a parameter says otherwise.
REPOSITORY = Path(__file__).resolve().parents[1]
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def notebook_parameters(path: Path) -> dict[str, object]:
    """Name to default of the one cell tagged ``parameters`` of a percent notebook. Nothing is executed.

    Raises:
        UserError: there is not exactly one such cell, or it holds anything but ``name = literal``.
    """
    cells = [
        cell for cell in jupytext.read(path, fmt="py:percent").cells if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise UserError(f'{path.name} has {len(cells)} cells tagged "parameters": a notebook needs exactly one.')
    return dict(_assignment(node, path.name) for node in ast.parse(cells[0].source).body)


def _assignment(node: ast.stmt, source: str) -> tuple[str, object]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    value = getattr(node, "value", None)
    if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
        raise UserError(f"{source}: the parameters cell may hold only `name = literal`, not `{ast.unparse(node)}`.")
    try:
        return targets[0].id, ast.literal_eval(value)
    except ValueError:
        raise UserError(
            f"{source}: the default of {targets[0].id} is not a literal; move `{ast.unparse(node)}` to the next cell."
        ) from None


def check_parameters(given: dict[str, object], defaults: dict[str, object], source: str) -> None:
    """Check names and types of parameters against the defaults that the notebook declares.

    A whole number may stand where the default is a float; a default of None takes anything. Lists and mappings are
    checked inside, where what the default holds has one type. ``source`` says where the values come from.

    Raises:
        UserError: ``params/smoke/x.yaml: lr should be a number, not the text '1e-3': YAML reads ... write 1.0e-3.``
    """
    for name, value in given.items():
        try:
            choose(name, defaults, "parameter")
        except UserError as error:
            raise UserError(f"{source}: {error}") from None
        _check(value, defaults[name], f"{source}: {name}")


def _check(value: object, default: object, where: str) -> None:
    if default is None:
        return
    kind = list if isinstance(default, tuple) else type(default)
    if not _is_a(value, kind):
        raise UserError(
            f"{where} should be {_KINDS.get(kind, kind.__name__)}, not {_described(value)}{_remedy(value, kind)}."
        )
    if kind is list:
        for index, item in enumerate(value):
            _check(item, _common(default), f"{where}[{index}]")
    elif kind is dict:
        for key, item in value.items():
            _check(item, default[key] if key in default else _common(default.values()), f"{where}[{key!r}]")


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float)
    if kind is list:
        return isinstance(value, list | tuple)
    return type(value) is kind


def _common(values: object) -> object:
    """A value that stands for all of them if they have one type; None, which takes anything, if they do not."""
    values = list(values)
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return 0.0
    if kinds == {dict}:
        return {key: value for mapping in values for key, value in mapping.items()}
    return values[0] if len(kinds) == 1 else None


def _described(value: object) -> str:
    if value is None:
        return "null"
    return f"the text {value!r}" if isinstance(value, str) else repr(value)


def _remedy(value: object, kind: type) -> str:
    """What to write instead, where that can be known; it continues the sentence."""
    if kind is int and isinstance(value, float) and value.is_integer():
        return f": write {int(value)}"
    if kind is list and not isinstance(value, dict) and value is not None:
        return f": write [{value}]"
    if kind not in (int, float) or not isinstance(value, str):
        return ""
    scientific = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?\d+)", value)
    if scientific:
        mantissa, fraction, exponent = scientific.groups()
        return f": YAML reads {value} as text, write {mantissa}{fraction or '.0'}e{int(exponent):+d}"
    return f": write {value} without quotes" if re.fullmatch(r"[+-]?\d+(\.\d*)?", value) else ""


def products_folder(outputs: str, profile: str, notebook: str, variation: str = "") -> Path:
    """Where a notebook's tables and figures go, by default in this checkout: <outputs>/<profile>/<notebook>.

    Args:
        variation: of a run with other parameters than the profile's, whose products go to <notebook>@<variation>.

    Raises:
        UserError: a variation that is no folder's name.
    """
    if variation and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", variation):
        raise UserError(f"variation is {variation!r}: use letters, digits, '.', '_' and '-', as for a folder.")
    folder = f"{notebook}@{variation}" if variation else notebook
    return (Path(outputs) if outputs else REPOSITORY / "outputs") / profile / folder


def taken_from(namespace: dict[str, Any], names: Collection[str], others: Collection[str] = ()) -> dict[str, Any]:
    """The parameters called ``names`` out of a notebook's globals, as far as they are there.

    papermill only logs a misspelt parameter. Here it is an error: the cell that papermill injects is found in
    IPython's input history, and every name it sets must be a parameter.

    Args:
        others: further parameters of the notebook, which it reads itself.

    Raises:
        UserError: the injected cell sets another name.
    """
    there = sorted(set(names) & set(namespace))
    for injected in injected_names(namespace.get("In", [])):
        choose(injected, [*there, *others], "parameter")
    return {name: namespace[name] for name in there}


def injected_names(history: list[str]) -> list[str]:
    """The names set by the cell that papermill injects, found in IPython's input history (``In``).

    papermill heads that cell with the comment ``# Parameters``.
    """
    injected = [source for source in history if source.startswith("# Parameters\n")]
    return [
        node.targets[0].id for source in injected for node in ast.parse(source).body if isinstance(node, ast.Assign)
    ]
