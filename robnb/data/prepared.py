"""Images resized and cropped before anything else is done to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from robnb.data.sample import Sample
from robnb.errors import UserError
from robnb.names import choose

#: Ways to resize.
INTERPOLATIONS = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


class Prepared(Dataset[Sample]):
    """A reader of labelled images, each resized and centre-cropped before it is corrupted or scored.

    ImageNet-C was made so: resize 256, crop 224, corrupt, save as JPEG of quality 85. Corrupting a prepared image gives
    what was saved there, but for the draw and that last step, which takes much of the noise away (it halves the
    resolution of colour) and changes the rest little; `robnb.evaluation.spec.Sweep` takes it with ``jpeg=85``. CIFAR-10
    at 224 pixels is resize 256, crop 224 as well.

    The resize is torchvision's ``Resize`` on a PIL image (antialiased), the crop its ``CenterCrop``. Ids, labels and
    classes are the reader's.

    Args:
        reader: gives samples whose target is an int label.
        resize: the short side after resizing, in pixels.
        crop: the side of the centre square, in pixels.
        interpolation: "bilinear" or "bicubic".

    Raises:
        UserError: the square is larger than the short side, or no such interpolation.
    """

    def __init__(self, reader: Any, resize: int, crop: int, interpolation: str = "bilinear") -> None:
        check_prepare((resize, crop, interpolation))
        self.reader, self.resize, self.crop, self.interpolation = reader, resize, crop, interpolation

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names of labels 0, 1, ..."""
        return self.reader.classes

    @property
    def image_ids(self) -> list[str]:
        """Every image's id, in the reader's order."""
        return self.reader.image_ids

    @property
    def labels(self) -> list[int]:
        """Every image's label, in the reader's order; reads no image."""
        return self.reader.labels

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``: uint8 (crop, crop, 3). Raises what the reader raises."""
        sample = self.reader[index]
        kind = INTERPOLATIONS[self.interpolation]
        resized = transforms.resize(Image.fromarray(sample.image), self.resize, kind)
        return replace(sample, image=np.array(transforms.center_crop(resized, self.crop)))


def check_prepare(prepare: tuple[int, int, str]) -> None:
    """Raises a UserError unless images can be put through (short side, side of the square, interpolation)."""
    try:
        resize, crop, interpolation = prepare
        fits = type(resize) is int and type(crop) is int and 0 < crop <= resize
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(
            f"images cannot be prepared by {prepare!r}: give the short side to resize to, the side of the centre "
            "square (at most as large) and the interpolation, such as [256, 224, bilinear]."
        )
    choose(interpolation, INTERPOLATIONS, "interpolation")
