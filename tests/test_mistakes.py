"""What people get wrong first, as they would type it: one sentence that says what to do, and exit code 2."""

from pathlib import Path

import pytest

from robnb.cli import main

TYPED = {
    "01_fixed_feature": "is no command: to execute a notebook, write `robnb run 01_fixed_feature`.",
    "notebooks/01_fixed_feature.py": "write `robnb run notebooks/01_fixed_feature.py`.",
    "rnu 01": "unknown command 'rnu': did you mean 'run'?",
    "run 01_fixed_features": "unknown notebook '01_fixed_features': did you mean '01_fixed_feature'?",
    "run 01 --profile papr": "unknown profile 'papr': did you mean 'paper'?",
    "run 01 --severities 1": "'--severities': `robnb run --help` lists what there is. A parameter of a notebook is set "
    "with `-p severities VALUE`.",
    "run 01 -p severities 1 2": "unknown argument '2': `robnb run --help` lists what there is.",
    "run 01 -p severites [1]": "unknown parameter 'severites': did you mean 'severities'?",
    "run 01 -p severities 1,2": "severities should be a list, not the text '1,2': write [1,2].",
    "run 01 -p backbones resnet_mini.regular": "not the text 'resnet_mini.regular': write [resnet_mini.regular].",
    "fetch ant": "unknown asset 'ant': did you mean resnet50.ant",
    "inspect nothing.pth": "no weights at nothing.pth: put the file there or correct its path.",
    "inspect README.md": "README.md cannot be read as a checkpoint",
    "corrupt nothing copies": "there is no folder nothing: check the path of the data set.",
    "report --profile smoke --outputs nothing": "run `robnb run all --profile smoke` first, or say --outputs.",
}


def test_only_a_command_that_takes_parameters_is_said_to(capsys):
    assert main(["corrupt", "nothing", "copies", "--serverities", "3"]) == 2
    assert capsys.readouterr().err == (
        "robnb: unknown argument '--serverities': `robnb corrupt --help` lists what there is.\n"
    )


@pytest.mark.parametrize("typed", TYPED)
def test_it_is_said_in_a_sentence(typed, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert main(typed.split()) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("robnb: ") and line.endswith((".", "?")) and TYPED[typed] in line, line
    assert captured.out == ""
