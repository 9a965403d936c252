"""Upstream training: a backbone learns to classify, by one of the recipes in `robnb.augment`."""

from __future__ import annotations

from robnb.pretrain.spec import NetworkSpec, PretrainSpec
from robnb.pretrain.train import has_unused_parameters, pretrain

__all__ = ["NetworkSpec", "PretrainSpec", "has_unused_parameters", "pretrain"]
