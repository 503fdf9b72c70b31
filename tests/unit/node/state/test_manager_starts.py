"""How soon a node starts its next manager, and when it gives up."""

from __future__ import annotations

from taskscheduler_daemon.node.state.manager_starts import MOST_FAILURES, ManagerStarts
from taskscheduler_daemon.node.state.session_end import SessionEnd


def test_managers_that_are_never_built_are_started_ever_more_rarely_and_then_no_more() -> None:
    starts, pauses = ManagerStarts(), []
    for _ in range(MOST_FAILURES - 1):
        starts.ended(SessionEnd.MANAGER_NOT_BUILT)
        pauses.append(starts.pause)
        assert not starts.broken
    assert pauses == [0.2, 0.4, 0.8, 1.6]
    starts.ended(SessionEnd.MANAGER_NOT_BUILT)
    assert starts.broken


def test_a_manager_that_was_built_makes_good_for_those_that_were_not() -> None:
    for other in set(SessionEnd) - {SessionEnd.MANAGER_NOT_BUILT}:
        starts = ManagerStarts()
        for end in (*[SessionEnd.MANAGER_NOT_BUILT] * (MOST_FAILURES - 1), other, SessionEnd.MANAGER_NOT_BUILT):
            starts.ended(end)
        assert (starts.broken, starts.pause) == (False, 0.2)
