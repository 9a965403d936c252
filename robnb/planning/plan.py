"""What a notebook has to do, what of it is done, and what the rest is likely to cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from robnb.data.sources import TaskData
from robnb.evaluation.panels import PUBLISHED, Panel
from robnb.evaluation.spec import Sweep
from robnb.evaluation.trained import TrainedModel
from robnb.names import CLEAN
from robnb.planning import stand_ins
from robnb.planning.holdings import Holding, holdings, iteration_of
from robnb.planning.measure import sweep_rate, training_rate
from robnb.planning.outlook import AbsentData, Outlook
from robnb.planning.rates import Rate, Rates, StoreRates, devices, images_of
from robnb.pretrain import PretrainSpec
from robnb.store import Spec

DONE, BEGUN, LEFT = "done", "begun", "left"
#: Given a sentence on what is being measured, which may take a while.
Say = Callable[[str], None]
#: What a store holds, by kind and key.
Held = dict[tuple[str, str], Holding]


@dataclass(frozen=True)
class Piece:
    """One piece of work: a training, or a model under a panel of conditions.

    Attributes:
        what: it is, for a person.
        measure: finds its rate with the task's data.
        state: `DONE`, `BEGUN` or `LEFT`, with ``progress`` such as "3/40" (shards, or iterations).
        left: units of work (see `robnb.planning.rates`) still to be done, of ``units``.
        bytes: that it takes on disk now.
        rate: None where it is not known, or not needed.
        devices: that do it together.
    """

    what: str
    spec: Spec
    task: str
    measure: Callable[[TaskData], Rate]
    units: int
    left: int
    state: str
    progress: str = ""
    bytes: int = 0
    rate: Rate | None = None
    devices: int = 1

    @property
    def device_seconds(self) -> float:
        """Of what is left, all devices together; of a CPU's threads as one device."""
        return self.left * self.rate.seconds if self.rate else 0.0

    @property
    def seconds(self) -> float:
        """Of wall time."""
        return self.device_seconds / self.devices

    @property
    def bytes_to_come(self) -> float:
        """That the rest will take on disk."""
        if self.rate is None or self.state == DONE:
            return 0.0
        return self.rate.bytes if self.spec.kind != "sweep" else self.rate.bytes * self.left


@dataclass(frozen=True)
class Step:
    """The pieces of one call in the notebook: the trainings for a task in a regime, or the sweep over their models."""

    title: str
    pieces: tuple[Piece, ...]


def plan(outlook: Outlook, measures: bool = True, say: Say = lambda _: None) -> list[Step]:
    """All steps of a notebook with the state of every piece, and rates for what is left.

    Args:
        measures: whether rates that the store does not tell are measured now.

    Raises:
        UserError: the notebook keeps no work in the store, or its miniworld is damaged.
    """
    held = {(holding.kind, holding.key): holding for holding in holdings(outlook.store_root)}
    sweeps = outlook.sweeps()
    architectures = {model.key: model.backbone.architecture for sweep in sweeps for model in sweep.models}
    steps = [step for sweep in sweeps for step in _steps(outlook, sweep, held)]
    stored = StoreRates(held.values(), architectures, _scoring_devices(outlook))
    with TemporaryDirectory() as folder:
        rates = Rates(stored, _Measuring(outlook, Path(folder), say) if measures else None)
        return [replace(step, pieces=tuple(_with_rate(piece, rates) for piece in step.pieces)) for step in steps]


def _with_rate(piece: Piece, rates: Rates) -> Piece:
    return piece if piece.state == DONE else replace(piece, rate=rates.of(piece.spec, piece.units, piece))


def _steps(outlook: Outlook, sweep: Sweep, held: Held) -> Iterator[Step]:
    task, regime = sweep.models[0].task, sweep.models[0].regime
    name = "upstream" if task == "upstream" else f"{task}, {regime}"
    trained_here = [model for model in sweep.models if model.key in outlook.trainings]  # the others are published
    if trained_here:
        trainings = _trainings(outlook, trained_here, held)
        yield Step(f"{name}: training", tuple(_training(outlook, what, task, spec, held) for what, spec in trainings))
    title = (
        f"{name}: scoring on {len(sweep.reader):,} images x {sum(len(p.conditions) for p in sweep.panels)} conditions"
    )
    yield Step(title, tuple(_sweep(outlook, sweep, model, panel, held) for model, panel in sweep.pairs))


def _name(outlook: Outlook, model: TrainedModel) -> str:
    return f"{model.backbone}, seed {model.seed}" if len(outlook.training_seeds) > 1 else str(model.backbone)


def _trainings(outlook: Outlook, models: Sequence[TrainedModel], held: Held) -> list[tuple[str, Spec]]:
    """The names and keys of all trainings behind some models, each once and after those that it needs."""
    own = {model.key: _name(outlook, model) for model in models}
    found: dict[str, tuple[str, Spec]] = {}
    for key, name in own.items():
        for what, spec in _with_needs(name, outlook.trainings[key], held):
            found.setdefault(spec.key, (own.get(spec.key, what), spec))
    return list(found.values())


def _with_needs(what: str, spec: Spec, held: Held) -> Iterator[tuple[str, Spec]]:
    """A training behind what it needs. What a finished one needed is named only if it is kept."""
    if isinstance(spec, PretrainSpec):
        needs = [(f"{one.network} network", one) for one in spec.networks]
        needs += [(f"{spec.parent.architecture}.{spec.parent.recipe}", spec.parent)] if spec.parent else []
        finished = (spec.kind, spec.key) in held and held[spec.kind, spec.key].finished
        for name, need in needs:
            if not finished or (need.kind, need.key) in held:
                yield from _with_needs(f"{name}, for {what}", need, held)
    yield what, spec


def _training(outlook: Outlook, what: str, task: str, spec: Spec, held: Held) -> Piece:
    units = spec.budget.iterations * spec.budget.batch_size
    piece = Piece(
        what=what,
        spec=spec,
        task=task,
        measure=partial(training_rate, spec, workers=outlook.workers),
        units=units,
        left=units,
        state=LEFT,
        devices=devices(getattr(spec, "processes", 1)),
    )
    found = held.get((spec.kind, spec.key))
    if found is None:
        return piece
    if found.finished:
        return replace(piece, left=0, state=DONE, bytes=found.bytes)
    iteration = iteration_of(found.checkpoint) if found.checkpoint else None
    left = units - (iteration or 0) * spec.budget.batch_size
    progress = f"{iteration:,}/{spec.budget.iterations:,}" if iteration else "no checkpoint yet"
    return replace(piece, left=left, state=BEGUN, progress=progress, bytes=found.bytes)


def _sweep(outlook: Outlook, sweep: Sweep, model: TrainedModel, panel: Panel, held: Held) -> Piece:
    spec = sweep.spec(model, panel)
    # Published copies are only decoded; what corrupting takes here is an upper bound of that.
    engine = "fast" if sweep.engine == PUBLISHED else sweep.engine
    how = {"conditions": sweep.conditions, "engine": engine, "inference": sweep.inference}
    units = spec.images * len(spec.conditions)
    piece = Piece(
        what=f"{_name(outlook, model)}: {panel_name(spec.conditions, panel.replicate)}",
        spec=spec,
        task=model.task,
        measure=partial(sweep_rate, model, **how),
        units=units,
        left=units,
        state=LEFT,
        devices=_scoring_devices(outlook),
    )
    found = held.get((spec.kind, spec.key))
    if found is None:
        return piece
    missing = set(range(sweep.shards)) - found.shards
    if found.finished and not missing:
        return replace(piece, left=0, state=DONE, bytes=found.bytes)
    left = images_of(missing, spec.shard, spec.images) * len(spec.conditions)
    progress = f"{sweep.shards - len(missing)}/{sweep.shards}"
    return replace(piece, left=left, state=BEGUN, progress=progress, bytes=found.bytes)


def _scoring_devices(outlook: Outlook) -> int:
    """How many GPUs a sweep uses on this machine. What a cluster has is not known here: it counts as one."""
    workers = max(1, outlook.workers) if outlook.scheduler == "local" else 1
    return min(workers, devices(max(1, torch.cuda.device_count())))


def panel_name(conditions: tuple[tuple[str, int], ...], replicate: int) -> str:
    """``clean``, or ``severity 3 x 15`` for 15 corruptions at a severity; the draw is named if it is not the first."""
    (corruption, severity), *others = conditions
    if corruption == CLEAN:
        return CLEAN
    return f"severity {severity} x {1 + len(others)}" + (f", draw {replicate + 1}" if replicate else "")


class _Measuring:
    """Measures pieces on their task's data, or on stand-ins in a folder, which are made once."""

    def __init__(self, outlook: Outlook, folder: Path, say: Say) -> None:
        self._outlook, self._folder, self._say = outlook, folder, say
        self._stand_ins: dict[str, TaskData] = {}

    def __call__(self, piece: Piece) -> Rate:
        self._say(f"measuring {piece.spec.kind} {piece.task} {piece.what.partition(':')[0]}")
        return piece.measure(self._data(piece.task))

    def _data(self, task: str) -> TaskData:
        data = self._outlook.tasks[task]
        if not isinstance(data, AbsentData):
            return data
        if task not in self._stand_ins:
            paper = self._outlook.data == "paper"
            made = (
                {task: stand_ins.paper_like(task, self._folder)} if paper else stand_ins.small_miniworld(self._folder)
            )
            self._stand_ins.update(made)
        return self._stand_ins[task]
