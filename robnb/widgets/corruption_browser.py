"""One image under every corruption: what the test images look like that the models are scored on."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from html import escape

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from robnb import plots
from robnb.corruptions import Condition, corrupt
from robnb.data.sample import Sample
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.names import CATEGORIES, CLEAN, CORRUPTIONS, FURTHER_CORRUPTIONS, SEVERITIES, VALIDATION_CORRUPTIONS
from robnb.widgets import pixels
from robnb.widgets.without_kernel import WithPicture

_ONE, _ALL = "one corruption", "all 15"
#: Corrupted images that are kept, so that going back to one costs nothing.
_KEPT = 64


class CorruptionBrowser(WithPicture):
    """An image clean and corrupted, with their difference, or under all 15 corruptions at one severity.

    The pixels are those that a sweep with this seed and engine scores: they come from the same key.

    Args:
        data: the tasks' data sets; of their test images.
        seed: of the corruptions, to begin with.
        engine: of the corruptions: "fast" or "reference".
    """

    def __init__(self, data: Mapping[str, TaskData], seed: int = 0, engine: str = "fast") -> None:
        self._data, self._engine = dict(data), engine
        self._reader = functools.lru_cache(maxsize=None)(lambda task: self._data[task].open("test"))
        self._sample = functools.lru_cache(maxsize=4)(lambda task, index: self._reader(task)[index])
        self._corrupted = functools.lru_cache(maxsize=_KEPT)(self._corrupt)
        self._clean_is_of: tuple[object, ...] = ()  # the choices that the clean picture is of
        self._controls(seed)
        # Pictures of their own, so that a move of the slider sends only those that it changes.
        part = {"layout": {"flex": "1 1 0", "min_width": "7rem", "max_width": "40rem", "margin": "0 0.6rem 0 0"}}
        self.clean, self.corrupted, self.apart = (ipywidgets.HTML(**part) for _ in range(3))
        self.side_by_side = ipywidgets.HBox([self.clean, self.corrupted, self.apart])
        self.grid, self.said = ipywidgets.HTML(), ipywidgets.HTML()
        rows = [
            ipywidgets.HBox([self.task, self.number, self.image_id]),
            ipywidgets.HBox([self.corruption, self.view, self.severity]),
            ipywidgets.HBox([self.zoom, self.seed]),
            ipywidgets.HBox([self.across, self.down]),
        ]
        for each in rows:
            each.layout.flex_flow = "row wrap"
        alt = f"one image of {next(iter(self._data))}, clean and under the 15 corruptions at severity {SEVERITIES[-1]}"
        super().__init__([*rows, self.said, self.side_by_side, self.grid], self._grid_figure, alt)
        self._of_another_data_set()
        self._watch()

    def _controls(self, seed: int) -> None:
        grouped = [(f"{category}: {name}", name) for category, names in CATEGORIES.items() for name in names]
        grouped += [(f"held out: {name}", name) for name in VALIDATION_CORRUPTIONS]
        grouped += [(f"further: {name}", name) for name in FURTHER_CORRUPTIONS]
        wide = {"layout": {"width": "21rem"}, "style": {"description_width": "6rem"}}
        short = {"layout": {"width": "15rem"}, "style": {"description_width": "6rem"}}
        place = {**wide, "min": 0, "max": 100, "value": 50, "disabled": True}
        self.task = ipywidgets.Dropdown(options=list(self._data), description="data set", **wide)
        self.number = ipywidgets.BoundedIntText(min=1, max=1, description="image", **short)
        self.image_id = ipywidgets.Text(description="its id", continuous_update=False, **wide)
        self.view = ipywidgets.Dropdown(options=[_ONE, _ALL], description="view", **short)
        self.corruption = ipywidgets.Dropdown(options=grouped, description="corruption", **wide)
        self.severity = ipywidgets.IntSlider(min=1, max=5, value=3, description="severity", **wide)
        self.seed = ipywidgets.BoundedIntText(value=seed, min=0, max=2**31 - 1, description="seed", **short)
        self.zoom = ipywidgets.SelectionSlider(options=[1, 2, 4, 8], description="zoom", **wide)
        self.across = ipywidgets.IntSlider(description="across (%)", **place)
        self.down = ipywidgets.IntSlider(description="down (%)", **place)

    def _watch(self) -> None:
        self.task.observe(self._of_another_data_set, "value")
        self.image_id.observe(self._go_to, "value")
        shown = (self.number, self.view, self.corruption, self.severity, self.seed, self.zoom, self.across, self.down)
        for control in shown:
            control.observe(self._show, "value")

    def _of_another_data_set(self, _: object = None) -> None:
        self.number.max = len(self._reader(self.task.value))
        if self.number.value == 1:
            self._show()
        self.number.value = 1

    def _go_to(self, _: object) -> None:
        wanted, ids = self.image_id.value.strip(), self._reader(self.task.value).image_ids
        if wanted in ids:
            self.number.value = ids.index(wanted) + 1
        else:
            self._say(f"{self.task.value} has no test image {wanted!r}: its first is {ids[0]!r}.")

    def _show(self, _: object = None) -> None:
        one = self.view.value == _ONE
        for place in (self.across, self.down):
            place.disabled = self.zoom.value == 1
        self.corruption.disabled = not one
        try:
            sample = self._sample(self.task.value, self.number.value - 1)
            (self._show_one if one else self._show_all)(sample)
        except UserError as error:
            self._say(str(error))
            return
        self.image_id.value = sample.image_id
        self.said.value = ""
        self.side_by_side.layout.display = "" if one else "none"
        self.grid.layout.display = "none" if one else ""

    def _say(self, sentence: str) -> None:
        self.said.value = f"<p role='alert'>{escape(sentence)}</p>"

    def _show_one(self, sample: Sample) -> None:
        name, severity = self.corruption.value, self.severity.value
        corrupted = self._under(name)
        apart, how_far = pixels.difference(sample.image, corrupted)
        about = f"{name} at severity {severity}"
        place = (self.task.value, self.number.value, self.zoom.value, self.across.value, self.down.value)
        if self._clean_is_of != place:
            self.clean.value, self._clean_is_of = self._clean(sample), place
        self.corrupted.value = self._figure(corrupted, f"{about}, image {sample.image_id}", about)
        self.apart.value = self._figure(apart, f"{about}, {how_far}", how_far)

    def _show_all(self, sample: Sample) -> None:
        figures = [self._clean(sample)]
        about = f"at severity {self.severity.value}, image {sample.image_id}"
        figures += [self._figure(self._under(name), f"{name} {about}", name) for name in CORRUPTIONS]
        self.grid.value = "".join(pixels.row(figures[k : k + 4]) for k in range(0, len(figures), 4))

    def _clean(self, sample: Sample) -> str:
        return self._figure(sample.image, f"{CLEAN} image {sample.image_id}", CLEAN)

    def _figure(self, image: np.ndarray, alt: str, caption: str) -> str:
        part = pixels.window(image, self.zoom.value, self.across.value / 100, self.down.value / 100)
        return pixels.figure(part, alt, caption)

    def _under(self, name: str) -> np.ndarray:
        return self._corrupted(self.task.value, self.number.value - 1, name, self.severity.value, self.seed.value)

    def _corrupt(self, task: str, index: int, name: str, severity: int, seed: int) -> np.ndarray:
        sample = self._sample(task, index)
        return corrupt(sample.image, name, severity, image_id=sample.image_id, seed=seed, engine=self._engine)

    def _grid_figure(self) -> Figure:
        """Every corruption at its severest, as far as paper can show a slider."""
        sample = self._sample(self.task.value, self.number.value - 1)
        conditions = [Condition(CLEAN, 0), *(Condition(name, SEVERITIES[-1]) for name in CORRUPTIONS)]
        return plots.corruption_grid(sample, conditions, self.seed.value, self._engine)
