"""One way to show progress: a text bar on stdout that stays readable in a stored notebook.

tqdm's notebook bar freezes at 0 % wherever there is no live kernel, and stores hundreds of widgets.
"""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(total: int, label: str, initial: int = 0, unit: str = "it", delay: float = 0.0) -> tqdm:
    """A bar that writes a line at most every ten seconds and always its last state.

    It says how many units a second, and how long it will take.

    Args:
        delay: seconds before its first line; what ends sooner, such as reading what is there, writes none.
    """
    how = {"file": sys.stdout, "mininterval": 10, "ascii": True, "ncols": 88, "delay": delay}
    return tqdm(total=total, desc=label, initial=initial, unit=unit, **how)
