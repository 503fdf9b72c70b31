"""When a worker has lived long enough: it gets no more jobs, finishes what it runs, and is replaced if needed."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler_daemon.manager.pool.options import ProcessManagement
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

#: seconds between two looks at the memory of one worker, at ends of its jobs
MEASURE_EVERY = 0.1

_UNWANTED_AFTER = 2.0  #: seconds


def to_retire(pool: Pool, now: float) -> list[WorkerState]:
    """Returns the workers to retire: those past their age, those whose force_spawn job is gone, and idle surplus."""
    old = [worker for worker in pool.workers.values() if min(_age_ends(pool, worker), _needed_until(worker)) <= now]
    return old + _surplus(pool, now)


def next_retirement(pool: Pool) -> float:
    """Returns when a worker may have to be retired although nothing happens."""
    workers = pool.workers.values()
    ends = [_needed_until(worker) for worker in workers if worker.forced]
    if pool.options.worker_max_age:
        ends += [_age_ends(pool, worker) for worker in workers]
    if _excess(pool) > 0:
        ends += [worker.since + pool.options.idle_ttl for worker in pool.idle()]
    return min(ends, default=NEVER)


def to_measure(pool: Pool, worker: WorkerState, now: float) -> bool:
    """Tells whether to measure the memory of a worker now, at the end of a job."""
    return bool(pool.options.worker_max_growth) and now - worker.measured_at >= MEASURE_EVERY


def outgrown(pool: Pool, worker: WorkerState, resident: int | None, now: float) -> bool:
    """Tells whether a worker of `resident` bytes (None: not known) has grown by more than it may."""
    worker.measured_at = now
    return resident is not None and resident - worker.resident > pool.options.worker_max_growth


def _age_ends(pool: Pool, worker: WorkerState) -> float:
    limited = pool.options.worker_max_age and worker.ready and not worker.leaving
    return worker.born + pool.options.worker_max_age if limited else NEVER


def _needed_until(worker: WorkerState) -> float:
    """Returns until when a worker for a force_spawn job waits for that job, which may have been cancelled before."""
    return worker.since + _UNWANTED_AFTER if worker.forced and worker.free else NEVER


def _surplus(pool: Pool, now: float) -> list[WorkerState]:
    excess = _excess(pool)
    if excess <= 0:
        return []
    idle = [worker for worker in pool.idle() if now - worker.since >= pool.options.idle_ttl]
    return sorted(idle, key=lambda worker: worker.since)[:excess]


def _excess(pool: Pool) -> int:
    """Returns how many workers there are beyond those that are always kept."""
    if not pool.options.idle_ttl or pool.options.pm is not ProcessManagement.DYNAMIC:
        return 0
    kept = [worker for worker in pool.workers.values() if not worker.forced and not worker.leaving]
    return len(kept) - pool.options.min_children
