"""pyproject.toml (ranges), requirements.lock (exact versions) and environment.yml (conda) say the same."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK_LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
PYTHONS = ("3.11", "3.12")


def environment(python: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }


def locked(python: str) -> dict[str, str]:
    """Name to exact version of everything the lock installs on Linux with this Python."""
    requirements = [Requirement(line) for line in LOCK_LINES]
    chosen = [each for each in requirements if not each.marker or each.marker.evaluate(environment(python))]
    pins = {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in chosen}
    assert len(pins) == len(chosen), "the lock names a package twice for one Python"
    return pins


def test_every_line_of_the_lock_is_one_exact_version():
    for line in LOCK_LINES:
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ;*]+( ; .+)?", line), line


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_is_locked_inside_its_range(python):
    pins = locked(python)
    for requirement in DIRECT:
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), f"{requirement} is locked at {pin}"
        assert requirement.specifier, f"{requirement.name} has no range"


def test_both_pythons_compute_with_the_same_versions():
    first, second = (locked(python) for python in PYTHONS)
    assert {name for name in first.keys() & second.keys() if first[name] != second[name]} == set()
    assert "torch" in first and "+" not in first["torch"], "the build for GPUs, which also runs without one"


def test_the_range_of_pythons_is_the_tested_one():
    assert [f"3.{minor}" for minor in range(20) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])] == [
        *PYTHONS
    ]


def test_conda_installs_the_lock_and_the_package():
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python, pip, section = parts
    assert python.removeprefix("python=") in PYTHONS
    assert pip == "pip"
    assert section == {"pip": ["-r requirements.lock", "-e ."]}


def test_what_runs_these_tests_is_what_the_lock_says():
    wrong = {}
    for name, pin in locked(f"3.{sys.version_info.minor}").items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "nothing"
        if installed != pin:
            wrong[name] = f"{installed} is installed, {pin} is locked"
    assert wrong == {}, "make .venv anew: rm -r .venv, make test"


def test_what_is_installed_fits_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_command_and_the_handler_are_installed():
    (command,) = entry_points(group="console_scripts", name="robnb")
    (handler,) = entry_points(group="papermill.io", name="robnb")
    assert callable(command.load())
    assert handler.load().pretty_path("a.py") == "a.py"
    assert version("robnb") == command.load().__globals__["robnb"].__version__
