"""How a network is run: precision, memory layout, compilation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from robnb.names import choose

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Execution:
    """How a model is run. All of it can change last digits, so it is part of every result's key.

    Attributes:
        precision: "float32", or autocast to "bfloat16" or "float16".
        channels_last: keep images and weights channel by channel for each pixel.
        compile: compile the backbone with torch.compile.

    Raises:
        UserError: unknown precision.
    """

    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        choose(self.precision, PRECISIONS, "precision")

    def arranged(self, model: nn.Module) -> nn.Module:
        """The model, laid out and compiled, where it is."""
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
        if self.compile:
            model.backbone.forward = torch.compile(model.backbone.forward)
        return model

    def prepared(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model in eval mode on the device, laid out and compiled."""
        model = self.arranged(model.to(device))
        model.eval()  # mmdet's returns None
        return model

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """The context that a forward pass runs in; another one around it stays in force where this is float32."""
        kind = PRECISIONS[self.precision]
        return nullcontext() if kind is None else torch.autocast(device.type, dtype=kind)
