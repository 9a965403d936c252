"""What an asset is: one published thing, where it is from, and how one sees that it is whole."""

from __future__ import annotations

from dataclasses import dataclass

#: Normalisation of everything in the catalogue: RGB in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class File:
    """One download.

    Attributes:
        url: where it is published.
        mirrors: tried in turn after ``url``.
        path: its place below the asset's root.
        bytes: its size as published; None if nobody states it.
        hash: ``sha256:<64 hex>``, ``sha256-8:<first 8 hex>`` (torchvision and OpenMMLab put them into file names),
            ``md5:<32 hex>``, ``sha1:<40 hex>``; None if nothing is published, then the first download is trusted.
        unpack: the folder below the asset's root that an archive is unpacked into; "" for what is used as it is.
        unpacked: what must be there below the asset's root afterwards.
    """

    url: str
    mirrors: tuple[str, ...] = ()
    path: str
    bytes: int | None = None
    hash: str | None = None
    unpack: str = ""
    unpacked: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses, in the order in which they are tried."""
        return (self.url, *self.mirrors)


@dataclass(frozen=True)
class Score:
    """A published score on clean images: a metric of `robnb.names.METRICS`, percent, and who states it."""

    metric: str
    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One published thing.

    Attributes:
        name: what it is called in params and commands.
        title: what a person calls it.
        licence: as its publisher states it, or that none is stated.
        citation: the publication to cite.
        source: the page that it is published on.
        files: what is downloaded; empty for what needs a registration.
        paths: files or folders that have to be there, below the asset's root.
        counts: how many files or folders a pattern below the root matches when the asset is whole.
        root: the key of `robnb.assets.Roots` of the folder that it lies in.
        scores: published on clean images.
        manual: how to get what cannot be downloaded without a registration; ``{folder}`` stands for its root.
        note: what is not certain about this entry.
    """

    name: str
    title: str
    licence: str
    citation: str
    source: str
    files: tuple[File, ...]
    paths: tuple[str, ...]
    counts: tuple[tuple[str, int], ...] = ()
    root: str
    scores: tuple[Score, ...] = ()
    manual: str = ""
    note: str = ""

    @property
    def kind(self) -> str:
        """``backbone``, ``trained`` or ``data``."""
        return {Backbone: "backbone", Trained: "trained", DataSet: "data"}[type(self)]

    @property
    def score(self) -> Score | None:
        """The first of the published scores, if there is one."""
        return self.scores[0] if self.scores else None

    @property
    def bytes(self) -> int | None:
        """The size of all downloads together; None if that of one is not known."""
        sizes = [file.bytes for file in self.files]
        return None if not sizes or None in sizes else sum(sizes)


@dataclass(frozen=True, kw_only=True)
class Backbone(Asset):
    """Weights of an ImageNet classifier.

    Attributes:
        architecture: the part of the name before its first dot.
        container: the key of the checkpoint that holds the tensors; "" if the file is the tensors alone.
        prefix: what stands before each tensor's usual name in the published file.
        image_size: side of the images it was scored on, in pixels.
        resize: shorter side that images are resized to before the crop of ``image_size``.
        interpolation: of that resize, ``bilinear`` or ``bicubic``.
        mean, std: normalisation of RGB in [0, 1].
        classifier: the name of the backbone whose head is scored on ImageNet-1k in its place, usually its own;
            "" if there is none.
    """

    architecture: str
    container: str
    prefix: str
    image_size: int
    resize: int
    interpolation: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    classifier: str


@dataclass(frozen=True, kw_only=True)
class Trained(Asset):
    """A detector or segmentor that others trained.

    Attributes:
        number: 1 to 24 for the paper's, in the order of its README; None for others.
        task, regime: as in `robnb.names`.
        backbone: the backbone of the catalogue that it started from.
        arm: ``PRIME`` where images were to be augmented with PRIME while fine-tuning, otherwise "".
        model: ``mask_rcnn``, ``cascade_mask_rcnn`` or ``upernet``.
        config: the authors' file in the repository of ``source``; ``mmdet::`` and ``mmseg::`` are those libraries'.
        container, prefix: as of a `Backbone`.
    """

    number: int | None = None
    task: str
    regime: str
    backbone: str
    arm: str = ""
    model: str
    config: str
    container: str
    prefix: str


@dataclass(frozen=True, kw_only=True)
class DataSet(Asset):
    """A data set.

    Attributes:
        tasks: what it serves, as in `robnb.names.TASKS`.
        splits: ``train`` and ``test``, or ``test`` alone.
        copies_of: for published corrupted copies, the data set that they are copies of; otherwise "".
    """

    tasks: tuple[str, ...]
    splits: tuple[str, ...]
    copies_of: str = ""
