"""Stand-ins for COCO and a trained Mask R-CNN where only the time counts: photographs and random weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
from PIL import Image, ImageOps
from skimage import data
from torch import nn

from robnb.data.sources import TaskData
from robnb.evaluation.trained import TrainedModel
from robnb.models.architectures import BackboneName, architecture_named
from robnb.models.detector import build_detector
from robnb.recipes.transfer import ModelOptions
from robnb.training import initialise, state_of

#: COCO has 80 classes, and Mask R-CNN's cost depends on it.
CLASSES = 80
#: Random logits times this are far apart: every proposal is sure of a class, as a trained detector's best ones are.
_SURE = 1e3


def photographs(folder: Path, count: int, size: tuple[int, int]) -> TaskData:
    """Real photographs in COCO's layout, with two made-up objects in each.

    Args:
        size: (height, width) of every image.
    """
    height, width = size
    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    (folder / "val2017").mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for number in range(count):
        picture = Image.fromarray(sources[number % len(sources)])
        bleed = 0.02 * (number // len(sources) % 20)  # a photograph that comes again is cut closer
        name = f"{number + 1:012d}.jpg"
        ImageOps.fit(picture, (width, height), bleed=bleed).save(folder / "val2017" / name, quality=90)
        images.append({"id": number + 1, "file_name": name, "height": height, "width": width})
        for part in range(2):
            box = [width * (1 + 4 * part) / 10, height / 4, width / 3, height / 2]
            annotations.append(_object(len(annotations) + 1, number + 1, 1 + len(annotations) % CLASSES, box))
    categories = [{"id": label + 1, "name": f"class {label + 1}"} for label in range(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    fingerprint = f"photographs-{count}-{height}x{width}"
    return TaskData("detection", folder, "val2017", "val2017", fingerprint, flip=False)


def _object(number: int, image: int, category: int, box: list[float]) -> dict[str, object]:
    left, top, width, height = box
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    about = {"id": number, "image_id": image, "category_id": category, "iscrowd": 0}
    return about | {"bbox": box, "area": width * height, "segmentation": [corners]}


def random_detector(folder: Path, architecture: str, scale: tuple[int, int], detections: int) -> TrainedModel:
    """A Mask R-CNN with random weights that finds ``detections`` objects in an image, as a trained one would.

    With random weights as they are it would be sure of nothing and find nothing, and there would be no masks to paste,
    encode and match.

    Args:
        folder: for the file of its weights.
        architecture: a name in `robnb.models.architectures.ARCHITECTURES`.
        scale: (width, height) that images are resized to fit.
        detections: at most so many in an image, which is how many there are unless boxes overlap much.
    """
    build = partial(_capped, architecture, detections)
    model = initialise(build, seed=0)
    make_sure(model)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weights.pth"
    torch.save(state_of(model), path)
    name = BackboneName(architecture, "random")
    key = f"random-{architecture}-{detections}"
    return TrainedModel(name, "detection", "fixed_feature", key, 0, tuple(scale), path, build)


def make_sure(detector: nn.Module) -> None:
    """Let a detector with random weights find as much as it may, by making it sure of some class every time.

    A Mask R-CNN has one head that names classes, a Cascade one in each stage.
    """
    heads = detector.roi_head.bbox_head
    with torch.no_grad():
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            head.fc_cls.weight *= _SURE


def _capped(architecture: str, detections: int) -> nn.Module:
    model = build_detector(architecture_named(architecture), CLASSES, ModelOptions())
    model.roi_head.test_cfg.max_per_img = detections
    return model
