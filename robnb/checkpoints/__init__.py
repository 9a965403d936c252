"""Checkpoints: every published layout becomes one flat, complete state dict, or one sentence that says why not.

    checkpoint = read(path)                        # plain names; always weights_only=True; UserError otherwise
    layout(checkpoint.tensors)                     # what it is: family, style, architecture, classes
    tensors = flat(checkpoint, "resnet50")         # torchvision's names (ResNet) or timm's (everything else), complete
    tensors = flat(checkpoint, None)               # the same names without a source architecture to hold it to
    load(backbone, to_mm(tensors, "swin"), path)   # mmdet's and mmseg's names, without head; strict
    head(tensors, 1000, path)                      # {"weight", "bias"} of the last layer, for 1000 classes
    without_head(tensors)                          # all the rest, names unchanged
    whole(tensors)                                 # a trained detector or segmentor in mmdet's and mmseg's names
    convert(src, dst); inspect(src)                # what `robnb convert` and `robnb inspect` do

Signatures::

    read(path: Path) -> Checkpoint      # .path .tensors .container .prefix .dropped .others .format
    layout(tensors: Mapping[str, Tensor]) -> Layout   # .family .style .architecture .classes
    flat(checkpoint: Checkpoint, architecture: str | None) -> dict[str, Tensor]
        # architecture: resnet18 .. resnext101_64x4d, swin_tiny, swin_small, swin_base, swin_base_w12, or any timm name
    to_mm(tensors: Mapping[str, Tensor], family: str) -> dict[str, Tensor]      # family "resnet" | "swin"
    load(module: nn.Module, tensors: Mapping[str, Tensor], source: Path | str, optional=OPTIONAL) -> Report
    head(tensors: Mapping[str, Tensor], classes: int, source: Path | str) -> dict[str, Tensor]
    without_head(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]
    whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]
    backbone_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]       # its backbone.* without that prefix
    convert(src: Path, dst: Path, architecture: str | None = None, *, unpickle: bool = False) -> Conversion  # .report
    inspect(src: Path, architecture: str | None = None) -> Inspection
"""

from robnb.checkpoints.convert import Conversion, convert
from robnb.checkpoints.files import NeedsCode
from robnb.checkpoints.flat import flat, head, to_mm, whole, without_head
from robnb.checkpoints.inspection import Inspection, inspect
from robnb.checkpoints.layouts import Layout, backbone_part, layout
from robnb.checkpoints.plain import Checkpoint, read
from robnb.checkpoints.strict import COMPUTED, OPTIONAL, Report, load

__all__ = [
    "COMPUTED",
    "OPTIONAL",
    "Checkpoint",
    "Conversion",
    "Inspection",
    "Layout",
    "NeedsCode",
    "Report",
    "backbone_part",
    "convert",
    "flat",
    "head",
    "inspect",
    "layout",
    "load",
    "read",
    "to_mm",
    "whole",
    "without_head",
]
