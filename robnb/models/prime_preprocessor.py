"""PRIME during transfer (the paper's appendix B.2), as data preprocessors of mmdet and mmseg.

In training they put PRIME without its geometric primitive between the pipeline and the ordinary preprocessor; boxes,
masks and labels stay as they are. In testing they are the ordinary preprocessor.

What the authors released differs in three ways, each an option. Their module was fed 0..255 and its primitives clamp
to [0, 1], so that a chain's result is black: x becomes (1 - m) x + m u with u in [0, 1], which is a random darkening
(``range="bytes"``). Its chains have one primitive (``depth=1``). And it came after padding and did the normalisation,
so that padding is black in training, -mean / std, but 0 in testing (``padded_first=True``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

import robnb.models.backbones  # noqa: F401  registers the ops that mmdet and mmseg import
from robnb.augment.prime import PRIME_TRANSFER, Draw
from robnb.errors import UserError
from robnb.names import choose

from mmdet.models import DetDataPreprocessor  # isort: skip
from mmdet.registry import MODELS as MMDET_MODELS  # isort: skip
from mmseg.models import SegDataPreProcessor  # isort: skip
from mmseg.registry import MODELS as MMSEG_MODELS  # isort: skip

#: What PRIME is fed: pixels in [0, 1], as it is made for, or in 0..255, as released with the paper.
RANGES = ("unit", "bytes")


class _PrimeInTraining:
    """What comes before the ordinary preprocessor; a mixin of either library's.

    The order of an image's channels does not matter to PRIME, whose filters are shared by the channels and whose colour
    curves are drawn alike for each. So it is the ordinary preprocessor that turns BGR into RGB.

    Args:
        range: "unit" (corrected) or "bytes" (as released).
        depth: primitives in a chain: -1 for 1 to 3 at random (PRIME's default) or a number (1 as released).
        padded_first: whether images are padded before PRIME and normalisation (as released).
        ordinary: everything that the ordinary preprocessor takes.

    Raises:
        UserError: an option is out of range, or ``padded_first`` meets ``batch_augments``.
    """

    def __init__(self, *, range: str = "unit", depth: int = -1, padded_first: bool = False, **ordinary: Any) -> None:
        if padded_first and ordinary.get("batch_augments"):
            raise UserError("padded_first would undo batch_augments: leave one of the two out of the preprocessor.")
        super().__init__(**ordinary)
        self.range = choose(range, RANGES, "range of PRIME's input")
        self.prime = replace(PRIME_TRANSFER, depth=depth)
        self.padded_first = padded_first
        self._swaps_channels = bool(ordinary.get("bgr_to_rgb") or ordinary.get("rgb_to_bgr"))

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As the ordinary preprocessor's; ``inputs`` are (3, H, W) uint8 or float in 0..255, a list or stacked."""
        if not training:
            return super().forward(data, training)
        images = [image.to(self.device) for image in data["inputs"]]
        if not self.padded_first:
            return super().forward({**data, "inputs": self._mixed(images)}, training)
        # The ordinary preprocessor pads the labels and says to what size; only its images are replaced.
        ordinary = super().forward({**data, "inputs": images}, training)
        return {**ordinary, "inputs": self._normalised(self._mixed(_on_black(images, ordinary["inputs"].shape)))}

    def _mixed(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Images with PRIME, float32 in 0..255. One draw of torch's global generator decides everything."""
        seed = int(torch.randint(2**63 - 1, ()))
        draw = self.prime.draw(len(images), torch.Generator().manual_seed(seed))
        if len({image.shape for image in images}) == 1:
            return list(self._on_its_range(torch.stack(list(images)), draw, 0))
        return [self._on_its_range(image[None], draw, i)[0] for i, image in enumerate(images)]

    def _on_its_range(self, images: torch.Tensor, draw: Draw, first: int) -> torch.Tensor:
        if self.range == "bytes":
            return self.prime.apply(images.float(), draw, first)
        given = images if images.dtype == torch.uint8 else images / 255
        return self.prime.apply(given, draw, first) * 255

    def _normalised(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        batch = torch.stack(list(images))
        batch = batch[:, [2, 1, 0]] if self._swaps_channels else batch
        return (batch - self.mean) / self.std if self._enable_normalize else batch


def _on_black(images: Sequence[torch.Tensor], shape: torch.Size) -> torch.Tensor:
    """Images in the upper left of a zero batch of this shape."""
    batch = torch.zeros(shape, dtype=images[0].dtype, device=images[0].device)
    for padded, image in zip(batch, images, strict=True):
        padded[:, : image.shape[1], : image.shape[2]] = image
    return batch


@MMDET_MODELS.register_module()
class PrimeDetDataPreprocessor(_PrimeInTraining, DetDataPreprocessor):
    """mmdet's DetDataPreprocessor with PRIME in training; options as in `_PrimeInTraining`."""


@MMSEG_MODELS.register_module()
class PrimeSegDataPreProcessor(_PrimeInTraining, SegDataPreProcessor):
    """mmseg's SegDataPreProcessor with PRIME in training; options as in `_PrimeInTraining`."""
