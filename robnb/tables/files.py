"""Tables as files: a frame in full precision, or a table as it is shown, for a spreadsheet, a page or a paper."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pandas as pd

#: What LaTeX would read as something else.
_LATEX = str.maketrans({
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "\n": " ",
})  # fmt: skip
#: What Markdown would: these marks, and underscores that do not stand inside a word.
_MARKDOWN = re.compile(r"[\\|*`<]|(?<![^\W_])_|_(?![^\W_])")


def save(frame: pd.DataFrame, folder: Path, name: str, *, index: bool = False) -> Path:
    """Write ``<folder>/<name>.csv`` in full precision; returns the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=index)
    return path


def show(frame: pd.DataFrame, folder: Path, name: str) -> pd.DataFrame:
    """Write a table as it is shown to ``tables/<name>.csv``, ``.md`` and ``.tex`` below a notebook's folder.

    The three have the same text in every cell: numbers that are not whole in six digits, nothing where a value is
    missing. The index comes in front, unless it only counts the rows. In Markdown and LaTeX an outer level of it is
    not repeated from row to row, and a comment says which run the table is of. The LaTeX is a ``tabular`` for
    ``\\usepackage{booktabs}``, with all that LaTeX would misread escaped.

    Each file is written whole or not at all.

    Returns:
        the frame, to be shown.
    """
    counts_only = frame.index.nlevels == 1 and frame.index.name is None and isinstance(frame.index, pd.RangeIndex)
    flat = frame if counts_only else frame.reset_index()
    levels = 0 if counts_only else frame.index.nlevels
    header = [_joined(column) for column in flat.columns]
    if not counts_only:
        header[:levels] = ["" if level is None else str(level) for level in frame.index.names]
    right = [pd.api.types.is_numeric_dtype(dtype) for dtype in flat.dtypes]
    rows = [[_text(value) for value in row] for row in flat.itertuples(index=False, name=None)]
    sparse = _without_repeats(rows, levels - 1)
    of_run = f"{folder.parent.name}/{folder.name}, {name}"
    _write(folder / "tables", name, {
        "csv": pd.DataFrame(rows, columns=header).to_csv(index=False),
        "md": _markdown(header, sparse, right, of_run),
        "tex": _latex(header, sparse, right, of_run),
    })  # fmt: skip
    return frame


def _joined(column: object) -> str:
    """The name of a column, of all its levels."""
    return ", ".join(str(level) for level in column if level != "") if isinstance(column, tuple) else str(column)


def _text(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _without_repeats(rows: list[list[str]], levels: int) -> list[list[str]]:
    """The rows, where the first cells are empty as far as they are those of the row above, ``levels`` at most."""
    shown = rows[:1]
    for above, row in pairwise(rows):
        same = next((k for k in range(max(levels, 0)) if above[k] != row[k]), max(levels, 0))
        shown.append([""] * same + row[same:])
    return shown


def _markdown(header: list[str], rows: list[list[str]], right: list[bool], of_run: str) -> str:
    lines = [[_MARKDOWN.sub(r"\\\g<0>", cell).replace("\n", " ") for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---:" if is_right else "---" for is_right in right])
    return "\n".join([f"<!-- {of_run} -->", "", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"


def _latex(header: list[str], rows: list[list[str]], right: list[bool], of_run: str) -> str:
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) for row in (header, *rows)]
    head, *body = (f"{{}}{line}" if line[:1] in ("[", "*") else line for line in lines)  # or an argument
    lines = [
        rf"% {of_run}; \usepackage{{booktabs}}",
        rf"\begin{{tabular}}{{{''.join('r' if is_right else 'l' for is_right in right)}}}",
        *(r"\toprule", rf"{head} \\", r"\midrule"),
        *(rf"{row} \\" for row in body),
        *(r"\bottomrule", r"\end{tabular}"),
    ]
    return "\n".join(lines) + "\n"


def _write(folder: Path, name: str, forms: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = {folder / f"{name}.{form}": folder / f".{name}.{form}.part" for form in forms}
    try:
        for path, text in zip(unfinished.values(), forms.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        for final, path in unfinished.items():
            os.replace(path, final)
    finally:
        for path in unfinished.values():
            path.unlink(missing_ok=True)
