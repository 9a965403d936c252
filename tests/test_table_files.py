"""Tables as they are shown, in three forms: each is read again by what reads such files, and says the same."""

import csv
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import mistune
import numpy as np
import pandas as pd
import pytest
from frames import AUGMIX, REGULAR, four, summary_rows

from robnb import tables

FORMS = ("csv", "md", "tex")
AWKWARD = [
    "50 %_&#$",
    "~x^2 \\ {b}",
    "a|b*c*d",
    "_e_ f_g",
    "`h` <i> <br>",
    "[1.0, 2.0]",
    "*",
    'Base"',
    "é π",
    "",
    "a\\",
]


def written(frame: pd.DataFrame, folder: Path) -> dict[str, list[list[str]]]:
    """The cells of every form, header first, as they are read from the files."""
    assert tables.show(frame, folder, "table") is frame
    assert sorted(path.name for path in (folder / "tables").iterdir()) == [f"table.{form}" for form in FORMS]
    text = {form: (folder / "tables" / f"table.{form}").read_text(encoding="utf-8") for form in FORMS}
    return {
        "csv": list(csv.reader(text["csv"].splitlines())),
        "md": of_markdown(text["md"]),
        "tex": of_tex(text["tex"]),
    }


class Cells(HTMLParser):
    """The cells of the table of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        else:
            assert tag in ("table", "thead", "tbody"), f"<{tag}>: the text was read as a mark"

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data.strip("\n")


def of_markdown(text: str) -> list[list[str]]:
    """By a Markdown parser."""
    page = Cells()
    page.feed(mistune.create_markdown(escape=False, plugins=["table"])(text))
    return page.rows


SPELT = {
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
    "textbar": "|",
}  # fmt: skip


def of_tex(text: str) -> list[list[str]]:
    """By LaTeX's rules, as far as a table without macros goes."""
    comment, begin, *lines, end = text.splitlines()
    assert comment.startswith("% ") and "booktabs" in comment and end == r"\end{tabular}"
    (columns,) = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", begin).groups()
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert (lines[0], lines[2], lines[-1]) == (r"\toprule", r"\midrule", r"\bottomrule")
    rows = [line.removesuffix(r" \\") for line in lines if not line.endswith("rule")]
    assert not [row for row in rows if row[:1] in ("[", "*")], r"after \\ and a rule these are its arguments"
    cells = [[of_tex_cell(cell) for cell in re.split(r"(?<!\\) ?& ?", row)] for row in rows]
    assert {len(row) for row in cells} == {len(columns)}
    return cells


def of_tex_cell(cell: str) -> str:
    spelt = re.sub(r"\\(text\w+)\{\}|\\([&%$#_{}])|(\{\})", lambda m: SPELT[m[1]] if m[1] else m[2] or "", cell)
    bare = re.sub(r"\\(text\w+)\{\}|\\[&%$#_{}]|\{\}", "", cell)
    assert not set(bare) & set("\\&%$#_{}~^<>|"), f"not escaped: {bare}"
    return spelt.strip()


def test_awkward_characters_are_the_same_text_in_all_three(tmp_path):
    frame = pd.DataFrame({"a_b %": AWKWARD, "[c|d]": AWKWARD[::-1], "n": range(len(AWKWARD))})
    wanted = [list(frame), *([a, b, str(n)] for a, b, n in frame.itertuples(index=False))]
    for form, cells in written(frame, tmp_path).items():
        assert cells == wanted, form


def test_text_over_two_lines_stays_in_its_row(tmp_path):
    forms = written(pd.DataFrame({"a": ["one\ntwo", "three"]}), tmp_path)
    assert forms["md"] == forms["tex"] == [["a"], ["one two"], ["three"]]


def test_an_index_of_two_levels_stands_in_front_and_its_outer_level_once(tmp_path):
    index = pd.MultiIndex.from_tuples([("x", "r"), ("x", "s"), ("y", "s"), ("y", "s")], names=["world", None])
    forms = written(pd.DataFrame({("P", "low"): [1, 2, 3, 4], ("P", ""): list("abcd")}, index=index), tmp_path)
    header = ["world", "", "P, low", "P"]
    assert forms["csv"] == [
        header,
        ["x", "r", "1", "a"],
        ["x", "s", "2", "b"],
        ["y", "s", "3", "c"],
        ["y", "s", "4", "d"],
    ]
    sparse = [header, ["x", "r", "1", "a"], ["", "s", "2", "b"], ["y", "s", "3", "c"], ["", "s", "4", "d"]]
    assert forms["md"] == forms["tex"] == sparse


def test_numbers_are_short_and_what_is_missing_is_empty(tmp_path):
    frame = pd.DataFrame({"x": [27.5123456789, np.nan], "n": pd.array([29, pd.NA], dtype="Int64"), "s": ["a", None]})
    for cells in written(frame, tmp_path).values():
        assert cells == [["x", "n", "s"], ["27.5123", "29", "a"], ["", "", ""]]
    assert r"\begin{tabular}{rrl}" in (tmp_path / "tables" / "table.tex").read_text(), "numbers stand right"


def test_the_tables_of_the_notebooks_are_the_same_in_all_three(tmp_path):
    """Real ones: two levels of index and a name with an ampersand; one level; none; nothing at all."""
    rows = [*summary_rows(REGULAR, "detection", "box_AP", 40.0, four(50, 75, 25, 0)),
            *summary_rows(AUGMIX, "detection", "box_AP", 20.0, four(25, 50, 50, 0))]  # fmt: skip
    summary = pd.DataFrame(rows)
    shown = {
        "beside": tables.beside_paper(summary, "box_AP", "mini"),
        "ranks": tables.with_intervals(tables.rank_table(summary)),
        "overview": tables.with_intervals(tables.overview(summary)),
        "empty": tables.overview(summary)[:0],
    }
    for name, frame in shown.items():
        forms = written(frame, tmp_path / name)
        filled = {form: without_blanks(cells) if name == "beside" else cells for form, cells in forms.items()}
        assert filled["md"] == filled["tex"] == filled["csv"], name
    beside = filled_from(tmp_path / "beside")
    assert beside[0][:3] == ["world", "model", "noise"] and ["Swin-T" in row for row in beside].count(True) == 1
    assert beside[1][:4] == ["this run (mini: another world)", "Regular", "50.0 [45.0, 55.0]", "75.0 [70.0, 80.0]"]
    assert "Yamada & Otani, CVPR 2022, Table 1" in {row[0] for row in beside}


def without_blanks(cells: list[list[str]]) -> list[list[str]]:
    """The outer level of the index in every row."""
    full = [cells[0]]
    for row in cells[1:]:
        full.append([row[0] or full[-1][0], *row[1:]])
    return full


def filled_from(folder: Path) -> list[list[str]]:
    return without_blanks(of_tex((folder / "tables" / "table.tex").read_text()))


def test_the_file_says_which_run_it_is_of(tmp_path):
    """A smoke number must not pass for a paper number where its file has been copied elsewhere."""
    folder = tmp_path / "smoke" / "01_fixed_feature"
    tables.show(pd.DataFrame({"a": [1]}), folder, "overview")
    for form, comment in {"tex": "% {}", "md": "<!-- {}"}.items():
        first = (folder / "tables" / f"overview.{form}").read_text().splitlines()[0]
        assert first.startswith(comment.format("smoke/01_fixed_feature, overview"))


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    tables.show(pd.DataFrame({"a": [1]}), tmp_path, "table")
    before = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    plain = Path.write_text

    def full(path: Path, text: str, **options: object) -> int:
        if ".tex" in path.name:
            plain(path, text[:10], **options)
            raise OSError(28, "No space left on device")
        return plain(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        tables.show(pd.DataFrame({"a": [2]}), tmp_path, "table")
    assert {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == before


WRITES_FOR_EVER = """
import sys
from pathlib import Path
import pandas as pd
from robnb import tables
for k in range(10**9):
    tables.show(pd.DataFrame({"a": [k] * 2000}), Path(sys.argv[1]), "table")
"""


def test_a_killed_run_leaves_whole_tables(tmp_path):
    running = subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path)])
    final = tmp_path / "tables" / "table.tex"
    until = time.monotonic() + 60
    while not final.exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    running.kill()
    running.wait()
    for form, reads in {"md": of_markdown, "tex": of_tex}.items():
        rows = reads((tmp_path / "tables" / f"table.{form}").read_text())
        assert len(rows) == 2001 and len({row[0] for row in rows[1:]}) == 1
    assert len(pd.read_csv(tmp_path / "tables" / "table.csv")) == 2000
