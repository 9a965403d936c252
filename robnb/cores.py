"""How many cores this process may use. It imports nothing large, so that the command line can ask too."""

from __future__ import annotations

import os


def cores() -> int:
    """Those that the system lets this process run on, where it says so; otherwise all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
