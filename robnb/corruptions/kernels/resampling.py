"""Linear interpolation between pixels: zooming into an image, and reading it at displaced positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu

#: Values that the column loop of a zoom handles together; a run is rounded up to whole groups.
_GROUP = 16


class Runs(NamedTuple):
    """The columns of an axis for a loop without an index: cut where the next one is not read from the next pixel.

    Attributes:
        cuts: int64 (R, 3): first value written, first value read, how many (whole groups: what is written too much
            is overwritten by the next run). A pixel is three values.
        weight, keep: the axis' own, for each value.
        span: int64 (2,), the first and one past the last value that is read.
    """

    cuts: np.ndarray
    weight: np.ndarray
    keep: np.ndarray
    span: np.ndarray


@dataclass(frozen=True, eq=False)
class Axis:
    """Where one side of a zoomed image is read from, as ``scipy.ndimage.zoom`` does at order 1.

    Attributes:
        first: int64 (out,), the source position at or before.
        weight: float32 (out,) in [0, 1), of the position after it.
        keep: float32 (out,), 0 where rounding puts the position past the last pixel and scipy gives 0; else 1.
        length: of the side that is read.
    """

    first: np.ndarray
    weight: np.ndarray
    keep: np.ndarray
    length: int

    def cut(self, start: int, size: int) -> Axis:
        """The first ``size`` positions, in an image that begins at ``start`` of the one that they are in."""
        return Axis(self.first[:size] - start, self.weight[:size], self.keep[:size], self.length)

    @cached_property
    def runs(self) -> Runs:
        """For columns of an RGB image, cut to the image's width."""
        first = self.first[: self.length]
        cuts = np.flatnonzero(np.diff(first) != 1) + 1
        starts, stops = np.append(0, cuts), np.append(cuts, len(first))
        counts = -(-3 * (stops - starts) // _GROUP) * _GROUP
        weight, keep = (
            np.append(np.repeat(values[: self.length], 3), np.zeros(_GROUP, np.float32))
            for values in (self.weight, self.keep)
        )
        span = np.array([3 * first[0], 3 * min(first[-1] + 2, self.length)])
        return Runs(np.stack([3 * starts, 3 * (first[starts] - first[0]), counts], 1), weight, keep, span)


@lru_cache(maxsize=256)
def zoom_axis(length: int, factor: float) -> Axis:
    """The middle ``ceil(length / factor)`` pixels of a side, enlarged by ``factor`` (1 or more)."""
    size = int(np.ceil(length / float(factor)))
    start = (length - size) // 2
    enlarged = round(size * float(factor))
    step = (size - 1) / (enlarged - 1) if enlarged > 1 else 1.0
    position = np.arange(enlarged) * step
    keep = position <= size - 1
    first = np.minimum(np.floor(position).astype(np.int64), max(size - 2, 0))
    return Axis(start + first, (position - first).astype(np.float32), keep.astype(np.float32), length)


def _zoom_mean_numba(images: torch.Tensor, axes: list[tuple[Axis, Axis]]) -> torch.Tensor:
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    height = images.shape[1]
    for image, mean in zip(images.contiguous().numpy(), out.numpy(), strict=True):
        mean[:] = image
        for rows, columns in axes:
            down = rows.first, rows.weight, rows.keep, rows.length
            _zoom_add(image.reshape(height, -1), *down, *columns.runs, mean.reshape(height, -1))
    return out.div_(len(axes) + 1)


@on_cpu(_zoom_mean_numba)
def zoom_mean(images: torch.Tensor, axes: list[tuple[Axis, Axis]]) -> torch.Tensor:
    """The mean of an image and its zoomed copies, each cut to the image's size from the top left.

    Args:
        images: float32 (N, H, W, 3).
        axes: rows and columns of each copy.

    Returns:
        float32 (N, H, W, 3).
    """
    total = images.clone()
    height, width = images.shape[1:3]
    for rows, columns in axes:
        total += zoom(images, rows.cut(0, height), columns.cut(0, width))
    return total.div_(len(axes) + 1)


def zoom(images: torch.Tensor, rows: Axis, columns: Axis) -> torch.Tensor:
    """An image read at rows and columns, linearly: float32 (N, H, W, C) -> (N, len(rows), len(columns), C)."""
    for dim, axis in ((1, rows), (2, columns)):
        first, weight, keep = (
            torch.from_numpy(part).to(images.device) for part in (axis.first, axis.weight, axis.keep)
        )
        weight, keep = (part.view(-1, 1, 1) if dim == 1 else part.view(-1, 1) for part in (weight, keep))
        before, after = images.index_select(dim, first), images.index_select(dim, first + (weight.view(-1) > 0))
        images = after.sub_(before).mul_(weight).add_(before)
        if not axis.keep.all():
            images *= keep
    return images


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _zoom_add(image, rows, row_weight, row_keep, length, cuts, weight, keep, span, out):
    height, size = out.shape
    start, stop = span
    line = np.zeros(stop - start + 3 + _GROUP, np.float32)
    zoomed = np.empty(size + _GROUP, np.float32)
    for y in range(min(height, len(rows))):
        above, below = image[rows[y], start:stop], image[min(rows[y] + 1, length - 1), start:stop]
        w, k = row_weight[y], row_keep[y]
        for j in range(stop - start):
            line[j] = (above[j] + (below[j] - above[j]) * w) * k
        for r in range(len(cuts)):
            to, source, count = cuts[r]
            written, factor = zoomed[to:], weight[to:]
            before, after = line[source:], line[source + 3 :]
            for j in range(count):
                written[j] = before[j] + (after[j] - before[j]) * factor[j]
        total = out[y]
        for j in range(size):
            total[j] += zoomed[j] * keep[j]


def _cubic_taps(length: int, enlarged: int, start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and weights of the four pixels that each of ``count`` output pixels from ``start`` is made of."""
    position = (np.arange(start, start + count) + 0.5) * (length / enlarged) - 0.5
    first = np.floor(position).astype(np.int64)
    distance = np.abs((position - first)[:, None] - np.arange(-1, 3))
    near = (1.25 * distance - 2.25) * distance**2 + 1
    far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
    weights = np.where(distance <= 1, near, far).astype(np.float32)
    return torch.from_numpy((first[:, None] + np.arange(-1, 3)).clip(0, length - 1)), torch.from_numpy(weights)


def enlarge(
    picture: torch.Tensor, size: tuple[int, int], top_left: tuple[int, int], cut: tuple[int, int]
) -> torch.Tensor:
    """A piece of a picture brought to another size, as ``cv2.resize`` with INTER_CUBIC.

    OpenCV's last digit depends on the processor; this one's does not.

    Args:
        picture: uint8 (h, w, C).
        size: height and width of the whole.
        top_left: of the piece, in the whole.
        cut: height and width of the piece.

    Returns:
        uint8 (H, W, C).
    """
    taps = [_cubic_taps(*one) for one in zip(picture.shape[:2], size, top_left, cut, strict=True)]
    return _enlarge(picture, *(part.to(picture.device) for pair in taps for part in pair))


def _enlarge_numba(picture: torch.Tensor, *taps: torch.Tensor) -> torch.Tensor:
    out = torch.empty((len(taps[0]), len(taps[2]), picture.shape[2]), dtype=torch.uint8)
    _cubic(picture.numpy(), *(part.numpy() for part in taps), out.numpy())
    return out


@on_cpu(_enlarge_numba)
def _enlarge(
    picture: torch.Tensor, rows: torch.Tensor, down: torch.Tensor, columns: torch.Tensor, across: torch.Tensor
) -> torch.Tensor:
    lines = picture.to(torch.float32)[rows] * down[:, :, None, None]
    lines = (lines[:, 0] + lines[:, 1]) + (lines[:, 2] + lines[:, 3])
    values = lines[:, columns] * across[None, :, :, None]
    values = (values[:, :, 0] + values[:, :, 1]) + (values[:, :, 2] + values[:, :, 3])
    return values.round_().clamp_(0, 255).to(torch.uint8)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cubic(picture, rows, down, columns, across, out):
    height, width, _ = picture.shape
    lines = picture.reshape(height, width * 3)
    line = np.empty(width * 3, np.float32)
    low, high = columns.min() * 3, (columns.max() + 1) * 3
    for y in range(len(rows)):
        d0, d1, d2, d3 = down[y]
        l0, l1, l2, l3 = lines[rows[y, 0]], lines[rows[y, 1]], lines[rows[y, 2]], lines[rows[y, 3]]
        for j in range(low, high):
            line[j] = (l0[j] * d0 + l1[j] * d1) + (l2[j] * d2 + l3[j] * d3)
        for x in range(len(columns)):
            a0, a1, a2, a3 = across[x]
            # Unsigned, because numba looks whether any other index is negative.
            c0, c1 = np.uint64(3 * columns[x, 0]), np.uint64(3 * columns[x, 1])
            c2, c3 = np.uint64(3 * columns[x, 2]), np.uint64(3 * columns[x, 3])
            for c in range(3):
                u = np.uint64(c)
                value = (line[c0 + u] * a0 + line[c1 + u] * a1) + (line[c2 + u] * a2 + line[c3 + u] * a3)
                out[y, x, c] = np.uint8(min(max(np.rint(value), np.float32(0)), np.float32(255)))


def _displace_numba(images: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(images, dtype=torch.float32, memory_format=torch.contiguous_format)
    for image, down, across, moved in zip(
        images.contiguous().numpy(), dy.contiguous().numpy(), dx.contiguous().numpy(), out.numpy(), strict=True
    ):
        _displace(image, down, across, moved)
    return out


@on_cpu(_displace_numba)
def displace(images: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor) -> torch.Tensor:
    """``image[y + dy, x + dx]``, linear between pixels, reflected at the edges (``b a|a b c d|d c``).

    Args:
        images: uint8 (N, H, W, C).
        dy, dx: float32 (N, H, W), in pixels.

    Returns:
        float32 (N, H, W, C).
    """
    count, height, width, channels = images.shape
    sources, weights = [], []
    for offset, length, shape in ((dy, height, (-1, 1)), (dx, width, (1, -1))):
        whole = torch.floor(offset)
        weights.append((offset - whole)[..., None])
        position = whole.to(torch.int64) + torch.arange(length, device=images.device).view(shape)
        sources.append([_reflect(position + step, length) for step in (0, 1)])
    flat = images.reshape(count, height * width, channels)

    def read(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        index = (y * width + x).view(count, -1, 1).expand(-1, -1, channels)
        return flat.gather(1, index).view(images.shape).to(torch.float32)

    (y0, y1), (x0, x1) = sources
    above, below = (read(y, x0) + (read(y, x1) - read(y, x0)) * weights[1] for y in (y0, y1))
    return above + (below - above) * weights[0]


def _reflect(position: torch.Tensor, length: int) -> torch.Tensor:
    folded = position.remainder(2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _displace(image, dy, dx, out):
    height, width, _ = image.shape
    for y in range(height):
        for x in range(width):
            down, across = np.floor(dy[y, x]), np.floor(dx[y, x])
            wy, wx = dy[y, x] - down, dx[y, x] - across
            y0, x0 = y + np.int64(down), x + np.int64(across)
            y1, x1 = y0 + 1, x0 + 1
            if y0 < 0 or y1 >= height:
                y0, y1 = _fold(y0, height), _fold(y1, height)
            if x0 < 0 or x1 >= width:
                x0, x1 = _fold(x0, width), _fold(x1, width)
            # Unsigned, because numba looks whether any other index is negative.
            top, bottom, left, right = np.uint64(y0), np.uint64(y1), np.uint64(x0), np.uint64(x1)
            for c in range(3):
                a, b = np.float32(image[top, left, c]), np.float32(image[bottom, left, c])
                above = a + (np.float32(image[top, right, c]) - a) * wx
                below = b + (np.float32(image[bottom, right, c]) - b) * wx
                out[y, x, c] = above + (below - above) * wy


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _fold(position, length):
    folded = position % (2 * length)
    return min(folded, 2 * length - 1 - folded)
