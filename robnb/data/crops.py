"""Training crops of labelled images, for classifiers."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2

#: (share of the image's area, ratio of the sides): nearly all of the image, or torchvision's default.
CROPS = {"mild_crop": ((0.8, 1.0), (0.9, 1.11)), "full_crop": ((0.08, 1.0), (3 / 4, 4 / 3))}


class TrainingCrops(Dataset):
    """Random resized crops, ``{"inputs": (3, size, size) uint8 RGB, "labels": int}``.

    Draws come from torch's global generator, which `robnb.training.KeyedBatches` sets for every position.

    Args:
        images: samples with an int target.
        size: side of the square crop in pixels.
        flip: whether half of the crops are mirrored.
        crop: a name in `CROPS`.
    """

    def __init__(self, images: Dataset, size: int, flip: bool, crop: str = "mild_crop") -> None:
        self.images = images
        area, ratio = CROPS[crop]
        steps = [v2.RandomResizedCrop(size, scale=area, ratio=ratio, antialias=True)]
        self.crop = v2.Compose([*steps, *([v2.RandomHorizontalFlip()] if flip else [])])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        sample = self.images[index]
        return {"inputs": self.crop(torch.from_numpy(sample.image).permute(2, 0, 1)), "labels": sample.target}
