"""What is to be copied: a COCO root, an ADE20K root, or any folder of images, found out by looking."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from robnb.copies.files import FileFormat
from robnb.data.ade import AdeImages
from robnb.data.coco import CocoImages
from robnb.data.images import check_limit, list_images
from robnb.errors import UserError


@dataclass(frozen=True)
class SourceImage:
    """One image of a source.

    Attributes:
        image_id: what robnb's reader of this kind of data set gives; the corruption's key.
        file: path below the source's root, with forward slashes.
        target: path below each condition's folder, with the ending of the copy's format.
    """

    image_id: str
    file: str
    target: str


@dataclass(frozen=True)
class Source:
    """A data set to copy.

    Attributes:
        kind: "COCO", "ADE20K" or "folder".
        split: None for a folder.
        images: in the reader's order.
        annotations: what goes beside the images unchanged by any corruption: path below each condition's folder
            -> content, or the file that has it.
    """

    kind: str
    root: Path
    split: str | None
    images: tuple[SourceImage, ...]
    annotations: dict[str, bytes | Path]

    def __post_init__(self) -> None:
        first: dict[str, str] = {}
        for image in self.images:
            if image.target in first:
                raise UserError(
                    f"{first[image.target]} and {image.file} would both become {image.target}: rename one of them."
                )
            first[image.target] = image.file

    def annotation(self, name: str) -> bytes:
        """The content of one annotation file of the copy. Raises a UserError where it cannot be read."""
        content = self.annotations[name]
        try:
            return content if isinstance(content, bytes) else content.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {content} ({error.strerror}): fetch or make the data set again.") from error


def open_source(
    root: Path, split: str | None = None, limit: int | None = None, file_format: FileFormat | None = None
) -> Source:
    """Look at ``root`` and list what a copy of it holds.

    Args:
        root: has ``annotations/instances_*.json`` (COCO), ``images/`` and ``annotations/`` (ADE20K), or is any other
            folder, of which all images are taken, those in its subfolders included.
        split: of COCO (None: "val2017") or ADE20K (None: "validation").
        limit: keep the first so many images in the reader's order; None keeps all.
        file_format: of the copies (None: PNG).

    Raises:
        UserError: no such folder, no images, what the readers complain of, a split named for a plain folder, or two
            images whose copies would have the same name.
    """
    root, file_format = Path(root), file_format or FileFormat()
    check_limit(limit)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: check the path of the data set.")
    if any((root / "annotations").glob("instances_*.json")):
        return _coco(root, split or "val2017", limit, file_format)
    if (root / "images").is_dir() and (root / "annotations").is_dir():
        return _ade(root, split or "validation", limit, file_format)
    if split is not None:
        raise UserError(f"{root} is neither a COCO nor an ADE20K root, so it has no splits: give the split's folder.")
    return _folder(root, limit, file_format)


def _coco(root: Path, split: str, limit: int | None, file_format: FileFormat) -> Source:
    reader = CocoImages(root, split, limit)
    content = json.loads(reader.annotation_file.read_bytes())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    chosen = set(reader.coco_ids)
    content["images"] = [
        {**image, "file_name": file_format.renamed(image["file_name"])}
        for image in content["images"]
        if image["id"] in chosen
    ]
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] in chosen]
    images = tuple(
        SourceImage(image_id, f"{split}/{files[coco_id]}", f"{split}/{file_format.renamed(files[coco_id])}")
        for image_id, coco_id in zip(reader.image_ids, reader.coco_ids, strict=True)
    )
    name = reader.annotation_file.relative_to(root).as_posix()
    return Source("COCO", root, split, images, {name: json.dumps(content).encode()})


def _ade(root: Path, split: str, limit: int | None, file_format: FileFormat) -> Source:
    reader = AdeImages(root, split, limit)
    files = [f"images/{split}/{name}" for name in reader.image_files]
    images = tuple(
        SourceImage(image_id, file, file_format.renamed(file))
        for image_id, file in zip(reader.image_ids, files, strict=True)
    )
    names = [f"annotations/{split}/{image_id}.png" for image_id in reader.image_ids]
    names += [name for name in ("objectInfo150.txt", "classes.txt") if (root / name).is_file()]
    return Source("ADE20K", root, split, images, {name: root / name for name in names})


def _folder(root: Path, limit: int | None, file_format: FileFormat) -> Source:
    """Images take turns through the folders, as in ``ClassFolders``, so that ``limit`` keeps classes balanced."""
    order = []
    for folder in _folders(root):
        below = folder.relative_to(root).as_posix()
        order += [(turn, below, name) for turn, name in enumerate(list_images(folder))]
    if not order:
        raise UserError(f"{root} has no images (.jpg, .jpeg or .png): check the path of the data set.")
    files = [str(PurePosixPath(below) / name) for _, below, name in sorted(order)[:limit]]
    images = tuple(SourceImage(file, file, file_format.renamed(file)) for file in files)
    return Source("folder", root, None, images, {})


def _folders(root: Path) -> list[Path]:
    """``root`` and all folders in it but hidden ones. Links are followed, except back to a folder they are in."""

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename} ({error.strerror}): check its permissions.")

    found = []
    for top, below, _ in os.walk(root, followlinks=True, onerror=refuse):
        found.append(Path(top))
        here = Path(top).resolve()
        below[:] = [name for name in below if name[0] != "." and not here.is_relative_to((here / name).resolve())]
    return found
