"""Pure: which work has waited so long for a worker that it goes back to the node, for other nodes to take."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler_daemon.manager.pool.assignment import async_member
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import spare_workers
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

STALE_SECONDS = 0.15


def to_hand_back(pool: Pool, now: float) -> list[WorkerState] | None:
    """The workers whose unstarted jobs are to go back to the node with all that waits; None if nothing should.

    That is when no slot has become free for so long that other nodes could have taken the work.
    """
    if pool.stopping or pool.idle():
        return None
    stuck = [m for m in pool.workers.values() if len(m.runs) > 1 and now - m.since > STALE_SECONDS]
    # where async jobs run, a few of the others may have to wait until one of their workers has none left
    bearable = pool.options.slots if any(member.async_runs for member in pool.workers.values()) else 0
    crowded = len(pool.waiting) > bearable
    old = crowded and now - pool.waiting[0].since > STALE_SECONDS and not spare_workers(pool)
    moving = any(now - m.since < STALE_SECONDS for m in pool.workers.values() if m.runs)
    return stuck if (stuck or old) and not moving else None


def async_to_hand_back(pool: Pool, now: float) -> bool:
    """Whether async runs are to go back to the node: no worker has had room for them for so long."""
    line = pool.asynchronous.waiting
    if not line or pool.stopping or now - line[0].since <= STALE_SECONDS or async_member(pool) is not None:
        return False
    return not spare_workers(pool) or not pool.asynchronous.workers_wanted(pool.workers.values())


def next_look(pool: Pool, now: float) -> float:
    """When to look again, as long as there is work that has not begun."""
    unstarted = pool.waits() or any(len(member.runs) > 1 for member in pool.workers.values())
    return now + STALE_SECONDS / 3 if unstarted else NEVER
