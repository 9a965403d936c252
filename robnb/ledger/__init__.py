"""The ledger: every checkable claim of the paper, what was measured of it, and the verdict.

    roles.py      who a backbone is in the paper
    found.py      what the notebooks of a profile have left in the store
    cells.py      one number of one model; what the paper printed there
    verdicts.py   the rules that make verdicts of numbers
    claims/       the claims, as data
    entries.py    the tables of all this
    variations.py the same ledger under other parameters
    pool.py       all models together: pairs, order, sources of variance
    page.py       the ledger as a page to keep
    reading.py    the steps of the ledger notebook

A new claim is an entry in one of the files of ``claims/``.
"""

from robnb.ledger.entries import counts, ledger, statements
from robnb.ledger.pool import by_severity
from robnb.ledger.variations import by_variation, moved, moves

__all__ = ["by_severity", "by_variation", "counts", "ledger", "moved", "moves", "statements"]
