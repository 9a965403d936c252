"""Miniworld: real handwritten digits on real photographs, written in the formats of COCO, ADE20K and ImageNet.

The embedded data set that plays every part of the study where the real ones are too large: see ``make_miniworld``.
"""

from robnb.data.miniworld.make import MiniworldSpec, make_miniworld
from robnb.data.miniworld.manifest import fingerprint, verify

__all__ = ["MiniworldSpec", "fingerprint", "make_miniworld", "verify"]
