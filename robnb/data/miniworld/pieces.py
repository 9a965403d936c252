"""What miniworld is made of: handwritten digits and regions of photographs, dealt out so that no two splits share any.

The digits are scikit-learn's ``load_digits`` (1,797 real ones, 8 x 8). The photographs and textures are pictures
shipped inside the scikit-image and scikit-learn wheels; nothing is downloaded. Every picture is cut into four
quadrants, one for each pool, so pools show different parts of the same picture and never the same pixel.
"""

from __future__ import annotations

import importlib
from functools import cache, cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from robnb import seeding
from robnb.errors import UserError

#: The disjoint supplies. The three downstream tasks share theirs: they are never scored on one another.
POOLS = ("upstream_train", "upstream_val", "downstream_train", "downstream_val")
#: The share of each digit's examples that goes to each pool, in the order of ``POOLS``.
DIGIT_SHARES = (0.40, 0.12, 0.32, 0.16)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

#: Photographs: the package that ships it, its path there, and the part used (left, top, right, bottom) where the
#: border is empty. The right half of the stereo pair motorcycle_left/right is left out: it shows the same pixels.
PHOTOGRAPHS: dict[str, tuple[str, str, tuple[int, int, int, int] | None]] = {
    "astronaut": ("skimage", "data/astronaut.png", None),
    "chelsea": ("skimage", "data/chelsea.png", None),
    "china": ("sklearn", "datasets/images/china.jpg", None),
    "coffee": ("skimage", "data/coffee.png", None),
    "coins": ("skimage", "data/coins.png", None),
    "flower": ("sklearn", "datasets/images/flower.jpg", None),
    "hubble": ("skimage", "data/hubble_deep_field.jpg", None),
    "ihc": ("skimage", "data/ihc.png", None),
    "motorcycle": ("skimage", "data/motorcycle_left.png", None),
    "retina": ("skimage", "data/retina.jpg", (210, 210, 1200, 1200)),
    "rocket": ("skimage", "data/rocket.jpg", None),
}
#: The stuff classes, and the colours (RGB, for black and for white) that their gray textures are tinted with.
TEXTURES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "brick": ((96, 34, 22), (232, 176, 146)),
    "grass": ((14, 38, 8), (176, 206, 92)),
    "gravel": ((44, 44, 52), (214, 210, 204)),
}
#: The one gray photograph is toned like old bronze.
BRONZE = ((24, 16, 10), (238, 214, 170))

#: A digit's distance field has this many cells a side (8 of digit, 2 of margin on each side) ...
FIELD_CELLS = 12
#: ... and this many samples per cell.
FIELD_RATE = 8
#: A stroke ends at the ink level INK_FLOOR + INK_SHARE * (mean ink within about two cells). The second term follows
#: the pen: it keeps the holes of a bold 8 open and the thin bar of a pale 7 whole, where one level cannot do both.
INK_FLOOR, INK_SHARE = 0.25, 0.55


@lru_cache(maxsize=1)
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Every digit: ink float32 (1797, 8, 8) in [0, 1], and label int64 (1797,)."""
    from sklearn import datasets  # a slow import that only a miniworld still to be made needs

    bunch = datasets.load_digits()
    return (bunch.images / 16).astype(np.float32), bunch.target.astype(np.int64)


@cache
def load_picture(name: str) -> np.ndarray:
    """A photograph or texture by its name here, uint8 RGB (H, W, 3).

    Raises:
        UserError: the installed package does not ship the picture.
    """
    package, file, box = PHOTOGRAPHS.get(name, ("skimage", f"data/{name}.png", None))
    path = Path(str(importlib.import_module(package).__file__)).parent / file
    if not path.is_file():
        raise UserError(
            f"the installed {package} lacks the picture {path}: install the version that robnb's lock file names."
        )
    with Image.open(path) as picture:
        gray = picture.mode == "L"
        pixels = np.asarray(picture.convert("RGB").crop(box) if box else picture.convert("RGB"))
    return tint(pixels, *TEXTURES.get(name, BRONZE)) if gray else pixels


def tint(gray: np.ndarray, dark: tuple[int, int, int], light: tuple[int, int, int]) -> np.ndarray:
    """Map black to ``dark`` and white to ``light``, with the levels stretched first. uint8 RGB in and out."""
    low, high = np.percentile(gray, (1, 99))
    level = np.clip((gray - low) / (high - low), 0, 1)
    return np.round(np.asarray(dark) + level * (np.asarray(light) - np.asarray(dark))).astype(np.uint8)


def region(name: str, pool: str) -> tuple[int, int, int, int]:
    """The part (left, top, right, bottom) of a picture that belongs to a pool: one of its four quadrants.

    Which one moves on from picture to picture, so that no pool gets only skies or only floors.
    """
    number = [*PHOTOGRAPHS, *TEXTURES].index(name)
    row, column = divmod((number + POOLS.index(pool)) % 4, 2)
    height, width = load_picture(name).shape[:2]
    xs, ys = (0, width // 2, width), (0, height // 2, height)
    return xs[column], ys[row], xs[column + 1], ys[row + 1]


def draw_window(name: str, pool: str, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A random window (left, top, right, bottom) of the shape of ``size`` (width, height) inside a pool's region.

    It is 0.75 to 2.2 times as large as ``size`` where the region has room, so a picture is shown at many scales.
    """
    left, top, right, bottom = region(name, pool)
    room = min((right - left) / size[0], (bottom - top) / size[1])
    scale = np.exp(rng.uniform(np.log(min(0.75, room)), np.log(min(2.2, room))))
    width, height = int(size[0] * scale), int(size[1] * scale)
    x = int(rng.integers(left, right - width + 1))
    y = int(rng.integers(top, bottom - height + 1))
    return x, y, x + width, y + height


def draw_picture(name: str, pool: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random window of a picture at ``size`` (width, height), mirrored half the time: uint8 RGB (height, width, 3).

    The window is cut out before it is resized, so interpolation never reaches into another pool's region.
    """
    left, top, right, bottom = draw_window(name, pool, size, rng)
    piece = load_picture(name)[top:bottom, left:right]
    piece = cv2.resize(piece, size, interpolation=cv2.INTER_AREA if right - left > size[0] else cv2.INTER_CUBIC)
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)


def draw_photograph(pool: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """``draw_picture`` of a random photograph, a little darker or brighter than it was taken."""
    name = list(PHOTOGRAPHS)[rng.integers(len(PHOTOGRAPHS))]
    gain = rng.uniform(0.75, 1.05)
    return cv2.convertScaleAbs(draw_picture(name, pool, size, rng), alpha=gain)


@cache
def distance_field(index: int) -> np.ndarray:
    """Signed distance to the edge of digit ``index``'s strokes, in cells of the 8 x 8 digit; positive is ink.

    float32 (96, 96), the digit centred. One field gives the glyph at every size, with any outline, anti-aliased.
    """
    ink, _ = load_digits()
    rate = 2 * FIELD_RATE
    padded = np.pad(ink[index], (FIELD_CELLS - 8) // 2)
    smooth = cv2.resize(padded, (FIELD_CELLS * rate,) * 2, interpolation=cv2.INTER_CUBIC)
    nearby = cv2.resize(cv2.GaussianBlur(padded, (0, 0), 1.5), smooth.shape, interpolation=cv2.INTER_CUBIC)
    edge = INK_FLOOR + INK_SHARE * nearby
    inside = (cv2.GaussianBlur(smooth, (0, 0), rate / 8) > edge).astype(np.uint8)
    to_paper = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    to_ink = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # each transform measures to the nearest pixel of the other side, whose edge is half a sample nearer
    signed = np.where(inside > 0, to_paper - 0.5, 0.5 - to_ink) / rate
    return cv2.resize(
        cv2.GaussianBlur(signed, (0, 0), 2), (FIELD_CELLS * FIELD_RATE,) * 2, interpolation=cv2.INTER_AREA
    )


class DigitPools:
    """Which digits each pool owns, for one seed.

    Args:
        seed: the miniworld's seed. The photograph regions do not depend on it; this does.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @cached_property
    def indices(self) -> dict[str, list[np.ndarray]]:
        """pool -> for each label 0..9 the indices into ``load_digits``. Every digit is in exactly one pool."""
        _, labels = load_digits()
        pools: dict[str, list[np.ndarray]] = {pool: [] for pool in POOLS}
        for label in range(10):
            mine = seeding.generator("miniworld", self.seed, "digits", label).permutation(
                np.flatnonzero(labels == label)
            )
            cuts = np.round(np.cumsum(DIGIT_SHARES)[:-1] * len(mine)).astype(int)
            for pool, part in zip(POOLS, np.split(mine, cuts), strict=True):
                pools[pool].append(part)
        return pools

    def draw(self, pool: str, label: int, rng: np.random.Generator) -> int:
        """The index of a random digit ``label`` of a pool."""
        return int(rng.choice(self.indices[pool][label]))
