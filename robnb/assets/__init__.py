"""What the study reads that others published: weights, trained models, data sets; where they lie and how they come.

catalogue(), asset(name), backbone(name), trained(), data_set(name), data_of_task(task)     what there is
Roots(data_root, given)                                                                     where it lies
states(assets, roots), require(assets, roots), accept(asset, roots)                         whether it is there
fetch(assets, roots)                                                                        getting it
"""

from __future__ import annotations

from robnb.assets.catalogue import asset, backbone, catalogue, data_of_task, data_set, has_backbone, trained
from robnb.assets.fetching import Fetched, fetch
from robnb.assets.kinds import Asset, Backbone, DataSet, File, Score, Trained
from robnb.assets.roots import DEFAULT_DATA_ROOT, DEFAULTS, Roots
from robnb.assets.states import State, accept, accepted_content, require, states

__all__ = [
    "DEFAULTS",
    "DEFAULT_DATA_ROOT",
    "Asset",
    "Backbone",
    "DataSet",
    "Fetched",
    "File",
    "Roots",
    "Score",
    "State",
    "Trained",
    "accept",
    "accepted_content",
    "asset",
    "backbone",
    "catalogue",
    "data_of_task",
    "data_set",
    "fetch",
    "has_backbone",
    "require",
    "states",
    "trained",
]
