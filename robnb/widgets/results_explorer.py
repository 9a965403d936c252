"""The results explorer: choose backbones, score, corruptions and severity; the figure and the table follow."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets

from robnb import tables
from robnb.errors import UserError
from robnb.evaluation.results import Evaluation
from robnb.names import CATEGORIES, KNOWN_CORRUPTIONS
from robnb.plots.scores import QUANTITY_TITLES
from robnb.statistics import Results
from robnb.widgets.explored import EVERY, EVERY_SEVERITY, Choice, Explored, called
from robnb.widgets.without_kernel import WithPicture, png, source

_EMPTY = "<p>No backbone is chosen: tick one or more of those above.</p>"
_WRAP = {"flex_flow": "row wrap", "align_items": "center"}
_FIGURE = (
    '<figure style="margin: 0"><img alt="{}" src="{}" style="max-width: 100%; height: auto">'
    "<figcaption>{}</figcaption></figure>"
)
_STYLE = """<style>
.robnb-explored th, .robnb-explored td { padding: 0.2em 0.7em; text-align: right; white-space: nowrap }
</style>"""
_TABLE = '<div role="region" aria-label="Table" tabindex="0" style="overflow-x: auto"><p>{}</p>{}</div>'


def explorer(results: Results, evaluations: Sequence[Evaluation], seed: int = 0) -> WithPicture:
    """Choose backbones, score, corruptions, severity and quantity; the figure and the table below follow.

    Numbers are those of the tables of a notebook. For a single severity or corruption they are made of the scores'
    draws, which the evaluations' store has.

    Args:
        results: of the evaluations.
        evaluations: that the results were made of.
        seed: of the bootstrap that the results were made with.

    Raises:
        UserError: the results are not of these evaluations and this seed.
    """
    explored = Explored(results, evaluations, seed)
    shown = ipywidgets.HTML()

    def show(choice: Choice) -> None:
        try:
            shown.value = _page(explored, choice) if choice.models else _EMPTY
        except UserError as error:  # nobody would see it raised: the store has gone, say
            shown.value = f"<p>{html.escape(str(error))}</p>"

    controls = _Controls(explored, show)
    first = controls.choice
    show(first)
    return WithPicture([*controls.rows, shown], lambda: explored.figure(first), _in_words(explored, first))


def _page(explored: Explored, choice: Choice) -> str:
    """The figure and the table as HTML."""
    picture = source(png(explored.figure(choice)))
    alt, said = f"{_in_words(explored, choice)} The table below has the numbers.", explored.said(choice)
    figure = _FIGURE.format(html.escape(alt), picture, html.escape(f"{said}. Lines are 95 % intervals."))
    frame = tables.with_intervals(explored.table(choice)).drop(columns=["task", "metric"])
    if frame["regime"].nunique() == 1:
        frame = frame.drop(columns="regime")
    rows = frame.set_index("model").rename_axis(index=None, columns="model").to_html(classes="robnb-explored", border=0)
    about = (
        f"P is of clean images, the others of {explored.corrupted(choice)}; percent, with 95 % intervals over the "
        f"{explored.images(choice.score[0])} test images."
    )
    return _STYLE + figure + _TABLE.format(html.escape(about), rows)


def _in_words(explored: Explored, choice: Choice) -> str:
    """What the figure is, for a reader who cannot see it."""
    who = "; ".join(explored.names[model] for model in choice.models)
    return f"Bars with their 95 % intervals: {explored.said(choice)}; of {who}."


def _dropdown(name: str, options: Mapping[str, Any] | None = None) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(description=name, options=list((options or {}).items()), layout={"width": "auto"})


def _options(control: ipywidgets.Dropdown, every: str | int, said: str, single: Mapping[str, Any]) -> None:
    """Offer all together and each alone; one that is the only one is all of them, and no control is needed."""
    options = tuple(({said: every, **single} if len(single) > 1 else dict.fromkeys(single, every)).items())
    if options == control.options:
        return
    chosen = control.value if control.value in dict(options).values() else every
    control.options, control.layout.display = options, None if len(options) > 1 else "none"
    control.value = chosen


class _Controls:
    """The controls, each of which offers what there is for the choices before it."""

    def __init__(self, explored: Explored, changed: Callable[[Choice], None]) -> None:
        self._explored, self._changed, self._at_work = explored, changed, False
        scores = {tables.title(task, "", metric, regimes=False): (task, metric) for task, metric in explored.scores}
        self._score = _dropdown("Score", scores)
        self._score.value = next((score for score in scores.values() if score[0] != "upstream"), self._score.value)
        self._quantity = _dropdown("Quantity", {title: name for name, title in QUANTITY_TITLES.items()})
        self._regime, self._severity, self._corruptions = map(_dropdown, ("Transfer", "Severity", "Corruptions"))
        self._backbones = {
            model: ipywidgets.Checkbox(True, description=name, indent=False, layout={"width": "auto"})
            for model, name in explored.names.items()
        }
        self._offered = ipywidgets.Box(layout=_WRAP)
        self._buttons = [ipywidgets.Button(description=name) for name in ("All backbones", "No backbone")]
        for button, on in zip(self._buttons, (True, False), strict=True):
            button.on_click(lambda _, on=on: self._tick(on))
        self._offer()
        for control in (*self._dropdowns, *self._backbones.values()):
            control.observe(lambda _: self._follow(), "value")

    @property
    def rows(self) -> list[ipywidgets.Widget]:
        """From top to bottom."""
        return [ipywidgets.Box(row, layout=_WRAP) for row in (self._dropdowns, [*self._buttons, self._offered])]

    @property
    def choice(self) -> Choice:
        """What the controls say together."""
        models = tuple(model for model, box in self._backbones.items() if box in self._offered.children and box.value)
        return Choice(*(control.value for control in self._dropdowns), models)

    @property
    def _dropdowns(self) -> list[ipywidgets.Dropdown]:
        """In the order of a choice."""
        return [self._score, self._regime, self._corruptions, self._severity, self._quantity]

    def _follow(self) -> None:
        """After a choice: offer what goes with it, and show it. What this changes itself is no choice."""
        if not self._at_work:
            with self._working():
                self._offer()
            self._changed(self.choice)

    def _tick(self, on: bool) -> None:
        with self._working():
            for box in self._offered.children:
                box.value = on
        self._follow()

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False

    def _offer(self) -> None:
        """What there is for the choices so far; a choice that is still there stays."""
        explored, score = self._explored, self._score.value
        regimes = {tables.REGIME_TITLES.get(regime, regime): regime for regime in explored.regimes(score)}
        _options(self._regime, EVERY, "all ways", regimes)
        task, _ = score
        severities = sorted({severity for _, severity in explored.conditions(task)})
        mean = f"mean of {', '.join(map(str, severities))}"
        _options(self._severity, EVERY_SEVERITY, mean, {str(severity): severity for severity in severities})
        there = {corruption for corruption, _ in explored.conditions(task, self._severity.value)}
        categories = [name for name, members in CATEGORIES.items() if there & set(members)]
        single = [name for name in KNOWN_CORRUPTIONS if name in there]
        named = [*(categories if len(categories) > 1 else []), *single]
        _options(self._corruptions, EVERY, "all, and by category", {called(name): name for name in named})
        models = explored.models(score, self._regime.value)
        self._offered.children = [box for model, box in self._backbones.items() if model in models]
