"""A benchmark: what the speed notebook's parameters ask for, done step by step."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from skimage import data

from robnb import parameters, provenance
from robnb.corruptions import MIN_SIDE
from robnb.corruptions.calibration import calibration
from robnb.corruptions.conditions import conditions
from robnb.errors import UserError
from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS
from robnb.progress import bar
from robnb.speed import engines, report, timing
from robnb.speed.end_to_end import EndToEnd
from robnb.speed.machine import machine
from robnb.store import write_json

NAMES = (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
#: Bytes that a copy moves to measure a GPU's bandwidth: far more than its caches hold.
_COPY = 2**30


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A speed notebook's parameters, checked; what each means stands beside it in the notebook.

    Raises:
        UserError: a name or value that cannot be meant, before anything is computed.
    """

    notebook: str
    profile: str
    outputs: str
    sizes: list[list[int]]
    severities: list[int]
    batch: int
    repeats: int
    seconds: float
    numba_version: str
    gpu_size: list[int]
    gpu_batch: int
    gpu_repeats: int
    calibration_size: list[int]
    calibration_draws: int

    @classmethod
    def from_notebook(cls, notebook: str, namespace: dict[str, Any]) -> Benchmark:
        """Take the parameters from a notebook's globals; a misspelt one that was injected is an error."""
        own = {field.name for field in fields(cls)} - {"notebook"}
        taken = parameters.taken_from(namespace, own | {field.name for field in fields(EndToEnd)})
        return cls(notebook=notebook, **{name: value for name, value in taken.items() if name in own})

    def __post_init__(self) -> None:
        parameters.check_parameters(asdict(self), _EXAMPLES, "parameters")
        conditions(CORRUPTIONS, self.severities)
        for what in ("batch", "repeats", "gpu_batch", "gpu_repeats", "calibration_draws"):
            if getattr(self, what) < 1:
                raise UserError(f"{what} should be at least 1, not {getattr(self, what)}.")
        if not self.sizes:
            raise UserError("no size was given: name at least one as [height, width].")
        for size in (*self.sizes, self.gpu_size, self.calibration_size):
            if len(size) != 2 or min(size) < MIN_SIDE:
                raise UserError(f"a size should be [height, width], each at least {MIN_SIDE}, not {size}.")
        if self.numba_version and not (Path(self.numba_version).parent / "frost").is_dir():
            raise UserError(f"{self.numba_version}: there is no folder frost beside it: name the file corruptions.py.")
        _ = self.started

    @cached_property
    def started(self) -> float:
        """When this benchmark was set up, in seconds since the epoch."""
        return time.time()

    @cached_property
    def folder(self) -> Path:
        """Where this notebook's tables and figures go: outputs/<profile>/<notebook>."""
        return parameters.products_folder(self.outputs, self.profile, self.notebook)

    def photograph(self, size: list[int]) -> np.ndarray:
        """A real photograph cut to the shape [height, width], uint8 RGB."""
        return np.array(ImageOps.fit(Image.fromarray(data.astronaut()), tuple(size[::-1])))

    @cached_property
    def _others(self) -> tuple[list[engines.Engine], list[str]]:
        """The optional engines that there are, and a sentence about each that there is not."""
        found, missing = [], []
        if self.numba_version:
            found.append(engines.numba_version(Path(self.numba_version)))
        else:
            missing.append(
                "The numba version of imagecorruptions is left out: it is on GitHub only "
                "(bethgelab/imagecorruptions); name its `imagecorruptions/corruptions.py` in the parameter "
                "`numba_version`."
            )
        try:
            found.append(engines.torch_uncertainty())
        except ImportError as error:
            missing.append(
                f"torch-uncertainty is left out, because it cannot be imported here ({error}): "
                '`pip install -e ".[speed]"` gets it.'
            )
        return found, missing

    @property
    def left_out(self) -> str:
        """A sentence about each optional engine that is not timed."""
        return " ".join(self._others[1]) or "No engine is left out."

    def cpu(self) -> dict[str, pd.DataFrame]:
        """Timings (`robnb.speed.timing.COLUMNS`) on one thread of the CPU, for each size ("480x640")."""
        columns = [engines.ours(), engines.ours_batched(self.batch), engines.package(), *self._others[0]]
        timings = {}
        with bar(len(self.sizes) * len(NAMES) * len(self.severities), "timing") as progress:
            for size in self.sizes:
                timings["{}x{}".format(*size)] = timing.measure(
                    columns,
                    self.photograph(size),
                    NAMES,
                    self.severities,
                    repeats=self.repeats,
                    seconds=self.seconds,
                    progress=progress,
                )
        return timings

    def on_device(self, device: str, copy: int = _COPY) -> tuple[pd.DataFrame, str]:
        """`robnb.speed.report.device_table` of ``corrupt_batch`` on a device, and its sentence.

        Args:
            copy: bytes that are copied to measure the device's bandwidth.
        """
        with bar(len(NAMES) * len(self.severities), f"timing on {device}") as progress:
            timings = timing.measure_on(
                device,
                self.photograph(self.gpu_size),
                NAMES,
                self.severities,
                batch=self.gpu_batch,
                repeats=self.gpu_repeats,
                progress=progress,
            )
        bandwidth = timing.copy_bandwidth(device, copy, self.gpu_repeats)
        frame = report.device_table(timings, self.gpu_size[0] * self.gpu_size[1], bandwidth)
        title = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"The {device}"
        return frame, report.device_sentence(frame, title, bandwidth, self.gpu_batch, self.gpu_size)

    def gpu(self) -> tuple[pd.DataFrame, str]:
        """`on_device` of the first GPU; where there is none, an empty table and a sentence that says so."""
        if torch.cuda.is_available():
            return self.on_device("cuda")
        return pd.DataFrame(), f"torch {torch.__version__} finds no GPU here, so none was timed."

    @cached_property
    def machine(self) -> pd.DataFrame:
        """What it is measured on: see `robnb.speed.machine.machine`."""
        return pd.DataFrame(machine().items(), columns=["machine", ""]).set_index("machine")

    def calibration(self) -> pd.DataFrame:
        """Ours beside the package's, see `robnb.corruptions.calibration.calibration`."""
        return calibration(self.photograph(self.calibration_size), NAMES, self.calibration_draws)

    def finish(
        self,
        cpu: dict[str, pd.DataFrame],
        gpu: tuple[pd.DataFrame, str],
        calibrated: pd.DataFrame,
        end_to_end: EndToEnd | None = None,
    ) -> pd.DataFrame:
        """Write this notebook's tables and provenance; returns the overview that ``robnb run`` prints.

        speed.csv has the tables of all sizes, timings.csv every condition of every engine, gpu.csv the GPU's table,
        calibration.csv the calibration, and speed.md and calibration.md the same to be read. What was measured end to
        end goes into a CSV file each (race, stages, growth, training, recipes, executions, options) and sweep.md. Each
        row carries the profile.

        Args:
            cpu, gpu, calibrated: what `cpu`, `gpu` and `calibration` gave.
            end_to_end: what measured the sweeps and the training, if they were.
        """
        tables = {size: report.table(timings) for size, timings in cpu.items()}
        self._save(pd.concat(tables, names=["size"]).reset_index(), "speed")
        self._save(pd.concat(cpu, names=["size"]).reset_index(level="size"), "timings")
        self._save(calibrated, "calibration")
        if len(gpu[0]):
            self._save(gpu[0].reset_index(), "gpu")
        overview = report.overview(tables, gpu[0])
        self._save(overview, "summary")
        machine_text = report.markdown(self.machine)
        sections = [machine_text, *(report.cpu_section(cpu[size], size) for size in cpu), self.left_out]
        sections += [gpu[1], report.markdown(gpu[0])]
        self._write("speed", sections)
        calibration_text = report.markdown(report.calibration_table(calibrated))
        self._write("calibration", [machine_text, calibration_text, report.calibration_sentence(calibrated)])
        if end_to_end:
            for name, frame in end_to_end.measured.items():
                self._save(frame, name)
            self._write("sweep", [machine_text, *end_to_end.sections])
        stamp = provenance.stamp(seconds=time.time() - self.started)
        also = asdict(end_to_end) if end_to_end else {}
        known = {"parameters": asdict(self) | also, "machine": machine(), **stamp}
        write_json(self.folder / "provenance.json", known)
        return overview

    def _save(self, frame: pd.DataFrame, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        frame.assign(profile=self.profile).to_csv(self.folder / f"{name}.csv", index=False)

    def _write(self, name: str, sections: list[str]) -> None:
        text = "\n\n".join([f"Profile {self.profile}.", *filter(None, sections)])
        (self.folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")


#: One value of the right type for each parameter, for `check_parameters`.
_EXAMPLES: dict[str, Any] = {
    "notebook": "", "profile": "", "outputs": "", "sizes": [[0]], "severities": [0], "batch": 0, "repeats": 0,
    "seconds": 0.0, "numba_version": "", "gpu_size": [0], "gpu_batch": 0, "gpu_repeats": 0,
    "calibration_size": [0], "calibration_draws": 0,
}  # fmt: skip
