"""What a manager hears of its workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon.member import Member
from taskscheduler_daemon.workermail import WorkerMail


def test_a_worker_that_has_ended_in_the_same_moment_says_nothing_more() -> None:
    """One look at what is ready may tell of the death of a child first, and then that its socket can be read."""
    nothing = cast(Any, None)
    crew = cast(Any, SimpleNamespace(hands={}))
    mail = WorkerMail(nothing, crew, nothing, nothing, 0.5, SYSTEM_CLOCK)
    mail.read(Member(b"worker", 1234, single=False, forced=False))
