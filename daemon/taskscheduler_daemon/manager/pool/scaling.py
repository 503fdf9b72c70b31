"""How many workers to start."""

from __future__ import annotations

from taskscheduler_daemon.manager.pool.options import ProcessManagement
from taskscheduler_daemon.manager.pool.pool import Pool


def spare_workers(pool: Pool) -> int:
    """Returns how many more workers the limits allow, forced ones apart."""
    return max(0, pool.options.slots - len([worker for worker in pool.workers.values() if not worker.forced]))


def workers_to_spawn(pool: Pool, now: float) -> tuple[int, int]:
    """Returns how many workers to start now: ordinary ones, and ones for force_spawn jobs."""
    if pool.stopping or now < pool.boot_backoff.not_before:
        return 0, 0
    return _ordinary(pool), _forced(pool)


def _forced(pool: Pool) -> int:
    """Returns how many of them to start: the limit holds here, too, for workers that are slow to end."""
    if not pool.queues.forced:
        return 0
    workers = [worker for worker in pool.workers.values() if worker.forced]
    idle = sum(1 for worker in workers if not worker.runs and not worker.leaving)
    return max(0, min(len(pool.queues.forced) - idle, pool.options.forced_limit - len(workers)))


def _ordinary(pool: Pool) -> int:
    room = spare_workers(pool)
    if not room:
        return 0  # as at most times: this is asked at every turn of the loop
    queues = pool.queues
    alive = [worker for worker in pool.workers.values() if not worker.forced and not worker.leaving]
    spare = sum(1 for worker in alive if not worker.runs and not worker.async_runs)
    needed = max(0, len(queues.ordinary) + queues.asynchronous.workers_wanted(alive) - spare)
    missing = pool.options.min_children - len(alive)
    if pool.options.pm is ProcessManagement.STATIC:
        return min(room, max(0, missing))
    if pool.options.pm is ProcessManagement.ONDEMAND:
        return min(room, needed)
    return min(room, max(needed, missing))
