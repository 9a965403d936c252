"""Composing miniworld's images: digits with fills, outlines and shadows on photographs, and stuff behind a wavy border.

Every function is a pure function of its pieces and its generator. Sizes are in pixels, colours are float32 RGB 0-255.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np

from robnb.data.miniworld.pieces import (
    FIELD_CELLS,
    FIELD_RATE,
    DigitPools,
    distance_field,
    draw_photograph,
    draw_picture,
)

#: Scenes are (width, height) = SCENE_SIZE, and not square, so that a swap of the two shows.
SCENE_SIZE = (160, 128)
#: A digit's height in a scene, and in a crop of CROP_SIZE.
SCENE_DIGIT = (24.0, 72.0)
CROP_SIZE = (64, 64)
CROP_DIGIT = (38.0, 60.0)
MAX_ANGLE = 20.0
#: An object is placed only where everything it hides keeps at least this share of its area visible ...
MIN_VISIBLE = 1 / 3
#: ... and where this share of its own lies inside the frame.
MIN_INSIDE = 0.85
#: The difference in luminance (of 255) between a digit's fill and what lies under it. Scenes go down to where the
#: mildest noise begins to hide a small digit; crops stay clearer, so that a backbone learns from few of them.
SCENE_CONTRAST = (40.0, 90.0)
CROP_CONTRAST = (60.0, 140.0)
#: No shadow reaches further from its digit than this.
SHADOW_REACH = 14
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False)
class Glyph:
    """A digit where it lies in the frame.

    distance: float32 (H, W), signed distance in pixels to its outer edge, positive inside. outline: width in pixels
    of the rim that has the outline's colour; 0 for none. area: pixels it covers in and out of the frame.
    """

    label: int
    digit: int
    distance: np.ndarray
    outline: float
    area: float

    @property
    def mask(self) -> np.ndarray:
        """bool (H, W): the pixels that it covers at least half of."""
        return self.distance >= 0


@dataclass(frozen=True, eq=False)
class Scene:
    """A finished scene and its ground truth.

    image: uint8 RGB (H, W, 3). glyphs: from back to front. masks: bool (N, H, W), the visible part of each glyph,
    disjoint. stuff: bool (H, W), the visible part of the texture.
    """

    image: np.ndarray
    glyphs: tuple[Glyph, ...]
    masks: np.ndarray
    stuff: np.ndarray


def place_glyph(
    label: int, digit: int, size: float, frame: tuple[int, int], margin: float, rng: np.random.Generator
) -> Glyph:
    """Turn, scale and move a digit: ``size`` high, its centre at least ``margin * size`` from the frame's border."""
    width, height = frame
    angle = rng.uniform(-MAX_ANGLE, MAX_ANGLE)
    pad_x, pad_y = min(margin * size, width / 2), min(margin * size, height / 2)
    x, y = rng.uniform(pad_x, width - pad_x), rng.uniform(pad_y, height - pad_y)
    outline = rng.uniform(1.0, 1.8) if rng.random() < 0.4 else 0.0
    cell = size / 8
    centre = FIELD_CELLS * FIELD_RATE / 2 - 0.5
    matrix = cv2.getRotationMatrix2D((centre, centre), angle, cell / FIELD_RATE)
    matrix[:, 2] += (x - centre, y - centre)
    field = distance_field(digit)
    distance = cell * cv2.warpAffine(field, matrix, frame, flags=cv2.INTER_LINEAR, borderValue=-float(FIELD_CELLS))
    area = float((field * cell >= -outline).sum()) * (cell / FIELD_RATE) ** 2
    return Glyph(label, digit, distance + np.float32(outline), outline, area)


def arrange(
    labels: list[int], digits: DigitPools, pool: str, rng: np.random.Generator
) -> tuple[list[Glyph], np.ndarray]:
    """Place one digit per label, back to front; later ones hide earlier ones.

    Returns the glyphs and their visible masks, bool (N, H, W). Most objects tolerate little overlap and a few as much
    as ``MIN_VISIBLE`` allows, so occlusion varies. A place that hides too much, or lies too far outside the frame, is
    drawn again, a little smaller and more tolerant each time: every label is placed, and classes stay balanced.
    """
    glyphs: list[Glyph] = []
    masks = np.zeros((0, SCENE_SIZE[1], SCENE_SIZE[0]), bool)
    for label in labels:
        digit = digits.draw(pool, label, rng)
        largest = np.exp(rng.uniform(*np.log(SCENE_DIGIT)))
        least_visible = 1 - (1 - MIN_VISIBLE) * rng.random() ** 2
        for attempt in count():
            size = max(SCENE_DIGIT[0], largest * 0.97**attempt)
            glyph = place_glyph(label, digit, size, SCENE_SIZE, 0.4, rng)
            least = max(MIN_VISIBLE, least_visible * 0.97**attempt)
            if glyph.mask.sum() >= MIN_INSIDE * glyph.area and leaves_visible(glyphs, masks, glyph, least):
                break
        glyphs.append(glyph)
        masks = np.concatenate([masks & ~glyph.mask, glyph.mask[None]])
    return glyphs, masks


def leaves_visible(glyphs: list[Glyph], masks: np.ndarray, above: Glyph, least: float) -> bool:
    """Whether every glyph that ``above`` would hide a part of keeps the share ``least`` of its area visible."""
    areas = np.array([glyph.area for glyph in glyphs])
    touched = (masks & above.mask).any((1, 2))
    return bool(((masks & ~above.mask).sum((1, 2)) >= least * areas)[touched].all())


def colour_of_luminance(luminance: float, rng: np.random.Generator) -> np.ndarray:
    """A random hue at this luminance (0-255): dimmed where the pure colour is too bright, else paler."""
    pure = 255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 1.0), 1.0), np.float32)
    own = float(pure @ _LUMA)
    if own >= luminance:
        return pure * np.float32(luminance / own)
    return pure + (255 - pure) * np.float32((luminance - own) / (255 - own + 1e-6))


def fill_luminance(under: float, contrasts: tuple[float, float], rng: np.random.Generator) -> float:
    """A luminance that differs from ``under`` by a contrast in this range, darker or lighter as there is room."""
    contrast = rng.uniform(*contrasts)
    lighter, darker = under + contrast, under - contrast
    if lighter > 250 and darker < 5:
        return 250.0 if under < 127 else 5.0
    if lighter <= 250 and (darker < 5 or rng.random() < 0.5):
        return lighter
    return darker


def paint(
    canvas: np.ndarray, glyph: Glyph, pool: str, contrasts: tuple[float, float], rng: np.random.Generator
) -> None:
    """Draw a glyph on ``canvas`` (float32 RGB (H, W, 3)) in place.

    The fill is one colour, or a photograph's texture in that colour; a soft shadow falls on what is below.
    """
    around = _window_around(glyph.mask, SHADOW_REACH)
    canvas, distance = canvas[around], glyph.distance[around]
    alpha = np.clip(distance + 0.5, 0, 1)[..., None]
    under = float((canvas * alpha).sum((0, 1)) @ _LUMA / alpha.sum())
    luminance = fill_luminance(under, contrasts, rng)
    fill = np.broadcast_to(colour_of_luminance(luminance, rng), canvas.shape)
    if rng.random() < 0.35:
        photograph = draw_photograph(pool, canvas.shape[1::-1], rng).astype(np.float32)
        inside = (photograph * alpha).sum((0, 1)) / alpha.sum()
        fill = np.clip(fill + 0.55 * (photograph - inside), 0, 255)
    if rng.random() < 0.35:
        cast_shadow(canvas, alpha[..., 0], rng)
    if glyph.outline:
        rim = colour_of_luminance(rng.uniform(10, 60) if luminance > under else rng.uniform(200, 245), rng)
        inner = np.clip(distance - np.float32(glyph.outline) + 0.5, 0, 1)[..., None]
        fill = rim + inner * (fill - rim)
    canvas += alpha * (fill - canvas)


def _window_around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns that hold ``mask`` (bool (H, W)) and ``margin`` pixels around it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )


def cast_shadow(canvas: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> None:
    """Darken ``canvas`` in place below and beside what ``alpha`` (float32 (H, W)) covers."""
    shift = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(1, 4)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(alpha, shift, alpha.shape[::-1]), (0, 0), rng.uniform(1.5, 3.0))
    canvas *= 1 - np.float32(rng.uniform(0.3, 0.6)) * shadow[..., None]


def draw_ground(rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel the stuff covers: float32 (H, W) in [0, 1], a smooth wavy border across the scene.

    The stuff lies below the border or to one side, over about a third to two thirds of the scene.
    """
    width, height = SCENE_SIZE
    angle = np.deg2rad(rng.uniform(20, 160))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - width / 2, y - height / 2
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    border = rng.uniform(-14, 16)
    for wavelength in (rng.uniform(90, 160), rng.uniform(35, 70)):
        border = border + 0.07 * wavelength * np.sin(2 * np.pi * (along / wavelength + rng.random()))
    return np.clip(across - border + 0.5, 0, 1).astype(np.float32)


def compose_scene(
    labels: list[int], stuff: str | None, digits: DigitPools, pool: str, rng: np.random.Generator
) -> Scene:
    """A scene of ``SCENE_SIZE`` with one digit for each label, on a photograph and, if named, a stuff texture."""
    canvas = draw_photograph(pool, SCENE_SIZE, rng).astype(np.float32)
    ground = np.zeros(canvas.shape[:2], np.float32)
    if stuff is not None:
        ground = draw_ground(rng)
        texture = draw_picture(stuff, pool, SCENE_SIZE, rng).astype(np.float32) * np.float32(rng.uniform(0.8, 1.1))
        canvas += ground[..., None] * (np.clip(texture, 0, 255) - canvas)
    glyphs, masks = arrange(labels, digits, pool, rng)
    for glyph in glyphs:
        paint(canvas, glyph, pool, SCENE_CONTRAST, rng)
    return Scene(np.round(canvas).astype(np.uint8), tuple(glyphs), masks, (ground >= 0.5) & ~masks.any(0))


def compose_crop(label: int, digits: DigitPools, pool: str, rng: np.random.Generator) -> np.ndarray:
    """One digit on a photograph, uint8 RGB (64, 64, 3)."""
    canvas = draw_photograph(pool, CROP_SIZE, rng).astype(np.float32)
    digit = digits.draw(pool, label, rng)
    glyph = place_glyph(label, digit, rng.uniform(*CROP_DIGIT), CROP_SIZE, 0.46, rng)
    paint(canvas, glyph, pool, CROP_CONTRAST, rng)
    return np.round(canvas).astype(np.uint8)
