"""Linear filters: Gaussian windows, and any window given as a list of taps."""

from __future__ import annotations

import numba
import numpy as np
import torch

from robnb.corruptions.kernels import on_cpu

#: What lies beyond the edge of ``a b c d``. nearest: ``a a|a b c d|d d``; reflect: ``b a|a b c d|d c``;
#: mirror: ``c b|a b c d|c b``. The names are scipy's.
BORDERS = ("nearest", "reflect", "mirror")


def border_index(length: int, reach: int, border: str) -> np.ndarray:
    """Where the positions -reach .. length - 1 + reach are read from: int64 (length + 2 * reach,) in 0..length - 1."""
    positions = np.arange(-reach, length + reach)
    if border == "nearest":
        return positions.clip(0, length - 1)
    repeated = int(border == "reflect")
    period = max(2 * (length - 1 + repeated), 1)
    folded = positions % period
    return np.minimum(folded, period - repeated - folded)


def gaussian_window(sigma: float, truncate: float) -> np.ndarray:
    """The weights of a Gaussian as scipy samples and cuts it: float64 (2 r + 1,), r = round(truncate * sigma)."""
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    return weights / weights.sum()


def _gaussian_numba(
    images: torch.Tensor, sigma: tuple[float, float], truncate: float = 4.0, border: str = "nearest"
) -> torch.Tensor:
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    windows = [gaussian_window(s, truncate).astype(out.numpy().dtype) for s in sigma]
    sources = [
        border_index(length, len(window) // 2, border)
        for length, window in zip(images.shape[1:3], windows, strict=True)
    ]
    for image, filtered in zip(images.contiguous().numpy(), out.numpy(), strict=True):
        _separable(image, *windows, *sources, filtered)
    return out


@on_cpu(_gaussian_numba)
def gaussian(
    images: torch.Tensor, sigma: tuple[float, float], truncate: float = 4.0, border: str = "nearest"
) -> torch.Tensor:
    """Gaussian filter along both sides. In float64 it is ``scipy.ndimage.gaussian_filter`` to the last bit.

    That is why the sums run from the outermost pair of pixels inwards, after the middle, and why a product is not
    fused with its sum.

    Args:
        images: float32 or float64 (N, H, W, C).
        sigma: deviation in pixels, down and across.
        truncate: the window's reach, in deviations.
        border: one of ``BORDERS``.

    Returns:
        (N, H, W, C) of the same type.
    """
    windows = [gaussian_window(s, truncate) for s in sigma]
    if images.dtype == torch.float32:
        window = torch.from_numpy(np.outer(*windows).astype(np.float32)).to(images.device)
        return correlate(images, window[None], border)
    for axis, window in zip((1, 2), windows, strict=True):
        length, reach = images.shape[axis], len(window) // 2
        source = torch.from_numpy(border_index(length, reach, border)).to(images.device)
        padded = images.index_select(axis, source)
        images = padded.narrow(axis, reach, length) * window[reach].item()
        for t, weight in enumerate(window[:reach].tolist()):
            pair = padded.narrow(axis, t, length) + padded.narrow(axis, 2 * reach - t, length)
            images += pair.mul_(weight)
    return images


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _separable(image, down, across, rows, columns, out):
    height, width, channels = image.shape
    size = width * channels
    reach_y, reach_x = len(down) // 2, len(across) // 2
    line = np.empty(size, image.dtype)
    padded = np.empty((width + 2 * reach_x) * channels, image.dtype)
    source, target = image.reshape(height, size), out.reshape(height, size)
    for y in range(height):
        middle = source[y]
        for j in range(size):
            line[j] = down[reach_y] * middle[j]
        for t in range(reach_y):
            weight, above, below = down[t], source[rows[y + t]], source[rows[y + 2 * reach_y - t]]
            for j in range(size):
                line[j] += weight * (above[j] + below[j])
        for x in range(width + 2 * reach_x):
            for c in range(channels):
                padded[x * channels + c] = line[columns[x] * channels + c]
        filtered = target[y]
        for j in range(size):
            filtered[j] = across[reach_x] * padded[j + reach_x * channels]
        for t in range(reach_x):
            weight, left, right = across[t], padded[t * channels :], padded[(2 * reach_x - t) * channels :]
            for j in range(size):
                filtered[j] += weight * (left[j] + right[j])


def _correlate_numba(images: torch.Tensor, windows: torch.Tensor, border: str) -> torch.Tensor:
    reach_y, reach_x = (side // 2 for side in windows.shape[1:])
    rows = border_index(images.shape[1], reach_y, border)
    columns = border_index(images.shape[2], reach_x, border)
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    windows = windows.expand(len(images), -1, -1).numpy()
    for image, window, filtered in zip(images.contiguous().numpy(), windows, out.numpy(), strict=True):
        y, x = np.nonzero(window)
        weights = np.append(window[y, x], np.zeros(-len(y) % 4, np.float32))
        taps = np.stack([np.resize(y, len(weights)), np.resize(x, len(weights))], 1)
        _correlate_taps(image, taps, weights, rows, columns, filtered)
    return out


@on_cpu(_correlate_numba)
def correlate(images: torch.Tensor, windows: torch.Tensor, border: str) -> torch.Tensor:
    """Weighted sums of neighbours: ``out[y, x] = sum of window[i, j] * image[y + i - h // 2, x + j - w // 2]``.

    Args:
        images: float32 (N, H, W, C).
        windows: float32 (N, h, w) or (1, h, w), h and w odd.
        border: one of ``BORDERS``.

    Returns:
        float32 (N, H, W, C).
    """
    _, height, width, _ = images.shape
    reach_y, reach_x = (side // 2 for side in windows.shape[1:])
    rows = torch.from_numpy(border_index(height, reach_y, border)).to(images.device)
    columns = torch.from_numpy(border_index(width, reach_x, border)).to(images.device)
    padded = images.permute(0, 3, 1, 2).index_select(2, rows).index_select(3, columns)
    size = padded.shape[2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(windows, s=size).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=size)[:, :, :height, :width].permute(0, 2, 3, 1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _correlate_taps(image, taps, weights, rows, columns, out):
    height, width, channels = image.shape
    size = width * channels
    padded = np.empty((len(rows), len(columns) * channels), np.float32)
    for y in range(len(rows)):
        line = image[rows[y]]
        for x in range(len(columns)):
            for c in range(channels):
                padded[y, x * channels + c] = line[columns[x], c]
    target = out.reshape(height, size)
    for y in range(height):
        filtered = target[y]
        filtered[:] = 0
        for t in range(0, len(weights), 4):  # four at a time, because the sum is written back each time
            w0, w1, w2, w3 = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
            a = padded[y + taps[t, 0], taps[t, 1] * channels :]
            b = padded[y + taps[t + 1, 0], taps[t + 1, 1] * channels :]
            c_ = padded[y + taps[t + 2, 0], taps[t + 2, 1] * channels :]
            d = padded[y + taps[t + 3, 0], taps[t + 3, 1] * channels :]
            for j in range(size):
                filtered[j] += (w0 * a[j] + w1 * b[j]) + (w2 * c_[j] + w3 * d[j])
