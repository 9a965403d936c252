"""What a notebook declares and what it is given: names and types are checked before anything runs."""

from pathlib import Path

import pytest

from robnb.errors import UserError
from robnb.parameters import check_parameters, notebook_parameters

DEFAULTS = {
    "lr": 0.1,
    "epochs": 2,
    "task": "detection",
    "amp": False,
    "max_images": None,
    "severities": [1],
    "rates": [0.1, 1.0],
    "mixed": [1, "a"],
    "steps": {"upstream": 10, "head": 5},
    "recipe": {"lr": 0.1, "name": "sgd", "milestones": [1, 2]},
    "corners": (0, 1),
}


def notebook(tmp_path: Path, cell: str, tag: str = 'tags=["parameters"]') -> Path:
    path = tmp_path / "01_x.py"
    path.write_text(f"# %% [markdown]\n# # Title\n\n# %% {tag}\n{cell}\n\n# %%\nprint(1)\n")
    return path


def test_parameters_are_read_without_running_anything(tmp_path):
    cell = (
        'lr = 1e-3  # step size\nnames: list = ["a", "b"]\nlimit = None\nt = (1, 2)\nd = {"a": {"b": -1}}\nflag = True'
    )
    expected = {"lr": 0.001, "names": ["a", "b"], "limit": None, "t": (1, 2), "d": {"a": {"b": -1}}, "flag": True}
    assert notebook_parameters(notebook(tmp_path, cell)) == expected


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("import os", "only `name = literal`, not `import os`"),
        ("a = b = 1", "only `name = literal`"),
        ("a.b = 1", "only `name = literal`"),
        ("a: int", "only `name = literal`"),
        ('out = f"{1}"', "default of out is not a literal"),
        ("n = len([])", "default of n is not a literal"),
    ],
)
def test_a_parameters_cell_holds_literals_only(tmp_path, cell, says):
    with pytest.raises(UserError, match=says):
        notebook_parameters(notebook(tmp_path, cell))


def test_exactly_one_cell_is_tagged(tmp_path):
    with pytest.raises(UserError, match="has 0 cells tagged"):
        notebook_parameters(notebook(tmp_path, "a = 1", tag=""))
    path = notebook(tmp_path, "a = 1")
    path.write_text(path.read_text() + '\n# %% tags=["parameters"]\nb = 1\n')
    with pytest.raises(UserError, match="has 2 cells tagged"):
        notebook_parameters(path)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"lr": 1, "epochs": 3, "task": "segmentation", "amp": True},
        {"max_images": 5},
        {"max_images": [None, "x"]},
        {"severities": [1, 2, 3]},
        {"severities": []},
        {"rates": [1, 0.5]},
        {"mixed": ["b", 2, None]},
        {"corners": [2, 3]},
        {"steps": {"upstream": 1}},
        {"steps": {"another": 1}},
        {"recipe": {"lr": 1, "milestones": []}},
    ],
)
def test_what_fits_is_taken(given):
    check_parameters(given, DEFAULTS, "x.yaml")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epohcs": 1}, "x.yaml: unknown parameter 'epohcs': did you mean 'epochs'?"),
        ({"lr": "1e-3"}, "x.yaml: lr should be a number, not the text '1e-3': YAML reads 1e-3 as text, write 1.0e-3."),
        ({"lr": "2.5E3"}, "YAML reads 2.5E3 as text, write 2.5e+3."),
        ({"lr": "0.1"}, "lr should be a number, not the text '0.1': write 0.1 without quotes."),
        ({"lr": "fast"}, "lr should be a number, not the text 'fast'."),
        ({"lr": True}, "lr should be a number, not True."),
        ({"lr": None}, "lr should be a number, not null."),
        ({"epochs": 2.0}, "epochs should be a whole number, not 2.0: write 2."),
        ({"epochs": 2.5}, "epochs should be a whole number, not 2.5."),
        ({"epochs": False}, "epochs should be a whole number, not False."),
        ({"task": 1}, "task should be text, not 1."),
        ({"amp": 1}, "amp should be true or false, not 1."),
        ({"severities": 1}, "severities should be a list, not 1: write [1]."),
        ({"severities": "1, 2"}, "severities should be a list, not the text '1, 2': write [1, 2]."),
        ({"severities": [1, "2"]}, "severities[1] should be a whole number, not the text '2': write 2 without quotes."),
        ({"rates": [1, "1e-1"]}, "rates[1] should be a number"),
        ({"steps": {"upstream": "many"}}, "steps['upstream'] should be a whole number, not the text 'many'."),
        ({"steps": {"another": 1.5}}, "steps['another'] should be a whole number, not 1.5."),
        ({"recipe": {"lr": "1e-3"}}, "recipe['lr'] should be a number"),
        ({"recipe": {"milestones": [1.5]}}, "recipe['milestones'][0] should be a whole number"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(given, says):
    with pytest.raises(UserError) as caught:
        check_parameters(given, DEFAULTS, "x.yaml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
