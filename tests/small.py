"""A small miniworld and a study on it, for the tests that train and score."""

from pathlib import Path
from typing import Any

from robnb.study import Study

COUNTS = {
    "upstream_train": 60, "upstream_val": 20, "detection_train": 12, "detection_val": 6, "segmentation_train": 12,
    "segmentation_val": 6, "classification_train": 40, "classification_val": 20,
}  # fmt: skip


def budgets(iterations: int = 4, batch_size: int = 4, resnet: float = 0.01, swin: float = 0.001) -> dict:
    """Settings of both families."""
    return {
        "resnet": {"iterations": iterations, "batch_size": batch_size, "lr": resnet},
        "swin": {"iterations": iterations, "batch_size": batch_size, "lr": swin},
    }


def study(outputs: Path, **changes: Any) -> Study:
    """A study of nano backbones that takes seconds."""
    parameters: dict[str, Any] = {
        "notebook": "test", "profile": "smoke", "outputs": str(outputs), "data": "miniworld", "data_root": "",
        "miniworld": COUNTS, "backbones": ["resnet_nano.regular"], "corruptions": ["gaussian_noise", "fog"],
        "severities": [1], "engine": "fast", "test_images": None, "seed": 0, "workers": 0,
        "scales": {
            "upstream": [64, 64], "detection": [160, 128], "segmentation": [160, 128], "classification": [64, 64],
        },
        "upstream": budgets(), "detection": budgets(), "segmentation": budgets(), "classification": budgets(),
    }  # fmt: skip
    return Study(**{**parameters, **changes})
