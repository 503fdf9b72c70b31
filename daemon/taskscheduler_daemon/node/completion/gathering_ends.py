"""For how long a write of ends waits for more of them. A step is a short time in which ends arrive."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd

_BUSY, _LONG = 64, 10  #: so many ends at once mean that more arrive within so many steps

_LONG_IN_FLOWS = 25  #: the same for quick jobs of flows, of which a layer takes longer on a busy machine

_AT_WORK, _SHORT = 8, 2  #: while so many attempts are in flight, some end within so many steps

_QUICK = 0.010  #: seconds that a quick job takes at most

_QUIET, _QUIET_IN_FLOWS = 1, 2  #: steps in a row in which no end arrives, after which none is waited for any more

_QUIET_TILL_HALF, _QUIET_BEHIND = 6, 3  #: the same for quick jobs of flows, until half of those in flight have ended


class Kind(Enum):
    """What has ended."""

    ALONE = auto()  #: only jobs that nobody comes after
    OF_FLOWS = auto()
    QUICK = auto()  #: of flows, and all were quick


def kind_of(ends: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> Kind:
    """Returns the kind of some ends."""
    of_flows = any(one.member is not None for one in ends) or any(one.member is not None for one in quick)
    if not of_flows:
        return Kind.ALONE
    were_quick = all(one.ended - one.began < _QUICK for one in ends) and all(one.lasted < _QUICK for one in quick)
    return Kind.QUICK if were_quick else Kind.OF_FLOWS


def steps_to_wait(ends: int, running: int, kind: Kind) -> int:
    """Returns for how many steps at most to wait for more ends while so many attempts are in flight.

    If none is, nothing more arrives: then all jobs of a layer have ended, and the next ones wait for this write. What
    comes after jobs of flows is found and claimed as these ends were written, so the fewer writes the better, and the
    last jobs of a layer are waited for a little, too.
    """
    of_flows = kind is not Kind.ALONE
    if not running:
        return 0
    if ends >= _BUSY or (of_flows and running >= _AT_WORK):
        return _LONG_IN_FLOWS if kind is Kind.QUICK else _LONG
    return _SHORT if running >= _AT_WORK or (of_flows and ends >= _AT_WORK) else 0


def quiet_steps(ends: int, running: int, kind: Kind) -> int:
    """Returns after how many steps without an end to wait for no more.

    On a busy machine the workers have pauses, in which a hundred chains of quick jobs would fall apart into many parts
    that never meet again. Each part costs a write, a search and two claims.
    """
    if kind is Kind.QUICK:
        return _QUIET_BEHIND if ends >= running else _QUIET_TILL_HALF
    return _QUIET_IN_FLOWS if kind is Kind.OF_FLOWS else _QUIET
