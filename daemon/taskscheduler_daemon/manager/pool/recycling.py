"""Pure: when a worker has lived long enough. It then gets no more jobs, finishes what it runs, and is replaced."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler_daemon.manager.pool.options import ProcessManagement
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

#: seconds between two looks at the memory of one worker, at ends of its jobs
MEASURE_EVERY = 0.1

_UNWANTED_AFTER = 2.0  #: seconds


def to_retire(pool: Pool, now: float) -> list[WorkerState]:
    """The workers whose time is over: as old as they may get, without the job that they were started for, or without
    work for too long.
    """
    old = [member for member in pool.workers.values() if min(_age_ends(pool, member), _needed_until(member)) <= now]
    return old + _surplus(pool, now)


def next_retirement(pool: Pool) -> float:
    """When there may be something to retire although nothing happens."""
    ends = [min(_age_ends(pool, member), _needed_until(member)) for member in pool.workers.values()]
    if _excess(pool) > 0:
        ends += [member.since + pool.options.idle_ttl for member in pool.idle()]
    return min(ends, default=NEVER)


def to_measure(pool: Pool, member: WorkerState, now: float) -> bool:
    """Whether to look now, at the end of a job, how much memory a worker has."""
    return bool(pool.options.worker_max_growth) and now - member.measured_at >= MEASURE_EVERY


def outgrown(pool: Pool, member: WorkerState, resident: int | None, now: float) -> bool:
    """Whether a worker of `resident` bytes, None if that is not known, has grown by more than it may."""
    member.measured_at = now
    return resident is not None and resident - member.resident > pool.options.worker_max_growth


def _age_ends(pool: Pool, member: WorkerState) -> float:
    limited = pool.options.worker_max_age and member.ready and not member.leaving
    return member.born + pool.options.worker_max_age if limited else NEVER


def _needed_until(member: WorkerState) -> float:
    """When one that was started for a force_spawn job is not wanted any more, as that was cancelled before."""
    return member.since + _UNWANTED_AFTER if member.forced and member.free else NEVER


def _surplus(pool: Pool, now: float) -> list[WorkerState]:
    excess = _excess(pool)
    if excess <= 0:
        return []
    idle = [member for member in pool.idle() if now - member.since >= pool.options.idle_ttl]
    return sorted(idle, key=lambda member: member.since)[:excess]


def _excess(pool: Pool) -> int:
    """How many workers there are beyond those that are always kept."""
    if not pool.options.idle_ttl or pool.options.pm is not ProcessManagement.DYNAMIC:
        return 0
    kept = [member for member in pool.workers.values() if not member.forced and not member.leaving]
    return len(kept) - pool.options.min_children
