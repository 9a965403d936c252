"""The state dict inside a checkpoint, by plain names: without its container, its prefix and what is not the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from robnb.checkpoints.files import open_file
from robnb.errors import UserError

#: Where a state dict is kept, the first that is there. An average of the weights (EMA) is taken only from a file
#: that has nothing else: the published scores of the files here are those of the weights themselves.
CONTAINERS = ("model_state_dict", "state_dict", "model", "state_dict_ema", "model_ema")

#: Stripped as long as every remaining name has one: DDP's, Lightning's or a wrapper's, ANT's training code's, mm's,
#: and torch.compile's.
PREFIXES = ("module.", "model.", "resnet.", "backbone.", "_orig_mod.")

#: Beside the network: MadryLab's attacker (the same tensors again) and normalizer, RobustBench's normalize, and the
#: augmentation module of PRIME's training code.
_NOT_THE_NETWORK = re.compile(r"(module\.|model\.)*(attacker|normalizer|normalize)\..*|(.*\.)?aug\..*")

#: OpenMMLab's classifiers (and robnb's own) keep the network under backbone, with the head beside it.
_CLASSIFIER = re.compile(r"backbone\..*|head\.(fc\.)?(weight|bias)")


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors by plain names, and what was taken off on the way.

    Attributes:
        tensors: on the CPU, as stored (any dtype); views of nothing else.
        container: the key the state dict was under, "" for a flat file.
        prefix: what every name began with, e.g. ``module.model.``; "" for none.
        dropped: names in the state dict that are not the network's tensors.
        others: the file's other top-level keys.
        format: "torch" or "safetensors".
    """

    path: Path
    tensors: dict[str, torch.Tensor] = field(repr=False)
    container: str
    prefix: str
    dropped: tuple[str, ...] = field(repr=False)
    others: tuple[str, ...]
    format: str


def read(path: Path) -> Checkpoint:
    """Read a weights file, without running anything in it.

    Raises:
        UserError: as `open_file`; or it holds no tensors.
    """
    path = Path(path)
    content, file_format = open_file(path)
    state, container, others = _contained(content)
    named = {name: value for name, value in state.items() if isinstance(name, str)}
    network = {
        name: value
        for name, value in named.items()
        if isinstance(value, torch.Tensor) and not _NOT_THE_NETWORK.fullmatch(name)
    }
    if not network:
        keys = ", ".join(repr(key) for key in list(state)[:4]) or "nothing"
        raise UserError(
            f"{path} holds no tensors by name (its keys: {keys}), looked for at the top and under "
            f"{', '.join(CONTAINERS)}; give a file with a model's state dict."
        )
    tensors, prefix = _without_prefix(network)
    dropped = tuple(str(name) for name in state if name not in network)
    return Checkpoint(path, tensors, container, prefix, dropped, others, file_format)


def _contained(content: Any) -> tuple[Mapping[Any, Any], str, tuple[str, ...]]:
    """The state dict, the dotted key it was under, and the keys beside it."""
    taken: list[str] = []
    others: list[str] = []
    while isinstance(content, Mapping):
        key = next((key for key in CONTAINERS if _has_tensors(content.get(key))), None)
        if key is None:
            break
        taken.append(key)
        others += [str(other) for other in content if other != key]
        content = content[key]
    return content if isinstance(content, Mapping) else {}, ".".join(taken), tuple(others)


def _has_tensors(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(v, torch.Tensor) for v in value.values()) or any(
        _has_tensors(value.get(k)) for k in CONTAINERS
    )


def _without_prefix(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], str]:
    """The names without what all of them begin with, and that."""
    stripped = ""
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        stripped += prefix
    if all(_CLASSIFIER.fullmatch(name) for name in tensors):
        tensors = {name.removeprefix("backbone."): tensor for name, tensor in tensors.items()}
        stripped += "backbone."
    return tensors, stripped
