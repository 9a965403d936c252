"""``robnb convert``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    convert = commands.add_parser(
        "convert",
        help="write a published weights file as one flat, complete state dict",
        description="Write the network in SRC under plain names: torchvision's for a ResNet, timm's for everything "
        "else; a whole detector or segmentor keeps mmdet's and mmseg's. Every tensor is held to the architecture's "
        "own: DST is complete, or it is not written. Nothing in SRC is executed, unless --unpickle allows it.",
        epilog="--unpickle: a pickle can run any code when it is read. With this option a file that holds more than "
        "tensors is read in a separate process, with an empty environment and limits on its time, and only tensors "
        "come back. A separate process is no sandbox: it has your rights, your files and your network. Use it for a "
        "file whose source you trust, or in a container or on a machine that has nothing to lose. "
        "Example: robnb convert resnet50_l2_eps3.ckpt resnet50_l2_eps3.safetensors",
    )
    convert.add_argument("src", type=Path, metavar="SRC", help="a torch (.pth, .pt, .ckpt, .tar) or safetensors file")
    convert.add_argument("dst", type=Path, metavar="DST", help="ends in .safetensors or .pth; replaced if it exists")
    convert.add_argument(
        "--arch", metavar="NAME", help="resnet50, swin_base_w12, a timm model ... (default: told from the shapes)"
    )
    convert.add_argument(
        "--unpickle", action="store_true", help="let a file with more than tensors run its code; see below"
    )
    convert.set_defaults(command=_convert)


def _convert(arguments: argparse.Namespace) -> int:
    from robnb import checkpoints

    done = checkpoints.convert(arguments.src, arguments.dst, arguments.arch, unpickle=arguments.unpickle)
    if done.unpickled:
        print(
            f"robnb: warning: the code in {arguments.src} has been run, in a process of its own; only tensors came "
            f"back from it.",
            file=sys.stderr,
        )
    beside = len(done.checkpoint.dropped)
    print(f"read      {done.layout}, {done.source_sha256}")
    print(f"tensors   {done.report}" + (f"; {beside} entries beside the network left out" if beside else ""))
    if done.layout.classes is None:
        print("head      none: it can be transferred but not scored upstream")
    print(f"written   {done.dst}")
    return 0
