"""The deadlines of a worker that has to end."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler_daemon.manager.pool.worker_state import WorkerState


def interrupted(at: float) -> WorkerState:
    """A worker whose deadlines were 105 for the interrupt and 110 for the kill."""
    worker = WorkerState(b"worker", 1, single=False, interrupt_at=105.0, kill_at=110.0)
    worker.interrupt_sent(at)
    return worker


def test_a_late_interrupt_extends_the_kill_deadline() -> None:
    """The manager, or the whole host, may have stood still for a while: the worker was not interrupted before."""
    assert interrupted(105.0).kill_at == 110.0
    assert interrupted(112.0).kill_at == 117.0


def test_shortened_deadlines_interrupt_once_more_and_leave_the_grace_time() -> None:
    worker = interrupted(105.0)
    assert worker.interrupt_at == NEVER
    worker.shorten_to(106.0, 0.5)
    worker.interrupt_sent(106.0)
    assert (worker.interrupt_at, worker.kill_at) == (NEVER, 106.5)
