"""Pure: which waiting run goes to which worker, and how many a worker is handed ahead."""

from __future__ import annotations

from collections.abc import Iterator

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

#: a worker is handed at most this much measured work ahead, so that its socket never runs dry in between
_AHEAD_SECONDS = 0.01

_MOST_AHEAD = 64

Assignments = Iterator[tuple[WorkerState, Run]]


def assignments(pool: Pool) -> Iterator[Assignments]:
    """Which waiting run goes to which worker now, for each kind of them: an event loop that takes no more has nothing
    to do with the others. Ask each until it ends, telling the pool `began` in between.
    """
    yield from (_async(pool), _ordinary(pool), _forced(pool))


def _async(pool: Pool) -> Assignments:
    while (member := async_member(pool)) is not None:
        yield member, pool.asynchronous.waiting.popleft().run


def _ordinary(pool: Pool) -> Assignments:
    reserved = _reserved(pool)
    while pool.waiting and (member := _least_loaded(pool, reserved)) is not None:
        yield member, pool.waiting.popleft().run


def _forced(pool: Pool) -> Assignments:
    for member in list(pool.workers.values()):
        if member.forced and member.free and pool.forced:
            yield member, pool.forced.popleft().run


def async_member(pool: Pool) -> WorkerState | None:
    """The worker that is to have the first async run."""
    if not pool.asynchronous.waiting:
        return None
    since = pool.waiting[0].since if pool.waiting else NEVER
    return pool.asynchronous.member(list(pool.workers.values()), since)


def _reserved(pool: Pool) -> WorkerState | None:
    """A worker that gets no more of the others, so that it comes to the async runs which have waited longer."""
    line = pool.asynchronous.waiting
    if not line or not pool.waiting or pool.waiting[0].since <= line[0].since:
        return None
    ordinary = [member for member in pool.workers.values() if member.takes_ordinary]
    if any(member.async_runs for member in ordinary):
        return None
    return min(ordinary, key=lambda member: len(member.runs), default=None)


def _least_loaded(pool: Pool, reserved: WorkerState | None) -> WorkerState | None:
    most = depth(pool)
    best = None
    for member in pool.workers.values():
        if not member.ready or member.leaving or member.kill_reason is not None or member.forced:
            continue
        if member.async_runs or member is reserved:
            continue
        load = len(member.runs)
        if load < (1 if member.single else most) and (best is None or load < len(best.runs)):
            best = member
    return best


def depth(pool: Pool) -> int:
    """How many jobs a worker may hold, the running one included."""
    if pool.mean <= 0.0 or pool.mean > _AHEAD_SECONDS / 2:
        return 1
    return min(_MOST_AHEAD, 1 + int(_AHEAD_SECONDS / pool.mean))


def well_supplied(pool: Pool) -> bool:
    """Whether all workers have so much to do ahead that none runs dry if the manager pauses for a moment."""
    enough = _MOST_AHEAD // 2
    return bool(pool.workers) and all(len(member.runs) >= enough for member in pool.workers.values())


def steal_from(pool: Pool) -> WorkerState | None:
    """A worker whose handed-over jobs another one, which has nothing to do, should take."""
    if pool.waiting or not pool.idle():
        return None
    loaded = [member for member in pool.workers.values() if len(member.runs) > 1]
    return max(loaded, key=lambda member: len(member.runs), default=None)
