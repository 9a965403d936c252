"""What a unit of work costs on this machine: read off finished work in the store, or measured now.

The unit of a training is one image in one iteration, that of a sweep one image under one condition.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from robnb.models.architectures import BackboneName
from robnb.planning.holdings import Holding
from robnb.pretrain import PretrainSpec
from robnb.provenance import device_name
from robnb.store import Spec
from robnb.transfer import TransferSpec

#: Where a rate was measured.
IN_STORE, NOW = "in the store", "now"


#: Finished work tells the rate of other work if it took so many seconds, or is at least one in so many of its size.
_TELLING, _ALIKE = 10.0, 5


@dataclass(frozen=True)
class Rate:
    """What a unit costs.

    Attributes:
        seconds: of one device (a GPU, or this process's threads) per unit.
        bytes: that are kept: per unit of a sweep, of a whole training.
        threads: that one device is on a CPU.
        source: `IN_STORE` or `NOW`.
    """

    seconds: float
    bytes: float
    threads: int
    source: str


def devices(processes: int) -> int:
    """How many devices so many processes are: on a CPU they share the cores."""
    return processes if torch.cuda.is_available() else 1


def described(spec: Spec) -> dict[str, Any]:
    """A spec as it is read back from its JSON file."""
    return json.loads(json.dumps(spec.described()))


class StoreRates:
    """Rates of finished work of the same kind, architecture, task and scale that was done on a device like this one.

    Of several, that of the most work counts, and of equal work the slowest: a training that was interrupted has kept
    only the time since it was last begun. What took no time worth speaking of says little about larger work.
    """

    def __init__(self, held: Iterable[Holding], architectures: dict[str, str], scoring_devices: int = 1) -> None:
        """``architectures``: of the models, by their keys; ``scoring_devices``: that share a sweep, now as then."""
        here, self._scoring_devices = device_name(), scoring_devices
        self._held = [holding for holding in held if holding.provenance.get("device") == here]
        self._architectures = architectures | {
            holding.key: _architecture(holding.spec)
            for holding in self._held
            if holding.kind in (PretrainSpec.kind, TransferSpec.kind) and holding.spec
        }

    def __call__(self, spec: Spec, units: int) -> Rate | None:
        """What a unit of this work costs, of which there are so many; None if the store does not tell."""
        read = self._sweep_rate if spec.kind == "sweep" else _training_rate
        wanted = self.alike(described(spec))
        found = [
            (done, rate.seconds, rate)
            for holding in self._held
            if holding.kind == spec.kind and holding.spec and self.alike(holding.spec) == wanted
            for done, rate in read(holding)
            if done * rate.seconds >= _TELLING or done * _ALIKE >= units
        ]
        return max(found, key=lambda one: one[:2])[-1] if found else None

    def _sweep_rate(self, holding: Holding) -> list[tuple[int, Rate]]:
        """``speed.json`` is of the whole call: all its models and panels, which shared decoding and corrupting."""
        if holding.speed is None or not holding.shards:
            return []
        seconds, units = holding.speed
        each = seconds * self._scoring_devices / units
        return [(units, Rate(each, _bytes_a_unit(holding), holding.provenance["threads"], IN_STORE))]

    def alike(self, spec: dict[str, Any]) -> tuple:
        """What the cost of a unit depends on."""
        if spec["kind"] == "sweep":
            alike = ("task", "scale", "inference", "engine")
            return self._architectures.get(spec["model"]), *(spec.get(name) for name in alike)
        alike = ("recipe", "network", "prime", "image_size", "execution", "task", "regime", "scale", "classes")
        return _architecture(spec), *(spec.get(name) for name in alike)


def _architecture(spec: dict[str, Any]) -> str:
    """Of the backbone that is trained; "" for a helper network, which has none."""
    if "backbone" in spec:
        return BackboneName.parse(spec["backbone"]).architecture
    return spec.get("architecture", "")


def _training_rate(holding: Holding) -> list[tuple[int, Rate]]:
    budget = holding.spec["budget"]
    units = budget["iterations"] * budget["batch_size"]
    seconds = holding.provenance["seconds"] * devices(holding.spec.get("processes", 1))
    return [(units, Rate(seconds / units, holding.bytes, holding.provenance["threads"], IN_STORE))]


def _bytes_a_unit(holding: Holding) -> float:
    """What is kept of an image under a condition, in a sweep that has shards."""
    images = images_of(holding.shards, holding.spec["shard"], holding.spec["images"])
    return holding.shard_bytes / (images * len(holding.spec["conditions"]))


def images_of(shards: Iterable[int], size: int, images: int) -> int:
    """How many of so many images are in the shards with these numbers; each has ``size`` of them, but the last."""
    return sum(max(0, min(size, images - number * size)) for number in shards)


class Rates:
    """From the store where it tells; otherwise what ``measure`` finds, which is asked once for equal work."""

    def __init__(self, stored: StoreRates, measure: Callable[[Any], Rate] | None) -> None:
        """``measure`` takes what `of` is given with the spec; None leaves rates that the store lacks unknown."""
        self._stored, self._measure = stored, measure
        self._measured: dict[tuple, Rate] = {}

    def of(self, spec: Spec, units: int, subject: Any) -> Rate | None:
        """The rate of a piece of work of so many units."""
        stored = self._stored(spec, units)
        if stored is not None or self._measure is None:
            return stored
        *alike, _ = self._stored.alike(described(spec))  # a sweep's without the engine: clean is measured along
        key = (spec.kind, json.dumps(alike))
        if key not in self._measured:
            self._measured[key] = self._measure(subject)
        return self._measured[key]
