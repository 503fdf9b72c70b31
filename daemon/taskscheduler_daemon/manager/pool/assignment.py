"""Which waiting run is assigned to which worker, and how many runs a worker gets ahead."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import QueuedRun, WorkerState

#: a worker gets at most this much measured work ahead, so that its socket never runs dry in between
_AHEAD_SECONDS = 0.01

_MOST_AHEAD = 64

_MANY_AHEAD = 16  #: runs of each worker, which the manager need not be quick to follow

_LONGEST_PAUSE = 3  #: milliseconds


class RunKind(Enum):
    """The kinds of runs, in the order in which they are assigned."""

    ASYNC = auto()  #: in the event loop of a worker
    ORDINARY = auto()
    FORCED = auto()  #: in a worker of its own


_ASYNC, _ORDINARY = RunKind.ASYNC, RunKind.ORDINARY


class Assignment(NamedTuple):
    """The next run of a kind, and the worker that gets it."""

    worker: WorkerState
    run: Run
    queue: deque[QueuedRun]  #: in which it is the first


def next_assignment(pool: Pool, kind: RunKind) -> Assignment | None:
    """Returns the next assignment among the runs of one kind; None if none waits or no worker has room.

    Kinds do not wait for one another: an event loop that takes no more leaves the other workers free for other runs.
    """
    queues = pool.queues
    if kind is _ORDINARY:
        queue = queues.ordinary
        worker = _least_loaded(pool, _reserved(pool)) if queue else None
    elif kind is _ASYNC:
        queue, worker = queues.asynchronous.waiting, async_worker(pool)
    else:
        queue = queues.forced
        worker = _free_forced(pool) if queue else None
    return None if worker is None else Assignment(worker, queue[0].run, queue)


def _free_forced(pool: Pool) -> WorkerState | None:
    return next((worker for worker in pool.workers.values() if worker.forced and worker.free), None)


def async_worker(pool: Pool) -> WorkerState | None:
    """Returns the worker that gets the first async run; None if none waits or no worker has room."""
    queues = pool.queues
    if not queues.asynchronous.waiting:
        return None
    other = queues.ordinary[0].place if queues.ordinary else None
    return queues.asynchronous.next_worker(pool.workers.values(), other)


def _reserved(pool: Pool) -> WorkerState | None:
    """Returns the worker that gets no more ordinary runs, so that it becomes free for async runs that came before."""
    asynchronous, ordinary = pool.queues.asynchronous.waiting, pool.queues.ordinary
    if not asynchronous or ordinary[0].place < asynchronous[0].place:
        return None
    workers = [worker for worker in pool.workers.values() if worker.takes_ordinary]
    if any(worker.async_runs for worker in workers):
        return None
    return min(workers, key=lambda worker: len(worker.runs), default=None)


def _least_loaded(pool: Pool, reserved: WorkerState | None) -> WorkerState | None:
    most = depth(pool)
    best, least = None, most
    for worker in pool.workers.values():
        if not worker.ready or worker.leaving or worker.kill_reason is not None or worker.forced:
            continue
        if worker.async_runs or worker is reserved:
            continue
        load = len(worker.runs)
        if load < least and (load == 0 or not worker.single):
            best, least = worker, load
    return best


def in_the_way(pool: Pool) -> list[WorkerState]:
    """Returns workers that hold runs ahead of a lower priority than those that wait, one for each of these at most."""
    waiting = pool.queues.ordinary
    if not waiting:
        return []
    first = waiting[0].run.priority
    blocked = [one for one in pool.workers.values() if len(one.runs) > 1 and one.runs[-1].priority < first]
    urgent = [entry for entry in islice(waiting, len(blocked)) if entry.run.priority == first]
    return blocked[: len(urgent)]


def depth(pool: Pool) -> int:
    """Returns how many runs a worker may hold, the running one included."""
    if pool.mean <= 0.0 or pool.mean > _AHEAD_SECONDS / 2:
        return 1
    return min(_MOST_AHEAD, 1 + int(_AHEAD_SECONDS / pool.mean))


def time_to_gather(pool: Pool) -> float:
    """Returns for how many seconds the manager may pause: no worker runs dry in half of what it has ahead.

    0.0 unless each of them has many quick jobs ahead. Whole milliseconds, as the system waits for no part of one.
    """
    ahead = min((len(worker.runs) for worker in pool.workers.values()), default=0)
    return min(_LONGEST_PAUSE, int(ahead * pool.mean * 500)) / 1000 if ahead >= _MANY_AHEAD else 0.0


def steal_from(pool: Pool) -> WorkerState | None:
    """Returns the most loaded worker if an idle one should take over the runs that it has not begun."""
    if pool.queues.ordinary or not pool.idle():
        return None
    loaded = [worker for worker in pool.workers.values() if len(worker.runs) > 1]
    return max(loaded, key=lambda worker: len(worker.runs), default=None)
