"""Any pretrained model of timm as an asset, from timm's own registry.

timm is imported when it is asked: that takes seconds.
"""

from __future__ import annotations

import difflib
import math
import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from robnb.assets.kinds import Backbone, File
from robnb.errors import UserError

HUB = "https://huggingface.co"
IMAGENET_CLASSES = 1000


def timm_backbone(name: str) -> Backbone | None:
    """timm's model ``architecture.tag``, with its preprocessing as timm evaluates it at its training size.

    None if timm has no such model.

    Raises:
        UserError: the model has several sets of weights and the name says none; or none that can be downloaded.
    """
    from timm.models import get_pretrained_cfg, is_model_pretrained, list_pretrained

    if not is_model_pretrained(name):
        return None
    config = get_pretrained_cfg(name)
    tags = [] if "." in name else [tagged for tagged in list_pretrained() if tagged.startswith(f"{name}.")]
    if tags:
        raise UserError(f"{name!r} does not say which weights of timm are meant: name it as one of {', '.join(tags)}.")
    size = config.input_size[-1]
    file = _file(name, config)
    return Backbone(
        name=name,
        title=f"timm's {name}",
        licence=config.license or "none stated",
        citation=_citation(config),
        source=f"{HUB}/{config.hf_hub_id}" if config.hf_hub_id else config.origin_url or file.url,
        files=(file,),
        paths=(file.path,),
        root="weights",
        architecture=config.architecture,
        container="",
        prefix="",
        image_size=size,
        resize=max(size, math.floor(size / config.crop_pct)),  # a few are said to be padded instead; we do not pad
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        classifier=name if config.num_classes == IMAGENET_CLASSES else "",
    )


def similar_names(name: str) -> list[str]:
    """Up to three pretrained models of timm whose names are near ``name``."""
    from timm.models import list_pretrained

    return difflib.get_close_matches(name, list_pretrained(), n=3)


def _file(name: str, config: Any) -> File:
    """The hub's file where there is one: it is plain tensors; timm's other addresses hold all sorts of layouts."""
    if config.hf_hub_id:
        published = config.hf_hub_filename or "model.safetensors"
        path = f"timm/{name}{''.join(PurePosixPath(published).suffixes[-1:])}"
        return File(url=f"{HUB}/{config.hf_hub_id}/resolve/main/{published}", path=path)
    if config.url:
        published = PurePosixPath(urlsplit(config.url).path).name
        short = re.search(r"-([0-9a-f]{8})\.[a-z.]+$", published)
        return File(url=config.url, path=f"timm/{published}", hash=f"sha256-8:{short[1]}" if short else None)
    raise UserError(f"timm knows no address for the weights of {name!r}; choose a model of `timm.list_pretrained()`.")


def _citation(config: Any) -> str:
    papers = config.paper_ids if isinstance(config.paper_ids, str) else ", ".join(config.paper_ids or ())
    return ", ".join(part for part in (config.paper_name, papers) if part) or "Wightman, PyTorch Image Models (timm)"
