"""``robnb fetch``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from robnb.cli.notebook import ROOT, parameters_of
from robnb.cli.text import WIDTH, paragraph, size, table
from robnb.errors import UserError

if TYPE_CHECKING:
    from robnb.assets import Asset, File, Roots, State
    from robnb.study import Study

#: As `robnb.assets.State` has them, from best to worst.
STATES = ("verified", "present", "incomplete", "missing", "damaged")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    fetch = commands.add_parser(
        "fetch",
        help="download weights and data sets, and verify them",
        description="Download what the study needs of others' work: weights, trained models, data sets. Licences and "
        "sizes are shown and asked about first. Downloads are resumed, verified against the published hash (where "
        "there is none, the first download is trusted and locked) and unpacked; what is there already is left as it "
        "is. Folders can be moved one by one with ROBNB_WEIGHTS, ROBNB_COCO, ROBNB_ADE20K, ROBNB_CIFAR10, "
        "ROBNB_CIFAR10_C, ROBNB_IMAGENET and ROBNB_IMAGENET_C.",
        epilog="Examples: robnb fetch coco resnet50.ant3x3 --dry-run; robnb fetch --for 01_fixed_feature --yes",
    )
    what = fetch.add_argument_group("what")
    what.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="of --list, with * for any letters (authors*), or any pretrained model of timm (convnext_tiny.fb_in1k)",
    )
    what.add_argument(
        "--for", dest="notebook", metavar="NOTEBOOK", help="all that a notebook needs, as 01_fixed_feature"
    )
    what.add_argument("--profile", metavar="P", help="with --for or --list: a folder of params/ (default: paper)")
    what.add_argument(
        "-p",
        dest="overrides",
        action="append",
        nargs=2,
        default=[],
        metavar=("PARAMETER", "VALUE"),
        help="with --for: set a parameter of the notebook; repeatable",
    )
    what.add_argument(
        "--list",
        action="store_true",
        help="only list what there is and in what state; with --profile, also which notebooks need it",
    )
    fetch.add_argument("--dry-run", action="store_true", help="list it completely, and download nothing")
    fetch.add_argument("--yes", action="store_true", help="do not ask")
    fetch.add_argument(
        "--accept",
        action="store_true",
        help="download nothing: take what is there as it is (a subset of images, say) and note that in robnb-lock.json",
    )
    fetch.add_argument(
        "--keep-archives",
        action="store_true",
        help="keep downloaded archives after unpacking (by default they are deleted, to save their size on disk)",
    )
    fetch.add_argument("--data-root", type=Path, metavar="DIR", help="where it goes (default: data/ of this checkout)")
    fetch.add_argument("--outputs", type=Path, help=argparse.SUPPRESS)
    fetch.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    fetch.set_defaults(command=_fetch)


def _fetch(arguments: argparse.Namespace) -> int:
    from robnb.assets import states

    _check(arguments)
    if arguments.list:
        return _list(arguments)
    wanted, roots = _wanted(arguments)
    found = states(wanted, roots)
    if not found:
        print(f"{arguments.notebook} needs nothing of the catalogue with these parameters.")
        return 0
    if arguments.accept:
        return _accept(wanted, roots)
    todo = [state for state in found if _has_work(state)]
    _details(found, roots, {} if arguments.dry_run else _asked(todo))
    if arguments.dry_run or not todo:
        return 0
    return _bring(todo, roots, arguments) if _agreed(todo, arguments) else 1


def _has_work(state: State) -> bool:
    """Whether something is lacking, or is there as it was downloaded and not verified yet."""
    return not state.usable or (state.state == "present" and any(not file.unpack for file in state.asset.files))


def _check(arguments: argparse.Namespace) -> None:
    """Raises UserError where the arguments do not say one thing."""
    ways = [name for name, given in (("names", arguments.names), ("--for", arguments.notebook)) if given]
    if arguments.list and arguments.notebook:
        raise UserError("--list is of the whole catalogue: for one notebook, use --for NOTEBOOK --dry-run.")
    if len(ways) != 1 and not (arguments.list and not ways):
        said = "both names and --for" if ways else "nothing"
        raise UserError(f"{said} to fetch was given: give names of `robnb fetch --list`, or --for NOTEBOOK.")
    if arguments.overrides and not arguments.notebook:
        raise UserError("-p sets a parameter of a notebook: name it with --for NOTEBOOK.")
    if arguments.profile and not (arguments.notebook or arguments.list):
        raise UserError("--profile belongs to a notebook: name it with --for NOTEBOOK.")


def _wanted(arguments: argparse.Namespace) -> tuple[list[Asset], Roots]:
    """The assets that are meant, and where they belong."""
    if arguments.notebook:
        study = _study(arguments)
        return list(study.needed_assets), study.places
    named = {asset.name: asset for pattern in arguments.names for asset in _matching(pattern)}
    return list(named.values()), _roots(arguments)


def _roots(arguments: argparse.Namespace) -> Roots:
    from robnb.assets import DEFAULT_DATA_ROOT, Roots

    return Roots(arguments.data_root or DEFAULT_DATA_ROOT)


def _matching(pattern: str) -> list[Asset]:
    from fnmatch import fnmatchcase

    from robnb.assets import asset, catalogue

    if "*" not in pattern:
        return [asset(pattern)]
    found = [known for name, known in catalogue().items() if fnmatchcase(name, pattern)]
    if not found:
        raise UserError(f"nothing in the catalogue is named like {pattern!r}; see `robnb fetch --list`.")
    return found


def _study(arguments: argparse.Namespace) -> Study:
    """The notebook's study with these arguments; nothing of it is begun."""
    values = {**vars(arguments), "name": arguments.notebook, "profile": arguments.profile or "paper"}
    name, parameters = parameters_of(argparse.Namespace(**values))
    if arguments.data_root:
        parameters["data_root"] = str(arguments.data_root.expanduser().absolute())
    from robnb.study import Study

    return Study.from_notebook(name, parameters)


def _list(arguments: argparse.Namespace) -> int:
    """The catalogue, or what of it was named; with a profile, which of its notebooks need what."""
    from robnb.assets import catalogue, states

    assets = {asset.name: asset for pattern in arguments.names for asset in _matching(pattern)} or dict(catalogue())
    needs: dict[str, list[str]] = {}
    if arguments.profile:
        from robnb.needs import notebook_needs

        for notebook, needed in notebook_needs(arguments.profile, arguments.root).items():
            for asset in needed:
                needs.setdefault(asset.name, []).append(notebook[:2] if notebook[0].isdigit() else notebook)
                if not arguments.names:
                    assets.setdefault(asset.name, asset)  # of timm, which the catalogue does not list
    _table(states(assets.values(), _roots(arguments)), needs)
    if not needs:
        print("`robnb fetch --list --profile P` says which notebooks of a profile need what.")
    return 0


def _table(found: Sequence[State], needs: dict[str, list[str]]) -> None:
    titles = {"backbone": "backbones", "trained": "trained detectors and segmentors", "data": "data sets"}
    for kind, title in titles.items():
        rows = [
            [state.asset.name, state.state, _download(state.asset), " ".join(needs.get(state.asset.name, []))]
            for state in found
            if state.asset.kind == kind
        ]
        if rows:
            print(f"{title}\n{table(['', 'state', 'download', 'needed by' if needs else ''], rows, right=(2,))}\n")
    counts = {name: sum(state.state == name for state in found) for name in STATES}
    print(
        paragraph(
            f"{', '.join(f'{count} {name}' for name, count in counts.items() if count)}; a '?' where nobody states the "
            "size. `robnb fetch NAME --dry-run` says what a thing is, its licence and where it goes."
        )
    )


def _download(asset: Asset) -> str:
    return _size(asset.bytes) if asset.files else "by hand"


def _details(found: Sequence[State], roots: Roots, asked: dict[str, int]) -> None:
    """Everything about what is to be fetched; sizes that only the server knows are in ``asked``, by address."""
    for state in found:
        asset = state.asset
        print(paragraph(f"{asset.name}: {asset.title}", "  "))
        lines = [
            f"state     {state.state}{_lacking(state)}",
            f"download  {', '.join(_file(file, asked) for file in asset.files) or 'by hand'}",
            f"into      {roots.folder(asset.root)}",
            f"licence   {asset.licence}",
            f"from      {asset.source}",
            f"cite      {asset.citation}",
        ]
        lines += [f"note      {asset.note}"] if asset.note else []
        lines += [f"get it    {asset.manual.format(folder=roots.folder(asset.root))}"] if asset.manual else []
        for line in lines:
            print(paragraph(f"  {line}", " " * 12))
        print()
    _total(found, asked)


def _lacking(state: State) -> str:
    if not state.lacking or state.state == "missing":
        return ""
    more = f" and {len(state.lacking) - 3} more" if len(state.lacking) > 3 else ""
    return f", lacks {', '.join(state.lacking[:3])}{more}"


def _file(file: File, asked: dict[str, int]) -> str:
    return f"{file.path} ({_size(file.bytes if file.bytes is not None else asked.get(file.url))})"


def _total(found: Sequence[State], asked: dict[str, int]) -> None:
    todo = [state for state in found if not state.usable and state.asset.files]
    open_files = [file for state in todo for file in state.asset.files]
    needed = sum(state.bytes_needed for state in todo)
    needed += sum(asked.get(file.url, 0) for file in open_files if file.bytes is None)
    unknown = sum(state.unknown for state in todo) - sum(file.url in asked for file in open_files if file.bytes is None)
    manual = [state.asset.name for state in found if not state.usable and not state.asset.files]
    plural = "s" if unknown != 1 else ""
    known = [size(needed)] if needed or unknown <= 0 else []
    amount = " and ".join([*known, *([f"{unknown} file{plural} of unknown size"] if unknown > 0 else [])])
    parts = [f"{amount} to download" if todo else "nothing to download"]
    parts += [f"by hand: {', '.join(manual)}"] if manual else []
    present = [state.asset.name for state in found if state.usable and _has_work(state)]
    parts += [f"to be verified: {', '.join(present)}"] if present else []
    print(paragraph("in all: " + "; ".join(parts) + "."))


def _size(count: int | None) -> str:
    return "?" if count is None else size(count)


def _asked(todo: Sequence[State]) -> dict[str, int]:
    """Sizes that the catalogue does not know, from the servers."""
    from robnb.assets.download import Patience, size_on_server

    files = [file for state in todo if not state.usable for file in state.asset.files if file.bytes is None]
    if files and sys.stderr.isatty():
        print(f"{'asking the servers for sizes':<{WIDTH - 1}}", end="\r", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(lambda file: size_on_server(file, Patience(connect=5, read=5)), files)
        return {file.url: count for file, count in zip(files, sizes, strict=True) if count is not None}


def _agreed(todo: Sequence[State], arguments: argparse.Namespace) -> bool:
    if arguments.yes or all(state.usable for state in todo):
        return True
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask in whether to download: add --yes, or --dry-run to only look.")
    answer = input("\nfetch it, under these licences? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _bring(todo: Sequence[State], roots: Roots, arguments: argparse.Namespace) -> int:
    from robnb.assets import fetch

    results = fetch([state.asset for state in todo], roots, keep_archives=arguments.keep_archives)
    rows = [[result.state.asset.name, result.state.state] for result in results]
    print(f"\n{table(['', 'state'], rows)}")
    failed = [result for result in results if result.problem]
    for result in failed:
        print(f"robnb: {result.state.asset.name}: {result.problem.rstrip('.')}.", file=sys.stderr)
    return 1 if failed else 0


def _accept(wanted: Sequence[Asset], roots: Roots) -> int:
    from robnb.assets import accept, states

    for asset in wanted:
        accept(asset, roots)
    _table(states(wanted, roots), {})
    return 0
