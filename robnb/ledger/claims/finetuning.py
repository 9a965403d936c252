"""Claims of appendix B: the learning rate of the transfer, and PRIME during it."""

from __future__ import annotations

from robnb.ledger.cells import Cell
from robnb.ledger.claims.claim import IN_TRANSFER, RATE, TWO, Claim, compared, transferred, trend
from robnb.ledger.found import Found
from robnb.ledger.roles import DEEPAUG, PRIME, REGULAR, TINY
from robnb.ledger.verdicts import ABOVE, BELOW, WITHIN, Statement
from robnb.published import PRIME_ARM

_BOX, _MIOU = TWO
_FOUR = (REGULAR, DEEPAUG, PRIME, TINY)


def _by_rate(found: Found, scored: tuple[str, str], quantity: str) -> dict[float, Cell]:
    """The PRIME backbone's cells with each learning rate, from the smallest."""
    chapter = found.chapters.get((RATE, ""))
    rates = sorted(chapter.outlook.learning_rates.get(scored[0], [])) if chapter else []
    return {rate: transferred(RATE, PRIME, scored, quantity, arm=f"lr {rate:g}") for rate in rates}


def _rises(found: Found, places: tuple[tuple[str, str], ...], quantity: str) -> list[Statement]:
    series = [_by_rate(found, scored, quantity) for scored in places]
    return [trend(cells, "rate", ABOVE) for cells in series if len(cells) > 1]


def _mixed(role: str, scored: tuple[str, str], quantity: str, expected: str) -> Statement:
    """A backbone with PRIME in its transfer against itself without."""
    plain = transferred(IN_TRANSFER, role, scored, quantity)
    return compared(transferred(IN_TRANSFER, role, scored, quantity, arm=PRIME_ARM), plain, expected)


def _swin_best(_: Found) -> list[Statement]:
    return [
        compared(
            transferred(IN_TRANSFER, TINY, scored, quantity, arm=PRIME_ARM),
            transferred(IN_TRANSFER, role, scored, quantity, arm=PRIME_ARM),
            expected,
        )
        for scored in TWO
        for quantity, expected in (("P", ABOVE), ("mPC", ABOVE), ("drop", BELOW))
        for role in (REGULAR, DEEPAUG, PRIME)
    ]


CLAIMS = (
    Claim(
        "C19", "App. B.1, Fig. 5",
        "A smaller learning rate of the transfer lowers the clean score, in detection and in segmentation",
        (RATE,), lambda found: _rises(found, TWO, "P"),
        takes="two learning rates",
        note="A slope over the rates in their order.",
    ),
    Claim(
        "C20", "App. B.1, Fig. 5",
        "A smaller learning rate lowers the drop in both, and the corrupted score at least in detection",
        (RATE,), lambda found: [*_rises(found, TWO, "drop"), *_rises(found, (_BOX,), "mPC")],
        takes="two learning rates",
        quote="at least for COCO",
        note="A slope over the rates in their order.",
    ),
    Claim(
        "C21", "App. B.2, tables 4 and 5",
        "PRIME during the transfer lowers the drop of PRIME's backbone, in detection and in segmentation",
        (IN_TRANSFER,), lambda _: [_mixed(PRIME, scored, "drop", BELOW) for scored in TWO],
    ),
    Claim(
        "C22", "App. B.2, tables 4 and 5",
        "PRIME during the transfer lowers its clean score in detection and slightly raises it in segmentation",
        (IN_TRANSFER,), lambda _: [_mixed(PRIME, _BOX, "P", BELOW), _mixed(PRIME, _MIOU, "P", ABOVE)],
        note="How slightly is not tested.",
    ),
    Claim(
        "C23", "App. B.2, Fig. 6",
        "PRIME during the transfer lowers the clean score of all in detection, and hardly changes it in segmentation",
        (IN_TRANSFER,),
        lambda _: [_mixed(role, *how) for how in ((_BOX, "P", BELOW), (_MIOU, "P", WITHIN)) for role in _FOUR],
        note="Hardly: by no more than the margin, to either side.",
    ),
    Claim(
        "C24", "App. B.2, Fig. 6",
        "With PRIME during the transfer, Swin-T is best in clean score, corrupted score and drop",
        (IN_TRANSFER,), _swin_best,
    ),
)  # fmt: skip
