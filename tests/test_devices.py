"""The corruptions on a GPU, as far as that shows without one: nothing mixes devices, types or shapes.

torch's fake tensors carry a device and no data; an operation on a GPU's and the CPU's tensors together raises as it
would on a real GPU. That the pixels are right is tested with the same functions on the CPU (test_corruptions.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from robnb.corruptions.engine import FAST
from robnb.corruptions.kernels import torch_only

SIZE = (60, 70)
#: Draws that stay on the CPU wherever the images are: directions and places, which Python loops over.
ON_CPU = {"motion_blur", "frost"}
SCALARS_ON_CPU = {"snow"}


def on_gpu(draw: Any) -> Any:
    if isinstance(draw, tuple):  # snow: flakes, directions
        return type(draw)(on_gpu(draw[0]), *draw[1:])
    return torch.empty(draw.shape, dtype=draw.dtype, device="cuda")


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", FAST)
def test_everything_stays_on_the_images_device(name: str, severity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, draw = FAST[name]
    keys = torch.from_numpy(np.random.default_rng(0).integers(0, 2**32, (2, 4)))
    drawn = draw(keys, SIZE, severity) if draw else None
    with torch_only():  # once with real tensors, because tables are kept, and fake ones must not be
        apply(torch.zeros((2, *SIZE, 3), dtype=torch.uint8), drawn, severity)
    monkeypatch.setattr(torch, "equal", lambda first, second: True)  # ends glass_blur's loop, which looks at values
    with FakeTensorMode(allow_non_fake_inputs=True):
        if drawn is not None and name not in ON_CPU | SCALARS_ON_CPU:
            fake = draw(torch.empty(keys.shape, dtype=keys.dtype, device="cuda"), SIZE, severity)
            assert (fake.device.type, fake.dtype, fake.shape) == ("cuda", drawn.dtype, drawn.shape)
        images = torch.empty((2, *SIZE, 3), dtype=torch.uint8, device="cuda")
        given = drawn if drawn is None or name in ON_CPU else on_gpu(drawn)
        if name == "spatter" and severity < 4:  # its drops are found by OpenCV, from numbers that there are none of
            with pytest.raises(RuntimeError, match="numpy"):
                apply(images, given, severity)
            return
        out = apply(images, given, severity)
    assert (out.device.type, out.dtype, out.shape) == ("cuda", torch.uint8, images.shape)


def test_a_mixture_of_devices_would_be_found() -> None:
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        torch.ones(3, device="cuda") + torch.ones(3)
