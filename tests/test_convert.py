"""`robnb convert` writes a complete flat file or nothing; `robnb inspect` says what a file is."""

import hashlib
import json
import os
from pathlib import Path

import published
import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from robnb import checkpoints
from robnb.cli import convert as convert_command
from robnb.cli import inspect as inspect_command
from robnb.errors import UserError


@pytest.fixture
def command(capsys):
    """Run the two commands' own code; the exit code, what was printed, and the one sentence of a refusal."""
    import argparse

    def run(*arguments: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers()
        convert_command.add(commands)
        inspect_command.add(commands)
        parsed = parser.parse_args([str(argument) for argument in arguments])
        code = parsed.command(parsed)
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", ["resnet50.regular", "resnet50.ant1x1", "resnet50.deepaug", "resnet50.l2_eps5"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_converted_file_loads_strictly_into_torchvision(tmp_path, command, name, suffix):
    made = published.write(name, tmp_path / "w.pth", classes=10, architecture="resnet18")
    target = tmp_path / "new" / f"flat{suffix}"
    code, printed = command("convert", tmp_path / "w.pth", target)
    assert code == 0 and "122 of 122 tensors match, 0 are missing" in printed
    tensors = load_file(target) if suffix == ".safetensors" else torch.load(target, weights_only=True)
    model = torchvision.models.resnet18(num_classes=10).eval()
    model.load_state_dict(tensors, strict=True)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(images), made(images), atol=1e-5, rtol=0)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert target.stat().st_mode == (tmp_path / "w.pth").stat().st_mode


def test_the_metadata_says_what_it_was_made_from(tmp_path):
    published.write("swin_tiny.in1k_openmmlab", tmp_path / "w.pth", classes=3)
    checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.safetensors")
    with safe_open(tmp_path / "flat.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["source_sha256"] == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert (metadata["source"], metadata["architecture"]) == ("w.pth", "swin_tiny")
    assert (metadata["source_container"], metadata["source_prefix"]) == ("state_dict", "backbone.")
    again = checkpoints.read(tmp_path / "flat.safetensors")
    assert (again.format, checkpoints.layout(again.tensors).style) == ("safetensors", "timm")
    before = (tmp_path / "flat.safetensors").read_bytes()
    checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.safetensors")
    assert (tmp_path / "flat.safetensors").read_bytes() == before


@pytest.mark.parametrize("microsoft", [False, True])
def test_a_whole_detector_is_converted_to_mmdets_names(tmp_path, microsoft):
    made = published.write_detector(tmp_path / "w.pth", "swin_tiny", microsoft=microsoft)
    done = checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth")
    assert (done.architecture, done.layout.model, done.report.complete) == ("swin_tiny", "mask_rcnn", True)
    tensors, state = torch.load(tmp_path / "flat.pth", weights_only=True), made.state_dict()
    assert set(state) - set(tensors) == ({key for key in state if "position_index" in key} if microsoft else set())
    assert all(torch.equal(tensor, state[key]) for key, tensor in tensors.items())


def test_a_detector_with_an_incomplete_backbone_is_refused(tmp_path):
    made = published.write_detector(tmp_path / "w.pth")
    state = {key: tensor for key, tensor in made.state_dict().items() if key != "backbone.layer4.2.conv3.weight"}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"backbone resnet50: 317 of 318 .* 1 are missing"):
        checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth")


@pytest.mark.parametrize(
    ("change", "dst", "sentence"),
    [
        ({"layer4.1.conv2.weight": None}, "new.pth", "121 of 122 tensors match, 1 are missing"),
        ({"fc2.weight": torch.zeros(3, 3)}, "new.pth", "1 are unexpected"),
        ({"conv1.weight": torch.zeros(8, 3, 7, 7)}, "new.pth", "does not tell its architecture .*name it with --arch"),
        ({}, "new.npz", "names no format to write: let it end in .safetensors or .pth"),
        ({}, "w.pth", "is the file to convert: give it another name"),
    ],
)
def test_short_of_complete_nothing_is_written(tmp_path, change, dst, sentence):
    state = {**published.classifier("resnet18", 3, 0).state_dict(), **change}
    torch.save({key: tensor for key, tensor in state.items() if tensor is not None}, tmp_path / "w.pth")
    before = (tmp_path / "w.pth").read_bytes()
    with pytest.raises(UserError, match=sentence):
        architecture = "resnet18" if "fc2.weight" in change else None
        checkpoints.convert(tmp_path / "w.pth", tmp_path / dst, architecture)
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"] and (tmp_path / "w.pth").read_bytes() == before


class Trace:
    """Writes which process unpickled it, from where and with what environment; harmless."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        code = (
            f"import os, sys, json; open({str(self.path)!r}, 'w').write(json.dumps("
            f"[os.getpid(), os.getcwd(), dict(os.environ), 'robnb' in sys.modules]))"
        )
        return (exec, (code,))


@pytest.mark.parametrize("legacy", [False, True])
def test_unpickling_happens_only_when_asked_for_and_in_another_process(tmp_path, monkeypatch, legacy):
    monkeypatch.setenv("ROBNB_SECRET", "token")
    state = published.classifier("resnet18", 3, 0).state_dict()
    content = {"state_dict": state, "meta": Trace(tmp_path / "trace"), "epoch": 3}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(checkpoints.NeedsCode, match=r"would import builtins.exec, .*--unpickle") as refused:
        checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth")
    assert refused.value.wanted == ("builtins.exec",)
    assert not (tmp_path / "trace").exists() and not (tmp_path / "flat.pth").exists()
    done = checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth", unpickle=True)
    assert done.unpickled and done.checkpoint.others == ("meta", "epoch") and done.checkpoint.path == tmp_path / "w.pth"
    process, folder, environment, ours = json.loads((tmp_path / "trace").read_text())
    assert process != os.getpid() and not Path(folder).exists() and not ours
    assert "ROBNB_SECRET" not in environment and environment["HOME"] == folder
    tensors = torch.load(tmp_path / "flat.pth", weights_only=True)
    assert all(torch.equal(tensors[key], tensor) for key, tensor in state.items())


def test_a_plain_file_is_not_unpickled_even_if_allowed(tmp_path):
    published.write("resnet50.ant3x3", tmp_path / "w.pth", classes=3, architecture="resnet18")
    assert not checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth", unpickle=True).unpickled


def test_classes_that_are_not_installed_do_not_stop_an_unpickling(tmp_path, monkeypatch):
    """Swin's yacs configuration and the like: only the tensors beside them are of interest."""
    import sys
    import types

    module = types.ModuleType("yacs_config")
    module.CfgNode = type("CfgNode", (dict,), {"__module__": "yacs_config"})
    monkeypatch.setitem(sys.modules, "yacs_config", module)
    content = {"model": published.classifier("resnet18", 3, 0).state_dict(), "config": module.CfgNode(lr=0.1)}
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"would import yacs_config.CfgNode"):
        checkpoints.read(tmp_path / "w.pth")
    checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth", unpickle=True)


def test_a_whole_model_in_a_pickle_gives_its_tensors(tmp_path):
    torch.save(published.classifier("resnet18", 3, 0), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"would import torch.nn.modules"):
        checkpoints.read(tmp_path / "w.pth")
    assert checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth", unpickle=True).report.complete


class Fails:
    """Raises while it is unpickled."""

    def __reduce__(self):
        return (int, ("no number",))


def test_an_unpickling_that_fails_says_so(tmp_path):
    torch.save({"a": torch.zeros(1), "b": Fails()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"could not be unpickled \(ValueError: invalid literal"):
        checkpoints.convert(tmp_path / "w.pth", tmp_path / "flat.pth", unpickle=True)


def test_inspect_says_what_a_file_is(tmp_path, command):
    published.write("resnet50.l2_eps1", tmp_path / "w.pth", classes=10, architecture="resnet18")
    code, printed = command("inspect", tmp_path / "w.pth")
    lines = dict(line.split(None, 1) for line in printed.splitlines() if line[:1].strip())
    assert code == 0
    assert lines["sha256"] == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert (lines["format"], lines["container"], lines["prefix"]) == ("torch", "model", "module.model.")
    assert (lines["layout"], lines["classes"]) == ("resnet18 in torchvision's names", "10")
    assert lines["tensors"].startswith("122 (102 float32, 20 int64)")
    assert lines["beside"].startswith("it     optimizer, schedule, epoch")
    assert lines["usable"].startswith("complete as resnet18: 122 of 122 tensors match")


def test_inspect_says_why_a_file_is_refused(tmp_path, command):
    torch.save({"state_dict": {"vit.embeddings.cls_token": torch.zeros(1, 1, 8)}}, tmp_path / "w.pth")
    code, printed = command("inspect", tmp_path / "w.pth")
    assert code == 2 and "refused" in printed and "Hugging Face's transformers library" in " ".join(printed.split())
    state = published.classifier("resnet18", 3, 0).state_dict()
    state["bn1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    code, printed = command("inspect", tmp_path / "w.pth")
    assert code == 2 and "1 tensors hold values that are not finite" in printed


def test_inspect_of_a_detector_and_of_a_file_without_a_head(tmp_path, command):
    published.write_segmentor(tmp_path / "w.pth", "resnet50", classes=7)
    code, printed = command("inspect", tmp_path / "w.pth")
    assert code == 0 and "upernet with backbone resnet50 in torchvision's names" in printed
    torch.save(checkpoints.without_head(published.classifier("resnet18", 3, 0).state_dict()), tmp_path / "w.pth")
    code, printed = command("inspect", tmp_path / "w.pth", "--arch", "resnet18")
    assert code == 0 and "it can be transferred but not scored upstream" in " ".join(printed.split())
