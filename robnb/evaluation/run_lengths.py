"""COCO's compressed run lengths of a detector's masks.

pycocotools' encoder wants every mask in full and on the CPU: 30 MB for 100 detections in one image of 480 x 640. From
another device only the places are moved where a mask changes.

Source of the code: pycocotools' rleEncode and rleToString; the bytes are the same.
"""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
import torch
from pycocotools import mask as rle
from torch.nn import functional


def encode(masks: torch.Tensor) -> list[bytes]:
    """Compressed run lengths (the ``counts`` of an RLE) of masks, bool (N, H, W)."""
    if masks.device.type == "cpu":
        if not len(masks):
            return []
        columns_first = np.asfortranarray(masks.numpy().view(np.uint8).transpose(1, 2, 0))
        return [each["counts"] for each in rle.encode(columns_first)]
    return encode_changes(masks)


def encode_changes(masks: torch.Tensor) -> list[bytes]:
    """`encode` for any device: only where a mask changes is moved to the CPU."""
    number, height, width = masks.shape
    by_columns = masks.transpose(1, 2).reshape(number, height * width)
    before = functional.pad(by_columns, (1, 0))[:, :-1]
    which, where = (part.cpu().numpy() for part in (by_columns != before).nonzero(as_tuple=True))
    starts = np.searchsorted(which, np.arange(number + 1))
    changes = [where[a:b] for a, b in pairwise(starts)]
    return [_characters(each, height * width).tobytes() for each in changes]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _characters(changes: np.ndarray, pixels: int) -> np.ndarray:
    """Run lengths from changes, each less the one before the last, in groups of five bits with a sign."""
    runs = np.empty(len(changes) + 1, np.int64)
    last = 0
    for i in range(len(changes)):
        runs[i] = changes[i] - last
        last = changes[i]
    runs[len(changes)] = pixels - last
    text = np.empty(7 * len(runs), np.uint8)
    length = 0
    for i in range(len(runs)):
        value = runs[i] - (runs[i - 2] if i > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text[length] = bits + (32 if more else 0) + 48
            length += 1
    return text[:length]
