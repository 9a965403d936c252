"""How long and how fast a training goes: what the parameters decide of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robnb.errors import UserError
from robnb.names import choose

#: What to add to a complaint about a setting.
_IN_YAML = {"lr": " (YAML reads 1e-3 as text: write 1.0e-3)"}


@dataclass(frozen=True)
class Budget:
    """How long and how fast one family of backbones trains on a task.

    Attributes:
        iterations: optimizer steps.
        batch_size: images per step.
        lr: peak learning rate.
    """

    iterations: int
    batch_size: int
    lr: float

    @classmethod
    def from_settings(cls, settings: dict[str, Any], where: str) -> Budget:
        """From a params entry; ``where`` names it in a complaint.

        Raises:
            UserError: a setting is unknown, missing, of the wrong type or not positive.
        """
        kinds = {"iterations": int, "batch_size": int, "lr": (int, float)}
        for name, value in settings.items():
            choose(name, kinds, f"setting in {where}")
            if isinstance(value, bool) or not isinstance(value, kinds[name]) or value <= 0:
                raise UserError(f"{where}.{name} is {value!r}: it must be a positive number{_IN_YAML.get(name, '')}.")
        for name in kinds:
            if name not in settings:
                raise UserError(f"{where} has no {name}: add it.")
        return cls(settings["iterations"], settings["batch_size"], float(settings["lr"]))
