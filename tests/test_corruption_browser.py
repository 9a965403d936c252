"""The corruption browser: it shows the very pixels that are scored, says what it shows, and leaves a picture."""

import base64
import re
from html import unescape
from pathlib import Path

import cv2
import ipywidgets
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from robnb import plots
from robnb.corruptions import Condition, conditions, corrupt
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.names import CATEGORIES, CORRUPTIONS
from robnb.strength import strengths
from robnb.widgets import CorruptionBrowser
from robnb.widgets.pixels import difference, window
from robnb.widgets.without_kernel import WithPicture


def write(folder: Path, name: str, image: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / name), image[..., ::-1])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, TaskData]:
    """Two data sets of class folders: three images of 64 x 48 pixels, and one that is too small for the corruptions."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in ("0.png", "1.png", "2.png"):
        write(root / "large/val/a", name, rng.integers(0, 256, (48, 64, 3), np.uint8))
    write(root / "small/val/a", "0.png", rng.integers(0, 256, (16, 16, 3), np.uint8))
    return {
        "upstream": TaskData("upstream", root / "large", "val", "val", "large", flip=False),
        "classification": TaskData("classification", root / "small", "val", "val", "small", flip=False),
    }


@pytest.fixture
def browser(data) -> CorruptionBrowser:
    return CorruptionBrowser(data, seed=3)


def pictures(html: str) -> list[tuple[str, np.ndarray]]:
    """(alt, RGB pixels) of every image in some HTML."""
    found = []
    for tag in re.findall(r"<img [^>]*>", html):
        file = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]*)"', tag)[1])
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        found.append((unescape(re.search(r'alt="([^"]*)"', tag)[1]), pixels))
    return found


def only(widget: ipywidgets.HTML) -> tuple[str, np.ndarray]:
    (picture,) = pictures(widget.value)
    return picture


def widgets_in(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    return [widget, *(below for child in getattr(widget, "children", ()) for below in widgets_in(child))]


def test_it_shows_the_pixels_that_the_key_gives(browser, data):
    sample = data["upstream"].open("test")[1]
    browser.number.value, browser.corruption.value, browser.severity.value = 2, "fog", 4
    expected = corrupt(sample.image, "fog", 4, image_id=sample.image_id, seed=3)
    alt, pixels = only(browser.corrupted)
    assert alt == "fog at severity 4, image a/1.png"
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(only(browser.clean)[1], sample.image)
    np.testing.assert_array_equal(only(browser.apart)[1], difference(sample.image, expected)[0])


def test_every_control_changes_the_picture(browser):
    seen = {browser.corrupted.value}
    for control, value in (("severity", 5), ("corruption", "snow"), ("seed", 4), ("number", 3), ("zoom", 4)):
        getattr(browser, control).value = value
        assert browser.corrupted.value not in seen, control
        seen.add(browser.corrupted.value)
    browser.across.value = 0
    assert browser.corrupted.value not in seen
    browser.corruption.value, browser.severity.value, browser.seed.value = "gaussian_noise", 3, 3
    browser.number.value, browser.zoom.value, browser.across.value = 1, 1, 50
    assert browser.corrupted.value in seen, "the same choice gives the same picture"


def test_all_of_them_stand_in_the_order_of_the_categories(browser):
    browser.view.value, browser.severity.value = "all 15", 2
    shown = pictures(browser.grid.value)
    assert [alt.split()[0] for alt, _ in shown] == ["clean", *CORRUPTIONS]
    rows = [re.findall(r'alt="(\w+)', row) for row in browser.grid.value.split("<div")[1:]]
    assert rows == [
        ["clean", *CATEGORIES["noise"]],
        *(list(CATEGORIES[name]) for name in ("blur", "weather", "digital")),
    ]
    assert (browser.side_by_side.layout.display, browser.grid.layout.display) == ("none", "")
    assert browser.corruption.disabled


def test_an_image_is_found_by_its_id(browser):
    browser.image_id.value = "a/2.png"
    assert browser.number.value == 3 and only(browser.clean)[0] == "clean image a/2.png"
    browser.image_id.value = "b/2.png"
    assert "no test image &#x27;b/2.png&#x27;: its first is &#x27;a/0.png&#x27;" in browser.said.value
    browser.number.value = 1
    assert (browser.said.value, browser.image_id.value) == ("", "a/0.png")


def test_an_image_that_cannot_be_corrupted_is_a_sentence(browser):
    browser.number.value = 3
    browser.task.value = "classification"
    assert browser.number.value == browser.number.max == 1
    assert "32" in browser.said.value and "alert" in browser.said.value
    browser.task.value = "upstream"
    assert browser.said.value == "" and browser.number.max == 3


def test_controls_are_labelled_and_of_ipywidgets_alone(browser):
    for widget in widgets_in(browser):
        assert widget._model_module in ("@jupyter-widgets/base", "@jupyter-widgets/controls")
        if isinstance(widget, ipywidgets.ValueWidget) and not isinstance(widget, ipywidgets.HTML):
            assert widget.description
    names = [label for label, _ in browser.corruption.options]
    assert names[0] == "noise: gaussian_noise" and len(names) == 19


def test_without_a_kernel_there_is_a_picture(browser):
    bundle, about = browser._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} == set(bundle)
    assert base64.b64decode(bundle["image/png"])[1:4] == b"PNG"
    assert bundle["text/plain"] == about["image/png"]["alt"] and "15 corruptions" in bundle["text/plain"]


def test_the_picture_is_made_when_it_is_asked_for():
    widget = WithPicture([], lambda: 1 / 0, "nothing")
    with pytest.raises(ZeroDivisionError):
        widget._repr_mimebundle_()


def test_a_window_lies_where_it_is_put():
    image = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    np.testing.assert_array_equal(window(image, 1, 0.3, 0.9), image)
    np.testing.assert_array_equal(window(image, 2, 0, 0), image[:4, :6])
    np.testing.assert_array_equal(window(image, 4, 1, 0.5), image[3:5, 9:])
    assert window(np.zeros((33, 47, 3)), 8, 1, 1).shape == (5, 6, 3)


def test_a_difference_is_as_bright_as_it_can_be_and_says_how_large():
    clean = np.full((2, 2, 3), 100, np.uint8)
    corrupted = clean.copy()
    corrupted[0, 0] = (90, 105, 100)
    shown, said = difference(clean, corrupted)
    assert shown[0, 0].tolist() == [255, 128, 0] and not shown[0, 1].any()
    assert said.startswith("difference: 1.2 grey levels on average, 10 at most")
    assert difference(clean, clean)[1] == "no pixel differs"


def test_strengths_are_means_over_the_images(data):
    reader = data["upstream"].open("test")
    samples, grid = [reader[k] for k in range(2)], conditions(["noise"], [1, 5])
    found = strengths(samples, grid, seed=7)
    assert list(zip(found["corruption"], found["severity"], strict=True)) == [
        (condition.corruption, condition.severity) for condition in grid[1:]
    ]
    made = [corrupt(s.image, "shot_noise", 5, image_id=s.image_id, seed=7) for s in samples]
    row = found[(found["corruption"] == "shot_noise") & (found["severity"] == 5)].iloc[0]
    apart = [np.mean(np.abs(s.image.astype(float) - m)) for s, m in zip(samples, made, strict=True)]
    alike = [structural_similarity(s.image, m, channel_axis=2) for s, m in zip(samples, made, strict=True)]
    assert row["difference"] == pytest.approx(np.mean(apart)) and row["similarity"] == pytest.approx(np.mean(alike))
    with pytest.raises(UserError, match="there is no image to corrupt"):
        strengths([], grid)


def test_figures_have_a_panel_for_each_condition(data):
    sample = data["upstream"].open("test")[0]
    figure = plots.severity_grid(sample, conditions(["benchmark"], [1, 5]), seed=3)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(figure.axes) == 32 and len(shown) == 30
    first = corrupt(sample.image, "gaussian_noise", 1, image_id=sample.image_id, seed=3)
    np.testing.assert_array_equal(shown[0], first)
    np.testing.assert_array_equal(shown[8], corrupt(sample.image, "gaussian_noise", 5, image_id="a/0.png", seed=3))
    with pytest.raises(UserError, match="only the clean condition"):
        plots.severity_grid(sample, [Condition("clean", 0)], seed=3)
    table = plots.strengths(strengths([sample], conditions(["fog", "snow"], [1, 2]), seed=3))
    assert [label.get_text() for label in table.axes[0].get_yticklabels()] == ["fog", "snow"]
