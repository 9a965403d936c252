"""From RGB images to predictions at the image's own size, one predictor per task.

A predictor takes a list of samples and gives one prediction for each:

    classification   int, the class
    segmentation     (H, W) uint8 ndarray of classes
    detection        `Detections`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from pycocotools import mask as rle
from torch import nn
from torchvision.transforms import v2

from robnb.data.sample import Sample
from robnb.errors import UserError
from robnb.models import detector, segmentor


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
    """Top-1 class.

    The image is resized so that its short side is ``scale[0]`` pixels, and its centre square of side ``scale[1]``
    is taken (256 and 224 on ImageNet).
    """

    def __init__(self, model: nn.Module, scale: tuple[int, int], device: torch.device) -> None:
        self.model, self.device = model.to(device).eval(), device
        self.resize = v2.Compose([v2.Resize(scale[0], antialias=True), v2.CenterCrop(scale[1])])

    @torch.inference_mode()
    def __call__(self, samples: list[Sample]) -> list[int]:
        images = [self.resize(torch.from_numpy(sample.image).permute(2, 0, 1)) for sample in samples]
        return self.model.logits(torch.stack(images).to(self.device)).argmax(dim=1).tolist()


class _MmPredictor:
    """Runs mm's own shipped test pipeline and ``test_step`` on images that are already in memory."""

    scope: str

    def __init__(self, model: nn.Module, scale: tuple[int, int], device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.pipeline = self._pipeline(scale)

    def _pipeline(self, scale: tuple[int, int]) -> Compose:
        shipped = {"mmdet": detector, "mmseg": segmentor}[self.scope].shipped_config("resnet").test_pipeline
        steps: list[dict[str, Any]] = [{"type": "LoadImageFromNDArray"}]
        for step in shipped:
            if step["type"] == "Resize":
                steps.append({**step, "scale": scale})
            elif step["type"].startswith("Pack"):
                steps.append({"type": step["type"], "meta_keys": ("ori_shape", "img_shape", "scale_factor")})
        with DefaultScope.overwrite_default_scope(self.scope):
            return Compose(steps)

    @torch.inference_mode()
    def _outputs(self, samples: list[Sample]) -> list[Any]:
        # The pipeline is given what LoadImageFromFile would have: BGR. The model's preprocessor turns it back.
        packed = [self.pipeline({"img": np.ascontiguousarray(sample.image[..., ::-1])}) for sample in samples]
        batch = {name: [item[name] for item in packed] for name in packed[0]}
        return self.model.test_step(batch)


class DetectorPredictor(_MmPredictor):
    """Mask R-CNN through mmdet."""

    scope = "mmdet"

    def __call__(self, samples: list[Sample]) -> list[Detections]:
        return [self._detections(output.pred_instances.cpu().numpy()) for output in self._outputs(samples)]

    @staticmethod
    def _detections(found: Any) -> Detections:
        masks = (
            rle.encode(np.asfortranarray(found.masks.transpose(1, 2, 0).astype(np.uint8))) if len(found.masks) else []
        )
        return Detections(found.bboxes.astype(np.float32), found.scores.astype(np.float32), found.labels, masks)


class SegmentorPredictor(_MmPredictor):
    """UperNet through mmseg."""

    scope = "mmseg"

    def __call__(self, samples: list[Sample]) -> list[np.ndarray]:
        return [output.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8) for output in self._outputs(samples)]


PREDICTORS = {
    "upstream": ClassifierPredictor,
    "classification": ClassifierPredictor,
    "detection": DetectorPredictor,
    "segmentation": SegmentorPredictor,
}


def load_trained(model: nn.Module, path: Path) -> nn.Module:
    """Fill a whole model from a file that robnb wrote; every tensor or nothing."""
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    except Exception as error:  # cut short, or not the file that was written: both are damage
        raise UserError(f"{path} is damaged; delete the folder {path.parent} and run again.") from error
    return model
