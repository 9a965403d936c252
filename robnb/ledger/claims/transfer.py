"""Claims of sections 3, 4 and 7: frozen backbones, fully trained ones, and both beside each other."""

from __future__ import annotations

from robnb.ledger.claims.claim import FIXED, FULL, TWO, Claim, compared, gained, transferred, upstream
from robnb.ledger.found import Found
from robnb.ledger.roles import ANT, DEEPAUG, REGULAR, TINY
from robnb.ledger.verdicts import ABOVE, BELOW, Statement
from robnb.names import CATEGORIES

_BOX, _MIOU = TWO
_CIFAR = ("classification", "top1")
_ROBUST = (ANT, DEEPAUG)


def _in_every_category(_: Found) -> list[Statement]:
    cells = [
        (transferred(FIXED, role, scored, category=category), transferred(FIXED, REGULAR, scored, category=category))
        for scored in TWO
        for role in _ROBUST
        for category in CATEGORIES
    ]
    return [compared(one, regular, BELOW) for one, regular in cells]


def _swin_where(_: Found) -> list[Statement]:
    places = [(_MIOU, "noise"), (_MIOU, "weather"), (_BOX, "weather")]
    return [
        compared(
            transferred(FIXED, TINY, scored, category=category),
            transferred(FIXED, role, scored, category=category),
            BELOW,
        )
        for scored, category in places
        for role in (REGULAR, *_ROBUST)
    ]


def _smallest(notebook: str, role: str, scored: tuple[str, str]) -> list[Statement]:
    """That a backbone has the smallest drop of the four."""
    others = [other for other in (REGULAR, ANT, DEEPAUG, TINY) if other != role]
    one = transferred(notebook, role, scored)
    return [compared(one, transferred(notebook, other, scored), BELOW) for other in others]


def _upstream_order(_: Found) -> list[Statement]:
    drops = {role: upstream(FULL, role) for role in (REGULAR, ANT, DEEPAUG, TINY)}
    pairs = [(ANT, REGULAR), (DEEPAUG, REGULAR), (DEEPAUG, ANT), (DEEPAUG, TINY)]
    return [compared(drops[one], drops[other], BELOW) for one, other in pairs]


def _order_turns(_: Found) -> list[Statement]:
    downstream = [
        compared(transferred(FULL, TINY, scored), transferred(FULL, DEEPAUG, scored), BELOW) for scored in TWO
    ]
    return [compared(upstream(FULL, TINY), upstream(FULL, DEEPAUG), ABOVE), *downstream]


def _regular_smallest(_: Found) -> list[Statement]:
    regular = transferred(FULL, REGULAR, _CIFAR)
    return [compared(regular, transferred(FULL, role, _CIFAR), BELOW) for role in (*_ROBUST, TINY)]


def _kept_when_frozen(_: Found) -> list[Statement]:
    """There is a gain when frozen, and it is more than with every weight trained."""
    found = []
    for scored in TWO:
        for role in _ROBUST:
            found.append(compared(transferred(FIXED, role, scored), transferred(FIXED, REGULAR, scored), BELOW))
            frozen, trained = (gained(transferred(notebook, role, scored), REGULAR) for notebook in (FIXED, FULL))
            said = f"{frozen[0][1].where}: (drop of {role} - {REGULAR}) frozen - trained"
            found.append(Statement(said, (*frozen, *((-weight, cell) for weight, cell in trained)), BELOW))
    return found


CLAIMS = (
    Claim(
        "C1", "Sec. 3, tables 1 and 2",
        "Frozen: ANT and DeepAug+ lose less than Regular in every category, in detection and in segmentation",
        (FIXED,), _in_every_category,
    ),
    Claim(
        "C2", "Sec. 3, tables 1 and 2",
        "Frozen: Swin-T loses least under noise and weather in segmentation, and under weather in detection",
        (FIXED,), _swin_where,
    ),
    Claim(
        "C3", "Tables 1 and 2",
        "Frozen: over all corruptions DeepAug+ loses least in detection, Swin-T in segmentation",
        (FIXED,), lambda _: [*_smallest(FIXED, DEEPAUG, _BOX), *_smallest(FIXED, TINY, _MIOU)],
        note="Not said in the paper's text: means of its tables' rows, weighted by the corruptions of each category.",
    ),
    Claim(
        "C4", "Sec. 1, Fig. 2",
        "Every weight trained: ANT and DeepAug+ lose less than Regular in detection and in segmentation",
        (FULL,),
        lambda _: [
            compared(transferred(FULL, role, scored), transferred(FULL, REGULAR, scored), BELOW)
            for scored in TWO
            for role in _ROBUST
        ],
    ),
    Claim(
        "C5", "Sec. 4, Fig. 2",
        "Every weight trained: Swin-T loses least in detection and in segmentation",
        (FULL,), lambda _: [*_smallest(FULL, TINY, _BOX), *_smallest(FULL, TINY, _MIOU)],
        quote="transfers robustness better",
    ),
    Claim(
        "C6", "Fig. 2",
        "Upstream: ANT and DeepAug+ lose less than Regular, and DeepAug+ loses least of all",
        (FULL,), _upstream_order,
    ),
    Claim(
        "C7", "Sec. 4, Fig. 2",
        "Upstream: Swin-T loses slightly less than ANT",
        (FULL,), lambda _: [compared(upstream(FULL, TINY), upstream(FULL, ANT), BELOW)],
        note="How slightly is not tested.",
    ),
    Claim(
        "C8", "Fig. 2",
        "The order turns round: Swin-T loses more than DeepAug+ upstream, and less in detection and in segmentation",
        (FULL,), _order_turns,
        quote="tend to emphasize ImageNet evaluations",
    ),
    Claim(
        "C9", "Sec. 4, Fig. 2",
        "Downstream classification, every weight trained: Regular loses least",
        (FULL,), _regular_smallest,
        quote="do not retain robustness when fully fine-tuned",
    ),
    Claim(
        "C10", "Sec. 7 and 9",
        "Frozen, ANT and DeepAug+ lose less than Regular, and by more than with every weight trained",
        (FIXED, FULL), _kept_when_frozen,
        note="By more: a difference of differences, because a head on frozen features loses more or less by itself.",
    ),
    Claim(
        "C11", "Sec. 7",
        "Freezing costs clean score",
        (FIXED, FULL),
        lambda _: [
            compared(transferred(FIXED, role, scored, "P"), transferred(FULL, role, scored, "P"), BELOW)
            for scored in TWO
            for role in (REGULAR, ANT, DEEPAUG, TINY)
        ],
        note="Of all four backbones, in detection and in segmentation.",
    ),
)  # fmt: skip
