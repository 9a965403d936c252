"""What a notebook says of itself: its title, its question, and the section that each figure belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import nbformat
from nbconvert.filters.markdown import markdown2html

_QUESTION = re.compile(r"^\*\*Question\.\*\* *")


@dataclass(frozen=True)
class Essay:
    """Of a notebook.

    ``question`` is HTML, "" where there is none. ``headings`` has the section's heading for each name that a code cell
    writes between quotes, such as that of a figure which it saves.
    """

    title: str
    question: str = ""
    headings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, notebook: nbformat.NotebookNode | None, name: str) -> Essay:
        """Read a notebook, executed or not; one that is not there is called by its name."""
        if notebook is None:
            return cls(name)
        first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
        title = re.search(r"^# +(.+)$", first, re.MULTILINE)
        paragraphs = [text for text in re.split(r"\n\s*\n", first) if text.strip() and not text.startswith("#")]
        asked = next((text for text in paragraphs if _QUESTION.match(text)), "")
        question = markdown2html(_QUESTION.sub("", asked)) if asked else ""
        return cls(title[1] if title else name, question, _headings(notebook))


def _headings(notebook: nbformat.NotebookNode) -> dict[str, str]:
    heading, found = "", {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            in_cell = re.findall(r"^##+ +(.+)$", cell.source, re.MULTILINE)
            heading = in_cell[-1] if in_cell else heading
        elif heading:
            found |= {name: heading for name in re.findall(r'"(\w+)"', cell.source) if name not in found}
    return found
