"""mmdet and mmsegmentation without a compiler: the compiled ops they need, served by torchvision.

mmdet 3.3.0 and mmsegmentation 1.2.2 import ``mmcv.ops``, which wants mmcv's compiled module ``mmcv._ext``. The
mmcv-lite package has none, and mmcv 2.1.0 does not compile against a current torch. Mask R-CNN and UperNet
call three functions of it (``nms``, ``roi_align_forward``, ``roi_align_backward``), and torchvision ships those
kernels for CPU and CUDA. ``install`` registers them under that name. A compiled mmcv is never replaced.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision

from robnb.errors import UserError

EXTENSION = "mmcv._ext"
#: mmcv's code for average pooling in RoIAlign (0 is max).
AVERAGE_POOLING = 1
REMEDY = (
    "robnb runs mmcv-lite on torchvision's kernels, which cover Mask R-CNN and UperNet; "
    "install a compiled mmcv (2.0.0 to 2.1.0) for everything else."
)


class TorchvisionExtension(ModuleType):
    """A stand-in for ``mmcv._ext``. Every op exists, as mmcv's import demands; those not served raise when called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

        def missing(*_args: object, **_kwargs: object) -> NoReturn:
            raise UserError(f"the compiled op mmcv._ext.{name} is not available: {REMEDY}")

        missing.__name__ = name
        return missing


def install() -> bool:
    """Make ``import mmdet, mmseg`` work without a compiled mmcv. Call it before importing anything of either.

    May be called any number of times.

    Returns:
        True if torchvision's kernels serve mmcv, False if a compiled mmcv does.

    Raises:
        ModuleNotFoundError: there is no mmcv at all.
    """
    try:
        return isinstance(importlib.import_module(EXTENSION), TorchvisionExtension)
    except ModuleNotFoundError as error:
        if error.name != EXTENSION:
            raise
    except ImportError as error:
        warnings.warn(f"mmcv's compiled module does not load ({error}); torchvision's kernels serve it.", stacklevel=2)
    sys.modules[EXTENSION] = _extension()
    return True


def _extension() -> TorchvisionExtension:
    module = TorchvisionExtension(EXTENSION, __doc__)
    # pkgutil.find_loader (mmengine's revert_sync_batchnorm) raises on a module without a spec. A spec without
    # a loader answers, truly, that mmcv was not compiled.
    module.__spec__ = ModuleSpec(EXTENSION, loader=None, origin=__file__)
    module.nms = nms
    module.roi_align_forward = roi_align_forward
    module.roi_align_backward = roi_align_backward
    module.get_compiler_version = lambda: "none (torchvision's kernels)"
    module.get_compiling_cuda_version = lambda: "none (torchvision's kernels)"
    return module


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int = 0) -> torch.Tensor:
    """Greedy non-maximum suppression, with the signature of ``mmcv._ext.nms``.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels, any floating dtype.
        scores: (N,).
        iou_threshold: a box goes when its IoU with a kept box of higher score exceeds this.
        offset: 0. (1, where a box's width is x2 - x1 + 1, is not available.)

    Returns:
        (K,) int64 indices of the kept boxes, by falling score; equal scores keep their order.

    Raises:
        UserError: offset is not 0.
    """
    if offset != 0:
        raise UserError(f"nms with offset={offset} is not available, only offset=0: {REMEDY}")
    dtype = _computing_dtype(boxes, scores)
    return torch.ops.torchvision.nms(boxes.to(dtype), scores.to(dtype), iou_threshold)


def roi_align_forward(
    features: torch.Tensor,
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign, with the signature of ``mmcv._ext.roi_align_forward``: fills ``output``.

    Args:
        features: (N, C, H, W), any floating dtype.
        rois: (R, 5) image index in the batch, then x1, y1, x2, y2 in image pixels.
        output: (R, C, aligned_height, aligned_width), filled in its own dtype.
        argmax_y: for max pooling; left as it is.
        argmax_x: for max pooling; left as it is.
        spatial_scale: features per image pixel.
        sampling_ratio: samples per bin and axis; 0 takes as many as the bin is wide.
        pool_mode: 1, average.
        aligned: shift by half a pixel, so that a pixel's centre is where it is.

    Raises:
        UserError: pool_mode asks for max pooling.
    """
    _refuse_max_pooling(pool_mode)
    dtype = _computing_dtype(features, rois)
    pooled = torch.ops.torchvision.roi_align(
        features.to(dtype), rois.to(dtype), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: torch.Tensor,
    rois: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of RoIAlign, with the signature of ``mmcv._ext.roi_align_backward``: fills ``grad_input``.

    Arguments as in ``roi_align_forward``; ``grad_output`` has the shape of its output and ``grad_input``
    that of its features.

    Raises:
        UserError: pool_mode asks for max pooling.
    """
    _refuse_max_pooling(pool_mode)
    dtype = _computing_dtype(grad_output, rois)
    grad = torch.ops.torchvision._roi_align_backward(
        grad_output.to(dtype),
        rois.to(dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(grad)


def _computing_dtype(*tensors: torch.Tensor) -> torch.dtype:
    """float32 or wider: torchvision's CPU kernels know neither float16 nor bfloat16, and want equal dtypes."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _refuse_max_pooling(pool_mode: int) -> None:
    if pool_mode != AVERAGE_POOLING:
        raise UserError(f"RoIAlign with max pooling is not available, only average pooling: {REMEDY}")
