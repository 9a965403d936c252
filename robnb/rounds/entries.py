"""What a round executes: ``params/<profile>/all.yaml``, and every notebook in it with its parameters, checked.

    notebooks: [01_fixed_feature, 02_full_network]
    variations:
      severities: {notebooks: [02_full_network], parameters: {severities: [1, 2, 3, 4, 5]}}
    after_all: [07_does_it_transfer]

``notebooks`` are executed in this order, then the variations: the same notebooks with other parameters, whose products
go to a folder of their own. ``after_all`` waits until all of them are done, and may read what they left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robnb.errors import UserError
from robnb.names import choose
from robnb.parameters import notebook_parameters
from robnb.runner import Job, load_parameters, prepare

_KEYS = ("notebooks", "variations", "after_all")
_OF_A_VARIATION = ("notebooks", "parameters")


@dataclass(frozen=True)
class Listed:
    """A line of the list: a notebook, or a variation of one with the parameters that make it one."""

    notebook: str
    variation: str = ""
    parameters: Mapping[str, object] | None = None
    after_all: bool = False

    @property
    def name(self) -> str:
        """As the folder of its products: ``<notebook>`` or ``<notebook>@<variation>``."""
        return f"{self.notebook}@{self.variation}" if self.variation else self.notebook


@dataclass(frozen=True)
class Entry:
    """A notebook that is ready to be executed; one that comes ``after_all`` waits for the others."""

    job: Job
    after_all: bool

    @property
    def name(self) -> str:
        """As the folder of its products: ``<notebook>`` or ``<notebook>@<variation>``."""
        return self.job.folder.name


def listed(profile: str, root: Path) -> list[Listed]:
    """What ``root/params/<profile>/all.yaml`` lists, in the order in which it is executed.

    Raises:
        UserError: there is no such profile or file, or something in the file cannot be meant.
    """
    values = load_parameters("all", profile, root / "params")
    where = f"params/{profile}/all.yaml"
    there = sorted(path.stem for path in (root / "notebooks").glob("*.py"))
    for key in values:
        _choose(key, _KEYS, "key", where)
    first, last = (_notebooks(values.get(key, []), there, f"{where}: {key}") for key in ("notebooks", "after_all"))
    variations = _mapping(values.get("variations", {}), f"{where}: variations", "`name: {notebooks, parameters}` lines")
    found = [Listed(name) for name in first]
    found += [entry for name, of in variations.items() for entry in _varied(str(name), of, there, where)]
    found += [Listed(name, after_all=True) for name in last]
    names = [entry.name for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where} lists {name} {names.count(name)} times: once is enough.")
    if not found:
        raise UserError(f"{where} lists no notebook: write `notebooks: [...]`.")
    return found


def prepare_all(profile: str, outputs: Path, root: Path, overrides: Mapping[str, object] | None = None) -> list[Entry]:
    """Everything that the profile lists, with its parameters, checked before anything is executed.

    Args:
        root: the folder with notebooks/ and params/.
        overrides: parameters for every notebook that has them. A variation's own go before these.

    Raises:
        UserError: as `listed` and `robnb.runner.prepare`, or no notebook has a parameter that is given.
    """
    found = listed(profile, root)
    notebooks, params = root / "notebooks", root / "params"
    declared = {entry.notebook: notebook_parameters(notebooks / f"{entry.notebook}.py") for entry in found}
    for name in overrides or {}:
        _choose(name, sorted({own for defaults in declared.values() for own in defaults}), "parameter", "-p")
    entries = []
    for entry in found:
        given = {name: value for name, value in (overrides or {}).items() if name in declared[entry.notebook]}
        about = {"profile": profile, "outputs": outputs, "notebooks": notebooks, "params": params}
        job = prepare(entry.notebook, **about, overrides=given)
        if entry.variation:
            origin = f"params/{profile}/all.yaml: {entry.variation}"
            own = {**given, **(entry.parameters or {})}
            job = prepare(entry.notebook, **about, overrides=own, origin=origin, variation=entry.variation)
        entries.append(Entry(job, entry.after_all))
    return entries


def _varied(name: str, of: object, there: list[str], where: str) -> list[Listed]:
    where = f"{where}: {name}"
    variation = _mapping(of, where, "notebooks and parameters")
    for key in variation:
        _choose(key, _OF_A_VARIATION, "key", where)
    for key in _OF_A_VARIATION:
        if not variation.get(key):
            raise UserError(f"{where} has no {key}: a variation is notebooks with other parameters.")
    notebooks = _notebooks(variation["notebooks"], there, f"{where}: notebooks")
    parameters = _mapping(variation["parameters"], f"{where}: parameters", "`name: value` lines")
    return [Listed(notebook, name, parameters) for notebook in notebooks]


def _notebooks(value: object, there: list[str], where: str) -> list[str]:
    if not isinstance(value, list):
        raise UserError(f"{where} should be a list, as [01_fixed_feature].")
    return [_choose(name, there, "notebook", where) for name in value]


def _mapping(value: object, where: str, of: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise UserError(f"{where} should hold {of}.")
    return value


def _choose(name: object, options: list[str] | tuple[str, ...], what: str, where: str) -> str:
    try:
        return choose(name, options, what)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
