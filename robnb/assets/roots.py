"""Where assets lie: one folder for the weights and one for each data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import robnb
from robnb.assets.kinds import Asset
from robnb.errors import UserError
from robnb.names import choose

#: ``data/`` of this checkout.
DEFAULT_DATA_ROOT = Path(robnb.__file__).resolve().parents[1] / "data"

#: Folders below the data root, as the publishers and mmdetection / mmsegmentation name them.
DEFAULTS = {
    "weights": "weights",
    "coco": "coco",
    "ade20k": "ADEChallengeData2016",
    "cifar10": "cifar10",
    "cifar10_c": "CIFAR-10-C",
    "imagenet": "imagenet",
    "imagenet_c": "imagenet-c",
}


@dataclass(frozen=True)
class Roots:
    """The folder of each kind of asset.

    What ``given`` names comes first, then the environment (ROBNB_COCO, ROBNB_WEIGHTS ...), then the usual folder
    below ``data_root``.

    Attributes:
        data_root: the folder that holds everything which lies nowhere else.
        given: folders by key, as the parameter ``roots`` has them.
    """

    data_root: Path
    given: Mapping[str, str | Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UserError for a key that is none of `DEFAULTS`, or an empty folder."""
        for key, folder in self.given.items():
            choose(key, DEFAULTS, "root")
            if not str(folder):
                raise UserError(f"the root {key!r} is empty: name its folder, or leave it out.")

    def folder(self, key: str) -> Path:
        """The folder of a key of `DEFAULTS`, absolute; it need not exist.

        Raises:
            UserError: an unknown key.
        """
        choose(key, DEFAULTS, "root")
        folder = self.given.get(key) or os.environ.get(variable(key)) or Path(self.data_root) / DEFAULTS[key]
        return Path(folder).expanduser().absolute()

    def path(self, asset: Asset, relative: str = "") -> Path:
        """A path below the asset's root, or, with nothing given, the root."""
        return self.folder(asset.root) / relative


def variable(key: str) -> str:
    """The environment variable that moves a root."""
    return f"ROBNB_{key.upper()}"
