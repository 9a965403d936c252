"""Data sets: readers that give ``Sample``s, and miniworld, the embedded data set."""

from robnb.data.ade import AdeImages
from robnb.data.cifar import CifarBatches
from robnb.data.coco import CocoImages
from robnb.data.folders import ClassFolders
from robnb.data.miniworld import MiniworldSpec, fingerprint, make_miniworld
from robnb.data.prepared import Prepared
from robnb.data.sample import IGNORE, Instances, Sample

__all__ = [
    "IGNORE",
    "AdeImages",
    "CifarBatches",
    "ClassFolders",
    "CocoImages",
    "Instances",
    "MiniworldSpec",
    "Prepared",
    "Sample",
    "fingerprint",
    "make_miniworld",
]
