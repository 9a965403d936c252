"""The paper's weights and data sets: what a study needs of them, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robnb.assets.catalogue import DATA_SETS, WEIGHTS, Asset
from robnb.errors import UserError
from robnb.names import choose


def weights_asset(backbone: str) -> Asset:
    """The published file of a backbone such as ``resnet50.ant3x3``; raises UserError with the choices."""
    return WEIGHTS[choose(backbone, WEIGHTS, "published backbone")]


def require(root: Path, backbones: Iterable[str], tasks: Iterable[str]) -> None:
    """Check that every asset a study needs lies below ``root``.

    Raises:
        UserError: one sentence that lists every missing file with where it belongs.
    """
    needed = [weights_asset(name) for name in backbones] + [DATA_SETS[task] for task in tasks]
    missing = [
        f"{root / path} ({asset.title}, from {asset.source})"
        for asset in needed
        for path in asset.paths
        if not (root / path).exists()
    ]
    if missing:
        raise UserError(
            f"{len(missing)} files or folders that this profile needs are missing; put each where it is named here, "
            f"or point the parameter data_root at the folder that holds them: {'; '.join(missing)}."
        )
