"""What of a study is published: which assets it needs, and the models that others trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from robnb import assets
from robnb.assets import Asset, DataSet, Trained
from robnb.assets.hashes import sha256
from robnb.augment import recipe_named
from robnb.data.sources import TaskData
from robnb.errors import UserError
from robnb.evaluation.trained import TrainedModel
from robnb.models import timm_nets
from robnb.models.architectures import BackboneName, architecture_named
from robnb.models.backbones import MEAN, STD
from robnb.models.classifier import Classifier, load_published
from robnb.models.released import build_released, load_released
from robnb.names import PRETRAINED, choose
from robnb.recipes.switches import Switches
from robnb.recipes.transfer import Normalisation, model_options, start_weights
from robnb.settings import Settings
from robnb.tables import ARM

#: Groups of published transferred models, as the parameter ``trained`` may name them.
AUTHORS, PUBLIC = "authors", "public"
#: What a model is called that was transferred with PRIME's images mixed in.
PRIME_ARM = "PRIME in transfer"
#: And a published detector that is not the Mask R-CNN of all others.
CASCADE = "Cascade"


class Start(NamedTuple):
    """The weights that a transfer starts from; ``normalisation`` is what they were trained with."""

    path: Path
    key: str
    normalisation: Normalisation


def needed_assets(settings: Settings) -> tuple[Asset, ...]:
    """Every published thing that a study reads; nothing in miniworld.

    Raises:
        UserError: an unknown name among backbones or trained models.
    """
    if settings.data != "paper":
        return ()
    found: list[Asset] = []
    for name in settings.backbones:
        if settings.made_here(name):
            parent = parent_of(name)
            found += [assets.backbone(parent)] if parent else []
        elif BackboneName.parse(name).file is None:
            found += _backbone_assets(name, settings.budgets, settings.protocol)
    found += [model for model in trained_assets(settings.trained) if model.task in settings.budgets]
    for task in settings.budgets:
        found.append(assets.data_of_task(task))
        if settings.classifier_images == "published":
            found += _copies_of(found[-1], {condition.corruption for condition in settings.conditions})
    return tuple(dict.fromkeys(found))


def _copies_of(data: DataSet, corruptions: set[str]) -> Iterator[DataSet]:
    """The published corrupted copies of a data set that have some of these corruptions."""
    for asset in assets.catalogue().values():
        is_copy = isinstance(asset, DataSet) and asset.copies_of == data.name
        if is_copy and corruptions & {Path(path).stem for path in asset.paths}:
            yield asset


def _backbone_assets(name: str, tasks: Iterable[str], switches: Switches) -> Iterator[Asset]:
    for task in tasks:
        if task == "upstream":
            yield assets.backbone(_classifier_of(name))
        else:
            yield assets.backbone(start_weights(name, task, switches))


def parent_of(name: str) -> str | None:
    """The published weights that a recipe begins with, which makes ``architecture.recipe`` of ImageNet's images.

    None where it begins with random weights, or where nobody publishes Regular's of this architecture.
    """
    backbone = BackboneName.parse(name)
    recipe, architecture = recipe_named(backbone.weights), architecture_named(backbone.architecture)
    plain = [recipe.parent, "in1k", *([timm_nets.tag(architecture.name)] if architecture.library == "timm" else [])]
    known = (f"{architecture.name}.{weights}" for weights in plain)
    return next(filter(assets.has_backbone, known), None) if recipe.parent else None


def _classifier_of(name: str) -> str:
    classifier = assets.backbone(name).classifier
    if not classifier:
        raise UserError(f"{name} has no classifier for ImageNet's 1,000 classes: leave the upstream task out.")
    return classifier


def trained_assets(names: Iterable[str]) -> list[Trained]:
    """The published transferred models of these names or groups ("authors", "public"), each once.

    Raises:
        UserError: an unknown name.
    """
    known = {model.name: model for model in assets.trained()}
    groups = {
        AUTHORS: [model for model in known.values() if model.number is not None],
        PUBLIC: [model for model in known.values() if model.number is None],
    }
    found: list[Trained] = []
    for name in names:
        choose(name, [*groups, *known], "published model")
        found += groups.get(name) or [known[name]]
    return list(dict.fromkeys(found))


def paper_name(model: Trained) -> BackboneName:
    """The backbone of a trained model as the paper calls it: its two Swin-T files are one to it."""
    return BackboneName.parse(model.backbone.replace("in1k_openmmlab", "in1k"))


@lru_cache(maxsize=64)
def _hash(path: Path, size: int, modified: int) -> str:
    """The first 16 digits of a file's sha256; its size and time stand for its content within one process."""
    return sha256(path)[:16]


def file_key(path: Path) -> str:
    """Identifies a weight file by its content.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}: put the file there or correct its path.")
    about = path.stat()
    return _hash(path, about.st_size, about.st_mtime_ns)


def normalisation_of(name: str) -> Normalisation:
    """Mean and standard deviation, 0..255, that a backbone was trained with; ImageNet's for a reader's own file."""
    if BackboneName.parse(name).file is not None:
        return MEAN, STD
    asset = assets.backbone(name)
    return tuple(round(255 * value, 6) for value in asset.mean), tuple(round(255 * value, 6) for value in asset.std)


@dataclass(frozen=True)
class Shelf:
    """Published models as the sweep and the transfer know them, in one study.

    Attributes:
        places: where the files are.
        protocol: the sides of the paper's gaps that the study takes.
        trained: published transferred models that are to be used.
        seed: that the models go under.
        key_of: gives the key of a file.
    """

    places: assets.Roots
    protocol: Switches
    trained: tuple[Trained, ...]
    seed: int
    key_of: Callable[[Path], str] = file_key

    def path(self, name: str) -> Path:
        """Where the weights of ``architecture.weights`` or ``architecture@file`` lie."""
        parsed = BackboneName.parse(name)
        if parsed.file is not None:
            return parsed.file
        asset = assets.backbone(name)
        return self.places.path(asset, asset.paths[0])

    def start(self, name: str, task: str) -> Start:
        """The weights that a backbone's transfer to a task starts from."""
        start = name if BackboneName.parse(name).file is not None else start_weights(name, task, self.protocol)
        path = self.path(start)
        return Start(path, self.key_of(path), normalisation_of(start))

    def classifier(self, name: str, data: TaskData, scale: tuple[int, int]) -> TrainedModel:
        """The ImageNet classifier of a backbone, or of its fine-tuned sister where it has none of its own.

        Args:
            scale: (short side, side of the square) that images are brought to, for a reader's own file; a published
                model has its own. Images that are crops already are scored as they are.
        """
        parsed, source, interpolation = BackboneName.parse(name), name, "bilinear"
        if parsed.file is None:
            source = _classifier_of(name)
            asset = assets.backbone(source)
            scale, interpolation = (asset.resize, asset.image_size), asset.interpolation
        if data.prepare is not None:
            scale = (scale[1], scale[1])
        path, (mean, std) = self.path(source), normalisation_of(source)
        build = partial(Classifier, architecture_named(parsed.architecture), len(data.classes), mean=mean, std=std)
        return TrainedModel(
            parsed,
            "upstream",
            PRETRAINED,
            self.key_of(path),
            self.seed,
            scale,
            path,
            build,
            load_published,
            interpolation,
        )

    def clean_scores(self, names: Iterable[str]) -> dict[str, float]:
        """The published top-1 accuracy, in percent, of the classifier of each backbone that has one, by its name."""
        found = {}
        for name in names:
            if BackboneName.parse(name).file is None:
                score = assets.backbone(_classifier_of(name)).score
                found |= {name: score.value} if score else {}
        return found

    def released(self, asset: Trained, data: TaskData, scale: tuple[int, int]) -> TrainedModel:
        """A published detector or segmentor.

        The authors' models are called by the paper's name of their backbone, whichever file of it they started from.
        """
        name = paper_name(asset)
        architecture, prime = architecture_named(name.architecture), bool(asset.arm)
        arms = [PRIME_ARM] * prime + [CASCADE] * (asset.model == "cascade_mask_rcnn")
        named = replace(name, weights=ARM.join([name.weights, *arms]))
        transfer = {"task": asset.task, "family": architecture.family, "regime": asset.regime, "prime": prime}
        options = model_options(
            "paper", released=self.protocol.of_transfer(**transfer), backbone=str(name), **transfer
        ).preprocessor
        path = self.places.path(asset, asset.paths[0])
        build, key = partial(build_released, asset.model, architecture, len(data.classes)), self.key_of(path)
        if "mean" in options:  # scored with another normalisation, it is another model
            build = partial(build, normalisation=(tuple(options["mean"]), tuple(options["std"])))
            key += f", mean {options['mean']}, std {options['std']}"
        return TrainedModel(named, asset.task, asset.regime, key, self.seed, scale, path, build, load_released)

    def same_transfer(self, backbone: str, regime: str, task: str, prime: bool) -> Trained | None:
        """The one published model that a transfer would make again, if there is one.

        Raises:
            UserError: several are.
        """
        wanted = (start_weights(backbone, task, self.protocol), regime, task, prime)
        found = [a for a in self.trained if (a.backbone, a.regime, a.task, bool(a.arm)) == wanted]
        if len(found) > 1:
            names = ", ".join(asset.name for asset in found)
            raise UserError(f"several models in trained are {backbone} ({task}, {regime}): name only one of {names}.")
        return found[0] if found else None


def check_told_apart(models: Iterable[TrainedModel]) -> None:
    """Raises a UserError if two different published models would be called the same in a table."""
    called: dict[tuple, TrainedModel] = {}
    for model in models:
        other = called.setdefault((model.backbone, model.task, model.regime), model)
        if other.path != model.path:
            raise UserError(
                f"{other.path.name} and {model.path.name} are both {model.backbone} ({model.task}, {model.regime}): "
                "name one of them in trained."
            )
