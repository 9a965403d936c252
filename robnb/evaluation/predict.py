"""From RGB images to predictions at the image's own size, one predictor per task.

A predictor takes blocks of images on its device, each a uint8 (N, H, W, 3) tensor, and gives one prediction for each
image:

    classification   (K,) int32 ndarray: the best five classes (or all, if there are fewer), best first
    segmentation     (H, W) uint8 ndarray of classes
    detection        `Detections`
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

from robnb.data.prepared import INTERPOLATIONS
from robnb.evaluation.run_lengths import encode
from robnb.models.execution import Execution
from robnb.names import choose

# After robnb.models.backbones, which registers the ops that mmdet and mmseg import.
import robnb.models.backbones  # noqa: F401  isort: skip
from mmdet.structures import DetDataSample  # isort: skip
from mmseg.structures import SegDataSample  # isort: skip

#: How many of its best classes a classifier's prediction keeps.
TOP = 5


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image, best first as the model gives it.

    Attributes:
        boxes: (N, 4) float32, x0 y0 x1 y1 in pixels of the image.
        scores: (N,) float32 in 0..1.
        labels: (N,) int64, indices into the data set's classes.
        masks: N compressed RLE dicts of the image's size.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: list[dict[str, Any]]


class ClassifierPredictor:
    """The best classes.

    The image is resized so that its short side is ``scale[0]`` pixels, and its centre square of side ``scale[1]``
    is taken (256 and 224 on ImageNet). ``interpolation`` is how: "bilinear", as torchvision's ResNets were trained, or
    "bicubic", as Swin and most of timm's models.

    Raises:
        UserError: unknown interpolation.
    """

    #: Images of any sizes may share a batch.
    mixes_shapes = True
    #: More images at once were too many for the device's memory.
    most_images = sys.maxsize

    def __init__(
        self,
        model: nn.Module,
        scale: tuple[int, int],
        device: torch.device,
        inference: Execution | None = None,
        interpolation: str = "bilinear",
    ) -> None:
        self.inference, self.device = inference or Execution(), device
        self.model = self.inference.prepared(model, device)
        kind = INTERPOLATIONS[choose(interpolation, INTERPOLATIONS, "interpolation")]
        self.resize = v2.Compose([v2.Resize(scale[0], interpolation=kind, antialias=True), v2.CenterCrop(scale[1])])

    @torch.inference_mode()
    def __call__(self, blocks: Sequence[torch.Tensor]) -> list[np.ndarray]:
        images = torch.cat([self.resize(block.permute(0, 3, 1, 2)) for block in blocks])
        if self.inference.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.inference.autocast(self.device):
            logits = self.model.logits(images).float()
        return list(logits.topk(min(TOP, logits.shape[1]), dim=1).indices.to(torch.int32).cpu().numpy())


class _MmPredictor(ABC):
    """Runs mm's ``test_step`` on images that are in memory, resized as mm's shipped test pipeline does."""

    #: Images of one batch have one size, so that no padding reaches a network.
    mixes_shapes = False
    #: More images at once were too many for the device's memory.
    most_images = sys.maxsize
    data_sample: type[BaseDataElement]

    def __init__(
        self, model: nn.Module, scale: tuple[int, int], device: torch.device, inference: Execution | None = None
    ) -> None:
        self.inference, self.device, self.scale = inference or Execution(), device, scale
        self.model = self.inference.prepared(model, device)

    @torch.inference_mode()
    def __call__(self, blocks: Sequence[torch.Tensor]) -> list[Any]:
        images = torch.cat(list(blocks))
        height, width = images.shape[1:3]
        resized = resize_to_fit(images, self.scale)
        about = {
            "ori_shape": (height, width),
            "img_shape": tuple(resized.shape[1:3]),
            "scale_factor": (resized.shape[2] / width, resized.shape[1] / height),
        }
        # BGR, as mm's loader gives it: the model's preprocessor turns it back.
        inputs = list(resized.flip(-1).permute(0, 3, 1, 2).contiguous())
        samples = [self.data_sample(metainfo=about) for _ in inputs]
        with self.inference.autocast(self.device):
            outputs = self.model.test_step({"inputs": inputs, "data_samples": samples})
        return [self.prediction(output) for output in outputs]

    @abstractmethod
    def prediction(self, output: Any) -> Any:
        """One image's prediction."""


class DetectorPredictor(_MmPredictor):
    """Mask R-CNN through mmdet."""

    data_sample = DetDataSample

    def prediction(self, output: DetDataSample) -> Detections:
        """Detections with their masks as run lengths."""
        found = output.pred_instances
        size = list(found.masks.shape[1:])
        masks = [{"size": size, "counts": counts} for counts in encode(found.masks)]
        boxes, scores = (values.float().cpu().numpy() for values in (found.bboxes, found.scores))
        return Detections(boxes, scores, found.labels.cpu().numpy(), masks)


class SegmentorPredictor(_MmPredictor):
    """UperNet through mmseg."""

    data_sample = SegDataSample

    def prediction(self, output: SegDataSample) -> np.ndarray:
        """The class of every pixel."""
        return output.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy()


def resize_to_fit(images: torch.Tensor, scale: tuple[int, int]) -> torch.Tensor:
    """Resize images to fit ``scale``, keeping their ratio: mm's Resize.

    On the CPU it is OpenCV's, which mm uses; on another device a value may differ by a grey level.

    Args:
        images: uint8 (N, H, W, 3).
        scale: as in mm's configs: the longer side fits the larger number, the shorter the smaller.
    """
    if fitted(images, scale) == tuple(images.shape[1:3]):
        return images
    return (_resized_by_opencv if images.device.type == "cpu" else resized_anywhere)(images, scale)


def fitted(images: torch.Tensor, scale: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of images after `resize_to_fit`."""
    width, height = mmcv.rescale_size((images.shape[2], images.shape[1]), tuple(scale))
    return height, width


def _resized_by_opencv(images: torch.Tensor, scale: tuple[int, int]) -> torch.Tensor:
    height, width = fitted(images, scale)
    return torch.from_numpy(np.stack([cv2.resize(image, (width, height)) for image in images.numpy()]))


def resized_anywhere(images: torch.Tensor, scale: tuple[int, int]) -> torch.Tensor:
    """`resize_to_fit` in torch alone."""
    channels_first = images.permute(0, 3, 1, 2).float()
    resized = functional.interpolate(channels_first, fitted(images, scale), mode="bilinear", align_corners=False)
    return resized.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


PREDICTORS = {
    "upstream": ClassifierPredictor,
    "classification": ClassifierPredictor,
    "detection": DetectorPredictor,
    "segmentation": SegmentorPredictor,
}
Predictor = ClassifierPredictor | DetectorPredictor | SegmentorPredictor
