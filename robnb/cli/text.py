"""Numbers and tables as a terminal of 100 columns shows them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100


def duration(seconds: float) -> str:
    """``0 s``, ``45 s``, ``12 min``, ``3.4 h``, ``2.1 d``, ``2.5 years``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    days = seconds / 86400
    return f"{days:.1f} d" if days < 730 else f"{days / 365.25:.1f} years"


def hours(seconds: float, of: str) -> str:
    """``3.4 core-hours``; short ones in minutes or seconds."""
    for limit, unit, length in ((90, "second", 1), (90 * 60, "minute", 60)):
        if seconds < limit:
            return f"{seconds / length:.0f} {of}-{unit}s"
    return f"{seconds / 3600:,.1f} {of}-hours"


def size(count: float) -> str:
    """``12 B``, ``3.4 kB``, ``5.6 MB`` ... (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()) -> str:
    """Columns as wide as what is in them, two spaces apart; those in ``right`` are aligned to the right."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    aligned = set(right)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in aligned else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def paragraph(text: str, indent: str = "") -> str:
    """Prose, broken at the width of the terminal."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
