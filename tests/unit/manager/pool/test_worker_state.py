"""What a manager promises the job of a worker that has to end."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler_daemon.manager.pool.worker_state import WorkerState


def interrupted(at: float) -> WorkerState:
    """One that was to be interrupted at 105 and killed at 110."""
    member = WorkerState(b"worker", 1, single=False, interrupt_at=105.0, kill_at=110.0)
    member.interrupt_sent(at)
    return member


def test_who_is_interrupted_late_has_as_much_time_to_end() -> None:
    """As when the manager, or the whole host, stood still for a while: it was not told before."""
    assert interrupted(105.0).kill_at == 110.0
    assert interrupted(112.0).kill_at == 117.0


def test_who_has_to_hurry_is_told_once_more_and_has_the_grace_time() -> None:
    member = interrupted(105.0)
    assert member.interrupt_at == NEVER
    member.shorten_to(106.0, 0.5)
    member.interrupt_sent(106.0)
    assert (member.interrupt_at, member.kill_at) == (NEVER, 106.5)
