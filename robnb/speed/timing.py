"""Stopwatches: engines side by side on one thread of the CPU, and ours in batches on a device."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from robnb.speed.engines import Call, Engine, batch_call
from robnb.threads import one_thread

#: One row for each engine, corruption and severity. ``ms`` per image, NaN where the engine failed: ``reason`` says how.
COLUMNS = ["engine", "corruption", "severity", "ms", "runs", "reason"]
#: One row for each corruption and severity: ms per image in a batch.
DEVICE_COLUMNS = ["corruption", "severity", "ms"]


def measure(
    engines: Sequence[Engine],
    image: np.ndarray,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    repeats: int,
    seconds: float,
    progress: tqdm,
) -> pd.DataFrame:
    """Time every engine under every condition, in turns: what slows the machine for a while slows all of them.

    A call comes once untimed (compilation, caches), then up to ``repeats`` times, but not again after it has taken
    ``seconds`` in all. The fastest counts: a call is never faster than it can be, but often slower.

    Args:
        image: (H, W, 3) uint8 RGB.
        progress: is moved on by one for every corruption and severity.

    Returns:
        `COLUMNS`.
    """
    rows = []
    with one_thread(), torch.no_grad(), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another's deprecations
        for name in names:
            for severity in severities:
                rows += _condition(engines, image, name, severity, repeats, seconds)
                progress.update()
    return pd.DataFrame(rows, columns=COLUMNS)


def _condition(
    engines: Sequence[Engine], image: np.ndarray, name: str, severity: int, repeats: int, seconds: float
) -> list[tuple[object, ...]]:
    calls, reasons = {}, {}
    for engine in engines:
        try:
            calls[engine] = engine.prepare(image, name, severity)
            calls[engine]()
        except Exception as error:  # another package fails in whatever way it does; ours must not
            if not engine.foreign:
                raise
            calls.pop(engine, None)
            reasons[engine] = " ".join(f"{type(error).__name__}: {error}".split())[:160]
    taken: dict[Engine, list[float]] = {engine: [] for engine in calls}
    for _ in range(repeats):
        for engine, call in calls.items():
            if sum(taken[engine]) < seconds:
                taken[engine].append(_stopwatch(call))
    return [
        (
            engine.title,
            name,
            severity,
            1000 * min(taken[engine]) / engine.images if engine in taken else float("nan"),
            len(taken.get(engine, ())),
            reasons.get(engine, ""),
        )
        for engine in engines
    ]


def measure_on(
    device: str,
    image: np.ndarray,
    names: Sequence[str],
    severities: Sequence[int],
    *,
    batch: int,
    repeats: int,
    progress: tqdm,
) -> pd.DataFrame:
    """Time `corrupt_batch` on a device: the images lie there, and the clock stops when the device has finished.

    Returns:
        `DEVICE_COLUMNS`; the fastest of ``repeats`` after one call untimed.
    """
    images = torch.from_numpy(image).to(device).repeat(batch, 1, 1, 1)
    rows = []
    for name in names:
        for severity in severities:
            fastest = _fastest(batch_call(images, name, severity), repeats, device)
            rows.append((name, severity, 1000 * fastest / batch))
            progress.update()
    return pd.DataFrame(rows, columns=DEVICE_COLUMNS)


def copy_bandwidth(device: str, size: int, repeats: int) -> float:
    """Bytes read and written per second by a copy of ``size`` bytes within the device's memory."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), repeats, device)


def _fastest(call: Call, repeats: int, device: str) -> float:
    def finished() -> None:
        call()
        wait(device)

    finished()
    taken = [_stopwatch(finished) for _ in range(repeats)]
    return min(taken)


def wait(device: str) -> None:
    """A GPU's work goes on after the call that ordered it has returned."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _stopwatch(call: Call) -> float:
    """Seconds of wall time."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
