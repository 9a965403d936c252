"""Intervals over test images, paired differences, rank agreement, and where uncertainty comes from (see README.md)."""

from robnb.statistics.planning import images_for
from robnb.statistics.results import Results

__all__ = ["Results", "images_for"]
