"""The results explorer: its numbers are the notebooks' tables, whatever is chosen, and it offers only what there is."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from html import unescape

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from swept import small_world, swept
from test_results import InMemory, right_or_wrong, usual

from robnb import tables
from robnb.errors import UserError
from robnb.metrics import ALL
from robnb.names import CLEAN
from robnb.plots.drawing import looks
from robnb.statistics import Results
from robnb.statistics.quantities import QUANTITIES
from robnb.store import Store
from robnb.widgets.results_explorer import explorer
from robnb.widgets.without_kernel import WithPicture

GRID = [
    (CLEAN, 0),
    ("gaussian_noise", 1),
    ("gaussian_noise", 3),
    ("shot_noise", 1),
    ("fog", 1),
    ("fog", 3),
    ("pixelate", 3),
]
RESAMPLES, SEED = 100, 5


def evaluated(task: str, store: Store, grid=GRID, **how) -> InMemory:
    evaluation = InMemory(task, right_or_wrong(60, usual), grid=grid, fingerprint=task, **how)
    evaluation.store = store
    return evaluation


def evaluations(store: Store, grid=GRID) -> list[InMemory]:
    """Upstream; and a task that was learnt in two ways, one of them by a model more."""
    return [
        evaluated("upstream", store, grid, regime="pretrained"),
        evaluated("classification", store, grid, seeds=(0, 1)),
        evaluated("classification", store, grid, regime="full_network", weights=("regular", "augmix", "prime")),
    ]


def results_of(scored: list[InMemory], grid=GRID) -> Results:
    return Results.of(scored, grid, RESAMPLES, SEED, scored[0].store)


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> list[InMemory]:
    return evaluations(Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def results(scored) -> Results:
    return results_of(scored)


@pytest.fixture(autouse=True)
def figures(monkeypatch) -> list[plt.Figure]:
    """Every figure that is drawn. Making a file of it takes longer than all the rest, so that none is made."""
    kept = []

    def keep(figure: plt.Figure) -> bytes:
        kept.append(figure)
        plt.close(figure)  # which leaves it as it is
        return b""

    monkeypatch.setattr("robnb.widgets.results_explorer.png", keep)
    return kept


@pytest.fixture
def widget(results, scored) -> WithPicture:
    return explorer(results, scored, SEED)


def everything(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def control(widget: WithPicture, name: str) -> ipywidgets.Widget:
    """By its label, as a reader finds it."""
    (found,) = [one for one in everything(widget) if getattr(one, "description", "") == name]
    return found


def offered(widget: WithPicture, name: str) -> dict[str, object]:
    """Title and value of every option; none where the control is not shown."""
    found = control(widget, name)
    return {} if found.layout.display == "none" else dict(found.options)


def page(widget: WithPicture) -> str:
    (html,) = [one for one in everything(widget) if isinstance(one, ipywidgets.HTML)]
    return html.value


def table(widget: WithPicture) -> pd.DataFrame:
    """What the table shows, as text."""
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", page(widget), re.S)]
    return pd.DataFrame([[unescape(cell) for cell in row] for row in rows[1:]], columns=rows[0])


def alt(widget: WithPicture) -> str:
    return unescape(re.search(r'<img alt="([^"]*)"', page(widget))[1])


def notebooks(results: Results, task: str, metric: str, regime: str = "") -> pd.DataFrame:
    """The rows of the overview as a notebook shows it, as text."""
    frame = tables.with_intervals(tables.overview(results.summary))
    frame = frame[(frame["task"] == task) & (frame["metric"] == metric)].drop(columns=["task", "metric"])
    frame = frame[frame["regime"] == regime].drop(columns="regime") if regime else frame
    return frame[["model", *frame.columns.drop("model")]].astype(str).reset_index(drop=True)


def test_the_default_is_the_notebooks_overview_of_the_first_downstream_score(widget, results):
    assert control(widget, "Score").value == ("classification", "top1")
    assert control(widget, "Quantity").value == "drop"
    pd.testing.assert_frame_equal(table(widget), notebooks(results, "classification", "top1"))
    assert "mean of severities 1, 3" in page(widget) and "over the 60 test images" in page(widget)


def test_each_score_and_each_way_of_learning_it_has_its_rows(widget, results):
    control(widget, "Transfer").value = "full_network"
    pd.testing.assert_frame_equal(table(widget), notebooks(results, "classification", "top1", "full_network"))
    assert "every weight trained" in alt(widget)
    control(widget, "Score").value = ("upstream", "top1")
    pd.testing.assert_frame_equal(table(widget), notebooks(results, "upstream", "top1", "pretrained"))
    assert "Upstream classification" in alt(widget)


@pytest.mark.parametrize("severity", [1, 3])
def test_a_severity_alone_is_that_of_an_evaluation_of_it_alone(widget, tmp_path, severity):
    grid = [(name, one) for name, one in GRID if one in (0, severity)]
    alone = results_of(evaluations(Store(tmp_path), grid), grid)
    control(widget, "Severity").value = severity
    pd.testing.assert_frame_equal(table(widget), notebooks(alone, "classification", "top1"))
    assert f"severity {severity}." in page(widget)


def test_a_corruption_alone_is_that_of_an_evaluation_of_it_alone(widget, tmp_path):
    """Over its severities, and at one of them."""
    for severity, levels in ((0, (0, 1, 3)), (3, (0, 3))):
        grid = [(name, one) for name, one in GRID if name in (CLEAN, "fog") and one in levels]
        alone = results_of(evaluations(Store(tmp_path / str(severity)), grid), grid)
        control(widget, "Severity").value, control(widget, "Corruptions").value = severity, "fog"
        expected = notebooks(alone, "classification", "top1").drop(columns="drop weather")
        pd.testing.assert_frame_equal(table(widget), expected)
        assert "; fog, " in alt(widget)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_category_and_every_quantity_are_the_rows_of_the_summary(widget, results, quantity):
    control(widget, "Score").value, control(widget, "Quantity").value = ("upstream", "top1"), quantity
    rows = results.summary[results.summary["task"] == "upstream"].set_index("category")

    def cells(category: str, name: str) -> list[str]:
        columns = (rows.loc[category, name + end] for end in ("", "_low", "_high"))
        return [tables.cell(*of_model) for of_model in zip(*columns, strict=True)]

    shown = table(widget)
    assert list(shown.columns[:6]) == ["model", "seeds", *QUANTITIES]
    for name in QUANTITIES:
        assert list(shown[name]) == cells(ALL, name)
    single = {} if quantity == "P" else {f"{quantity} {name}": name for name in ("noise", "weather", "digital")}
    assert list(shown.columns[6:]) == list(single)
    for column, category in single.items():
        assert list(shown[column]) == cells(category, quantity)
    control(widget, "Corruptions").value = "noise"
    assert list(table(widget).columns) == ["model", "seeds", *QUANTITIES]
    for name in QUANTITIES:
        assert list(table(widget)[name]) == cells("noise", name)


def bars(figure: plt.Figure) -> dict[str, tuple[list[float], tuple[float, ...]]]:
    """Heights and colour of each model's bars, in the first panel."""
    (handles, labels), found = figure.axes[0].get_legend_handles_labels(), {}
    for container, name in zip(handles, labels, strict=True):
        found[name] = ([bar.get_height() for bar in container], to_rgb(container[0].get_facecolor()))
    return found


@pytest.mark.parametrize("quantity", ["rPC", "mPC", "P"])
def test_the_figure_has_the_numbers_of_the_table(figures, widget, results, quantity):
    control(widget, "Score").value, control(widget, "Quantity").value = ("upstream", "top1"), quantity
    figure = figures[-1]
    rows = results.summary[results.summary["task"] == "upstream"]
    categories = [ALL] if quantity == "P" else ["noise", "weather", "digital", ALL]
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == (["clean images"] if quantity == "P" else categories)
    assert quantity in figure.get_supylabel() and "(%)" in figure.get_supylabel()
    intervals = sum(line.get_gid() == "interval" for line in figure.axes[0].collections)
    assert intervals == len(rows[rows["category"].isin(categories)])
    for name, (heights, _) in bars(figure).items():
        weights = {"Regular": "regular", "AugMix": "augmix"}[name]
        of_model = rows[rows["weights"] == weights].set_index("category")[quantity]
        assert heights == pytest.approx(list(of_model[categories]))


def test_names_and_colours_stay_when_backbones_go(figures, widget, results):
    control(widget, "Transfer").value, control(widget, "Regular").value = "full_network", False
    colours = {name: look.colour for name, look in looks(tables.with_labels(results.summary)["model"]).items()}
    assert {name: colour for name, (_, colour) in bars(figures[-1]).items()} == {
        name: pytest.approx(colours[name]) for name in ("AugMix", "PRIME")
    }
    assert set(table(widget)["model"]) == {"AugMix", "PRIME"}


def test_models_of_like_names_keep_their_full_ones(tmp_path):
    """A ResNet-50 and a small one are both Regular; alone they would be called so."""
    store = Store(tmp_path)
    small, large = evaluated("classification", store), evaluated("classification", store)
    for model in large.models:
        model.backbone.architecture = "resnet50"
    large.scores["backbone"] = "resnet50"
    widget = explorer(results_of([small, large]), [small, large], SEED)
    control(widget, "Regular (resnet50.regular)").value = False
    control(widget, "AugMix (resnet50.augmix)").value = False
    assert list(table(widget)["model"]) == ["Regular (resnet_nano.regular)", "AugMix (resnet_nano.augmix)"]


def test_only_what_there_is_is_offered(widget):
    assert list(offered(widget, "Score").values()) == [("upstream", "top1"), ("classification", "top1")]
    assert list(offered(widget, "Severity").values()) == [0, 1, 3]
    assert list(offered(widget, "Transfer").values()) == ["", "fixed_feature", "full_network"]
    single = ["gaussian_noise", "shot_noise", "fog", "pixelate"]
    assert list(offered(widget, "Corruptions").values()) == ["", "noise", "weather", "digital", *single]
    control(widget, "Corruptions").value = "pixelate"
    control(widget, "Severity").value = 1
    assert list(offered(widget, "Corruptions").values()) == ["", "noise", "weather", *single[:3]]
    assert control(widget, "Corruptions").value == "", "what is no longer there is no longer chosen"
    control(widget, "Corruptions").value = "fog"
    control(widget, "Severity").value = 3
    assert control(widget, "Corruptions").value == "fog", "what still is there stays"
    assert {"Regular", "AugMix", "PRIME"} <= {getattr(one, "description", "") for one in everything(widget)}
    control(widget, "Transfer").value = "fixed_feature"
    assert "PRIME" not in {getattr(one, "description", "") for one in everything(widget)}
    control(widget, "Score").value = ("upstream", "top1")
    assert offered(widget, "Transfer") == {}


def test_of_one_severity_or_corruption_there_is_no_choice(tmp_path):
    grid = GRID[:2]
    scored = evaluations(Store(tmp_path), grid)[:1]
    widget = explorer(results_of(scored, grid), scored, SEED)
    assert [offered(widget, name) for name in ("Severity", "Corruptions", "Transfer")] == [{}] * 3
    assert control(widget, "Score").value == ("upstream", "top1")
    assert "severity 1" in page(widget)


def test_no_backbone_is_a_sentence_and_all_bring_everything_back(widget):
    before = page(widget)
    control(widget, "No backbone").click()
    assert re.fullmatch(r"<p>No backbone is chosen: [^<]*\.</p>", page(widget))
    control(widget, "Severity").value = 3
    assert page(widget).startswith("<p>No backbone")
    control(widget, "Severity").value = 0
    control(widget, "PRIME").value = True
    assert list(table(widget)["model"]) == ["PRIME"]
    control(widget, "All backbones").click()
    assert page(widget) == before


def test_nothing_is_resampled_or_made_twice(results, scored, monkeypatch):
    reads = [len(one.reads) for one in scored]
    widget, made, of = explorer(results, scored, SEED), [], Results.of
    monkeypatch.setattr(Results, "of", lambda *how: made.append(how) or of(*how))
    for severity in (1, 3, 0, 1, 3, 0):
        control(widget, "Severity").value = severity
    assert len(made) == 2 and [len(one.reads) for one in scored] == reads


def test_results_of_another_seed_or_of_other_evaluations_are_refused(results, scored):
    for of, seed in ((scored, SEED + 1), (scored[:1], SEED), ([], SEED)):
        with pytest.raises(UserError, match=r"not of these evaluations and this seed: .* study\.seed"):
            explorer(results, of, seed)


def test_numbers_that_cannot_be_read_are_a_sentence(tmp_path):
    scored = evaluations(Store(tmp_path))
    widget = explorer(results_of(scored), scored, SEED)
    shutil.rmtree(tmp_path / "bootstrap")
    for one in scored:
        one.tables = right_or_wrong(30, usual)
    control(widget, "Severity").value = 3
    assert re.fullmatch(
        r"<p>resnet_nano/.*30 images have results and 60 a score; evaluate the model again\.</p>", page(widget)
    )


def test_every_control_has_a_label_and_is_of_ipywidgets_alone(widget):
    kinds = {type(one) for one in everything(widget)} - {WithPicture}
    assert {kind.__module__.partition(".")[0] for kind in kinds} == {"ipywidgets"}
    controls = [one for one in everything(widget) if hasattr(one, "disabled")]
    assert len(controls) == 10 and all(one.description and not one.disabled for one in controls)
    names = [one.description for one in controls]
    assert len(set(names)) == len(names)


def test_figure_and_table_can_be_reached_without_seeing_or_pointing(widget):
    assert re.search(r"<figure[^>]*><img .*</figcaption></figure>", page(widget))
    assert alt(widget).startswith("Bars with their 95 % intervals: drop; Downstream classification, top-1; all")
    assert all(name in alt(widget) for name in ("Regular", "AugMix", "PRIME"))
    box = re.search(r"<div ([^>]*)><p>[^<]*</p>\s*<table", page(widget))[1]
    assert all(part in box for part in ('role="region"', "aria-label=", 'tabindex="0"', "overflow-x: auto"))


def test_without_a_kernel_there_is_the_default_figure(results, scored, monkeypatch):
    monkeypatch.undo()  # with files of the figures
    open_before = plt.get_fignums()  # other files' tests leave some
    widget = explorer(results, scored, SEED)
    shown, said = re.search(r"base64,([^\"]*)", page(widget))[1], alt(widget)
    control(widget, "No backbone").click()
    bundle, about = widget._repr_mimebundle_()
    first, left = (plt.imread(io.BytesIO(base64.b64decode(file))) for file in (shown, bundle["image/png"]))
    np.testing.assert_array_equal(first, left)
    assert bundle["text/plain"] == about["image/png"]["alt"] and bundle["text/plain"] in said
    assert plt.get_fignums() == open_before, "every figure of its own is closed"


def test_a_sweeps_own_evaluations(tmp_path):
    """With boxes, masks and label maps; a corruption alone is read from a panel of several."""
    world, store = small_world(tmp_path / "world"), Store(tmp_path / "store")
    grid = [(CLEAN, 0), ("gaussian_noise", 1), ("fog", 1), ("gaussian_noise", 2), ("fog", 2)]
    scored = [swept(world[task], store, grid, replicates=2) for task in ("upstream", "detection", "segmentation")]
    results = Results.of(scored, grid, RESAMPLES, SEED, store)
    kept = sorted(store.root.glob("bootstrap/*"))
    widget = explorer(results, scored, SEED)
    assert list(offered(widget, "Score").values())[1:3] == [("detection", "box_AP"), ("detection", "mask_AP")]
    for score in offered(widget, "Score").values():
        control(widget, "Score").value = score
        control(widget, "Severity").value = 2
        control(widget, "Corruptions").value = "fog"
        values = results.scores.query("task == @score[0] and metric == @score[1]").set_index(["weights", "corruption"])
        one = values[values["severity"].isin([0, 2])]["value"]
        expected = [f"{one[weights, 'fog'].mean():z.1f}" for weights in ("regular", "augmix")]
        assert [cell.partition(" ")[0] for cell in table(widget)["mPC"]] == expected
    assert sorted(store.root.glob("bootstrap/*")) == kept
