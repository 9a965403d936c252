"""The catalogue: catalogue.yaml as assets, and the look-up of names in it.

A name that is not in it is looked up among timm's pretrained models.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

from robnb.assets.kinds import Asset, Backbone, DataSet, File, Score, Trained
from robnb.assets.timm_registry import similar_names, timm_backbone
from robnb.errors import UserError

Kind = TypeVar("Kind", bound=Asset)


@cache
def catalogue() -> MappingProxyType[str, Asset]:
    """Every asset by its name, in the order of the file: backbones, trained models, data sets."""
    text = files("robnb.assets").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return MappingProxyType(read_catalogue(yaml.safe_load(text)))


def read_catalogue(entries: dict[str, Any]) -> dict[str, Asset]:
    """Assets of a catalogue in the form of catalogue.yaml: groups, backbones, trained, data."""
    groups = entries.get("groups", {})
    assets: dict[str, Asset] = {}
    for section, build in (("backbones", _backbone), ("trained", _trained), ("data", _data_set)):
        for name, entry in entries.get(section, {}).items():
            fields = {**groups.get(entry.get("like"), {}), **entry}
            fields.pop("like", None)
            assets[name] = build(name, fields)
    return assets


def asset(name: str) -> Asset:
    """The asset of this name, or timm's model of this name.

    Raises:
        UserError: there is none; names those that are near.
    """
    return catalogue()[name] if name in catalogue() else backbone(name)


def backbone(name: str) -> Backbone:
    """A backbone of the catalogue, or any other pretrained model of timm by timm's own name.

    Raises:
        UserError: neither has it; names those that are near.
    """
    found = catalogue().get(name)
    if isinstance(found, Backbone):
        return found
    if found is not None:
        raise UserError(f"{name!r} is no backbone but {found.title}; name a backbone (`robnb fetch --list` has them).")
    made = timm_backbone(name)
    if made is not None:
        return made
    inside = [known for known in catalogue() if name.lower() in known]
    near = [*difflib.get_close_matches(name, list(catalogue()), n=3), *inside[:3], *similar_names(name)]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
    raise UserError(f"unknown asset {name!r}: {hint}Choose from `robnb fetch --list`, or a pretrained model of timm.")


def has_backbone(name: str) -> bool:
    """Whether the catalogue or timm publishes the weights of ``architecture.weights``."""
    return isinstance(catalogue().get(name), Backbone) or timm_backbone(name) is not None


def trained() -> list[Trained]:
    """Every trained detector and segmentor: the paper's 24 first, in their order."""
    return [found for found in catalogue().values() if isinstance(found, Trained)]


def data_set(name: str) -> DataSet:
    """A data set by its name.

    Raises:
        UserError: there is none; lists them.
    """
    known = {found.name: found for found in catalogue().values() if isinstance(found, DataSet)}
    return _of(known, name, "data set")


def data_of_task(task: str) -> DataSet:
    """The data set that the paper uses for a task: upstream, detection, segmentation or classification.

    Raises:
        UserError: there is none; lists the tasks.
    """
    found = (known for known in catalogue().values() if isinstance(known, DataSet) and not known.copies_of)
    return _of({served: known for known in found for served in known.tasks}, task, "task with a data set")


def _of(known: dict[str, Kind], name: str, what: str) -> Kind:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"unknown {what} {name!r}: {hint}Choose from {', '.join(known)}.")


def _backbone(name: str, fields: dict[str, Any]) -> Backbone:
    return Backbone(
        architecture=name.partition(".")[0],
        classifier=fields.pop("classifier", name),
        **_weights(name, fields),
    )


def _trained(name: str, fields: dict[str, Any]) -> Trained:
    if "title" not in fields:
        arm = f", {fields['arm']} while fine-tuning" if fields.get("arm") else ""
        of_task = f"{fields['task']}, {fields['regime']}, from {fields['backbone']}{arm}"
        fields["title"] = f"the paper's model {fields['number']}: {of_task}"
    return Trained(**_weights(name, fields))


def _weights(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an asset that is one file below weights/."""
    path, base, query = fields.pop("file"), fields.pop("base", ""), fields.pop("query", "")
    file = File(
        url=fields.pop("url", f"{base}{path}{query}"),
        path=path,
        bytes=fields.pop("bytes", None),
        hash=fields.pop("hash", None),
        mirrors=tuple(fields.pop("mirrors", ())),
    )
    return {**_common(name, fields), "files": (file,), "paths": (path,), "root": "weights"}


def _data_set(name: str, fields: dict[str, Any]) -> DataSet:
    counts = dict(fields.pop("counts", {}))
    each = fields.pop("each", {})
    counts |= {f"{path}/{below}/*": count for path in fields["paths"] for below, count in each.items()}
    made = tuple(
        File(path=PurePosixPath(urlsplit(file["url"]).path).name, **{key: _frozen(file[key]) for key in file})
        for file in fields.pop("files", ())
    )
    return DataSet(files=made, counts=tuple(counts.items()), **_common(name, fields))


def _common(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    source = fields.pop("score_source", "")
    scores = fields.pop("scores", {})
    rest = {key: _frozen(value) for key, value in fields.items()}
    return {"name": name, "scores": tuple(Score(metric, scores[metric], source) for metric in scores), **rest}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
