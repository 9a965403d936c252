"""Recipes: how a backbone is transferred, as data. Nothing here imports mmdet, mmseg or torch.

budget      how long and how fast
switches    every known gap between the paper's text and its released code, and what each side of it does
optimization  optimizers and schedules, as sections of an mmengine config
transfer    the recipes: "short" for what is trained here on small data, "paper" for what the authors did
"""

from robnb.recipes.switches import SWITCHES, Switches

__all__ = ["SWITCHES", "Switches"]
