"""AugMix against Pillow and an independent statement of its definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import photograph
from PIL import Image, ImageOps
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

from robnb.augment.augmix import OPERATIONS, AugMix, Draw, mixing
from robnb.errors import UserError
from robnb.names import CORRUPTIONS, VALIDATION_CORRUPTIONS

NAMES = [operation.__name__ for operation in OPERATIONS]
AFFINE = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(height: int = 48, width: int = 60) -> torch.Tensor:
    """(4, 3, height, width) uint8: four photographs, the last one dim and dull."""
    pictures = [photograph(height, width, name) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    pictures[3] = pictures[3] // 3 + 40
    return torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]).contiguous()


def levels(level: float, count: int = 4) -> torch.Tensor:
    return torch.full((count,), level, dtype=torch.float64)


def pillows(name: str, picture: Image.Image, level: float) -> Image.Image:
    """The release's operation, as published, by Pillow; a negative level is the other direction."""
    size, sign = picture.size, math.copysign(1, level)
    level = abs(level)
    if name in ("autocontrast", "equalize"):
        return getattr(ImageOps, name)(picture)
    if name == "posterize":
        return ImageOps.posterize(picture, 4 - int(level * 4 / 10))
    if name == "solarize":
        return ImageOps.solarize(picture, 256 - int(level * 256 / 10))
    if name == "rotate":
        return picture.rotate(sign * int(level * 30 / 10), resample=Image.Resampling.BILINEAR)
    slope = sign * level * 0.3 / 10
    across, down = (sign * int(level * (side / 3) / 10) for side in size)
    coefficients = {
        "shear_x": (1, slope, 0, 0, 1, 0), "shear_y": (1, 0, 0, slope, 1, 0),
        "translate_x": (1, 0, across, 0, 1, 0), "translate_y": (1, 0, 0, 0, 1, down),
    }[name]  # fmt: skip
    return picture.transform(size, Image.Transform.AFFINE, coefficients, resample=Image.Resampling.BILINEAR)


def by_pillow(name: str, images: torch.Tensor, level: float) -> np.ndarray:
    """`pillows` on a batch: (R, 3, H, W) int."""
    pictures = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).numpy()]
    return np.stack([np.asarray(pillows(name, one, level), int).transpose(2, 0, 1) for one in pictures])


# --- operations


def test_no_operation_is_a_test_corruption():
    assert set(NAMES) == {"autocontrast", "equalize", "posterize", "solarize", *AFFINE} and len(NAMES) == 9
    assert not set(NAMES) & {*CORRUPTIONS, *VALIDATION_CORRUPTIONS, "color", "sharpness"}


@pytest.mark.parametrize("level", [0.1, 0.99, 1.0, 2.4, 2.6, 3.0, 5.7, 9.9])
@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_operations_are_pillows(operation: Callable, level: float):
    """The four that map grey levels, and whole shifts, are exact. Interpolation is, but for where cutting off decides.

    Pillow cuts bilinear values off, so float32 and the hundredth of a grey level that is added against its rounding
    change about one value in a hundred, by one. That holds at the border too.
    """
    images = photographs()
    before = images.clone()
    for signed in (level, -level):
        ours = operation(images, levels(signed))
        assert ours.dtype == torch.uint8 and ours.shape == images.shape
        off = np.abs(ours.numpy().astype(int) - by_pillow(operation.__name__, images, signed))
        exact = operation.__name__ not in ("rotate", "shear_x", "shear_y")
        assert off.max() <= (0 if exact else 1) and (off > 0).mean() < 0.02
    assert torch.equal(images, before)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_each_row_has_its_own_level_and_knows_no_other_row(operation: Callable):
    images, own = photographs(), torch.tensor([0.5, -2.9, 9.0, -5.0], dtype=torch.float64)
    together = operation(images, own)
    if operation.__name__ not in ("autocontrast", "equalize"):
        assert len({operation(images, levels(level))[0].numpy().tobytes() for level in own.tolist()}) == 4
    for i in range(4):
        assert torch.equal(operation(images[i : i + 1], own[i : i + 1])[0], together[i])
    assert torch.equal(operation(images.flip(0), own.flip(0)), together.flip(0))


def test_levels_mean_what_is_published():
    """By hand, on a ramp of all grey levels and on one bright spot."""
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    by_name = dict(zip(NAMES, OPERATIONS, strict=True))

    def values(name: str, level: float) -> int:
        return len(by_name[name](ramp, levels(level, 1)).unique())

    assert [values("posterize", level) for level in (0.1, 2.49, 2.5, 5, 7.5, 10)] == [16, 16, 8, 4, 2, 1]
    for level, threshold in ((0.1, 254), (3, 180), (5, 128), (10, 0)):
        inverted = by_name["solarize"](ramp, levels(level, 1)) != ramp
        assert ramp[inverted].min() == threshold and inverted[0, 0].sum() == 256 - threshold
    spot = torch.zeros((1, 3, 61, 61), dtype=torch.uint8)
    spot[:, :, 30, 50] = 255  # 20 pixels right of the middle

    def found(name: str, level: float) -> tuple[float, float]:
        moved = by_name[name](spot, levels(level, 1))[0, 0].double()
        y, x = (torch.arange(61) - 30.0).view(-1, 1), torch.arange(61) - 30.0
        return (moved * y).sum().item() / moved.sum().item(), (moved * x).sum().item() / moved.sum().item()

    for level, degrees in ((0.3, 0), (1, 3), (-3.4, -10), (10, 30)):
        angle = math.radians(degrees)  # counterclockwise, and y points down
        assert found("rotate", level) == pytest.approx((-20 * math.sin(angle), 20 * math.cos(angle)), abs=0.2)
    assert found("translate_x", 3) == (0, 20 - 6) and found("translate_y", -3) == (6, 20)
    assert found("translate_x", 0.4) == (0, 20)
    assert found("shear_x", 10) == pytest.approx((0, 20 - 0.3 * 30.5), abs=0.1)
    assert found("shear_y", -2) == pytest.approx((0.06 * 50.5, 20), abs=0.1)


def test_a_picture_of_one_colour_stays_as_it_is():
    grey = torch.full((2, 3, 20, 20), 77, dtype=torch.uint8)
    for operation in OPERATIONS[:2]:
        assert torch.equal(operation(grey, levels(1.0, 2)), grey)


# --- mixing


def expected_mixtures(recipe: AugMix, images: torch.Tensor, draw: Draw) -> np.ndarray:
    """(1 - m) x + m sum_i w_i chain_i(x), written out with Pillow; (B, 3, H, W) on 0..1."""
    mixtures = []
    for b, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        mixture = np.zeros(image.shape)
        for i in range(recipe.width):
            row, chain = b * recipe.width + i, Image.fromarray(image)
            for step in range(draw.depths[row]):
                chain = pillows(NAMES[draw.choices[step, row]], chain, draw.levels[step, row].item())
            mixture += draw.weights[b, i].item() * np.asarray(chain)
        share = draw.share[b].item()
        mixtures.append(((1 - share) * image + share * mixture).transpose(2, 0, 1) / 255)
    return np.stack(mixtures)


@pytest.mark.parametrize("recipe", [AugMix(), AugMix(severity=9), AugMix(width=1, depth=1, severity=1)])
def test_a_mixture_is_the_definition_written_out_with_pillow(recipe: AugMix):
    images = photographs().repeat(6, 1, 1, 1)
    draw = recipe.draw(len(images), seeded())
    mixed = recipe.apply(images, draw)
    assert mixed.dtype == torch.float32 and mixed.shape == images.shape
    off = np.abs(mixed.numpy() - expected_mixtures(recipe, images, draw)) * 255
    # A grey level that interpolation was off by can become several where posterize or equalize follows.
    assert off.mean() < 0.02 and np.quantile(off, 0.999) < 1.5


def test_levels_depths_and_operations_are_uniform():
    recipe = AugMix()
    draw = recipe.draw(5000, seeded())
    assert draw.levels.shape == draw.choices.shape == (3, 15000) and draw.depths.shape == (15000,)
    assert (draw.levels.abs() >= 0.1).all() and (draw.levels.abs() <= 3).all()
    assert stats.kstest(draw.levels.abs().flatten().numpy(), stats.uniform(0.1, 2.9).cdf).statistic < 0.01
    assert (draw.levels > 0).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(draw.levels.flatten().sign(), draw.levels.flatten().abs())[0, 1]) < 0.02
    assert stats.chisquare(np.bincount(draw.depths, minlength=4)[1:]).pvalue > 0.001
    assert stats.chisquare(np.bincount(draw.choices[0] + 9 * draw.choices[1], minlength=81)).pvalue > 0.001
    assert set(replace(recipe, depth=1).draw(9, seeded()).depths.tolist()) == {1}


def test_weights_are_dirichlet_and_shares_uniform():
    draw = AugMix().draw(20000, seeded())
    np.testing.assert_allclose(draw.weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(draw.weights.mean(0), np.full(3, 1 / 3), atol=0.01)
    np.testing.assert_allclose(np.cov(draw.weights.numpy().T), (np.eye(3) - 1 / 3) / 12, atol=0.002)
    assert stats.kstest(draw.share.numpy(), "uniform").statistic < 0.02


def test_mean_share_of_the_image_is_a_half(monkeypatch: pytest.MonkeyPatch):
    """m ~ Beta(1, 1): with chains that give black, a mixture is (1 - m) image, in each of the two views apart."""
    monkeypatch.setattr(mixing, "OPERATIONS", (lambda images, levels: torch.zeros_like(images),))
    images = torch.full((2000, 3, 2, 2), 255, dtype=torch.uint8)
    kept = AugMix().views(images, seeded())[1:].mean(dim=(2, 3, 4))
    assert kept.mean(1).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
    assert kept.std(1).tolist() == pytest.approx([12**-0.5] * 2, abs=0.02)
    assert abs(np.corrcoef(kept)[0, 1]) < 0.08


def test_views_are_the_image_and_two_mixtures():
    images = photographs()
    state = torch.random.get_rng_state()
    views = AugMix().views(images, seeded())
    assert views.dtype == torch.float32 and views.shape == (3, *images.shape)
    assert torch.equal(views[0], images / 255)
    assert views.min() >= -1e-6 and views.max() <= 1 + 1e-6
    for i in range(4):
        assert not torch.equal(views[1, i], views[0, i]) and not torch.equal(views[1, i], views[2, i])
    assert torch.equal(views, AugMix().views(images, seeded()))
    assert not torch.equal(views[1:], AugMix().views(images, seeded(1))[1:])
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(images, photographs())
    assert AugMix().passes == 3


def test_float_images_are_rounded_to_bytes_first():
    images = photographs()
    expected = AugMix().views(images, seeded())
    nearly = (images / 255 + 0.4 / 255 * torch.rand(images.shape, generator=seeded(1))).requires_grad_()
    views = AugMix().views(nearly, seeded())
    assert torch.equal(views, expected) and not views.requires_grad
    assert torch.equal(AugMix().views(images.double() / 255, seeded()), expected)


def test_an_images_mixture_does_not_depend_on_what_goes_through_with_it(monkeypatch: pytest.MonkeyPatch):
    recipe, images = AugMix(), photographs()
    draw = recipe.draw(4, seeded())
    together = recipe.apply(images, draw)
    alone = [recipe.apply(images[i : i + 1], draw.of(slice(i, i + 1), 3)) for i in range(4)]
    assert torch.equal(torch.cat(alone), together)
    others = images.clone()
    others[1:] = images[1:].flip(0)
    assert torch.equal(recipe.apply(others, draw)[0], together[0])
    monkeypatch.setattr(mixing, "_PASS", 3 * images[:3].numel())  # three images, then one
    assert torch.equal(recipe.apply(images, draw), together)


def test_autocast_changes_nothing():
    with torch.autocast("cpu", torch.bfloat16):
        inside = AugMix().views(photographs(), seeded())
    assert torch.equal(inside, AugMix().views(photographs(), seeded()))


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_operations_stay_on_the_images_device(operation: Callable):
    """Fake tensors have a device and no data: what mixes devices, or looks at pixels, raises."""
    with FakeTensorMode():
        images = torch.empty((2, 3, 20, 24), dtype=torch.uint8, device="cuda")
        out = operation(images, torch.empty(2, dtype=torch.float64, device="cuda"))
    assert (out.device.type, out.dtype, out.shape) == ("cuda", torch.uint8, (2, 3, 20, 24))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_views_stay_on_the_images_device(dtype: torch.dtype):
    views = AugMix().views(torch.empty((5, 3, 20, 24), dtype=dtype, device="meta"), seeded())
    assert (views.device.type, views.dtype, views.shape) == ("meta", torch.float32, (3, 5, 3, 20, 24))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": 0}, "give 1 or more for both"),
        ({"depth": 0}, "give 1 or more for both"),
        ({"severity": 0.0}, "give a number from 0.1 to 10"),
        ({"severity": 11}, "give a number from 0.1 to 10"),
        ({"consistency": -1.0}, "give 0"),
    ],
)
def test_bad_settings_are_refused(options: dict, sentence: str):
    with pytest.raises(UserError, match=sentence):
        AugMix(**options)


def test_the_loss_is_cross_entropy_plus_twelve_times_the_jensen_shannon_divergence():
    logits = torch.randn((3, 6, 4), dtype=torch.float64, generator=seeded())
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    p = torch.softmax(logits, -1).numpy()
    divergence = stats.entropy(p.mean(0), axis=-1) - stats.entropy(p, axis=-1).mean(0)
    expected = -np.log(p[0][np.arange(6), labels]).mean() + 12 * divergence.mean()
    assert AugMix().loss(logits, labels).item() == pytest.approx(expected, rel=1e-9)
    same = logits[:1].expand(3, -1, -1)
    clean = -np.log(p[0][np.arange(6), labels]).mean()
    assert AugMix().loss(same, labels).item() == pytest.approx(clean, rel=1e-9)
