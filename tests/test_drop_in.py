"""The imagecorruptions package's own interface: its README's examples, its names, its way with seeds."""

from __future__ import annotations

import re
import warnings
from importlib import metadata

import numpy as np
import pytest

from robnb.corruptions.drop_in import corrupt, get_corruption_names
from robnb.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package imports pkg_resources, which is deprecated
    import imagecorruptions

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 36, 3), np.uint8)
SUBSETS = ("common", "validation", "all", "noise", "blur", "weather", "digital")


def test_the_examples_of_the_readme_run_as_they_are() -> None:
    about = metadata.metadata("imagecorruptions")
    text = about["Description"] or about.get_payload()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    examples = "".join(blocks)
    assert len(blocks) == 2 and examples.count("corrupt(image") == 3
    names = {"image": IMAGE}
    for block in blocks:
        block, replaced = re.subn(
            r"^from imagecorruptions import", "from robnb.corruptions.drop_in import", block, flags=re.M
        )
        assert replaced == 1
        exec(block, names)
        for result in (names[name] for name in ("corrupted_image", "corrupted") if name in names):
            assert result.shape == IMAGE.shape and result.dtype == np.uint8 and (result != IMAGE).any()
    assert (names["corruption"], names["i"], names["severity"]) == ("jpeg_compression", 14, 4)


@pytest.mark.parametrize("subset", SUBSETS)
def test_names_are_the_packages(subset: str) -> None:
    assert get_corruption_names(subset) == imagecorruptions.get_corruption_names(subset)


def test_a_number_is_the_position_of_a_name_as_in_the_package() -> None:
    assert get_corruption_names() == imagecorruptions.get_corruption_names()
    for number, name in enumerate(get_corruption_names("all")):
        np.random.seed(3)
        by_number = corrupt(IMAGE, 2, corruption_number=np.int64(number))
        np.random.seed(3)
        np.testing.assert_array_equal(by_number, corrupt(IMAGE, 2, name, corruption_number=0))


def test_what_is_not_random_is_the_packages_own() -> None:
    for severity in (1, 5):
        ours, theirs = (each(IMAGE, severity, "jpeg_compression") for each in (corrupt, imagecorruptions.corrupt))
        np.testing.assert_array_equal(ours, theirs)


def test_grey_images_are_stacked() -> None:
    grey = IMAGE[..., 0]
    results = []
    for image in (np.stack([grey] * 3, axis=2), grey, grey[..., None]):
        np.random.seed(1)
        results.append(corrupt(image, 3, "gaussian_noise"))
        assert results[-1].shape == (40, 36, 3)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_global_seed_repeats_a_sequence_and_its_calls_differ() -> None:
    np.random.seed(0)
    first, second = (corrupt(IMAGE, 3, "gaussian_noise") for _ in range(2))
    assert (first != second).any()
    np.random.seed(0)
    np.testing.assert_array_equal(corrupt(IMAGE, 3, "gaussian_noise"), first)
    np.testing.assert_array_equal(corrupt(IMAGE, 3, "gaussian_noise"), second)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "neither corruption_name nor corruption_number"),
        ({"corruption_name": "gausian_noise"}, "did you mean 'gaussian_noise'"),
        ({"corruption_number": 19}, "from 0 to 18, got 19"),
        ({"corruption_number": -2}, "from 0 to 18, got -2"),
        ({"corruption_number": 1.0}, r"corruption_number must be an integer, got 1\.0"),
        ({"corruption_name": "fog", "severity": 6}, "from 1 to 5, got 6"),
        ({"corruption_name": "fog", "severity": "1"}, "severity must be an integer, got '1'"),
        ({"corruption_name": "fog", "image": IMAGE[:31]}, "at least 32 x 32"),
        ({"corruption_name": "fog", "image": IMAGE / 255}, "must be a uint8 RGB array"),
        ({"corruption_name": "fog", "image": np.dstack([IMAGE, IMAGE])}, "must be a uint8 RGB array"),
        ({"corruption_name": "fog", "image": IMAGE[0, :, 0]}, "must be a uint8 RGB array"),
        ({"corruption_name": "fog", "image": IMAGE.tolist()}, "got list"),
    ],
)
def test_bad_input_is_one_sentence(arguments: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        corrupt(**{"image": IMAGE, **arguments})


def test_an_unknown_subset_names_the_choices() -> None:
    with pytest.raises(UserError, match="unknown subset of the corruptions 'comon': did you mean 'common'"):
        get_corruption_names("comon")
