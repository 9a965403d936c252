"""Corrupted copies of a data set on disk (COCO-C, ADE20K-C, ...), which anybody can make again and verify.

    <copy>/manifest.json                            how it was made, a hash per condition and one over all
    <copy>/source.json                              a hash of every source image and annotation file
    <copy>/<corruption>/<severity>/                 a complete data set in the layout of the source
    <copy>/<corruption>/<severity>/manifest.json    a hash of every image's pixels

Hashes of images are over decoded pixels: the bytes of a PNG depend on who compressed it, its pixels do not.
Manifests hold no times and no paths of a machine, so the manifests of equal copies are equal files.
"""

from robnb.copies.files import FileFormat
from robnb.copies.record import Settings
from robnb.copies.source import Source, open_source
from robnb.copies.verify import Findings, verify_copies
from robnb.copies.write import Written, write_copies

__all__ = ["FileFormat", "Findings", "Settings", "Source", "Written", "open_source", "verify_copies", "write_copies"]
