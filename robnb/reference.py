"""The numbers of the paper, with where they stand.

Yamada & Otani, "Does Robustness on ImageNet Transfer to Downstream Tasks?", CVPR 2022 (arXiv:2204.03934). Only
what is printed as a number is here; figures 2 to 6 print none.
"""

from __future__ import annotations

import pandas as pd

TITLE = "Yamada & Otani, CVPR 2022"

#: Drop in percent per category (tables 1 and 2, section 3). Columns: noise, blur, digital, weather.
_FIXED_FEATURE_DROPS = {
    ("Table 1", "detection", "box_AP"): {
        "Regular": (36.09, 44.00, 21.17, 17.59),
        "ANT": (21.90, 39.25, 17.70, 16.22),
        "DeepAug+": (16.39, 29.25, 15.49, 11.27),
        "Swin-T": (18.01, 38.18, 17.90, 10.12),
    },
    ("Table 2", "segmentation", "mIoU"): {
        "Regular": (48.98, 29.42, 17.01, 25.68),
        "ANT": (17.78, 23.41, 12.99, 25.62),
        "DeepAug+": (20.07, 19.47, 13.01, 19.12),
        "Swin-T": (13.57, 23.50, 16.42, 14.28),
    },
}
_PRINTED_ORDER = ("noise", "blur", "digital", "weather")


def fixed_feature_drops() -> pd.DataFrame:
    """Tables 1 and 2: columns table, section, task, metric, model, category, drop (percent)."""
    rows = [
        (table, "Sec. 3", task, metric, model, category, drop)
        for (table, task, metric), models in _FIXED_FEATURE_DROPS.items()
        for model, drops in models.items()
        for category, drop in zip(_PRINTED_ORDER, drops, strict=True)
    ]
    return pd.DataFrame(rows, columns=["table", "section", "task", "metric", "model", "category", "drop"])


def prime_during_transfer() -> pd.DataFrame:
    """Tables 4 and 5 (appendix B): PRIME weights without and with PRIME during transfer; percent."""
    rows = [
        ("Table 4", "detection", "box_AP", "PRIME", 36.42, 28.30, 22.29),
        ("Table 4", "detection", "box_AP", "PR-PRIME", 31.47, 24.80, 21.21),
        ("Table 5", "segmentation", "mIoU", "PRIME", 40.64, 28.56, 29.73),
        ("Table 5", "segmentation", "mIoU", "PR-PRIME", 40.91, 30.56, 25.31),
    ]
    return pd.DataFrame(rows, columns=["table", "task", "metric", "model", "P", "mPC", "drop"])


def model_sizes() -> pd.DataFrame:
    """Table 3: the Swin models that are compared by size; ``backbone`` and ``weights`` are what we call them."""
    rows = [
        ("Tiny", 29, "ImageNet-1k", 224, 7, "swin_tiny", "in1k"),
        ("Small", 50, "ImageNet-1k", 224, 7, "swin_small", "in1k"),
        ('Base"', 88, "ImageNet-22k", 224, 7, "swin_base", "in22k"),
        ("Base'", 88, "ImageNet-22k", 384, 12, "swin_base_w12", "in22k"),
        ("Base", 88, "ImageNet-1k", 224, 7, "swin_base", "in1k"),
    ]
    columns = ["model", "million_parameters", "pretrained_on", "image_size", "window", "backbone", "weights"]
    return pd.DataFrame(rows, columns=columns)
