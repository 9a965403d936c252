"""corrupt() and corrupt_batch(): checks, keys, and which function stands for which corruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from robnb import seeding
from robnb.corruptions import blur, digital, kernels, noise, reference, spatter, weather
from robnb.corruptions.conditions import check_severity
from robnb.errors import UserError
from robnb.names import FURTHER_CORRUPTIONS, KNOWN_CORRUPTIONS, choose

#: fast: this package's own; reference: the imagecorruptions package, with keyed noise.
ENGINES = ("fast", "reference")
#: Goes up when the fast engine's pixels change for some key. It is part of every stored result and of every manifest.
VERSION = 1
#: Both sides of an image, in pixels, have to reach this (imagecorruptions' own limit).
MIN_SIDE = 32


class Corruption(NamedTuple):
    """A corruption in two steps.

    Attributes:
        apply: (uint8 images (N, H, W, 3), draw, severity) -> new images. Random in nothing.
        draw: (keys (N, 4), (H, W), severity) -> what `apply` takes; None where there is nothing to draw.
    """

    apply: Callable[[torch.Tensor, Any, int], torch.Tensor]
    draw: Callable[[torch.Tensor, tuple[int, int], int], Any] | None = None


FAST: dict[str, Corruption] = {
    "gaussian_noise": Corruption(noise.gaussian_noise, noise.draw_normals),
    "shot_noise": Corruption(noise.shot_noise, noise.draw_words),
    "impulse_noise": Corruption(noise.impulse_noise, noise.draw_words),
    "defocus_blur": Corruption(blur.defocus_blur),
    "glass_blur": Corruption(blur.glass_blur, blur.draw_shuffle),
    "motion_blur": Corruption(blur.motion_blur, blur.draw_direction),
    "zoom_blur": Corruption(blur.zoom_blur),
    "snow": Corruption(weather.snow, weather.draw_snow),
    "frost": Corruption(weather.frost, weather.draw_frost),
    "fog": Corruption(weather.fog, weather.draw_fog),
    "brightness": Corruption(weather.brightness),
    "contrast": Corruption(digital.contrast),
    "elastic_transform": Corruption(digital.elastic_transform, digital.draw_displacements),
    "pixelate": Corruption(digital.pixelate),
    "jpeg_compression": Corruption(digital.jpeg_compression),
    "speckle_noise": Corruption(noise.speckle_noise, noise.draw_normals),
    "gaussian_blur": Corruption(blur.gaussian_blur),
    "spatter": Corruption(spatter.spatter, spatter.draw_spatter),
    "saturate": Corruption(digital.saturate),
}


def corrupt(
    image: np.ndarray,
    name: str,
    severity: int,
    *,
    image_id: str,
    seed: int = 0,
    replicate: int = 0,
    engine: str = "fast",
) -> np.ndarray:
    """Corrupt one image.

    Args:
        image: (H, W, 3) uint8 RGB, both sides at least 32 pixels; a grey image, (H, W) or (H, W, 1), is repeated
            over three channels. It is not changed.
        name: one of the 15 benchmark or 4 validation corruptions, or a further one.
        severity: 1 (mild) to 5.
        image_id: the image's id in its data set; images that share an id share their noise.
        seed: of the whole evaluation.
        replicate: counts repeated draws for the same image, corruption and severity.
        engine: ``"fast"``, or ``"reference"``: the imagecorruptions package itself, with noise from the same key.
            They are the same functions of different draws.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        UserError: unknown corruption or engine, severity outside 1..5, an image of another kind or size, no
            image_id, a seed or replicate that is not an int.
    """
    choose(engine, ENGINES, "engine")
    _check_name(name, severity, seed, replicate)
    _check_image_id(image_id)
    image = _as_rgb(image)
    if engine == "reference":
        if name in FURTHER_CORRUPTIONS:
            raise UserError(f"the imagecorruptions package has no {name}: leave it out, or take engine fast.")
        return reference.corrupt(image, name, severity, key=_key(image_id, name, severity, seed, replicate))
    images = torch.from_numpy(np.require(image, requirements=("C", "W")))[None]  # torch warns of read-only arrays
    return _fast(images, name, severity, (image_id,), seed, replicate)[0].numpy()


def corrupt_batch(
    images: torch.Tensor, name: str, severity: int, *, image_ids: Sequence[str], seed: int = 0, replicate: int = 0
) -> torch.Tensor:
    """Corrupt images of one size on their device; each comes out as it would alone.

    On the CPU the pixels are those of `corrupt`; on another device all but a few in a thousand are within one grey
    level of them.

    Args:
        images: uint8 (N, H, W, 3) RGB, any device, both sides at least 32 pixels. They are not changed.
        name, severity, seed, replicate: as for `corrupt`.
        image_ids: one for each image.

    Returns:
        uint8 (N, H, W, 3), a new tensor on the same device.

    Raises:
        UserError: as `corrupt` does, and where ``image_ids`` are not as many as the images.
    """
    _check_name(name, severity, seed, replicate)
    _check_images(images)
    if isinstance(image_ids, str) or len(image_ids) != len(images):
        got = f"the text {image_ids!r}" if isinstance(image_ids, str) else f"{len(image_ids)}"
        raise UserError(f"image_ids must be one text for each of the {len(images)} images, got {got}.")
    for image_id in image_ids:
        _check_image_id(image_id)
    return _fast(images, name, severity, image_ids, seed, replicate)


def _fast(
    images: torch.Tensor, name: str, severity: int, image_ids: Sequence[str], seed: int, replicate: int
) -> torch.Tensor:
    apply, draw = FAST[name]
    # On the CPU one by one: what an image needs meanwhile stays in the cache.
    step = 1 if kernels.uses_compiled(images) else max(len(images), 1)
    done = []
    with torch.no_grad():
        for i in range(0, len(images), step):
            part, drawn = images[i : i + step].contiguous(), None
            if draw:
                key = [_key(image_id, name, severity, seed, replicate) for image_id in image_ids[i : i + step]]
                drawn = draw(_words(key).to(images.device), tuple(part.shape[1:3]), severity)
            done.append(apply(part, drawn, severity))
    return done[0] if len(done) == 1 else torch.cat([images[:0], *done])


def _words(keys: list[tuple[int | str, ...]]) -> torch.Tensor:
    """Keys as four 32-bit words each: int64 (N, 4)."""
    words = [np.frombuffer(seeding.digest(*key), "<u4", 4) for key in keys]
    return torch.from_numpy(np.array(words).astype(np.int64))


def _key(image_id: str, name: str, severity: int, seed: int, replicate: int) -> tuple[int | str, ...]:
    return ("corrupt", seed, image_id, name, severity, replicate)


def _check_name(name: str, severity: int, seed: int, replicate: int) -> None:
    choose(name, KNOWN_CORRUPTIONS, "corruption")
    check_severity(severity)
    for value, what in ((seed, "seed"), (replicate, "replicate")):
        if type(value) is not int:
            raise UserError(f"{what} must be an int, got {value!r}.")


def _check_image_id(image_id: str) -> None:
    if not isinstance(image_id, str) or not image_id:
        raise UserError(f"image_id must be a text that is not empty, got {image_id!r}: pass the image's id as text.")


def _as_rgb(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image must be a uint8 numpy array (height, width, 3), got {type(image).__name__}.")
    grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    if image.dtype != np.uint8 or not (grey or (image.ndim == 3 and image.shape[2] == 3)):
        raise UserError(
            f"an image must be a uint8 RGB array of shape (height, width, 3), got {image.dtype} {image.shape}: "
            "convert it first."
        )
    _check_size(*image.shape[:2])
    return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) if grey else image


def _check_images(images: torch.Tensor) -> None:
    if not isinstance(images, torch.Tensor):
        raise UserError(f"images must be a uint8 torch tensor (N, height, width, 3), got {type(images).__name__}.")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise UserError(
            f"images must be a uint8 RGB tensor of shape (N, height, width, 3), got {str(images.dtype)[6:]} "
            f"{tuple(images.shape)}: convert them first."
        )
    _check_size(*images.shape[1:3])


def _check_size(height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise UserError(
            f"an image must be at least {MIN_SIDE} x {MIN_SIDE} pixels, got {height} x {width} (height x width): "
            "leave it out or enlarge it first."
        )
