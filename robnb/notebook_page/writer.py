"""From an executed notebook to its page, by nbconvert."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor
from nbformat import NotebookNode
from traitlets.config import Config

#: What an output is shown as, the first that it has. A view of a widget is not among them: it needs a kernel, and a
#: page that held one would fetch the program that draws it.
_SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]
_CONFIG = {
    "NbConvertBase": {"display_data_priority": _SHOWN},
    "CSSHTMLHeaderPreprocessor": {"style": "default"},  # pygments' own; nbconvert's takes its colours from JupyterLab
}
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)
_MARKUP = re.compile(r"[*_`]")


class ForReading(Preprocessor):
    """Leaves out the state of the widgets, names the page, and says in words what each figure is."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Change the exporter's own copy of a notebook, as nbconvert asks of a preprocessor."""
        nb.metadata.pop("widgets", None)
        heading, figures = "", 0
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                for _, text in _HEADING.findall(cell.source):
                    heading = _MARKUP.sub("", text)
                    resources["metadata"].setdefault("title", heading)
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    figures += 1
                    described = output.metadata.setdefault("image/png", {})
                    described.setdefault("alt", f"Figure {figures}: {heading}" if heading else f"Figure {figures}")
        return nb, resources


def as_html(notebook: NotebookNode) -> str:
    """A page that shows the executed notebook: the code folded, no widget, nothing that is fetched.

    A widget that brings a picture is shown as this picture, any other one as its text.
    """
    exporter = HTMLExporter(
        config=Config(_CONFIG),
        extra_template_paths=[str(Path(__file__).parent)],
        template_file="page.html.j2",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    for preprocessor in (CoalesceStreamsPreprocessor, ForReading):
        exporter.register_preprocessor(preprocessor, enabled=True)
    return exporter.from_notebook_node(notebook)[0]
