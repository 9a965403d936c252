"""Claims of section 5: model size and the amount of upstream data."""

from __future__ import annotations

from robnb.ledger.claims.claim import SIZE, THREE, Claim, compared, transferred
from robnb.ledger.found import Found
from robnb.ledger.roles import BASE, BASE_22K, BASE_22K_384, SMALL, TINY, role_of
from robnb.ledger.verdicts import ABOVE, BELOW, NOT_ABOVE, Statement
from robnb.tables import ARM

_MIOU = ("segmentation", "mIoU")


def _larger(found: Found, scored: tuple[str, str]) -> list[str]:
    """The Bases of a larger upstream set that are there, or the usual one where none is."""
    chapter = found.chapters.get((SIZE, ""))
    if chapter is None:
        return [BASE_22K]
    rows = chapter.results.summary.query("task == @scored[0]")[["backbone", "weights"]].itertuples(index=False)
    roles = {role_of(backbone, weights.split(ARM)[0]) for backbone, weights in rows}
    return [role for role in (BASE_22K, BASE_22K_384) if role in roles] or [BASE_22K]


def _falls_with_size(found: Found) -> list[Statement]:
    pairs = [
        (scored, smaller, larger)
        for scored in THREE
        for smaller, larger in ((TINY, SMALL), *((SMALL, base) for base in _larger(found, scored)))
    ]
    return [
        compared(transferred(SIZE, larger, scored), transferred(SIZE, smaller, scored), BELOW)
        for scored, smaller, larger in pairs
    ]


CLAIMS = (
    Claim(
        "C12", "Sec. 5, Fig. 3",
        "Larger Swins lose less: Small less than Swin-T, Base of the larger upstream set less than Small, in all tasks",
        (SIZE,), _falls_with_size,
        note="Base\" and Base' (384 pixels) as far as the study has them.",
    ),
    Claim(
        "C13", "Sec. 5, Fig. 3",
        "But Base of the usual upstream set loses more than Small, in all tasks",
        (SIZE,),
        lambda _: [
            compared(transferred(SIZE, BASE, scored), transferred(SIZE, SMALL, scored), ABOVE) for scored in THREE
        ],
    ),
    Claim(
        "C14", "Sec. 5, Fig. 3",
        "The clean score of Base is similar to that of Small, or below it",
        (SIZE,),
        lambda _: [
            compared(transferred(SIZE, BASE, scored, "P"), transferred(SIZE, SMALL, scored, "P"), NOT_ABOVE)
            for scored in THREE
        ],
        quote="original performances of these large models are similar to Small",
        note="The text says similar, the caption below: tested is that it is not above by more than the margin.",
    ),
    Claim(
        "C15", "Sec. 5, Fig. 3",
        "Base loses less than Small in segmentation once the upstream set is larger",
        (SIZE,),
        lambda found: [
            compared(transferred(SIZE, base, _MIOU), transferred(SIZE, SMALL, _MIOU), BELOW)
            for base in _larger(found, _MIOU)
        ],
    ),
)  # fmt: skip
