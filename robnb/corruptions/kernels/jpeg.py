"""What JPEG compression does to an image, to the bit, in batched integer arithmetic on any device.

A JPEG file is pixels -> YCbCr -> halved chroma -> 8x8 DCT -> quantised coefficients -> entropy code. The entropy code
loses nothing, so it is left out; every other step repeats the integer arithmetic of libjpeg's defaults, which Pillow
uses: 4:2:0 chroma, the Annex K tables, the accurate integer DCT ("islow"), triangular ("fancy") chroma upsampling.

All blocks of a batch, luma and chroma, lie in one int32 tensor (8, 8, blocks). So each step of a transform is one
operation on long runs of memory, and the two directions of the transform are the same code on either axis.

On the CPU, OpenCV's libjpeg-turbo does it: the same bits, and faster than through Pillow.

Source: libjpeg (jccolor, jcsample, jfdctint, jcdctmgr, jidctint, jdsample, jdcolor); checked against libjpeg-turbo.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import torch

from robnb.corruptions.kernels import on_cpu

_SIZE = 8  # a block's side
_MCU = 16  # the least unit that is coded: 2 x 2 luma blocks and one block of either chroma
_COLOUR_BITS = 16  # fraction bits of the colour conversions
_DCT_BITS = 13  # fraction bits of the DCT's constants
_PASS_BITS = 2  # fraction bits kept between the two passes of a transform

# Fixed-point weights of R, G, B in Y, Cb, Cr, and of Cb and Cr in R, G, B (jccolor.c, jdcolor.c), each rounded alone.
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_CR_IN_R, _CB_IN_G, _CR_IN_G, _CB_IN_B = 91881, -22554, -46802, 116130

# The 1-D transform's multipliers, in units of 2**-13, with libjpeg's factored form multiplied out (integer sums, so
# nothing is rounded on the way). Odd: outputs 7, 5, 3, 1 from the differences x3-x4, x2-x5, x1-x6, x0-x7. The matrix is
# symmetric, so the inverse uses it as it is.
_ODD = (
    (-11363, 9633, -6436, 2260),
    (9633, 2261, -11362, 6437),
    (-6436, -11362, -2259, 9633),
    (2260, 6437, 9633, 11363),
)
_EVEN_A, _EVEN_B, _EVEN_C = 10703, 4433, -10704  # output 2 is A p + B q, output 6 is B p + C q

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def _through_opencv(images: torch.Tensor, quality: int) -> torch.Tensor:
    options = cv2.IMWRITE_JPEG_QUALITY, quality
    files = [cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1] for image in images.numpy()]
    return torch.stack([torch.from_numpy(cv2.imdecode(file, cv2.IMREAD_COLOR_RGB)) for file in files])


@on_cpu(_through_opencv)
def jpeg_round_trip(images: torch.Tensor, quality: int) -> torch.Tensor:
    """The images after saving as JPEG at this quality and opening again: the very pixels that Pillow gives.

    ``images``: uint8 (N, H, W, 3), RGB, on any device, W at least 5 (in narrower ones libjpeg repeats chroma instead
    of interpolating it). ``quality``: 1 to 100. Returns a new uint8 tensor of the same shape and device.
    """
    height, width = images.shape[1:3]
    luma, chroma = _blocks(_to_ycc(_whole_mcus(images)), height)
    count = luma.shape[2]
    blocks = torch.cat((luma, chroma), dim=2)
    _forward(blocks.unbind(1), _DCT_BITS - _PASS_BITS)
    _forward(blocks.unbind(0), _DCT_BITS + _PASS_BITS)
    _quantise(blocks[:, :, :count], _LUMA, quality)
    _quantise(blocks[:, :, count:], _CHROMA, quality)
    _inverse(blocks.unbind(0), _DCT_BITS - _PASS_BITS)
    # The inverse transform's own scale takes another 3 bits. Samples are centred on 128 again here.
    _inverse(blocks.unbind(1), _DCT_BITS + _PASS_BITS + 3, offset=128)
    samples = blocks.clamp_(0, 255).to(torch.uint8)
    rows, columns = -(-height // _MCU) * _MCU, -(-width // _MCU) * _MCU
    y = _plane(samples[:, :, :count], rows, columns)[:, :height, :width]
    cb, cr = _plane(samples[:, :, count:], rows // 2, columns // 2).chunk(2)
    half = (slice(None), slice(-(-height // 2)), slice(-(-width // 2)))
    return _to_rgb(y, _upsample(cb[half])[:, :height, :width], _upsample(cr[half])[:, :height, :width])


def _whole_mcus(images: torch.Tensor) -> torch.Tensor:
    """The images with their last row and column repeated up to multiples of 16."""
    height, width = images.shape[1:3]
    if height % _MCU == 0 and width % _MCU == 0:
        return images
    rows = torch.arange(-(-height // _MCU) * _MCU, device=images.device).clamp_(max=height - 1)
    columns = torch.arange(-(-width // _MCU) * _MCU, device=images.device).clamp_(max=width - 1)
    return images[:, rows[:, None], columns]


def _to_ycc(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Y, Cb, Cr as int32 (N, H, W) planes less 128, as the transform wants them: -128 to 127."""
    red, green, blue = images.permute(3, 0, 1, 2).to(torch.int32).unbind(0)
    half = 1 << (_COLOUR_BITS - 1)
    # Chroma is centred on 128 by itself, and libjpeg takes 1 from its rounding so that 255.5 cannot become 256.
    offsets = (half - (128 << _COLOUR_BITS), half - 1, half - 1)
    return tuple(
        _weighted(offset, weights, (red, green, blue)).bitwise_right_shift_(_COLOUR_BITS)
        for offset, weights in zip(offsets, _TO_YCC, strict=True)
    )


def _weighted(offset: int, weights: tuple[int, ...], terms: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """A new tensor: the offset plus the weighted sum of the terms, all int32."""
    # A tensor of no dimensions as first summand makes "times weight plus offset" one pass over memory.
    total = torch.add(torch.tensor(offset, dtype=torch.int32), terms[0], alpha=weights[0])
    for weight, term in zip(weights[1:], terms[1:], strict=True):
        total.add_(term, alpha=weight)
    return total


def _blocks(planes: tuple[torch.Tensor, ...], height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma and (Cb, then Cr) chroma blocks as (8, 8, blocks) views; ``height`` is the image's before padding."""
    y, cb, cr = planes
    chroma = torch.cat((_halve(cb), _halve(cr)))
    # libjpeg repeats the last row of chroma after halving it; the last column it repeats before.
    last = -(-height // 2)
    chroma[:, last:] = chroma[:, last - 1 : last]
    return _split(y), _split(chroma)


def _halve(plane: torch.Tensor) -> torch.Tensor:
    """Means over 2 x 2 pixels; halves are rounded down and up in turn along a row."""
    rows = plane[:, 0::2] + plane[:, 1::2]
    means = rows[:, :, 0::2] + rows[:, :, 1::2]
    means[:, :, 0::2] += 1
    means[:, :, 1::2] += 2
    return means.bitwise_right_shift_(2)


def _split(planes: torch.Tensor) -> torch.Tensor:
    """(N, H, W) as (row in block, column in block, block)."""
    count, height, width = planes.shape
    blocks = planes.view(count, height // _SIZE, _SIZE, width // _SIZE, _SIZE)
    return blocks.permute(2, 4, 0, 1, 3).reshape(_SIZE, _SIZE, -1)


def _plane(blocks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """What ``_split`` took apart, together again: (N, H, W)."""
    blocks = blocks.reshape(_SIZE, _SIZE, -1, height // _SIZE, width // _SIZE)
    return blocks.permute(2, 3, 0, 4, 1).reshape(-1, height, width)


def _forward(x: tuple[torch.Tensor, ...], shift: int) -> None:
    """One pass of the forward DCT over eight int32 tensors, in place; results are rounded by ``shift`` bits."""
    half = 1 << (shift - 1)
    sums = tuple(x[i] + x[7 - i] for i in range(4))
    differences = tuple(x[i] - x[7 - i] for i in (3, 2, 1, 0))
    for k, weights in zip((7, 5, 3, 1), _ODD, strict=True):
        torch.bitwise_right_shift(_weighted(half, weights, differences), shift, out=x[k])
    outer, inner = sums[0] + sums[3], sums[1] + sums[2]
    unit = 1 << _DCT_BITS
    torch.bitwise_right_shift(_weighted(half, (unit, unit), (outer, inner)), shift, out=x[0])
    torch.bitwise_right_shift(_weighted(half, (unit, -unit), (outer, inner)), shift, out=x[4])
    p, q = sums[0] - sums[3], sums[1] - sums[2]
    torch.bitwise_right_shift(_weighted(half, (_EVEN_A, _EVEN_B), (p, q)), shift, out=x[2])
    torch.bitwise_right_shift(_weighted(half, (_EVEN_B, _EVEN_C), (p, q)), shift, out=x[6])


def _inverse(x: tuple[torch.Tensor, ...], shift: int, offset: int = 0) -> None:
    """One pass of the inverse DCT, in place, rounded by ``shift`` bits, with ``offset`` added to the results."""
    start = (1 << (shift - 1)) + (offset << shift)
    unit = 1 << _DCT_BITS
    odd = tuple(_weighted(0, weights, (x[7], x[5], x[3], x[1])) for weights in _ODD)
    total, difference = _weighted(start, (unit, unit), (x[0], x[4])), _weighted(start, (unit, -unit), (x[0], x[4]))
    p, q = _weighted(0, (_EVEN_A, _EVEN_B), (x[2], x[6])), _weighted(0, (_EVEN_B, _EVEN_C), (x[2], x[6]))
    even = (total + p, difference + q, difference - q, total - p)
    for k in range(4):
        torch.add(even[k], odd[3 - k], out=x[k]).bitwise_right_shift_(shift)
        torch.sub(even[k], odd[3 - k], out=x[7 - k]).bitwise_right_shift_(shift)


@lru_cache(maxsize=64)
def _table(base: tuple[tuple[int, ...], ...], quality: int) -> torch.Tensor:
    """The quantisation steps of a quality by libjpeg's rule: float32 (8, 8, 1), integers from 1 to 255."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (torch.tensor(base) * percent + 50) // 100
    return steps.clamp(1, 255).to(torch.float32)[:, :, None]


def _quantise(coefficients: torch.Tensor, base: tuple[tuple[int, ...], ...], quality: int) -> None:
    """Replace int32 (8, 8, B) coefficients, eight times too large, by the nearest multiples of their steps, in place.

    libjpeg rounds halves away from zero, ``torch.round`` to even. The reciprocals are therefore 2**-18 too large:
    enough to carry a half over in float32, too little for any other fraction, as no coefficient reaches 2**15.
    """
    steps = _table(base, quality).to(coefficients.device)
    reciprocals = (1 + 2**-18) / (8 * steps)
    coefficients.copy_((coefficients * reciprocals).round_().mul_(steps))


def _upsample(chroma: torch.Tensor) -> torch.Tensor:
    """uint8 (N, h, w) to int32 (N, 2h, 2w) less 128: 3/4 of the nearer, 1/4 of the further sample each way.

    Halves are rounded up in even columns and down in odd ones (biases of 8 and 7 sixteenths), as in jdsample.c.
    """
    count, height, width = chroma.shape
    near = chroma.to(torch.int16)
    far = torch.cat((near[:, :1], near, near[:, -1:]), dim=1)
    rows = near.new_empty(count, height, 2, width + 2)
    inner = rows[:, :, :, 1:-1]
    torch.add(far[:, :-2], near, alpha=3, out=inner[:, :, 0])
    torch.add(far[:, 2:], near, alpha=3, out=inner[:, :, 1])
    rows[..., 0], rows[..., -1] = rows[..., 1], rows[..., -2]
    centred = inner * 3 - (128 << 4)
    result = torch.empty(count, height, 2, width, 2, dtype=torch.int32, device=chroma.device)
    result[..., 0] = (rows[..., :-2] + centred).add_(8).bitwise_right_shift_(4)
    result[..., 1] = centred.add_(rows[..., 2:]).add_(7).bitwise_right_shift_(4)
    return result.view(count, 2 * height, 2 * width)


def _to_rgb(y: torch.Tensor, cb: torch.Tensor, cr: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) from uint8 Y and int32 Cb and Cr less 128."""
    result = torch.empty(*y.shape, 3, dtype=torch.uint8, device=y.device)
    base = _weighted(1 << (_COLOUR_BITS - 1), (1 << _COLOUR_BITS,), (y.to(torch.int32),))
    # Red and blue first: green, the last, may then be summed in place.
    result[..., 0] = torch.add(base, cr, alpha=_CR_IN_R).bitwise_right_shift_(_COLOUR_BITS).clamp_(0, 255)
    result[..., 2] = torch.add(base, cb, alpha=_CB_IN_B).bitwise_right_shift_(_COLOUR_BITS).clamp_(0, 255)
    base.add_(cb, alpha=_CB_IN_G).add_(cr, alpha=_CR_IN_G)
    result[..., 1] = base.bitwise_right_shift_(_COLOUR_BITS).clamp_(0, 255)
    return result
