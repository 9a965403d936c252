"""mmcv's ops on torchvision's kernels: equal to a brute-force reference, and enough for mmdet and mmseg."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from robnb.errors import UserError
from robnb.models import mmcv_ops

mmcv_ops.install()

from mmcv import ops  # noqa: E402  needs the extension
from mmengine.config import Config  # noqa: E402
from mmengine.structures import InstanceData, PixelData  # noqa: E402

AREA = 60.0


def random_boxes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """n boxes in [0, 60], many of which overlap, and scores on a grid of 0.05, so that ties happen."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, AREA - 25, (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 25, (n, 2))], axis=1)
    return torch.tensor(boxes, dtype=torch.float32), torch.tensor(rng.integers(1, 20, n) / 20, dtype=torch.float32)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def brute_force_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i))
    kept: list[int] = []
    for i in order:
        if all(iou(boxes[i].numpy(), boxes[k].numpy()) <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_nms_keeps_what_brute_force_and_torchvision_keep(seed: int, threshold: float) -> None:
    boxes, scores = random_boxes(60, seed)
    assert len(set(scores.tolist())) < 60, "the case should have ties"
    dets, keep = ops.nms(boxes, scores, threshold)
    assert keep.tolist() == brute_force_nms(boxes, scores, threshold)
    assert keep.tolist() == torchvision.ops.nms(boxes, scores, threshold).tolist()
    assert torch.equal(dets, torch.cat([boxes[keep], scores[keep, None]], dim=1))


def test_nms_score_threshold_and_max_num() -> None:
    boxes, scores = random_boxes(60, 7)
    dets, keep = ops.nms(boxes, scores, 0.5, score_threshold=0.5, max_num=4)
    above = (scores > 0.5).nonzero().squeeze(1)
    expected = [int(above[i]) for i in brute_force_nms(boxes[above], scores[above], 0.5)][:4]
    assert keep.tolist() == expected
    assert dets.shape == (4, 5)


def test_nms_takes_numpy_half_and_nothing() -> None:
    boxes, scores = random_boxes(30, 1)
    _, keep = ops.nms(boxes.numpy(), scores.numpy(), 0.5)
    assert isinstance(keep, np.ndarray)
    assert keep.tolist() == brute_force_nms(boxes, scores, 0.5)
    half = boxes.half()
    assert ops.nms(half, scores.half(), 0.5)[1].tolist() == brute_force_nms(half.float(), scores.half(), 0.5)
    dets, keep = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert keep.shape == (0,)
    assert keep.dtype == torch.int64


@pytest.mark.parametrize("split_thr", [10_000, 10])
def test_batched_nms_suppresses_within_a_class(split_thr: int) -> None:
    boxes, scores = random_boxes(80, 3)
    labels = torch.arange(80) % 3
    dets, keep = ops.batched_nms(boxes, scores, labels, {"type": "nms", "iou_threshold": 0.4, "split_thr": split_thr})
    expected = {
        int(i)
        for label in range(3)
        for i in (labels == label).nonzero().squeeze(1)[brute_force_nms(boxes[label::3], scores[label::3], 0.4)]
    }
    assert set(keep.tolist()) == expected
    assert set(keep.tolist()) == set(torchvision.ops.batched_nms(boxes, scores, labels, 0.4).tolist())
    assert torch.all(dets[:-1, 4] >= dets[1:, 4])
    assert torch.equal(dets[:, :4], boxes[keep])


def test_batched_nms_class_agnostic_ignores_the_class() -> None:
    boxes, scores = random_boxes(80, 3)
    config = {"type": "nms", "iou_threshold": 0.4}
    _, keep = ops.batched_nms(boxes, scores, torch.arange(80) % 3, config, class_agnostic=True)
    assert keep.tolist() == brute_force_nms(boxes, scores, 0.4)


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """(C,) value between pixels; 0 further than one pixel outside, the border's value nearer than that."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(image.shape[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, h = y - top, x - left
    upper = image[:, top, left] * (1 - h) + image[:, top, right] * h
    return upper * (1 - v) + (image[:, bottom, left] * (1 - h) + image[:, bottom, right] * h) * v


def brute_force_roi_align(
    features: np.ndarray, rois: np.ndarray, size: tuple[int, int], scale: float, ratio: int, aligned: bool
) -> np.ndarray:
    out = np.zeros((len(rois), features.shape[1], *size))
    for r, roi in enumerate(rois):
        x1, y1, x2, y2 = roi[1:] * scale - (0.5 if aligned else 0.0)
        h, w = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1.0), max(x2 - x1, 1.0))
        n_y, n_x = (ratio, ratio) if ratio > 0 else (int(np.ceil(h / size[0])), int(np.ceil(w / size[1])))
        for i, j in np.ndindex(*size):
            ys = [y1 + h / size[0] * (i + (a + 0.5) / n_y) for a in range(n_y)]
            xs = [x1 + w / size[1] * (j + (b + 0.5) / n_x) for b in range(n_x)]
            out[r, :, i, j] = np.mean([bilinear(features[int(roi[0])], y, x) for y in ys for x in xs], axis=0)
    return out


def roi_case(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two 3-channel 12 x 15 maps; boxes inside, partly outside, entirely outside and smaller than a pixel."""
    features = torch.randn(2, 3, 12, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    boxes = [[0, 1, 2, 8, 9], [1, -4, -3, 6, 7], [0, 9, 5, 21, 17], [1, 3.2, 4.1, 3.6, 4.9], [0, 30, 30, 40, 40]]
    rois = torch.tensor(boxes, dtype=torch.float64)
    rois[:, 1:] /= scale
    return features, rois


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("scale", [1.0, 0.25, 1 / 32])
def test_roi_align_equals_brute_force_and_torchvision(aligned: bool, ratio: int, scale: float) -> None:
    features, rois = roi_case(scale)
    pooled = ops.roi_align(features, rois, (4, 3), scale, ratio, "avg", aligned)
    expected = brute_force_roi_align(features.numpy(), rois.numpy(), (4, 3), scale, ratio, aligned)
    np.testing.assert_allclose(pooled.numpy(), expected, atol=1e-12)
    assert torch.equal(pooled, torchvision.ops.roi_align(features, rois, (4, 3), scale, ratio, aligned))


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_gradient(aligned: bool, ratio: int) -> None:
    features, rois = roi_case(0.5)
    weight = torch.randn(len(rois), 3, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    (ops.roi_align(ours, rois, (4, 3), 0.5, ratio, "avg", aligned) * weight).sum().backward()
    (torchvision.ops.roi_align(theirs, rois, (4, 3), 0.5, ratio, aligned) * weight).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)
    probe = features.clone().requires_grad_()
    pool = lambda x: ops.roi_align(x, rois, (4, 3), 0.5, ratio, "avg", aligned)  # noqa: E731
    assert torch.autograd.gradcheck(pool, probe, fast_mode=True)


def test_roi_align_of_no_boxes() -> None:
    features = torch.randn(1, 3, 8, 8, requires_grad=True)
    pooled = ops.roi_align(features, torch.zeros(0, 5), (7, 7), 0.25, 0, "avg", True)
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_roi_align_in_half_precision(dtype: torch.dtype) -> None:
    features, rois = roi_case(0.25)
    features = features.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = ops.roi_align(features, rois.to(dtype), (4, 3), 0.25, 2, "avg", True)
    assert pooled.dtype == dtype
    exact = torchvision.ops.roi_align(features.detach().float(), rois.to(dtype).float(), (4, 3), 0.25, 2, True)
    assert torch.equal(pooled, exact.to(dtype))
    pooled.sum().backward()
    assert features.grad.dtype == dtype


def test_what_is_not_served_says_so_by_name() -> None:
    boxes, scores = random_boxes(5, 0)
    with pytest.raises(UserError, match="offset=1 is not available"):
        ops.nms(boxes, scores, 0.5, offset=1)
    features, rois = roi_case(1.0)
    with pytest.raises(UserError, match="max pooling is not available"):
        ops.roi_align(features, rois, 3, 1.0, 0, "max", True)
    with pytest.raises(UserError, match=r"mmcv\._ext\.softnms is not available: .*install a compiled mmcv"):
        ops.soft_nms(boxes, scores)
    with pytest.raises(UserError, match=r"mmcv\._ext\.deform_conv_forward is not available"):
        ops.deform_conv2d(torch.randn(1, 1, 5, 5), torch.zeros(1, 18, 5, 5), torch.ones(1, 1, 3, 3), 1, 1)


def test_install_is_idempotent_and_answers_for_its_spec() -> None:
    from mmengine.model import revert_sync_batchnorm

    before = sys.modules[mmcv_ops.EXTENSION]
    assert mmcv_ops.install() is True
    assert sys.modules[mmcv_ops.EXTENSION] is before
    model = revert_sync_batchnorm(torch.nn.Sequential(torch.nn.SyncBatchNorm(2)))
    assert model(torch.randn(2, 2, 3, 3)).shape == (2, 2, 3, 3)


def run_python(code: str, *path: Path) -> str:
    lines = [f"import sys; sys.path[:0] = {[str(p) for p in (*path, Path(__file__).parents[1])]!r}", code]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def stub_mmcv(folder: Path, extension: str | None) -> None:
    (folder / "mmcv").mkdir()
    (folder / "mmcv" / "__init__.py").touch()
    if extension is not None:
        (folder / "mmcv" / "_ext.py").write_text(extension)


def test_a_compiled_mmcv_is_left_alone(tmp_path: Path) -> None:
    stub_mmcv(tmp_path, "COMPILED = True\n")
    code = "from robnb.models import mmcv_ops as m\nused = m.install()\nimport mmcv._ext as e\nprint(used, e.COMPILED)"
    assert run_python(code, tmp_path) == "False True"


def test_a_compiled_mmcv_that_does_not_load_is_replaced_with_a_warning(tmp_path: Path) -> None:
    stub_mmcv(tmp_path, "raise ImportError('undefined symbol')\n")
    code = """
import warnings
from robnb.models import mmcv_ops
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(mmcv_ops.install(), [str(w.message) for w in caught])
"""
    assert run_python(code, tmp_path).startswith("True [\"mmcv's compiled module does not load (undefined symbol)")


def test_importing_the_module_imports_neither_library() -> None:
    code = (
        "import robnb.models.mmcv_ops\nprint([m for m in sys.modules if m in ('mmcv', 'mmdet', 'mmseg', 'mmengine')])"
    )
    assert run_python(code) == "[]"


def test_without_any_mmcv_the_missing_package_is_named() -> None:
    code = """
class Absent:
    def find_spec(self, name, *_):
        if name == "mmcv":
            raise ModuleNotFoundError("No module named 'mmcv'", name=name)
sys.meta_path.insert(0, Absent())
from robnb.models import mmcv_ops
try:
    mmcv_ops.install()
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_python(code) == "mmcv"


def test_mask_rcnn_trains_and_predicts_from_the_shipped_config() -> None:
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py").model
    config.backbone.update(depth=18, base_channels=16, init_cfg=None, norm_eval=False, frozen_stages=-1)
    config.neck.update(in_channels=[16, 32, 64, 128], out_channels=32)
    config.rpn_head.update(in_channels=32, feat_channels=32)
    for head in (config.roi_head.bbox_roi_extractor, config.roi_head.mask_roi_extractor):
        head.out_channels = 32
    config.roi_head.bbox_head.update(in_channels=32, fc_out_channels=64)
    config.roi_head.mask_head.update(in_channels=32, conv_out_channels=32)
    torch.manual_seed(0)
    model = MODELS.build(config)
    size = (128, 128)
    meta = {"img_shape": size, "ori_shape": size, "pad_shape": size, "scale_factor": (1.0, 1.0)}
    sample = DetDataSample(metainfo=meta)
    masks = np.zeros((2, 128, 128), dtype=np.uint8)
    masks[0, 10:60, 10:70] = masks[1, 70:120, 60:110] = 1
    boxes = torch.tensor([[10.0, 10, 70, 60], [60, 70, 110, 120]])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1, 5]), masks=BitmapMasks(masks, 128, 128))
    images = torch.rand(1, 3, 128, 128)
    losses = model.loss(images, [sample])
    total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if "loss" in k)
    total.backward()
    assert torch.isfinite(total)
    assert float(model.backbone.conv1.weight.grad.abs().sum()) > 0
    assert {"loss_rpn_cls", "loss_bbox", "loss_mask"} <= set(losses)
    with torch.no_grad():
        model.test_cfg.rcnn.score_thr = 0.0
        predicted = model.eval().predict(images, [sample])[0].pred_instances
    assert predicted.bboxes.shape == (100, 4)
    assert predicted.masks.shape == (100, 128, 128)


def test_upernet_trains_and_predicts_from_the_shipped_config() -> None:
    import mmseg
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    folder = Path(mmseg.__file__).parent / ".mim/configs/upernet"
    config = Config.fromfile(folder / "upernet_r50_4xb4-80k_ade20k-512x512.py").model
    config.update(pretrained=None)
    config.data_preprocessor.size = (64, 64)
    config.backbone.update(type="ResNet", depth=18, base_channels=16, norm_cfg={"type": "BN"})
    config.decode_head.update(in_channels=[16, 32, 64, 128], channels=32, norm_cfg={"type": "BN"})
    config.auxiliary_head.update(in_channels=64, channels=16, norm_cfg={"type": "BN"})
    torch.manual_seed(0)
    model = MODELS.build(config)
    labels = torch.randint(0, 150, (2, 1, 64, 64))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label), metainfo={"ori_shape": (64, 64)}) for label in labels]
    images = torch.rand(2, 3, 64, 64)
    losses = model.loss(images, samples)
    total = losses["decode.loss_ce"] + losses["aux.loss_ce"]
    total.backward()
    assert torch.isfinite(total)
    assert float(model.backbone.conv1.weight.grad.abs().sum()) > 0
    with torch.no_grad():
        predicted = model.eval().predict(images)
    assert predicted[0].pred_sem_seg.data.shape == (1, 64, 64)
