"""What the models said of single images, clean and corrupted, beside what is annotated."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from robnb import plots, tables
from robnb.corruptions import Condition
from robnb.errors import UserError
from robnb.evaluation.replay import Replay
from robnb.evaluation.results import Evaluation
from robnb.evaluation.trained import TrainedModel
from robnb.evaluation.worst import image_scores
from robnb.names import CLEAN, METRICS
from robnb.plots.predictions import Shown
from robnb.widgets.without_kernel import WithPicture, png, source

_CLEAN = Condition(CLEAN, 0)
_AS_STORED = "as in the data set"
#: Models that are drawn at once, at most, and that are chosen to begin with.
_MOST, _FIRST = 4, 2


@dataclass(frozen=True, eq=False)
class _Scored:
    """A model with the sweep that it was scored in."""

    evaluation: Evaluation
    model: TrainedModel
    replay: Replay


class Predictions(WithPicture):
    """What chosen models said of an image, clean and under a corruption, with the image's own scores.

    Detections and classes are those that the sweep kept; label maps are predicted again by the model.

    Args:
        evaluations: finished sweeps, of any tasks, over the same conditions.
    """

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self._tasks = _by_task(evaluations)
        self._scores = functools.lru_cache(maxsize=32)(self._image_scores)
        self._quiet = False
        self._controls([c for c in evaluations[0].conditions if c != _CLEAN] or [_CLEAN])
        self.shown = ipywidgets.HTML()
        pairs = [
            (self.task, self.models),
            (self.corruption, self.severity),
            (self.order, self.number),
            (self.least_score, self.masks),
        ]
        rows = [ipywidgets.HBox(pair, layout={"flex_flow": "row wrap"}) for pair in pairs]
        alt = "what models say of one image, clean and corrupted, beside what is annotated"
        super().__init__([*rows, self.shown], self._figure, alt)
        self._of_another_task()
        self.task.observe(self._of_another_task, "value")
        self.models.observe(self._of_other_models, "value")
        for control in (self.corruption, self.severity, self.order, self.number, self.least_score, self.masks):
            control.observe(self._show, "value")

    def _controls(self, conditions: Sequence[Condition]) -> None:
        wide = {"layout": {"width": "22rem"}, "style": {"description_width": "6rem"}}
        names = list(dict.fromkeys(condition.corruption for condition in conditions))
        severities = sorted({condition.severity for condition in conditions})
        tasks = sorted(self._tasks, key=lambda task: task == "upstream")  # one object an image says less
        self.task = ipywidgets.Dropdown(options=tasks, description="task", **wide)
        self.corruption = ipywidgets.Dropdown(options=names, description="corruption", **wide)
        self.severity = ipywidgets.SelectionSlider(
            options=severities, value=severities[-1], description="severity", **wide
        )
        self.models = ipywidgets.SelectMultiple(description="models", rows=4, **wide)
        self.order = ipywidgets.Dropdown(options=[_AS_STORED], description="images", **wide)
        self.number = ipywidgets.BoundedIntText(min=1, max=1, description="number", **wide)
        self.least_score = ipywidgets.FloatSlider(
            0.3, min=0.0, max=1.0, step=0.05, description="least score", continuous_update=False, **wide
        )
        self.masks = ipywidgets.Checkbox(description="masks, not boxes", **wide)

    def _of_another_task(self, _: object = None) -> None:
        scored = self._tasks[self.task.value]
        self._quiet = True
        self.models.options = list(scored)
        self.models.value = list(scored)[:_FIRST]
        self.order.options = [_AS_STORED, *(f"worst first: {name}" for name in scored)]
        self.order.value = self.order.options[1]
        self.number.max = len(next(iter(scored.values())).evaluation.asked.reader)
        self.number.value = 1
        for control in (self.least_score, self.masks):
            control.disabled = self.task.value != "detection"
        self._quiet = False
        self._show()

    def _of_other_models(self, _: object) -> None:
        if len(self.models.value) > _MOST:
            self.models.value = self.models.value[:_MOST]
        self._show()

    def _show(self, _: object = None) -> None:
        if self._quiet:
            return
        try:
            if not self.models.value:
                raise UserError("no model is chosen: choose one or several.")
            file = png(self._figure())
        except UserError as error:
            self.shown.value = f"<p role='alert'>{escape(str(error))}</p>"
            return
        alt = f"{', '.join(self.models.value)} on image {self._place()[1]}, clean and under {self._condition_name}"
        self.shown.value = f'<img alt="{escape(alt, quote=True)}" style="max-width: 100%;" src="{source(file)}">'

    @property
    def _condition(self) -> Condition:
        return Condition(self.corruption.value, self.severity.value)

    @property
    def _condition_name(self) -> str:
        return f"{self.corruption.value} at severity {self.severity.value}"

    def _image_scores(self, task: str, name: str, condition: Condition, metric: str) -> pd.DataFrame:
        scored = self._tasks[task][name]
        return image_scores(scored.evaluation, scored.model, condition, metric)

    def _metric(self) -> str:
        return METRICS[self.task.value][self.masks.value if self.task.value == "detection" else 0]

    def _place(self) -> tuple[int, str]:
        """(index in the reader's order, id) of the image that is to be shown."""
        scored, at = self._tasks[self.task.value], self.number.value - 1
        if self.order.value != _AS_STORED:
            name = list(scored)[self.order.index - 1]
            row = self._scores(self.task.value, name, self._condition, self._metric()).iloc[at]
            return int(row["index"]), str(row["image_id"])
        first = next(iter(scored.values()))
        return at, first.evaluation.asked.reader.image_ids[at]

    def _figure(self) -> Figure:
        task, (index, image_id) = self.task.value, self._place()
        scored = self._tasks[task]
        rows = []
        for name in self.models.value:
            frame = self._scores(task, name, self._condition, self._metric())
            own = frame.set_index("index").loc[index]
            replay, model = scored[name].replay, scored[name].model
            panels = {_CLEAN: (f"{image_id} clean", own["clean"])}
            panels.setdefault(self._condition, (self._condition_name, own["score"]))
            rows.append(
                [
                    Shown(f"{name}: {called}, {self._score(score)}", replay.seen(model, condition, index))
                    for condition, (called, score) in panels.items()
                ]
            )
        reader = next(iter(scored.values())).evaluation.asked.reader
        options = {"least_score": self.least_score.value, "masks": self.masks.value} if task == "detection" else {}
        return plots.predictions(rows, reader[index].target, reader.classes, **options)

    def _score(self, value: float) -> str:
        title = tables.METRIC_TITLES[self._metric()]
        return f"no {title}" if pd.isna(value) else f"{title} {value:.0f}"


def _by_task(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, _Scored]]:
    """The models of each task, by a name that says what tells them apart."""
    scored = [
        _Scored(one, model, replay) for one, replay in ((e, Replay(e)) for e in evaluations) for model in one.models
    ]
    found: dict[str, dict[str, _Scored]] = {}
    for one in scored:
        of_task = [other.model for other in scored if other.model.task == one.model.task]
        found.setdefault(one.model.task, {})[_name(one.model, of_task)] = one
    return found


def _name(model: TrainedModel, among: Sequence[TrainedModel]) -> str:
    plain = tables.label(*model.called)
    alike = [other for other in among if tables.label(*other.called) == plain]
    parts = [plain]
    if len({other.called for other in alike}) > 1:
        parts.append(str(model.backbone))
    if len({other.regime for other in among}) > 1:
        parts.append(tables.REGIME_TITLES[model.regime])
    if len({other.seed for other in alike}) > 1:
        parts.append(f"seed {model.seed}")
    return tables.ARM.join(parts)
