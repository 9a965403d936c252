"""One flat, complete state dict in the names of the library that the architecture comes from.

timm is imported where it is first needed: a study of torchvision's and our own networks does without it.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from torch import nn

from robnb.checkpoints import swin
from robnb.checkpoints.layouts import HEADS, Layout, backbone_part, layout
from robnb.checkpoints.plain import Checkpoint
from robnb.checkpoints.strict import COMPUTED, OPTIONAL, Report, compare, misfit
from robnb.errors import UserError
from robnb.names import choose

#: ResNets are torchvision's, ...
TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
)  # fmt: skip
#: ... Swins timm's under a shorter name, and everything else timm's.
SWINS = {
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "swin_base_w12": "swin_base_patch4_window12_384",
}


def flat(checkpoint: Checkpoint, architecture: str | None) -> dict[str, torch.Tensor]:
    """A checkpoint's network, head included, in torchvision's names (ResNet) or timm's (everything else).

    Args:
        architecture: held to ``torchvision.models.<name>`` or ``timm.create_model(<name>)`` with the file's number of
            classes, tensor by tensor; a file without a head may pass. None, for architectures that neither
            library has, only renames, and `load` has to do the holding.

    Returns:
        Tensors as stored; batch counters that old files lack are zero.

    Raises:
        UserError: unknown architecture; a layout that is not read; one that is not this architecture; any tensor
            missing, unexpected or of another shape.
    """
    if architecture is None:
        return renamed(checkpoint)
    return fitted(checkpoint, architecture)[0]


def fitted(checkpoint: Checkpoint, architecture: str) -> tuple[dict[str, torch.Tensor], Report]:
    """`flat` with its report, which is complete."""
    tensors = renamed(checkpoint)
    found = layout(checkpoint.tensors)
    _check_architecture(checkpoint.path, found, architecture)
    optional = OPTIONAL if found.family == "swin" else COMPUTED
    model, wanted = source_model(architecture, tensors)
    report = compare(wanted, tensors, optional)
    if not report.complete and (filtered := _by_timm(model, tensors)) is not None:
        expected = source_model(architecture, filtered)[1]  # the head has its name only now
        again = compare(expected, filtered, optional)
        if again.complete:
            tensors, wanted, report = filtered, expected, again
    if not report.complete:
        raise UserError(misfit(report, checkpoint.path, architecture))
    zeros = {name: torch.zeros((), dtype=torch.int64) for name in report.absent if name.endswith("batches_tracked")}
    return {name: tensor for name, tensor in {**tensors, **zeros}.items() if name in wanted}, report


def renamed(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors in torchvision's or timm's names, held to nothing.

    Raises:
        UserError: the layout is recognised as one that is not read.
    """
    found = layout(checkpoint.tensors)
    if reason := refusal(found):
        raise UserError(f"{checkpoint.path} {reason}.")
    if found.family == "swin":
        return swin.to_timm(checkpoint.tensors)
    if found.family == "resnet":
        heads = {f"{head}.{part}": f"fc.{part}" for head in HEADS for part in ("weight", "bias")}
        return {heads.get(name, name): tensor for name, tensor in checkpoint.tensors.items()}
    return dict(checkpoint.tensors)


def refusal(found: Layout) -> str:
    """Why a layout is not taken as a backbone, ready to follow the file's name; "" for one that is."""
    if found.style == "transformers":
        return (
            "has the names of Hugging Face's transformers library, which robnb does not read: give the same model's "
            "file in torchvision's or timm's names"
        )
    if (found.family, found.style) == ("resnet", "openmmlab"):
        return (
            "is a ResNetV1c or V1d (a stem of three 3x3 convolutions), which is another network than the "
            "paper's ResNet: give a file with torchvision's 7x7 stem"
        )
    if (found.family, found.style) == ("swin", "torchvision"):
        return (
            "is torchvision's own Swin, another training run under other names: give Microsoft's, timm's or "
            "OpenMMLab's file"
        )
    if found.family in ("detector", "segmentor"):
        return (
            f"is a whole {found.family} ({found}), not the weights of a backbone: give the classifier's file that "
            f"it was trained from"
        )
    return ""


def source_model(architecture: str, tensors: Mapping[str, torch.Tensor]) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The library's own model without storage, with the head that the tensors have, and its state dict.

    For tensors without a head the state dict lacks its last layer.

    Raises:
        UserError: neither torchvision nor timm has this architecture.
    """
    name = SWINS.get(architecture, architecture.partition(".")[0])
    last = "fc" if name in TORCHVISION else _last_layer(name)
    weight = tensors.get(f"{last}.weight")
    classes = 1000 if weight is None else len(weight)
    with torch.device("meta"):  # names and shapes are all that is asked of it
        if name in TORCHVISION:
            model = torchvision.models.get_model(name, weights=None, num_classes=classes)
        else:
            import timm

            model = timm.create_model(name, pretrained=False, num_classes=classes)
    wanted = model.state_dict()
    if weight is None:
        wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith(f"{last}.")}
    return model, wanted


def _unknown(architecture: str) -> str:
    import timm

    close = difflib.get_close_matches(architecture, [*SWINS, *timm.list_models()], n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return (
        f"unknown architecture {architecture!r}: {meant}Choose from {', '.join([*TORCHVISION, *SWINS])}, or a model "
        f"that timm.list_models() gives."
    )


def _last_layer(name: str) -> str:
    """timm's word for where the classifier is (the first of them where there are two).

    Raises:
        UserError: timm has no such model.
    """
    import timm

    if not timm.is_model(name):
        raise UserError(_unknown(name))
    configuration = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    last = configuration.classifier if configuration else None
    return (last if isinstance(last, str) else last[0]) if last else "head"


def _by_timm(model: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """The tensors through timm's own filter for files of this model's authors; None where it has none.

    Only names and reshapes are taken over: timm would also interpolate what is of another size, silently.
    """
    filters = vars(sys.modules[type(model).__module__])
    convert = filters.get("checkpoint_filter_fn") or filters.get("_filter_fn")
    if convert is None:
        return None
    try:
        result = dict(convert(dict(tensors), model))
    except Exception:  # a filter that meets names it does not expect fails in its own way
        return None
    interpolated = [n for n in result if n in tensors and result[n].numel() != tensors[n].numel()]
    return None if interpolated else result


def _check_architecture(path: Path, found: Layout, architecture: str) -> None:
    """What the shapes say, where it contradicts: better told by name than by a list of tensors."""
    named = next((short for short, full in SWINS.items() if architecture.partition(".")[0] == full), architecture)
    family = "resnet" if named in TORCHVISION else "swin" if named in SWINS else None
    if family is None or found.family == "unknown":
        return
    if found.family != family or found.architecture not in (None, named):
        remedy = f"name the architecture {found.architecture} instead" if found.architecture else "give another file"
        raise UserError(f"{path} holds {found}, not {architecture}: {remedy}.")


def to_mm(tensors: Mapping[str, torch.Tensor], family: str) -> dict[str, torch.Tensor]:
    """Flat tensors (or mm's own) in the names of mmdet's and mmseg's ResNet or SwinTransformer, without head.

    Args:
        family: "resnet" (the names are torchvision's) or "swin" (renamed; the merged neighbours in unfold's order).
    """
    choose(family, ("resnet", "swin"), "backbone family of mmdet and mmseg")
    return swin.to_openmmlab(tensors) if family == "swin" else without_head(tensors)


def whole(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A whole detector or segmentor in mmdet's and mmseg's names, of any of their versions and of their forks.

    Only the backbones of the Swin authors' older repositories have other names (and their merged neighbours in another
    order).
    """
    backbone = backbone_part(tensors)
    if swin.style_of(backbone) != "microsoft":
        return dict(tensors)
    ours = {f"backbone.{name}": tensor for name, tensor in swin.to_openmmlab(backbone).items()}
    return {**ours, **{name: tensor for name, tensor in tensors.items() if not name.startswith("backbone.")}}


def without_head(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All but the last layer."""
    last = {f"{name}.{part}" for name in HEADS for part in ("weight", "bias")}
    return {name: tensor for name, tensor in tensors.items() if name not in last}


def head(tensors: Mapping[str, torch.Tensor], classes: int, source: Path | str) -> dict[str, torch.Tensor]:
    """The last layer: ``weight`` (classes, channels) and ``bias`` (classes,).

    Raises:
        UserError: there is none, or it is for another number of classes (ImageNet-22k's has 21841).
    """
    for name in HEADS:
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is None or bias is None or weight.dim() != 2:
            continue
        if len(weight) == classes:
            return {"weight": weight, "bias": bias}
        raise UserError(f"{source} {_other_classes(len(weight), classes)}.")
    raise UserError(
        f"{source} has no classifier for {classes} classes, so its backbone cannot be scored upstream; give the "
        f"published file with its last layer."
    )


def _other_classes(found: int, classes: int) -> str:
    if found == 21841:
        return (
            f"has no classifier for {classes} classes but ImageNet-22k's for 21841, so it cannot be scored upstream: "
            f"score the file fine-tuned from it instead (e.g. swin_base.in22k_ft_in1k)"
        )
    return f"has no classifier for {classes} classes but one for {found}; give the file of the right classifier"
