"""What the paper used, where it is published, and where it belongs below the data root.

Only what the present notebooks need; hashes, licences and fetching come with the asset commands.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """One published thing.

    Attributes:
        title: what a person calls it.
        source: where it is published.
        paths: files or folders below the data root, in the published layout.
    """

    title: str
    source: str
    paths: tuple[str, ...]


#: Backbone weights by ``architecture.weights``.
WEIGHTS: dict[str, Asset] = {
    "resnet50.regular": Asset(
        "torchvision ResNet-50, ImageNet V1",
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        ("weights/resnet50-0676ba61.pth",),
    ),
    "resnet50.ant3x3": Asset(
        "ANT 3x3",
        "https://github.com/bethgelab/game-of-noise/releases/tag/v1.0",
        ("weights/ANT3x3_Model.pth",),
    ),
    "resnet50.deepaug_augmix": Asset(
        "DeepAugment + AugMix",
        "https://github.com/hendrycks/imagenet-r",
        ("weights/deepaugment_and_augmix.pth.tar",),
    ),
    "swin_tiny.in1k": Asset(
        "Swin-T, ImageNet-1k, in OpenMMLab's layout",
        "https://download.openmmlab.com/mmclassification/v0/swin-transformer/",
        ("weights/swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth",),
    ),
}

#: Data sets by the task they serve.
DATA_SETS: dict[str, Asset] = {
    "upstream": Asset("ImageNet validation set in class folders", "https://image-net.org", ("imagenet/val",)),
    "detection": Asset(
        "COCO 2017",
        "https://cocodataset.org",
        (
            "coco/train2017",
            "coco/val2017",
            "coco/annotations/instances_train2017.json",
            "coco/annotations/instances_val2017.json",
        ),
    ),
    "segmentation": Asset(
        "ADE20K (ADEChallengeData2016)",
        "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
        (
            "ADEChallengeData2016/images/training",
            "ADEChallengeData2016/images/validation",
            "ADEChallengeData2016/annotations/training",
            "ADEChallengeData2016/annotations/validation",
            "ADEChallengeData2016/objectInfo150.txt",
        ),
    ),
    "classification": Asset(
        "CIFAR-10 in class folders",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        ("cifar10/train", "cifar10/test"),
    ),
}
