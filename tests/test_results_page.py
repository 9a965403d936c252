"""The ledgers that are kept in outputs/results, and what the README says of them."""

import re
from pathlib import Path

import pytest

from robnb.ledger.claims import CLAIMS
from robnb.ledger.verdicts import VERDICTS

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "outputs" / "results").glob("*/README.md"))


def verdicts(text: str, column: int) -> dict[str, str]:
    """Claim to verdict, of the rows of a Markdown table that begin with a claim's id."""
    rows = re.findall(r"^\| (C\d+) \|(.+)\|$", text, re.MULTILINE)
    return {name: rest.split(" | ")[column].strip() for name, rest in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_kept_ledger_is_whole_and_says_what_it_is_of(page):
    text = page.read_text()
    found = verdicts(text, 3)
    assert list(found) == [claim.id for claim in CLAIMS]
    assert set(found.values()) <= set(VERDICTS)
    assert page.parent.name == "paper" or "miniworld results, not the paper's" in text
    assert re.search(r"commit [0-9a-f]{12}", text) and "torch 2" in text
    for figure in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (page.parent / figure).is_file()


def test_the_readme_has_the_verdicts_of_the_mini_ledger():
    readme = (ROOT / "README.md").read_text()
    assert verdicts(readme, 1) == verdicts((ROOT / "outputs/results/mini/README.md").read_text(), 3)
    for claim in CLAIMS:
        assert f"| {claim.id} | {claim.says} |" in readme
