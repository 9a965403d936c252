"""What is no weights file, or of a layout that is not read, is refused in one sentence; nothing of it is executed."""

import pickle
import zipfile
from pathlib import Path

import published
import pytest
import torch
from torch import nn

from robnb import checkpoints
from robnb.errors import UserError


def flat_of(path: Path, architecture: str) -> dict[str, torch.Tensor]:
    return checkpoints.flat(checkpoints.read(path), architecture)


class Payload:
    """Would print if it were unpickled."""

    def __reduce__(self):
        return (print, ("executed",))


def damaged_files(folder: Path) -> dict[str, str]:
    """Files that are not weights, and what is said of each."""
    state = {"conv1.weight": torch.rand(50, 50)}
    for name, options in {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}.items():
        torch.save(state, folder / f"{name}.pth", **options)
        (folder / f"{name}_cut.pth").write_bytes((folder / f"{name}.pth").read_bytes()[:-500])
        torch.save({"state_dict": state, "extra": Payload()}, folder / f"{name}_payload.pth", **options)
    (folder / "empty.pth").touch()
    (folder / "page.pth").write_text("\n<!DOCTYPE html><html>Quota exceeded</html>")
    (folder / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "text.pth").write_text('{"error": "not found"}')
    (folder / "archive.pth").write_bytes(b"\x1f\x8b\x08" + bytes(100))
    with zipfile.ZipFile(folder / "pictures.pth", "w") as archive:
        archive.writestr("a.png", b"")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), folder / "program.pth")
    torch.save([torch.zeros(2)], folder / "list.pth")
    torch.save({"state_dict": {"epoch": 3}}, folder / "numbers.pth")
    (folder / "cut.safetensors").write_bytes((1000).to_bytes(8, "little") + b'{"a":{"dtype"')
    (folder / "yacs.pth").write_bytes(b"\x80\x02cyacs.config\nCfgNode\n)\x81.")
    (folder / "four.pth").write_bytes(pickle.dumps(Payload(), protocol=4))
    return {
        "missing.pth": "no weights at .*: put the file there",
        "empty.pth": "the file is empty; fetch it again",
        "page.pth": "it is a web page saved under the name of the weights",
        "pointer.pth": "it is a git-lfs pointer, not the file it stands for; run `git lfs pull`",
        "text.pth": "it is neither a torch nor a safetensors file; fetch it again",
        "archive.pth": "it is a compressed archive; unpack it first",
        "pictures.pth": "it is a zip archive of other files",
        "program.pth": "it is a TorchScript program",
        "list.pth": "holds no tensors by name",
        "numbers.pth": r"holds no tensors by name \(its keys: 'state_dict'\), looked for",
        "zip_cut.pth": "it is damaged or cut short; fetch it again",
        "legacy_cut.pth": "it is damaged or cut short; fetch it again",
        "cut.safetensors": "it is no complete safetensors file",
        "zip_payload.pth": "would import builtins.print, and .* `robnb convert .*zip_payload.safetensors --unpickle`",
        "legacy_payload.pth": "would import builtins.print, and plain tensors need none of it",
        "four.pth": "would import builtins.print",
        "yacs.pth": r"would import yacs.config.CfgNode \(a configuration was saved beside the weights",
    }


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_each_refusal_is_one_sentence_and_nothing_is_executed(tmp_path, capsys):
    for name, sentence in damaged_files(tmp_path).items():
        with pytest.raises(UserError, match=sentence) as refused:
            checkpoints.read(tmp_path / name)
        assert str(refused.value).endswith(".") and "\n" not in str(refused.value), name
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["resnet.embedder.embedder.convolution.weight", "classifier.1.weight"], "Hugging Face's transformers"),
        (["vit.embeddings.cls_token", "vit.encoder.layer.0.output.dense.weight"], "Hugging Face's transformers"),
        (["stem.0.weight", "layer1.0.conv1.weight"], "is a ResNetV1c or V1d"),
        (["features.1.0.attn.relative_position_bias_table"], "is torchvision's own Swin"),
        (["net.conv1.weight", "net.layer1.0.conv1.weight"], "0 of .* tensors match.*unexpected .*net.conv1.weight"),
    ],
)
def test_layouts_that_are_not_read_are_refused_by_name(tmp_path, names, sentence):
    torch.save({name: torch.zeros(4, 4) for name in names}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=sentence):
        flat_of(tmp_path / "w.pth", "resnet18")


def test_another_architecture_is_named(tmp_path):
    published.write("vit_tiny_patch16_224.augreg_in1k", tmp_path / "w.pth", classes=3)
    with pytest.raises(UserError, match="holds vit_tiny_patch16_224 in timm's names, not resnet50: name the arch"):
        flat_of(tmp_path / "w.pth", "resnet50")
    with pytest.raises(UserError, match="unknown architecture 'resnet_5': did you mean"):
        flat_of(tmp_path / "w.pth", "resnet_5")


def test_timm_interpolates_nothing_silently(tmp_path):
    """Its own filter would resize positions; here that is another architecture."""
    published.write("vit_tiny_patch16_384.augreg_in21k_ft_in1k", tmp_path / "w.pth", classes=3)
    with pytest.raises(UserError, match=r"1 are of another shape, .*pos_embed"):
        flat_of(tmp_path / "w.pth", "vit_tiny_patch16_224")
