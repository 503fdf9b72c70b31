"""Which waiting work goes back to the node, so that other nodes can take it: no worker had room for it for too long."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler_daemon.manager.pool.assignment import async_worker
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import spare_workers
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

#: seconds of standstill after which another node would have begun the work sooner
STALE_SECONDS = 0.15


def to_hand_back(pool: Pool, now: float) -> list[WorkerState] | None:
    """Returns the workers whose unstarted runs go back to the node, with all that waits; None to hand back nothing.

    Work goes back if no slot became free for so long that other nodes could have taken it.
    """
    if pool.stopping or pool.idle():
        return None
    workers, waiting = pool.workers.values(), pool.queues.ordinary
    stuck = [worker for worker in workers if len(worker.runs) > 1 and now - worker.since > STALE_SECONDS]
    # where async jobs run, a few of the others may have to wait until one of their workers has none left
    bearable = pool.options.slots if any(worker.async_runs for worker in workers) else 0
    crowded = len(waiting) > bearable
    old = crowded and now - waiting[0].since > STALE_SECONDS and not spare_workers(pool)
    moving = any(now - worker.since < STALE_SECONDS for worker in workers if worker.runs)
    return stuck if (stuck or old) and not moving else None


def async_to_hand_back(pool: Pool, now: float) -> bool:
    """Tells whether the async runs go back to the node: no worker had room for them for too long."""
    asynchronous = pool.queues.asynchronous
    waiting = asynchronous.waiting
    if not waiting or pool.stopping or now - waiting[0].since <= STALE_SECONDS or async_worker(pool) is not None:
        return False
    return not spare_workers(pool) or not asynchronous.workers_wanted(pool.workers.values())


def next_look(pool: Pool, looked_at: float) -> float:
    """Returns when to look for stale work again, as long as there is work that has not begun."""
    unstarted = pool.queues.has_runs() or any(len(worker.runs) > 1 for worker in pool.workers.values())
    return looked_at + STALE_SECONDS / 3 if unstarted else NEVER
