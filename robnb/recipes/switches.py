"""Every known gap between the paper's text and its released configs and code, and what each side of it does.

`SWITCHES` is the one place that says so. A run takes one side of all of them (``variant``: "as_released" or
"corrected") and may turn single ones. Sources are sections of the paper and files of its repository,
github.com/runopti/RobustDownstreamTransfer at a67aae8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robnb.errors import UserError
from robnb.names import choose

AS_RELEASED, CORRECTED = "as_released", "corrected"
VARIANTS = (AS_RELEASED, CORRECTED)
#: What a switch changes: the training itself, how the trained model is scored, the weights that it starts from, its
#: learning rate, or the images that are corrupted.
STAGES = ("training", "scoring", "start", "budget", "data")
_ANY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Switch:
    """One gap.

    Attributes:
        id: its name in params.
        why: what it changes in a result.
        source: where it is to be read.
        as_released: what the released configs, code or README do.
        corrected: what the paper's text says, or what the method means.
        stage: one of `STAGES`.
        tasks, families, regimes: the transfers that it touches; empty for all.
        prime: whether it touches transfers with PRIME only.
        parameter: the parameter that decides instead, for gaps that are a number or a list; "" for a real switch.
    """

    id: str
    title: str
    why: str
    source: str
    as_released: str
    corrected: str
    stage: str
    tasks: tuple[str, ...] = _ANY
    families: tuple[str, ...] = _ANY
    regimes: tuple[str, ...] = _ANY
    prime: bool = False
    parameter: str = ""

    def touches(self, task: str, family: str, regime: str, prime: bool) -> bool:
        """Whether such a transfer is another one with this switch turned."""
        given = ((task, self.tasks), (family, self.families), (regime, self.regimes))
        return all(not wanted or value in wanted for value, wanted in given) and (prime or not self.prime)


_MM = ("detection", "segmentation")
_TABLE = (
    # ---- What "fixed-feature" freezes (paper, section 3: the backbone)
    Switch(
        "zero_lr",
        "COCO, ResNet-50, fixed-feature: frozen by a learning rate of zero",
        "Nothing but time: the weights stay either way, but every iteration back-propagates through the backbone.",
        "mmdetection/configs/mask_rcnn/mask_rcnn_r50_fpn_2x_lr0.04_coco_fixedfeature.py",
        "custom_keys backbone: lr_mult 0, decay_mult 0; frozen_stages 1; BN statistics frozen (norm_eval)",
        "frozen_stages 4: no gradient reaches the backbone; BN statistics frozen",
        "training", ("detection",), ("resnet",), ("fixed_feature",),
    ),
    Switch(
        "bn_drift",
        "ADE20K, ResNet-50, fixed-feature: BatchNorm statistics move",
        "The frozen weights see activations normalised by ADE20K's statistics: the features are not ImageNet's.",
        "mmsegmentation/configs/upernet/upernet_r50_512x512_80k_ade20k_regular_fixedfeature.py; section 3",
        "norm_eval False and no frozen stage: batch statistics in training, running mean and variance drift",
        "BN statistics stay as pretrained",
        "training", ("segmentation",), ("resnet",), ("fixed_feature",),
    ),
    Switch(
        "rising_lr",
        "ADE20K, ResNet-50, fixed-feature: the frozen backbone's learning rate rises to 1e-4",
        "The backbone trains, with 0.9 % of the learning rate that a group at 0.01 sums up to.",
        "mmsegmentation/configs/upernet/upernet_r50_512x512_80k_ade20k_regular_fixedfeature.py; section 3",
        "lr_mult 0 under a poly schedule with eta_min 1e-4: 9.0e-6 at 8k iterations, 4.6e-5 at 40k, 1.0e-4 at 80k",
        "no gradient reaches the backbone",
        "training", ("segmentation",), ("resnet",), ("fixed_feature",),
    ),
    Switch(
        "position_bias",
        "Swin, fixed-feature: relative position bias tables train, drop-path is on",
        "12 tensors (23,322 parameters of Swin-T) adapt to the task, and features are random in training.",
        "the two Swin-T configs that end in _fixedfeature.py; section 3",
        "custom_keys backbone: lr_mult 0, which the longer key relative_position_bias_table overrides; nothing frozen",
        "frozen_stages 4: no parameter trains, and the stages stay in eval mode, so drop-path is off",
        "training", _MM, ("swin",), ("fixed_feature",),
    ),
    # ---- What "full-network" trains (section 4: all weights)
    Switch(
        "frozen_stem",
        "COCO, ResNet-50, full-network: stem and first stage are frozen",
        "The layers that see corruptions first keep the robust weights, which the paper's section 4 says it gives up.",
        "mmdetection/configs/_base_/models/mask_rcnn_r50_fpn.py; section 4",
        "frozen_stages 1 (mmdet's default); BN statistics frozen (norm_eval)",
        "frozen_stages -1: all weights train. BN statistics stay frozen: they are no weights, and those of a few "
        "images a GPU are noise, which is why every recipe of mmdet freezes them",
        "training", ("detection",), ("resnet",), ("full_network",),
    ),
    Switch(
        "regular_lr",
        "COCO, ResNet-50, full-network: Regular has half the learning rate of the others",
        "Regular is the baseline of every comparison, and a smaller rate lowers both its score and its drop (Fig. 5).",
        "mmdetection/configs/mask_rcnn/mask_rcnn_r50_fpn_2x_coco.py, README's link; appendix B",
        "the config that the README links for Regular has lr 0.02, all others 0.04",
        "0.04 for all",
        "budget", ("detection",), ("resnet",), ("full_network",),
    ),
    Switch(
        "start_weights",
        "COCO, Swin-T: starts from another ImageNet training than ADE20K's",
        "Two different backbones are reported as one.",
        "mmdetection/configs/swin/mask_rcnn_swin-t-p4-w7_fpn_fp16_ms-crop-2x_coco.py",
        "COCO from OpenMMLab's own training (mmcls), ADE20K from Microsoft's official file",
        "Microsoft's official file for both",
        "start", ("detection",), ("swin",),
    ),
    # ---- PRIME during transfer (appendix B.2)
    Switch(
        "prime_range",
        "PRIME during transfer gets 0..255 and clamps to [0, 1]",
        "What is called PRIME is a random darkening of each image, x -> (1 - m) x + m u with m and u in [0, 1].",
        "mmdetection/tools/aug_utils/color_jitter.py, rand_filter.py; appendix B.2",
        "primitives clamp images of 0..255 to [0, 1], then they are mixed and normalised",
        "images are divided by 255 before and multiplied after",
        "training", _MM, prime=True,
    ),
    Switch(
        "prime_depth",
        "PRIME during transfer has chains of one primitive",
        "Weaker augmentation than the ImageNet default that the paper says it uses.",
        "mmdetection/tools/aug_utils/prime.py; appendix B.2",
        "mixture_depth 1",
        "mixture_depth -1: one to three primitives, drawn for each image",
        "training", _MM, prime=True,
    ),
    Switch(
        "prime_padding",
        "PRIME during transfer runs after padding",
        "Padding is black in training and the mean colour in testing, and filters reach over the border.",
        "mmdetection/tools/aug_utils/epoch_runner_with_prime.py, iter_runner_with_prime.py",
        "images are padded with 0, augmented and normalised in this order",
        "images are augmented and normalised, then padded with 0, as without PRIME",
        "training", _MM, prime=True,
    ),
    Switch(
        "prime_swin_ade",
        "ADE20K, Swin-T with PRIME never calls PRIME",
        "The model was trained without PRIME, on raw pixels; whether the released file was, its score tells.",
        "mmsegmentation/configs/swin/"
        "upernet_swin_tiny_patch4_window7_512x512_80k_ade20k_pretrain_224x224_1K_prime_while_finetune.py",
        "the ordinary runner on images that are not normalised (mean 0, std 1), in training and testing",
        "PRIME, then ImageNet's normalisation",
        "training", ("segmentation",), ("swin",), prime=True,
    ),
    Switch(
        "prime_test_normalisation",
        "Models trained with PRIME are tested on images that are not normalised",
        "A network that was trained on normalised images sees 0..255: its score means nothing.",
        "mmdetection/configs/_base_/datasets/coco_instance_prime.py, "
        "mmsegmentation/configs/_base_/datasets/ade20k_prime.py",
        "test pipelines with mean 0 and std 1 (the paper's own scores are only plausible without this)",
        "ImageNet's normalisation, as in training",
        "scoring", _MM, prime=True,
    ),
    # ---- Corruption and data
    Switch(
        "channel_order",
        "Images are corrupted as BGR",
        "snow, frost and jpeg_compression differ (2 to 11 grey levels on average); the other twelve do not.",
        "mmdetection/tools/analysis_tools/test_robustness.py",
        "corruptions are applied to the BGR image that OpenCV loads",
        "corruptions are applied to the RGB image that they were made for",
        "data",
    ),
    Switch(
        "cifar_size",
        "CIFAR-10 is corrupted at 32 or at 224 pixels: neither is said, and the code is not released",
        "Corruptions were calibrated for 224 pixels: on 32 pixels the same severity destroys far more.",
        "neither paper nor README",
        "at 32 pixels, before resizing, as COCO and ADE20K images are corrupted at their own size",
        "at 224 pixels, after resizing: at the size that severities were made for",
        "data", ("classification",),
    ),
    Switch(
        "cifar_normalisation",
        "CIFAR-10 is normalised by its own statistics",
        "The pretrained backbone sees contrasts a fifth stronger than in its pretraining.",
        "robust-models-transfer, which the README names for CIFAR-10",
        "CIFAR-10's mean and std (robust-models-transfer's model for CIFAR-10)",
        "the statistics that the backbone was pretrained with",
        "training", ("classification",),
    ),
    Switch(
        "cifar_steps",
        "CIFAR-10's learning rate falls every 30 or every 50 epochs",
        "Four falls instead of two in 150 epochs: the last 30 epochs at a ten-thousandth of the rate.",
        "README; appendix B",
        "every 30 epochs (README)",
        "every 50 epochs (paper)",
        "training", ("classification",),
    ),
    # ---- Decided by a parameter
    Switch(
        "severities",
        "The severity is not in the paper",
        "Drops at severity 1 are about half of those over 1 to 5.",
        "README; section 3.1",
        "1 (README)",
        "1 to 5, ImageNet-C's definition of mPC",
        "data", parameter="severities",
    ),
    Switch(
        "imagenet_c",
        "ImageNet-C: published images or images made on the fly",
        "The published ones are 224 pixel crops, stored as JPEG: the same severity is not the same image.",
        "footnote 2",
        "made with imagecorruptions from the validation images (footnote 2)",
        "the published files",
        "data", ("upstream",), parameter="classifier_images",
    ),
    Switch(
        "test_precision",
        "Swin-T on COCO is tested in half precision, all others in single precision",
        "Last digits of one column of a table.",
        "mmdetection/tools/analysis_tools/test_robustness.py with the fp16 configs",
        "float16 for Swin-T on COCO",
        "float32 for all",
        "scoring", ("detection",), ("swin",), parameter="inference",
    ),
    Switch(
        "swin_schedule",
        "Swin-T is trained for less than in the setting that the paper cites",
        "Lower clean scores than the public Swin-T models.",
        "the Swin-T configs; appendix B",
        "24 epochs on COCO, 80k iterations on ADE20K",
        "as cited: 36 epochs, 160k iterations",
        "budget", _MM, ("swin",), parameter="iterations",
    ),
    Switch(
        "total_batch",
        "The number of GPUs is stated nowhere, only the images on each (COCO 6, Swin 2 or 3; ADE20K 6, Swin 2)",
        "The learning rates belong to an unknown batch.",
        "neither paper nor README; samples_per_gpu in the configs",
        "to be read from the released checkpoints' meta",
        "16 images, for which mmdet's and mmseg's rates are given",
        "budget", _MM, parameter="batch_size",
    ),
)  # fmt: skip
#: Every gap by its id.
SWITCHES: dict[str, Switch] = {switch.id: switch for switch in _TABLE}


@dataclass(frozen=True)
class Switches:
    """One side of every switch.

    Attributes:
        released: the ids that are as_released; all others are corrected, those too that a later version adds.
    """

    released: tuple[str, ...] = ()

    @classmethod
    def of(cls, variant: str, overrides: Mapping[str, str] | None = None) -> Switches:
        """All switches on one side, but for some.

        Args:
            variant: "as_released" or "corrected".
            overrides: id -> "as_released" or "corrected".

        Raises:
            UserError: an unknown variant, switch or side, or a switch that a parameter decides.
        """
        choose(variant, VARIANTS, "variant")
        sides = {name: variant for name, switch in SWITCHES.items() if not switch.parameter}
        for name, side in (overrides or {}).items():
            sides[_switch(name).id] = choose(side, VARIANTS, f"side of the switch {name}")
        return cls(tuple(name for name, side in sides.items() if side == AS_RELEASED))

    def __getitem__(self, name: str) -> str:
        """The side of one switch."""
        return AS_RELEASED if _switch(name).id in self.released else CORRECTED

    def of_transfer(self, *, task: str, family: str, regime: str, prime: bool = False) -> tuple[str, ...]:
        """The released ones that make such a transfer, or its trained model's scores, another: for its key."""
        return tuple(
            name
            for name in self.released
            if SWITCHES[name].stage in ("training", "scoring") and SWITCHES[name].touches(task, family, regime, prime)
        )


def _switch(name: str) -> Switch:
    """A switch that can be turned."""
    parameter = SWITCHES[name].parameter if name in SWITCHES else ""
    if parameter:
        raise UserError(f"{name} is no switch: set the parameter {parameter} instead.")
    return SWITCHES[choose(name, [one.id for one in SWITCHES.values() if not one.parameter], "switch")]
