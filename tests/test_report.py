"""`robnb report`: one page of what the notebooks have left, made here of products that are written by hand."""

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
import tiny
from PIL import Image

from robnb.cli import main

LEDGER = [
    ("T1.1", "3", "ANT < regular & more", "-3.1", "-2.0 [-3.0, -1.0]", "holds", "its interval is below 0"),
    ("T1.2", "3", "<script>alert(1)</script>", "", "0.1 [-1.0, 1.2]", "does not hold", "another sign"),
    ("F2.1", "4", "the order changes", "", "", "undecided", "holds zero"),
    ("F4.1", "6", "eps", "", "", "not run", "04_adversarial_priors was not run"),
]
ESSAY = """\
# # 01 A *title* with <marks>
#
# **Question.** Does `it` *transfer*,
# or not?
#
# **The paper** says yes."""
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The tags of a page with their attributes and text, and whether each is closed where it should be."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.source = path.read_text()
        self.feed(self.source)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, [])
        if tag not in VOID:
            self._open.append(tag)
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def links(self) -> list[str]:
        return [value for _, of in self.tags for name, value in of.items() if name in ("href", "src")]


def leave(outputs: Path, name: str, **parameters: object) -> Path:
    """What a finished run of a notebook leaves."""
    folder = outputs / "smoke" / name
    notebook = name.partition("@")[0]
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    cells = [nbformat.v4.new_markdown_cell(re.sub("^# ?", "", ESSAY, flags=re.MULTILINE))]
    cells += [nbformat.v4.new_markdown_cell("## Figure 2: the drop on each task")]
    cells += [nbformat.v4.new_code_cell('plots.save(plots.drops(summary), study.folder, "drop_by_task")')]
    executed = nbformat.v4.new_notebook(cells=cells)
    about = {"duration": 90.0, "end_time": "2026-01-02T03:04:05.678"}
    executed.metadata["papermill"] = {**about, "parameters": {"profile": "smoke", "lr": 0.01, "steps": 3, **parameters}}
    nbformat.write(executed, folder / f"{notebook}.ipynb")
    (folder / f"{notebook}.html").write_text("<p>executed</p>")
    row = {"task": "detection & more", "model": "ant", "seeds": 1, "P": 30.123, "P_low": 28.0, "P_high": 32.0}
    frame = pd.DataFrame([{**row, "profile": "smoke"}, {**row, "P": None, "profile": "smoke"}])
    frame.to_csv(folder / "summary.csv", index=False)
    for path in (folder / "scores.csv", folder / "tables/ranks.csv", folder / "tables/ranks.tex"):
        path.write_text("a\n1\n")
    Image.new("RGB", (1200, 300), "white").save(folder / "figures/drop_by_task.png")
    (folder / "figures/drop_by_task.pdf").write_bytes(b"%PDF-")
    Image.new("RGB", (30, 20)).save(folder / "figures/other_thing.png")
    made = {"commit": "0123456789ab", "python": "3.12.1", "platform": "Linux", "device": "CPU (x86_64)", "threads": 1}
    made |= {"versions": {"robnb": "0.1", "torch": "2.15", "mmcv": None}}
    (folder / "provenance.json").write_text(json.dumps({"parameters": {}, "seconds": 60.0, "ended": "", **made}))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Notebook 01 and a variation of it were run, 02 failed, 03 and a variation were not, 05 is in the middle."""
    root = tmp_path_factory.mktemp("report")
    for name in ("01_tiny", "02_failed", "03_never", "05_begun", "07_does_it_transfer"):
        tiny.make(root, name=name)
        path = root / "notebooks" / f"{name}.py"
        path.write_text(path.read_text().replace("steps = 2 ", 'variation = ""  # its name\nsteps = 2 '))
    path.with_name("01_tiny.py").write_text(path.with_name("01_tiny.py").read_text().replace("# # 01_tiny", ESSAY))
    listed = (
        "notebooks: [01_tiny, 02_failed]\nvariations: {long: {notebooks: [01_tiny, 03_never], parameters: {steps: 9}}}"
    )
    (root / "params/smoke/all.yaml").write_text(listed)
    outputs = root / "outputs"
    leave(outputs, "01_tiny")
    leave(outputs, "01_tiny@long", steps=9, variation="long")
    for name, file in (("02_failed", "02_failed.failed.ipynb"), ("05_begun", "scores.csv")):
        (outputs / "smoke" / name).mkdir()
        (outputs / "smoke" / name / file).write_text("")
    ledger = pd.DataFrame(LEDGER, columns=["id", "section", "claim", "paper", "measured", "verdict", "why"])
    ledger.to_csv(leave(outputs, "07_does_it_transfer") / "ledger.csv", index=False)
    (outputs / "smoke/store/pretrain").mkdir(parents=True)
    (outputs / "smoke/data").mkdir()
    return root


@pytest.fixture(scope="module")
def page(root) -> Page:
    assert main(["report", "--profile", "smoke", "--root", str(root)]) == 0
    return Page(root / "outputs/smoke/index.html")


def test_every_link_is_relative_and_leads_somewhere(root, page):
    ids = [of["id"] for _, of in page.tags if "id" in of]
    assert len(ids) == len(set(ids))
    for link in page.links:
        parts = urlsplit(link)
        if link.startswith("#"):
            assert link[1:] in ids, link
        elif link != "data:,":  # no icon is asked for
            assert not parts.scheme and not parts.netloc and not link.startswith("/"), link
            assert (root / "outputs/smoke" / unquote(parts.path)).is_file(), link


def test_nothing_is_fetched_and_nothing_runs(root, page):
    assert {"script", "iframe", "object", "form"}.isdisjoint(name for name, _ in page.tags)
    assert not [of for _, of in page.tags if any(name.startswith("on") for name in of)]
    text = (root / "outputs/smoke/index.html").read_text()
    assert "url(" not in text and "@import" not in text and "http" not in text


def test_everything_that_was_left_is_linked(page):
    for name in ("01_tiny", "01_tiny%40long", "07_does_it_transfer"):
        files = ("html", "ipynb"), ("scores.csv", "summary.csv", "tables/ranks.csv", "tables/ranks.tex")
        notebook = name.partition("%40")[0]
        wanted = [*(f"{name}/{notebook}.{form}" for form in files[0]), *(f"{name}/{file}" for file in files[1])]
        wanted += [f"{name}/figures/{figure}" for figure in ("drop_by_task.png", "drop_by_task.pdf", "other_thing.png")]
        assert set(wanted) <= set(page.links)
    assert "07_does_it_transfer/ledger.csv" in page.links


def test_what_was_not_run_is_said_with_its_command(page):
    text = "".join(page.texts["body"])
    assert "2 of 7 are not run: 03_never, 03_never@long." in re.sub(r"\s+", " ", text)
    assert "robnb run 03_never --profile smoke" in page.texts["code"]
    assert "robnb run 03_never --profile smoke --variation long -p steps 9" in page.texts["code"]
    states = dict(re.findall(r'href="#([\w-]+)">[^<]+</a> <span class="state [\w-]+">([^<]+)<', page.source))
    assert states["02_failed"] == "failed" and states["05_begun"] == "unfinished" and states["03_never"] == "not run"
    assert "The last run failed" in text and "02_failed/02_failed.failed.ipynb" in page.links


def test_the_ledger_has_every_claim_and_verdicts_differ_in_word_and_mark(page):
    text = "".join(page.texts["body"])
    for claim in LEDGER:
        assert all(part in text for part in claim)
    marks = set(re.findall(r'<span class="verdict [\w-]+"><span aria-hidden="true">([^<]+)</span>', page.source))
    assert len(marks) == len(LEDGER)
    assert f"Of {len(LEDGER)} claims of the paper" in text


def test_tables_have_intervals_in_a_cell_and_no_stamp_column(page):
    assert "30.1 [28.0, 32.0]" in page.texts["td"] and "undefined" in page.texts["td"]
    assert "profile" not in page.texts["th"] and "detection & more" in page.texts["td"]
    assert page.texts["caption"][1] == "Summary of 01_tiny; 95 % intervals in brackets"


def test_a_notebook_says_what_it_asks_and_a_figure_what_it_shows(page):
    assert "01 A *title* with <marks>" in page.texts["h2"]
    assert "<code>it</code> <em>transfer</em>" in page.source
    alts = [of["alt"] for of in page.of("img")]
    assert "01 A *title* with <marks>: Figure 2: the drop on each task (drop by task)" in alts
    assert all(alts) and "01 A *title* with <marks>: other thing" in alts


def test_variations_stand_under_their_notebook_with_what_differs(page):
    assert "Variation long of 01_tiny" in page.texts["h3"] and "steps: 9" in page.texts["code"]
    order = [of["id"] for name, of in page.tags if name in ("h2", "h3")]
    assert order[:4] == ["ledger", "01_tiny", "01_tiny--long", "02_failed"]


def test_it_can_be_read_by_a_machine_and_on_a_phone(page):
    assert page.of("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.of("table")) == len([of for of in page.of("div") if of.get("class") == "scroll"])
    assert all(of.get("scope") for of in page.of("th"))
    assert "img { display: block; max-width: 100%" in page.texts["style"][0]


def test_colours_have_the_contrast_that_wcag_aa_asks_for(page):
    style = page.texts["style"][0]
    pairs = re.findall(r"\{[^}]*background: (#\w+); color: (#\w+)", style)
    pairs += [("#fff", colour) for colour in re.findall(r"(?<![\w-])color: (#\w+)", style)]
    assert len(pairs) > 8
    for pair in pairs:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_provenance_and_how_to_do_it_again(page):
    text = re.sub(r"\s+", " ", "".join(page.texts["body"]))
    assert "commit 0123456789ab, Python 3.12.1, CPU (x86_64), 1 threads, Linux; robnb 0.1, torch 2.15." in text
    assert "2026-01-02 03:04" in page.texts["td"] and "1.5" in page.texts["td"]
    again = page.texts["pre"]
    assert again[0] == "robnb run all --profile smoke"
    assert "robnb run 01_tiny --profile smoke --variation long -p steps 9\n" in again[1]


def test_only_the_papers_profile_is_the_papers(root, page, tmp_path):
    assert "These are miniworld results, not the paper's." in page.texts["strong"]
    shutil.copytree(root, tmp_path / "root")
    for folder in ("params", "outputs"):
        (tmp_path / "root" / folder / "smoke").rename(tmp_path / "root" / folder / "paper")
    shutil.rmtree(tmp_path / "root/outputs/paper/07_does_it_transfer")
    (tmp_path / "root/params/paper/all.yaml").unlink()
    assert main(["report", "--profile", "paper", "--root", str(tmp_path / "root")]) == 0
    paper = Page(tmp_path / "root/outputs/paper/index.html")
    assert "miniworld" not in "".join(paper.texts["body"])
    assert "ledger" not in [of.get("id") for of in paper.of("h2")] and "robnb run all" not in paper.source
    assert "robnb run 07_does_it_transfer --profile paper" in paper.texts["code"]


@pytest.mark.parametrize(
    ("profile", "says"),
    [("smok", "unknown profile 'smok': did you mean 'smoke'?"), ("smoke", "run `robnb run all --profile smoke` first")],
)
def test_a_page_of_nothing_is_refused(tmp_path, capsys, profile, says):
    tiny.make(tmp_path)
    assert main(["report", "--profile", profile, "--root", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
