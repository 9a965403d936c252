"""What a widget leaves where no kernel answers it: a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

#: Dots per inch of the picture: enough for a printed page, little enough for a notebook's file.
_DPI = 110


class WithPicture(ipywidgets.VBox):
    """Widgets in a column, which a notebook shows as a picture wherever they cannot run.

    JupyterLab with a kernel shows the widgets. An executed notebook that is not trusted, one on GitHub, its HTML and
    its print show the picture.

    Args:
        children: the widgets.
        picture: makes the figure; called when the widget is displayed, not before.
        alt: what the picture shows, for a reader who cannot see it and where only text is shown.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget], picture: Callable[[], Figure], alt: str) -> None:
        super().__init__(children)
        self._picture, self._alt = picture, alt

    def _repr_mimebundle_(self, **how: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**how)
        picture = base64.b64encode(png(self._picture())).decode()
        return {**bundle, "text/plain": self._alt, "image/png": picture}, {"image/png": {"alt": self._alt}}


def png(figure: Figure) -> bytes:
    """A figure as a PNG file; the figure is closed."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, bbox_inches="tight")
    plt.close(figure)
    return file.getvalue()


def source(file: bytes) -> str:
    """A PNG file as the ``src`` of an ``<img>``, so that a widget's HTML holds its pictures."""
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"
