"""``robnb corrupt``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from robnb.cores import cores
from robnb.errors import UserError

if TYPE_CHECKING:
    from robnb.copies import Findings


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    corrupt = commands.add_parser(
        "corrupt",
        help="write corrupted copies of a data set, or verify them",
        usage="robnb corrupt SRC DST [option ...]\n       robnb corrupt --verify DST [--workers N]",
        description="Write DST/<corruption>/<severity>/, each a complete data set in the layout of SRC, and manifests "
        "of hashes. SRC is a COCO root, an ADE20K root or any folder of images. Finished images are never made again: "
        "an interrupted run goes on when the same command is given again, and conditions can be added later. "
        "With the same SRC and options, the last line printed is the same for everybody.",
        epilog="Examples: robnb corrupt data/coco coco-c --severities 3; robnb corrupt imagenet/val imagenet-c "
        "--corruptions noise fog --format jpeg; robnb corrupt --verify coco-c",
    )
    corrupt.add_argument("src", nargs="?", type=Path, metavar="SRC", help="the data set to copy; only read")
    corrupt.add_argument("dst", type=Path, metavar="DST", help="a new folder, or one that this command was making")
    corrupt.add_argument("--verify", action="store_true", help="compare every file in DST with the manifests instead")
    corrupt.add_argument(
        "--corruptions",
        nargs="+",
        default=["benchmark"],
        metavar="NAME",
        help="names, or benchmark, noise, blur, weather, digital (default: benchmark, all 15)",
    )
    corrupt.add_argument(
        "--severities", nargs="+", type=int, default=[1, 2, 3, 4, 5], metavar="N", help="1 to 5 (default: all)"
    )
    corrupt.add_argument("--split", metavar="S", help="of COCO (default: val2017) or ADE20K (default: validation)")
    corrupt.add_argument("--limit", type=int, metavar="N", help="only the first N images (default: all)")
    corrupt.add_argument("--seed", type=int, default=0, metavar="N", help="of the corruptions' noise (default: 0)")
    corrupt.add_argument("--replicate", type=int, default=0, metavar="N", help="another draw of it (default: 0)")
    corrupt.add_argument(
        "--engine",
        choices=("fast", "reference"),
        default="fast",
        help="reference is the imagecorruptions package (default: fast)",
    )
    corrupt.add_argument("--format", choices=("png", "jpeg"), default="png", help="png is lossless (default: png)")
    corrupt.add_argument("--quality", type=int, metavar="N", help="of a JPEG, 1 to 100 (default: 95)")
    corrupt.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: the cores available, %(default)s)"
    )
    corrupt.set_defaults(command=_corrupt, workers=cores())


def _corrupt(arguments: argparse.Namespace) -> int:
    from robnb import copies

    if arguments.verify:
        if arguments.src is not None:
            raise UserError("--verify needs no SRC: give the folder to verify alone.")
        return _report_findings(copies.verify_copies(arguments.dst, arguments.workers), arguments.dst)
    if arguments.src is None:
        raise UserError("one folder was given: `robnb corrupt` needs SRC and DST (or --verify and DST).")
    return _write_copies(arguments)


def _write_copies(arguments: argparse.Namespace) -> int:
    from robnb import copies
    from robnb.corruptions import conditions

    _, *grid = conditions(arguments.corruptions, arguments.severities)  # the first is clean
    quality = 95 if arguments.format == "jpeg" and arguments.quality is None else arguments.quality
    file_format = copies.FileFormat(arguments.format, quality)
    settings = copies.Settings(arguments.engine, arguments.seed, arguments.replicate, file_format)
    source = copies.open_source(arguments.src, arguments.split, arguments.limit, file_format)
    split = f" {source.split}" if source.split else ""
    print(f"source    {source.kind}{split}, {len(source.images)} images x {len(grid)} conditions, {source.root}")
    if file_format.name == "jpeg":
        print(
            "robnb: warning: JPEG compresses every image once more after its corruption, a 16th corruption: scores "
            "on these files are not those on the corrupted pixels; PNG keeps them.",
            file=sys.stderr,
        )
    written = copies.write_copies(source, arguments.dst, grid, settings, arguments.workers)
    print(f"files     {written.files}, of which {written.made} made now")
    print(f"manifest  {arguments.dst / 'manifest.json'}")
    print(f"sha256    {written.sha256}")
    return 0


def _report_findings(findings: Findings, folder: Path) -> int:
    """At most 20 files of a kind are named."""
    kinds = {"missing": findings.missing, "changed": findings.changed, "extra": findings.extra}
    for kind, files in kinds.items():
        for file in files[:20]:
            print(f"{kind:10}{folder / file}")
        if len(files) > 20:
            print(f"{kind:10}and {len(files) - 20} more")
    print(f"files     {findings.files}, " + ", ".join(f"{len(files)} {kind}" for kind, files in kinds.items()))
    print(f"sha256    {findings.sha256}" if findings.good else f"{folder} is not what its manifest says.")
    return 0 if findings.good else 1
