"""Figures: what is drawn equals the frame, and nothing is drawn that is not known."""

import frames
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from frames import AUGMIX, REGULAR, SWIN, four, summary_rows
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from robnb import plots
from robnb.errors import UserError
from robnb.names import CATEGORIES
from robnb.plots.drawing import view

DROPS = {REGULAR: four(50, 75, 25, 10), AUGMIX: four(20, 30, 40, 5), SWIN: four(10, -5, 30, 15)}
HALVES = {REGULAR: (2.5, 4.0), AUGMIX: 0.5, SWIN: 6.0}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def summary(*tasks, regime="fixed_feature", drops=DROPS, halves=HALVES, clean=60.0) -> pd.DataFrame:
    metrics = {"upstream": "top1", "detection": "box_AP", "segmentation": "mIoU"}
    of = {task: "pretrained" if task == "upstream" else regime for task in tasks}
    return pd.DataFrame([
        row for task in tasks for model, of_model in drops.items()
        for row in summary_rows(model, task, metrics[task], clean, of_model, halves[model], of[task])
    ])  # fmt: skip


def intervals(axis, *, horizontal=False) -> np.ndarray:
    """What an axis shows as intervals, read from its artists: rows of place, low, high."""
    along = int(not horizontal)
    found = []
    for lines in axis.collections:
        if isinstance(lines, LineCollection) and lines.get_gid() == "interval":
            (segment,) = lines.get_segments()
            if segment[0, 1 - along] == segment[1, 1 - along]:
                found.append((segment[0, 1 - along], *segment[:, along]))
    return np.array(found)


def bounds(rows: pd.DataFrame, name: str) -> np.ndarray:
    return rows[[f"{name}_low", f"{name}_high"]].to_numpy()


def said(axis) -> list[str]:
    return [text.get_text().strip() for text in axis.texts]


def test_whiskers_and_bars_of_each_category_are_the_frames_numbers():
    frame = summary("detection", "segmentation")
    figure = plots.drop_by_category(frame, ["box_AP", "mIoU"])
    order = [*CATEGORIES, "all"]
    for axis, metric in zip(figure.axes, ("box_AP", "mIoU"), strict=True):
        rows = frame[frame["metric"] == metric].set_index("category")
        wanted = pd.concat([rows[(rows["backbone"] == b) & (rows["weights"] == w)].loc[order] for b, w in DROPS])
        drawn = intervals(axis)
        np.testing.assert_allclose(drawn[:, 1:], bounds(wanted, "drop"))
        bars = [bar for bar in axis.patches if isinstance(bar, Rectangle)]
        np.testing.assert_allclose([bar.get_height() for bar in bars], wanted["drop"])
        np.testing.assert_allclose(drawn[:, 0], [bar.get_x() + bar.get_width() / 2 for bar in bars])
        assert [label.get_text() for label in axis.get_xticklabels()] == order


def test_whiskers_of_each_task():
    frame = summary("upstream", "detection", regime="full_network")
    figure = plots.drop_by_task(frame)
    overall = frame[frame["category"] == "all"]
    for axis, (_, rows) in zip(figure.axes, overall.groupby("task", sort=False), strict=True):
        np.testing.assert_allclose(intervals(axis), np.column_stack([range(3), bounds(rows, "drop")]))


def test_clean_and_corrupted_each_have_their_whisker():
    frame = summary("detection")
    (axis,) = plots.clean_and_corrupted(frame, ["box_AP"]).axes
    rows = frame[frame["category"] == "all"]
    drawn = intervals(axis, horizontal=True)
    np.testing.assert_allclose(drawn[::2, 1:], bounds(rows, "P"))
    np.testing.assert_allclose(drawn[1::2, 1:], bounds(rows, "mPC"))
    assert (drawn[::2, 0] > drawn[1::2, 0]).all(), "apart, because they overlap"


def test_two_regimes_are_two_panels():
    both = pd.concat([summary("detection"), summary("detection", regime="full_network")])
    titles = [axis.get_title() for axis in plots.drop_by_category(both, ["box_AP"]).axes]
    assert titles == ["Detection\nbox AP, frozen backbone", "Detection\nbox AP, every weight trained"]


def test_an_undefined_drop_is_written_and_not_drawn():
    frame = summary("segmentation", clean=0.0)
    for figure, count in ((plots.drop_by_task(frame), 3), (plots.drop_by_category(frame, ["mIoU"]), 15)):
        (axis,) = figure.axes
        assert said(axis) == ["undefined"] * count and not len(intervals(axis))
        assert all(axis.get_xlim()[0] < text.get_position()[0] < axis.get_xlim()[1] for text in axis.texts)
    rows = [(AUGMIX, "detection", "box_AP", category, np.nan, np.nan, np.nan) for category in ("all", "noise")]
    assert said(plots.differences(frames.differences(rows), REGULAR).axes[0]) == ["undefined"] * 2


def test_one_huge_interval_does_not_flatten_the_others():
    frame = summary("detection", halves=HALVES | {SWIN: (4000.0, 6.0)})
    (axis,) = plots.drop_by_category(frame, ["box_AP"]).axes
    lowest, highest = axis.get_ylim()
    assert -150 < lowest < -5 and 79 < highest < 150
    assert intervals(axis)[:, 1].min() < -4000, "the line goes on"
    heads = [line for line in axis.lines if line.get_marker() == "v"]
    assert len(heads) == 5 and all(line.get_ydata()[0] == lowest for line in heads), "and an arrow says so"


def test_the_view_holds_every_estimate_and_zero():
    estimates = pd.Series([200.0, 90.0, np.nan])
    low, high = view(estimates, pd.Series([150.0, -9000.0, np.nan]), pd.Series([9000.0, 95.0, np.nan]))
    assert low <= 0 and high >= 200 and low >= -230 and high <= 450
    assert view(pd.Series([np.nan]), pd.Series([np.nan]), pd.Series([np.nan]))[1] > 0


# Against the baseline

DIFFERENCES = frames.differences([
    (AUGMIX, "detection", "box_AP", "all", -6.0, -9.0, -3.0),
    (AUGMIX, "detection", "box_AP", "blur", 2.0, -1.0, 5.0),
    (SWIN, "detection", "box_AP", "all", 1.0, -4.0, 2.5),
    (SWIN, "detection", "box_AP", "blur", 8.0, 6.0, 10.0),
    (AUGMIX, "segmentation", "mIoU", "all", 3.0, 0.5, 5.0),
    (AUGMIX, "segmentation", "mIoU", "blur", 3.0, 0.0, 5.0),
])  # fmt: skip


def test_differences_have_their_intervals_and_zero_is_marked():
    figure = plots.differences(DIFFERENCES, REGULAR)
    first, second = figure.axes
    np.testing.assert_allclose(
        intervals(first, horizontal=True)[:, 1:], [(-9.0, -3.0), (-1.0, 5.0), (-4.0, 2.5), (6.0, 10.0)]
    )
    np.testing.assert_allclose(intervals(second, horizontal=True)[:, 1:], [(0.5, 5.0), (0.0, 5.0)])
    for axis in figure.axes:
        assert [line for line in axis.lines if len(line.get_xdata()) == 2 and set(line.get_xdata()) == {0}]
        low, high = axis.get_xlim()
        assert low < 0 < high
    assert [label.get_text() for label in first.get_yticklabels()] == ["all", "blur"]
    assert "that of Regular " in figure.get_supxlabel()


def test_a_difference_is_filled_only_where_its_interval_leaves_zero_out():
    first, second = plots.differences(DIFFERENCES, REGULAR).axes
    faces = [points.get_facecolors() for axis in (first, second) for points in axis.collections
             if not isinstance(points, LineCollection)]  # fmt: skip
    is_open = [(face[:, :3] == 1).all(axis=1).tolist() for face in faces]
    assert is_open == [[False, True], [True, False], [False, True]]


def test_one_model_alone_has_no_differences():
    alone = frames.differences([(REGULAR, "detection", "box_AP", "all", 0.0, 0.0, 0.0)])
    (text,) = plots.differences(alone, REGULAR).texts
    assert text.get_text() == "There is no model beside Regular to compare."


# Upstream against downstream


def test_agreement_shows_both_intervals_of_every_model_and_tau():
    frame = summary("upstream", "detection", "segmentation")
    taus = frames.agreement([("detection", "box_AP", 3, 1 / 3, -1.0, 1.0), ("segmentation", "mIoU", 3, *[np.nan] * 3)])
    first, second = plots.agreement(frame, taus).axes
    assert first.get_title() == "Detection\nbox AP\ntau = 0.33 [-1.00, 1.00]"
    assert second.get_title() == "Semantic segmentation\nmIoU\ntau is undefined"
    overall = frame[frame["category"] == "all"].set_index("task")
    np.testing.assert_allclose(intervals(first, horizontal=True)[:, 1:], bounds(overall.loc["upstream"], "drop"))
    np.testing.assert_allclose(intervals(first)[:, 1:], bounds(overall.loc["detection"], "drop"))
    assert [line.get_label() for line in first.lines if not line.get_label().startswith("_")] == [
        "Regular", "AugMix", "Swin (mini)",
    ]  # fmt: skip


# Corruption by corruption

CONDITIONS = [("clean", 0), ("fog", 1), ("fog", 3), ("snow", 1)]
VALUES = {("clean", 0): 40.0, ("fog", 1): 30.0, ("fog", 3): 10.0, ("snow", 1): 36.0}


def heat_map(*frames_of_models):
    figure = plots.drop_by_corruption(pd.concat(frames_of_models), CONDITIONS, "box_AP")
    return figure.axes[0]


def scores(model, values=VALUES, seed=0):
    return frames.scores([model], "detection", "box_AP", values, seed=seed)


def test_the_drop_under_each_corruption_by_hand():
    axis = heat_map(scores(REGULAR), scores(REGULAR, VALUES | {("snow", 1): 20.0}, seed=1))
    assert said(axis) == ["30", "50"] and axis.get_title() == "box AP", "snow, then fog: the paper's order"


def test_a_missing_score_is_an_empty_hatched_cell_and_no_mean_is_made_without_it():
    part = {condition: value for condition, value in VALUES.items() if condition != ("fog", 3)}
    axis = heat_map(scores(REGULAR), scores(AUGMIX, part))
    assert axis.get_title() == "box AP: incomplete, 1 of 4 missing"
    assert sorted(said(axis)) == ["10", "10", "50", "missing"]
    (cell,) = [patch for patch in axis.patches if patch.get_hatch()]
    assert cell.get_xy() == (1, 1), "fog of AugMix"
    assert np.ma.getmaskarray(axis.collections[0].get_array()).reshape(2, 2).tolist() == [[False, False], [False, True]]


def test_without_a_clean_score_all_is_missing_and_with_a_zero_one_undefined():
    lost = heat_map(scores(REGULAR, VALUES | {("clean", 0): np.nan}))
    assert said(lost) == ["missing"] * 2 and "2 of 2" in lost.get_title()
    nothing = heat_map(scores(REGULAR, dict.fromkeys(VALUES, 0.0)))
    assert said(nothing) == ["undefined"] * 2 and nothing.get_title() == "box AP"
    assert not [patch for patch in nothing.patches if patch.get_hatch()]


def test_one_training_that_lacks_a_draw_is_enough_to_be_missing():
    drawn = {("clean", 0): 40.0, **{(c, s, r): 20.0 for c, s in CONDITIONS[1:] for r in (0, 1)}}
    part = {cell: value for cell, value in drawn.items() if cell != ("snow", 1, 1)}
    axis = heat_map(scores(REGULAR, drawn), scores(REGULAR, part, seed=1))
    assert said(axis) == ["50", "missing"] or said(axis) == ["missing", "50"]


def test_a_metric_of_two_tasks_has_rows_of_its_own_for_each():
    values = {("clean", 0): 80.0, ("fog", 1): 20.0}
    upstream = frames.scores([REGULAR], "upstream", "top1", values)
    both = pd.concat([upstream, frames.scores([REGULAR], "classification", "top1", values | {("fog", 1): 60.0})])
    (axis, _) = plots.drop_by_corruption(both, list(values), "top1").axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["Regular: Upstream classification, top-1", "Regular: Downstream classification, top-1"]
    assert said(axis) == ["75", "25"]


def test_a_metric_that_nobody_scored():
    with pytest.raises(UserError, match="choose"):
        plots.drop_by_corruption(scores(REGULAR), CONDITIONS, "mIoU")
    with pytest.raises(UserError, match="choose"):
        plots.drop_by_category(summary("detection"), ["mIoU"])


def test_a_figure_is_saved_twice_and_closed(tmp_path):
    figure = plots.save(plots.drop_by_task(summary("detection")), tmp_path, "drop")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["drop.pdf", "drop.png"]
    assert not plt.fignum_exists(figure.number)


def test_what_is_compared_with_itself_is_said_in_words():
    """Each model against its own baseline: no model is left out, and the axis says what it is compared with."""
    figure = plots.differences(DIFFERENCES, "itself without PRIME")
    assert "that of itself without PRIME " in figure.get_supxlabel()
    assert {label for axis in figure.axes for label in axis.get_legend_handles_labels()[1]} == {"AugMix", "Swin (mini)"}


# Along something that was varied

RADII = {("resnet50", f"l2_eps{eps}"): eps for eps in (0, 1, 5)}


def along(**changes):
    drops = {model: four(30 - eps, 40, 20, 10) for model, eps in RADII.items()}
    frame = summary("detection", "segmentation", regime="full_network", drops=drops, halves=dict.fromkeys(RADII, 4.0))
    given = {"places": RADII, "called": "eps", **changes}
    return frame, (plots.scores_along(frame, **given), plots.drops_along(frame, **given))


def test_scores_and_drops_stand_at_their_places_with_their_intervals():
    frame, (scores, drops) = along()
    overall = frame[(frame["category"] == "all") & (frame["metric"] == "box_AP")]
    np.testing.assert_allclose(intervals(drops.axes[0]), np.column_stack([[0, 1, 5], bounds(overall, "drop")]))
    both = np.concatenate([bounds(overall, "P"), bounds(overall, "mPC")])
    np.testing.assert_allclose(intervals(scores.axes[0]), np.column_stack([[0, 1, 5] * 2, both]))
    assert [text.get_text() for text in drops.axes[0].get_xticklabels()] == ["0", "1", "5"]
    assert drops.get_supxlabel() == scores.get_supxlabel() == "eps"


def test_even_places_keep_their_numbers_on_the_axis():
    _, (_, drops) = along(even=True)
    np.testing.assert_allclose(intervals(drops.axes[0])[:, 0], [0, 1, 2])
    assert [text.get_text() for text in drops.axes[0].get_xticklabels()] == ["0", "1", "5"]


def test_a_model_without_a_place_is_left_out_and_an_arm_stands_where_its_weights_do():
    places = {("resnet50", "prime"): 25.0}
    models = {("resnet50", "prime"): 1, ("resnet50", "prime, lr 0.01"): 2, ("resnet50", "regular"): 3}
    drops = {model: four(*[10.0 * k] * 4) for model, k in models.items()}
    frame = summary("detection", drops=drops, halves=dict.fromkeys(drops, 1.0))
    figure = plots.drops_along(frame, places, "parameters")
    np.testing.assert_allclose(intervals(figure.axes[0])[:, 0], [25, 25])
    with pytest.raises(UserError, match="no model of the summary has a place on that axis"):
        plots.scores_along(frame, {("resnet50", "ant3x3"): 1.0}, "parameters")


def test_undefined_drops_are_said_at_their_places(recwarn):
    """A model that scores nothing has no drop; where no model of a panel has one, the panel still has its axis."""
    drops = dict.fromkeys(RADII, four(1, 1, 1, 1))
    frame = summary("detection", drops=drops, halves=dict.fromkeys(RADII, 0.0), clean=0.0)
    figure = plots.drops_along(frame, {model: 20.0 + 30 * eps for model, eps in RADII.items()}, "parameters")
    figure.canvas.draw()
    (axis,) = figure.axes
    assert said(axis) == ["undefined"] * 3
    assert axis.get_xlim()[0] < 20 and axis.get_xlim()[1] > 170
    assert not recwarn.list


def test_prime_samples_are_the_image_and_six_draws_in_both_ways():
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    figure = plots.prime_samples(image, 0)
    shown = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert len(shown) == 14 and all(picture.shape == image.shape for picture in shown)
    assert np.array_equal(shown[0], image) and np.array_equal(shown[7], image)
    for released in shown[8:]:  # (1 - m) image + m u: never brighter than the image by more than a level
        assert (np.asarray(released, int) <= image.astype(int) + 1).all()
    assert any((np.asarray(defined, int) > image.astype(int) + 20).any() for defined in shown[1:7])


# Many panels


def test_panels_stand_in_even_rows_and_regimes_in_rows_of_their_own():
    """Three and one would be two and two; every weight trained stands below the frozen backbone of the same tasks."""
    four_tasks = [summary("upstream", "detection", "segmentation"), summary("segmentation", regime="full_network")]
    frozen, full = summary("upstream", "detection", "segmentation"), summary("detection", regime="full_network")
    instances = frozen[frozen["task"] == "detection"].assign(metric="mask_AP")
    places = {
        (2, 2): plots.drop_by_category(pd.concat([frozen, instances]), ["top1", "box_AP", "mask_AP", "mIoU"]),
        (2, 3): plots.drop_by_category(pd.concat([*four_tasks]), ["top1", "box_AP", "mIoU"]),
        (1, 3): plots.drop_by_category(pd.concat([frozen, full]), ["box_AP", "mIoU"]),
    }
    for shape, figure in places.items():
        assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == shape
        (legend,) = [axis for axis in figure.axes if axis.get_legend()]
        assert legend.get_subplotspec().is_first_row() and legend.get_subplotspec().is_last_col()
    visible = [axis for axis in places[2, 3].axes if axis.get_visible()]
    assert [axis.get_subplotspec().rowspan.start for axis in visible] == [0, 0, 0, 1]
    assert "every weight trained" in visible[-1].get_title() and "top-1" in visible[0].get_title()


# The reader's own among the others


def bold(texts) -> set[str]:
    return {text.get_text() for text in texts if text.get_fontweight() == "bold"}


def test_a_marked_model_is_bold_and_has_a_border_or_a_star():
    frame = summary("upstream", "detection")
    taus = frames.agreement([("detection", "box_AP", 3, 1 / 3, -1.0, 1.0)])
    by_category, by_task = plots.drop_by_category(frame, ["box_AP"], [SWIN]), plots.drop_by_task(frame, [SWIN])
    clean, agree = plots.clean_and_corrupted(frame, ["box_AP"], [SWIN]), plots.agreement(frame, taus, [SWIN])
    for figure in (by_category, agree):
        assert bold(figure.axes[0].get_legend().get_texts()) == {"Swin (mini)"}
    assert bold(by_task.axes[0].get_xticklabels()) == bold(clean.axes[0].get_yticklabels()) == {"Swin (mini)"}
    bordered = [bar.get_linewidth() > 2 for bar in by_task.axes[0].patches]
    assert bordered == [False, False, True]
    stars = [line.get_label() for line in agree.axes[0].lines if line.get_marker() == "*"]
    assert stars == ["Swin (mini)"]
    plain = plots.drop_by_task(frame)
    assert not bold(plain.axes[0].get_xticklabels())
    assert {bar.get_linewidth() for bar in plain.axes[0].patches} == {by_task.axes[0].patches[0].get_linewidth()}
    colours = [[bar.get_facecolor() for bar in figure.axes[0].patches] for figure in (by_task, plain)]
    assert colours[0] == colours[1], "a mark changes no colour"


def test_turned_differences_are_the_baselines_minus_the_others():
    figure = plots.differences(DIFFERENCES, REGULAR, turned=True)
    np.testing.assert_allclose(
        intervals(figure.axes[0], horizontal=True)[:, 1:], [(3.0, 9.0), (-5.0, 1.0), (-2.5, 4.0), (-10.0, -6.0)]
    )
    said_below = figure.get_supxlabel()
    assert said_below.startswith("drop of Regular minus that of each") and "Regular is more robust" in said_below
