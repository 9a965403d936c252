"""Images as HTML that a widget shows: exact pixels, described in words."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from robnb.widgets.without_kernel import source

#: A slider waits for it: of lossless settings the fastest that is not large; noise is smaller than by the usual ones.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
#: Pixels of a view that may still be shown larger than they are, as squares.
_SMALL = 320


def figure(image: np.ndarray, alt: str, caption: str = "") -> str:
    """An image with a caption, as wide as its place in a `row`.

    Args:
        image: uint8 RGB (H, W, 3); kept to the last bit, as a PNG.
        alt: what a reader is told who cannot see it.
        caption: HTML below it.
    """
    file = cv2.imencode(".png", image[..., ::-1], _PNG)[1]
    rendering = "image-rendering: pixelated;" if image.shape[1] <= _SMALL else ""
    return (
        '<figure style="margin: 0; flex: 1 1 0; min-width: 7rem; max-width: 40rem;">'
        f'<img alt="{escape(alt, quote=True)}" style="width: 100%; height: auto; {rendering}" '
        f'src="{source(file.tobytes())}">'
        f'<figcaption style="line-height: 1.3; font-size: 0.85em;">{caption}</figcaption></figure>'
    )


def row(figures: Sequence[str]) -> str:
    """Figures side by side."""
    return f'<div style="display: flex; gap: 0.6rem; margin-bottom: 0.4rem;">{"".join(figures)}</div>'


def window(image: np.ndarray, zoom: int, across: float, down: float) -> np.ndarray:
    """The part of an image that a magnification leaves.

    Args:
        image: (H, W, 3).
        zoom: how many times larger; 1 for all of it.
        across, down: where the part lies, from 0 (left, top) to 1 (right, bottom).
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // zoom), -(-width // zoom)
    top, left = round(down * (height - rows)), round(across * (width - columns))
    return image[top : top + rows, left : left + columns]


def difference(clean: np.ndarray, corrupted: np.ndarray) -> tuple[np.ndarray, str]:
    """The absolute difference of two uint8 images, as bright as it can be, and its size in words.

    Returns:
        (uint8 image of their shape, caption)
    """
    apart = cv2.absdiff(clean, corrupted)
    most = int(apart.max())
    if not most:
        return apart, "no pixel differs"
    shown = np.round(apart * (255 / most)).astype(np.uint8)
    return shown, f"difference: {apart.mean():.1f} grey levels on average, {most} at most, shown as white"
