"""Claims of section 3.1: what is measured. They are checked on every result that there is."""

from __future__ import annotations

import numpy as np

from robnb.ledger.claims.claim import Claim
from robnb.ledger.found import Found
from robnb.ledger.verdicts import FAILS, HOLDS, NOT_RUN, Verdict
from robnb.metrics import SCORED, summarise
from robnb.names import CATEGORIES, CORRUPTIONS

_QUANTITIES = ("mPC", "rPC", "drop")
_SAME = 1e-9  # of numbers up to 100 that are added in another order


def _defined(found: Found) -> Verdict:
    """Recompute every drop from the scores; the 15 corruptions have to be there, in their four categories."""
    compared, wrong = 0, []
    for (notebook, _), chapter in found.chapters.items():
        scores, conditions = chapter.results.scores, chapter.outlook.conditions
        absent = sorted(set(CORRUPTIONS) - set(scores["corruption"]))
        if absent:
            return Verdict(NOT_RUN, f"{notebook} has {len(CORRUPTIONS) - len(absent)} of the 15 corruptions.")
        again = summarise(scores, [(condition.corruption, condition.severity) for condition in conditions])
        keys = [*SCORED, "category"]
        ours = chapter.trainings.reset_index().set_index(keys)[list(_QUANTITIES)]
        theirs = again.set_index(keys)[list(_QUANTITIES)].reindex(ours.index)
        same = np.isclose(ours, theirs, rtol=0, atol=_SAME, equal_nan=True)
        compared += same.size
        wrong += [notebook] * int((~same).sum())
    if wrong:
        return Verdict(FAILS, f"{len(wrong)} of {compared} numbers are not what the definitions give ({wrong[0]}).")
    return Verdict(HOLDS, f"{compared} numbers recomputed from the scores")


CLAIMS = (
    Claim(
        "C25", "Sec. 3.1",
        f"15 corruptions in {len(CATEGORIES)} categories; mPC is their mean, drop = 1 - mPC / P",
        (), check=_defined,
    ),
)  # fmt: skip
