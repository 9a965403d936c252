"""PRIME in the data preprocessors of mmdet and mmseg: what it touches, what it leaves, and what was released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import photograph
from torch import nn

from robnb.augment.prime import PRIME_TRANSFER
from robnb.errors import UserError
from robnb.models.architectures import ARCHITECTURES
from robnb.models.backbones import MEAN, STD
from robnb.models.detector import build_detector
from robnb.models.prime_preprocessor import PrimeDetDataPreprocessor, PrimeSegDataPreProcessor
from robnb.models.segmentor import build_segmentor
from robnb.recipes.transfer import model_options
from robnb.training import initialise

from mmdet.models import DetDataPreprocessor  # isort: skip
from mmdet.registry import MODELS as MMDET_MODELS  # isort: skip
from mmdet.structures import DetDataSample  # isort: skip
from mmdet.structures.bbox import HorizontalBoxes  # isort: skip
from mmdet.structures.mask import BitmapMasks  # isort: skip
from mmengine.optim import OptimWrapper  # isort: skip
from mmengine.structures import InstanceData, PixelData  # isort: skip
from mmseg.models import SegDataPreProcessor  # isort: skip
from mmseg.registry import MODELS as MMSEG_MODELS  # isort: skip
from mmseg.structures import SegDataSample  # isort: skip

SIZES = ((100, 128), (120, 90), (96, 100))
NAMES = ("astronaut", "coffee", "chelsea")
ORDINARY = {"mean": MEAN, "std": STD, "bgr_to_rgb": True}
DET = {**ORDINARY, "pad_mask": True, "pad_size_divisor": 32}
SEG = {**ORDINARY, "size": (128, 128), "pad_val": 0, "seg_pad_val": 255}
RELEASED = {"range": "bytes", "depth": 1, "padded_first": True}
#: Each of the two: ours, its plain class, its options and what makes its batches.
BOTH = [(PrimeDetDataPreprocessor, DetDataPreprocessor, DET), (PrimeSegDataPreProcessor, SegDataPreProcessor, SEG)]
IDS = ["mmdet", "mmseg"]


def images(sizes: tuple[tuple[int, int], ...] = SIZES) -> list[torch.Tensor]:
    """(3, H, W) uint8, which stand for a pipeline's BGR images."""
    return [
        torch.from_numpy(photograph(*size, name)).permute(2, 0, 1).contiguous()
        for size, name in zip(sizes, NAMES, strict=False)
    ]


def batch(inputs: list[torch.Tensor]) -> dict[str, Any]:
    """What a loader gives either library: each sample has boxes, masks and a label map."""
    samples = []
    for image in inputs:
        height, width = image.shape[1:]
        masks = np.zeros((2, height, width), np.uint8)
        masks[0, 10:40, 20:60], masks[1, 5:70, 30:80] = 1, 1
        boxes = HorizontalBoxes(torch.tensor([[20.0, 10, 60, 40], [30, 5, 80, 70]]))
        truth = InstanceData(bboxes=boxes, labels=torch.tensor([1, 2]), masks=BitmapMasks(masks, height, width))
        labels = torch.from_numpy(masks[1].astype(np.int64))[None]
        meta = {"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0), "flip": False}
        sample = DetDataSample(metainfo=meta, gt_instances=truth, ignored_instances=InstanceData(bboxes=boxes[:0]))
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return {"inputs": list(inputs), "data_samples": samples}


def seg_batch(inputs: list[torch.Tensor]) -> dict[str, Any]:
    samples = [
        SegDataSample(metainfo=sample.metainfo, gt_sem_seg=sample.gt_sem_seg)
        for sample in batch(inputs)["data_samples"]
    ]
    return {"inputs": list(inputs), "data_samples": samples}


def run(processor: nn.Module, inputs: list[torch.Tensor], training: bool = True, seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    return processor(batch(inputs), training)


def pixels(normalised: torch.Tensor) -> torch.Tensor:
    """Back to 0..255."""
    return normalised * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


def test_they_are_registered_under_their_names():
    assert MMDET_MODELS.get("PrimeDetDataPreprocessor") is PrimeDetDataPreprocessor
    assert MMSEG_MODELS.get("PrimeSegDataPreProcessor") is PrimeSegDataPreProcessor


@pytest.mark.parametrize(("ours", "plain", "options"), BOTH, ids=IDS)
@pytest.mark.parametrize("prime", [{}, RELEASED], ids=["corrected", "released"])
def test_testing_is_the_ordinary_preprocessor_bit_for_bit(ours: type, plain: type, options: dict, prime: dict):
    same_size = images(((64, 70),) * 3)
    state = torch.random.get_rng_state()
    data = ours(**options, **prime)(batch(same_size), False)
    assert torch.equal(data["inputs"], plain(**options)(batch(same_size), False)["inputs"])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(("ours", "plain", "options"), BOTH, ids=IDS)
@pytest.mark.parametrize("depth", [-1, 1])
def test_training_is_prime_on_pixels_from_0_to_1_and_then_the_ordinary_preprocessor(
    ours: type, plain: type, options: dict, depth: int
):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, ())))
    recipe = replace(PRIME_TRANSFER, depth=depth)
    draw = recipe.draw(3, generator)
    mixed = [255 * recipe.apply(image[None], draw, i)[0] for i, image in enumerate(images())]
    expected = plain(**options)(batch(mixed), True)
    found = run(ours(**options, depth=depth), images())
    assert torch.equal(found["inputs"], expected["inputs"])
    for i, (height, width) in enumerate(SIZES):
        assert not found["inputs"][i, :, height:].any() and not found["inputs"][i, :, :, width:].any()


@pytest.mark.parametrize(("ours", "plain", "options"), BOTH, ids=IDS)
@pytest.mark.parametrize("prime", [{}, RELEASED], ids=["corrected", "released"])
def test_labels_boxes_masks_and_sizes_are_those_of_the_ordinary_preprocessor(
    ours: type, plain: type, options: dict, prime: dict
):
    found, expected = run(ours(**options, **prime), images()), plain(**options)(batch(images()), True)
    assert found["inputs"].shape == expected["inputs"].shape == (3, 3, 128, 128)
    for ours_, theirs in zip(found["data_samples"], expected["data_samples"], strict=True):
        assert ours_.metainfo == theirs.metainfo
        assert torch.equal(ours_.gt_sem_seg.data, theirs.gt_sem_seg.data)
        boxes = [
            getattr(sample.gt_instances.bboxes, "tensor", sample.gt_instances.bboxes) for sample in (ours_, theirs)
        ]
        assert torch.equal(*boxes)
        assert np.array_equal(ours_.gt_instances.masks.masks, theirs.gt_instances.masks.masks)


@pytest.mark.parametrize(("ours", "plain", "options"), BOTH, ids=IDS)
def test_as_released_images_are_darkened_and_padding_is_black(ours: type, plain: type, options: dict):
    expected = pixels(plain(**options)(batch(images()), True)["inputs"])
    found = pixels(run(ours(**options, **RELEASED), images())["inputs"])
    corrected = pixels(run(ours(**options), images())["inputs"])
    slopes, residuals, residuals_corrected = [], [], []
    for i, (height, width) in enumerate(SIZES):
        x = expected[i, :, :height, :width].flatten().double().numpy()
        for result, found_residuals in ((corrected, residuals_corrected), (found, residuals)):
            y = result[i, :, :height, :width].flatten().double().numpy()
            slope, offset = np.polyfit(x, y, 1)
            found_residuals.append(np.abs(y - slope * x - offset).max())
        slopes.append(slope)
        padding = torch.cat([found[i, :, height:].flatten(), found[i, :, :, width:].flatten()])
        assert padding.min() > -0.01 and padding.max() < 1  # 0, where without PRIME it is the mean, about 114
    assert all(0 < slope < 1 for slope in slopes) and len(set(slopes)) == 3
    assert max(residuals) < 1 and max(residuals_corrected) > 20


@pytest.mark.parametrize("prime", [{}, RELEASED, {"padded_first": True}])
@pytest.mark.parametrize("sizes", [SIZES, ((64, 70),) * 3])
def test_the_iterations_seed_decides_and_nothing_else(prime: dict, sizes: tuple):
    processor = PrimeDetDataPreprocessor(**DET, **prime)
    first = run(processor, images(sizes))["inputs"]
    assert torch.equal(first, run(processor, images(sizes))["inputs"])
    after = torch.random.get_rng_state()
    torch.manual_seed(0)
    torch.randint(2**63 - 1, ())
    assert torch.equal(after, torch.random.get_rng_state())  # one number is taken, whatever PRIME draws
    assert not torch.equal(first, run(processor, images(sizes), seed=1)["inputs"])


@pytest.mark.parametrize("prime", [{"depth": 1}, RELEASED])  # a second colour curve would amplify the rounding
def test_lists_stacks_bytes_and_floats_are_the_same_to_it(prime: dict):
    processor = PrimeDetDataPreprocessor(**DET, **prime)
    same_size = images(((64, 70),) * 3)
    expected = run(processor, same_size)["inputs"]
    torch.manual_seed(0)
    stacked = {**batch(same_size), "inputs": torch.stack(same_size)}
    assert torch.equal(processor(stacked, True)["inputs"], expected)
    floats = run(processor, [image.float() for image in same_size])["inputs"]
    assert (floats - expected).abs().max() < 0.002  # a tenth of a grey level


@pytest.mark.parametrize(("ours", "plain", "options"), BOTH, ids=IDS)
@pytest.mark.parametrize("padded_first", [False, True])
def test_channels_are_swapped_as_without_prime(ours: type, plain: type, options: dict, padded_first: bool):
    def through(**changes: Any) -> torch.Tensor:
        return run(ours(**{**options, "mean": None, "std": None, **changes}, padded_first=padded_first), images())[
            "inputs"
        ]

    straight = through(bgr_to_rgb=False)
    assert torch.equal(through(), straight[:, [2, 1, 0]])
    assert torch.equal(through(bgr_to_rgb=False, rgb_to_bgr=True), straight[:, [2, 1, 0]])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"range": "byte"}, "did you mean 'bytes'"),
        ({"depth": 0}, "give 1 or more, or -1"),
        ({"padded_first": True, "batch_augments": [{"type": "BatchFixedSizePad", "size": (64, 64)}]}, "leave one"),
    ],
)
def test_bad_options_are_refused(options: dict, sentence: str):
    with pytest.raises(UserError, match=sentence):
        PrimeDetDataPreprocessor(**DET, **options)


@pytest.mark.parametrize(
    "released", [(), ("prime_range", "prime_depth", "prime_padding")], ids=["corrected", "released"]
)
@pytest.mark.parametrize(
    ("task", "build", "make"), [("detection", build_detector, batch), ("segmentation", build_segmentor, seg_batch)]
)
def test_a_real_model_trains_with_it(task: str, build: Callable, make: Callable, released: tuple[str, ...]):
    options = model_options("short", task=task, family="resnet", regime="full_network", released=released, prime=True)
    scale = [(128, 128)] if task == "segmentation" else []
    model = initialise(lambda: build(ARCHITECTURES["resnet_nano"], 3, options, *scale), seed=0)
    assert type(model.data_preprocessor) in (PrimeDetDataPreprocessor, PrimeSegDataPreProcessor)
    assert model.data_preprocessor.range == ("bytes" if released else "unit")
    before = model.backbone.conv1.weight.detach().clone()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    losses = model.train().train_step(make(images()), wrapper)
    assert torch.isfinite(losses["loss"])
    assert not torch.equal(before, model.backbone.conv1.weight)
