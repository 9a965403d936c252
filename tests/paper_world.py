"""A small world in the published formats: stand-ins for every data set and weight file that a paper notebook needs."""

from collections.abc import Iterable
from pathlib import Path

import published
import published_data

from robnb import assets
from robnb.assets import Asset, DataSet, Roots
from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS

#: Parameters that make a paper notebook small: two images a task, two conditions, two steps of every training.
SMALL = {
    "corruptions": ["fog", "jpeg_compression"],
    "test_images": 2,
    "resamples": 40,
    "workers": 0,
    "scales": {
        "upstream": [256, 224],
        "detection": [160, 128],
        "segmentation": [160, 128],
        "classification": [256, 224],
    },
}


def make(root: Path, needed: Iterable[Asset]) -> Roots:
    """Write all of them below ``root``, and accept that they are not the published bytes."""
    roots = Roots(root)
    for asset in needed:
        folder = roots.folder(asset.root)
        if (folder / asset.paths[0]).exists():
            continue
        if isinstance(asset, DataSet):
            _DATA[asset.name](folder, roots)
        else:
            published.write_asset(asset.name, folder / asset.paths[0])
        assets.accept(asset, roots)
    return roots


_DATA = {
    "coco": lambda folder, _: published_data.coco(folder),
    "ade20k": lambda folder, _: published_data.ade20k(folder),
    "cifar10": lambda folder, _: published_data.cifar10(folder),
    "imagenet": lambda folder, _: published_data.imagenet(folder),
    "cifar10_c": lambda folder, roots: published_data.cifar10_c(
        folder, roots.folder("cifar10"), (*CORRUPTIONS, *VALIDATION_CORRUPTIONS)
    ),
    "imagenet_c": lambda folder, roots: published_data.imagenet_c(
        folder, roots.folder("imagenet"), severities=[1], limit=SMALL["test_images"]
    ),
}


def budgets(*families: str) -> dict:
    """Two steps of two images for each family of backbones."""
    return {family: {"iterations": 2, "batch_size": 2, "lr": 0.001} for family in families}
