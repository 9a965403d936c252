"""The corruptions of ImageNet-C: 15 in the benchmark and 4 held out, each at five severities.

Corruption acts on the uint8 RGB image at its original size, before any resize. The pixels are a function of the
image and the key (seed, image_id, corruption, severity, replicate) and of nothing else: not of the order of
calls, the batch, the worker or the shard.
"""

from robnb.corruptions.conditions import BENCHMARK, Condition, conditions
from robnb.corruptions.engine import ENGINES, MIN_SIDE, VERSION, corrupt, corrupt_batch

__all__ = ["BENCHMARK", "ENGINES", "MIN_SIDE", "VERSION", "Condition", "conditions", "corrupt", "corrupt_batch"]
