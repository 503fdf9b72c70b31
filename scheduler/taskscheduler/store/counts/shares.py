"""How far to count each of many: all of them together cost no more than a few large ones."""

from __future__ import annotations

from taskscheduler.store.job_lists import CAP

FIRST = 200  #: of each that are counted at first


def share(number: int) -> int:
    """Returns how far to count each of so many that have more than FIRST: CAP more in equal parts."""
    return min(CAP, FIRST + CAP // max(1, number))
