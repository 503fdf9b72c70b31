"""The runs that no worker has yet, in three queues: ordinary, forced and async ones."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable

from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.manager.pool.async_queue import AsyncQueue
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.worker_state import QueuedRun

_FORCED, _ASYNC = int(Flag.FORCED), int(Flag.ASYNC)  # plain numbers, as `&` with them is faster


class RunQueues:
    """Keeps the runs that wait for a worker: those of higher priority first, then in the order in which they arrived.

    What a node claims ahead takes 100 ms to run, and an urgent job may come when all of that waits here.
    """

    def __init__(self, options: PoolOptions) -> None:
        self.ordinary: deque[QueuedRun] = deque()
        self.forced: deque[QueuedRun] = deque()  #: each waits for a worker of its own
        self.asynchronous = AsyncQueue(options)
        self._first, self._last = 0, 0  #: places

    def add(self, run: Run, now: float) -> None:
        """Appends a run to its queue, behind those of its priority."""
        self._last += 1
        queue, entry = self._queue_of(run), QueuedRun(run, now, self._last)
        if not queue or queue[-1].run.priority >= run.priority:
            queue.append(entry)
        else:
            queue.insert(bisect_right(queue, -run.priority, key=_rank), entry)

    def put_back(self, runs: Iterable[Run], now: float) -> None:
        """Puts runs that a worker gave up before those of their priority again, in this order."""
        for run in reversed(list(runs)):
            self._first -= 1
            queue, entry = self._queue_of(run), QueuedRun(run, now, self._first)
            queue.insert(bisect_left(queue, -run.priority, key=_rank), entry)

    def remove(self, job_id: bytes) -> Run | None:
        """Removes the run of a job; None if none waits."""
        for queue in (self.ordinary, self.forced, self.asynchronous.waiting):
            for entry in queue:
                if entry.run.is_attempt_of(job_id):
                    queue.remove(entry)
                    return entry.run
        return None

    def drain(self) -> list[Run]:
        """Removes and returns all runs."""
        runs = [entry.run for entry in self.all()]
        for queue in (self.ordinary, self.forced, self.asynchronous.waiting):
            queue.clear()
        return runs

    def all(self) -> list[QueuedRun]:
        """Returns all runs, queue by queue."""
        return [*self.ordinary, *self.forced, *self.asynchronous.waiting]

    def has_runs(self) -> bool:
        """Tells whether any run waits."""
        return bool(self.ordinary or self.forced or self.asynchronous.waiting)

    def _queue_of(self, run: Run) -> deque[QueuedRun]:
        if run.flags & _FORCED:
            return self.forced
        return self.asynchronous.waiting if run.flags & _ASYNC else self.ordinary


def _rank(entry: QueuedRun) -> int:
    """Returns what queues are in the order of."""
    return -entry.run.priority
