"""Data sets, evaluations and results in; widgets for JupyterLab out, which leave a picture where no kernel is."""

from robnb.widgets.corruption_browser import CorruptionBrowser
from robnb.widgets.predictions import Predictions
from robnb.widgets.results_explorer import explorer

__all__ = ["CorruptionBrowser", "Predictions", "explorer"]
