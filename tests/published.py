"""Stand-ins for published weights: random numbers in the containers, prefixes and names of the real files.

Swin's names in OpenMMLab's files come from mmdet's own converter, never from the code under test.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from robnb.assets import Trained, catalogue
from robnb.models.architectures import architecture_named
from robnb.models.released import build_released

# After robnb.models, which registers the ops that mmdet imports.
from mmdet.models.backbones.swin import swin_converter  # isort: skip

State = dict[str, torch.Tensor]

TIMM_NAMES = {
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "swin_base_w12": "swin_base_patch4_window12_384",
}


def write(name: str, path: Path, seed: int = 0, classes: int | None = None, architecture: str = "") -> nn.Module:
    """Write the file of a backbone of the catalogue (or of timm) with random weights; return the model it was made of.

    ``classes`` are those of the published file unless given. A small ``architecture`` (resnet18) can stand in for the
    name's own, in the same layout. A path that ends in .safetensors gets timm's own kind of file.
    """
    own, _, weights = name.partition(".")
    classes = classes or (21841 if weights.endswith("in22k") else 1000)
    model = classifier(architecture or own, classes, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(model.state_dict(), path, metadata={"format": "pt"})
    else:
        torch.save(layout_of(name)(model), path)
    return model


def write_trained(
    path: Path,
    model: str = "mask_rcnn",
    architecture: str = "resnet50",
    classes: int = 80,
    seed: int = 0,
    microsoft: bool = False,
) -> nn.Module:
    """Write a whole trained detector or segmentor as mm 0.x and 2.x did; return it.

    ``microsoft``: with the backbone named as in Swin-Transformer-Object-Detection.
    """
    built = randomised(build_released(model, architecture_named(architecture), classes), seed)
    state = built.state_dict()
    if microsoft:
        state = {key: tensor for key, tensor in state.items() if not key.startswith("backbone.")}
        state |= {f"backbone.{key}": tensor for key, tensor in as_microsoft(built.backbone.state_dict()).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"meta": {"epoch": 24, "iter": 100, "seed": None}, "state_dict": state, "optimizer": {}}, path)
    return built


def write_asset(name: str, path: Path, seed: int = 0) -> nn.Module:
    """Write the file of any backbone or trained model of the catalogue, as published, with random weights."""
    found = catalogue().get(name)
    if not isinstance(found, Trained):
        return write(name, path, seed)
    architecture, classes = found.backbone.partition(".")[0], 80 if found.task == "detection" else 150
    # The public cascades are those of Swin's authors, in their own repository's names.
    microsoft = found.model == "cascade_mask_rcnn"
    return write_trained(path, found.model, architecture, classes, seed, microsoft)


def write_detector(path: Path, architecture: str = "resnet50", **options: Any) -> nn.Module:
    """A Mask R-CNN (or ``model="cascade_mask_rcnn"``) of COCO's 80 classes."""
    return write_trained(path, architecture=architecture, **{"model": "mask_rcnn", "classes": 80, **options})


def write_segmentor(path: Path, architecture: str = "resnet50", **options: Any) -> nn.Module:
    """A UPerNet of ADE20K's 150 classes."""
    return write_trained(path, architecture=architecture, **{"model": "upernet", "classes": 150, **options})


def classifier(architecture: str, classes: int, seed: int) -> nn.Module:
    """The source library's model with random weights and statistics, in eval mode."""
    name = TIMM_NAMES.get(architecture, architecture)
    if hasattr(torchvision.models, name):
        model = torchvision.models.get_model(name, weights=None, num_classes=classes)
    else:
        model = timm.create_model(name, pretrained=False, num_classes=classes)
    return randomised(model, seed)


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Every parameter and statistic drawn, so that no swapped pair goes unseen; outputs stay finite."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith("running_var") or (tensor.dim() == 1 and key.endswith("weight")):
                uniform(tensor, 0.5, 1.0)
            elif tensor.is_floating_point() and tensor.dim() <= 1:
                uniform(tensor, -0.1, 0.1)
            elif tensor.is_floating_point():
                bound = tensor[0].numel() ** -0.5
                uniform(tensor, -bound, bound)
    return model.eval()


def layout_of(name: str) -> Callable[[nn.Module], Any]:
    """How the weights of this name were published."""
    architecture, _, weights = name.partition(".")
    if architecture in TIMM_NAMES:
        return openmmlab_file if weights.endswith("openmmlab") else microsoft_file
    families = {"ant": ant_file, "deepaug": deepaug_file, "l2": l2_file}
    return next((file for start, file in families.items() if weights.startswith(start)), flat_file)


def flat_file(model: nn.Module) -> State:
    """torchvision's and PRIME's: the state dict alone."""
    return model.state_dict()


def ant_file(model: nn.Module) -> dict[str, Any]:
    """bethgelab/game-of-noise."""
    return {"model_state_dict": model.state_dict()}


def deepaug_file(model: nn.Module) -> dict[str, Any]:
    """hendrycks/imagenet-r: saved from DataParallel with its optimizer."""
    state = {f"module.{key}": tensor for key, tensor in model.state_dict().items()}
    momentum = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "epoch": 90,
        "arch": "resnet50",
        "state_dict": state,
        "best_acc1": torch.tensor(76.7),
        "optimizer": momentum,
    }


def l2_file(model: nn.Module) -> dict[str, Any]:
    """microsoft/robust-models-transfer: the network twice, inside its attacker too, and its normalizer."""
    statistics = {"new_mean": torch.full((3, 1, 1), 0.45), "new_std": torch.full((3, 1, 1), 0.22)}
    state = {f"module.normalizer.{key}": tensor for key, tensor in statistics.items()}
    state |= {f"module.model.{key}": tensor for key, tensor in model.state_dict().items()}
    state |= {f"module.attacker.normalize.{key}": tensor for key, tensor in statistics.items()}
    state |= {f"module.attacker.model.{key}": tensor for key, tensor in model.state_dict().items()}
    return {"model": state, "optimizer": {}, "schedule": None, "epoch": 90, "amp": None, "nat_prec1": 75.8}


def microsoft_file(model: nn.Module) -> dict[str, Any]:
    """microsoft/Swin-Transformer, from timm's model: with indices and masks, patches merged at a stage's end."""
    state = {}
    for key, tensor in model.state_dict().items():
        stage = key.split(".")[1]
        key = key.replace(f"layers.{stage}.downsample", f"layers.{int(stage) - 1 if stage.isdigit() else 0}.downsample")
        state[key.replace("head.fc.", "head.")] = tensor
    for key, module in model.named_modules():
        if (index := getattr(module, "relative_position_index", None)) is not None:
            state[f"{key}.relative_position_index"] = index
        if (mask := getattr(module, "attn_mask", None)) is not None:
            state[f"{key}.attn_mask"] = mask
    return {"model": state}


def openmmlab_file(model: nn.Module) -> dict[str, Any]:
    """mmcls' Swin-T of June 2021, by mmdet's converter: the last norm is still ``norm``."""
    official = microsoft_file(model)["model"]
    state = dict(swin_converter(official))
    state |= {f"head.fc.{part}": official[f"head.{part}"] for part in ("weight", "bias")}
    return {"meta": {"epoch": 300, "CLASSES": ["tench"]}, "state_dict": state}


def as_microsoft(backbone: State) -> State:
    """mmdet's Swin in Microsoft's names: the inverse of mmdet's converter, whose effect on numbers is found by it."""
    renamed = {
        key.replace("stages.", "layers.")
        .replace(".attn.w_msa.", ".attn.")
        .replace(".ffn.layers.0.0.", ".mlp.fc1.")
        .replace(".ffn.layers.1.", ".mlp.fc2.")
        .replace("patch_embed.projection.", "patch_embed.proj."): tensor
        for key, tensor in backbone.items()
    }
    for key in [key for key in renamed if ".downsample." in key]:
        tensor = renamed[key]
        columns = torch.arange(tensor.shape[-1]).expand(tensor.shape)
        moved = swin_converter({key: columns})[f"backbone.{key.replace('layers.', 'stages.')}"]
        back = moved[0] if moved.dim() == 2 else moved  # column i here came from column back[i] there
        renamed[key] = torch.empty_like(tensor).index_copy_(-1, back, tensor)
    return renamed
