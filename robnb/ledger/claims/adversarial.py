"""Claims of section 6: adversarial training upstream."""

from __future__ import annotations

from collections.abc import Callable

from robnb.ledger.cells import Cell
from robnb.ledger.claims.claim import EPS, TWO, Claim, compared, transferred, trend, upstream
from robnb.ledger.found import Found
from robnb.ledger.roles import eps_of, l2, role_of
from robnb.ledger.verdicts import ABOVE, BELOW, Statement


def _radii(found: Found) -> list[float]:
    """The roles of the study's radii above 0, from the smallest; the paper has no eps 0."""
    chapter = found.chapters.get((EPS, ""))
    if chapter is None:
        return []
    names = set(chapter.results.summary[["backbone", "weights"]].itertuples(index=False, name=None))
    radii = {eps_of(role) for backbone, weights in names if (role := role_of(backbone, weights))}
    return sorted(eps for eps in radii if eps)


def _along(found: Found, cell: Callable[[str], Cell], expected: str) -> list[Statement]:
    """That a number goes one way with the radius, and that each larger radius lies on that side of the smallest."""
    cells = {eps: cell(l2(eps)) for eps in _radii(found)}
    if len(cells) < 2:
        return []
    smallest, *larger = cells.values()
    return [trend(cells, "radius", expected), *(compared(one, smallest, expected) for one in larger)]


def _clean_falls(found: Found) -> list[Statement]:
    radii = _radii(found)
    if len(radii) < 2:
        return []
    return [trend({eps: transferred(EPS, l2(eps), scored, "P") for eps in radii}, "radius", BELOW) for scored in TWO]


CLAIMS = (
    Claim(
        "C16", "Sec. 6, Fig. 4",
        "Upstream: with a larger radius the clean score falls and the drop rises; the smallest radius is best in both",
        (EPS,),
        lambda found: [
            *_along(found, lambda role: upstream(EPS, role, "P"), BELOW),
            *_along(found, lambda role: upstream(EPS, role), ABOVE),
        ],
        takes="two radii above 0",
        note="A slope over the radii in their order, and each radius against the smallest above 0.",
    ),
    Claim(
        "C17", "Sec. 6, Fig. 4",
        "Downstream: the clean score falls with the radius, in detection and in segmentation",
        (EPS,), _clean_falls,
        takes="two radii above 0",
        note="A slope over the radii in their order.",
    ),
    Claim(
        "C18", "Sec. 6, Fig. 4",
        "Downstream: the drop falls with the radius, and the smallest radius loses most",
        (EPS,),
        lambda found: [
            statement
            for scored in TWO
            for statement in _along(found, lambda role, at=scored: transferred(EPS, role, at), BELOW)
        ],
        takes="two radii above 0",
        note="A slope over the radii in their order, and each radius against the smallest above 0.",
    ),
)  # fmt: skip
