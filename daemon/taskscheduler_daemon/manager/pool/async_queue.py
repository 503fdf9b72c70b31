"""Pure: the async runs that wait for a worker, and which one they get; as few workers as possible run all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.worker_state import QueuedRun, WorkerState


class AsyncQueue:
    """The async runs that no worker has yet."""

    def __init__(self, options: PoolOptions) -> None:
        self.waiting: deque[QueuedRun] = deque()
        self._limit = options.async_limit
        self._slots = options.slots
        self._most = max(1, options.slots - 1)  #: workers; the last one is left to the other jobs

    def member(self, members: Iterable[WorkerState], other_since: float) -> WorkerState | None:
        """The worker for the first run: the fullest one that has room, else a free one.

        Jobs that are not async, the first of which waits since `other_since`, get a worker in their turn: the last
        free one, or where there is but one, that one as soon as its async jobs have ended.
        """
        ordinary = [member for member in members if member.takes_ordinary]
        busy = [member for member in ordinary if member.async_runs]
        theirs = other_since < self.waiting[0].since
        if theirs and self._slots == 1 and busy:
            return None
        roomy = [member for member in busy if len(member.async_runs) < self._limit]
        if roomy:
            return max(roomy, key=lambda member: len(member.async_runs))
        free = [member for member in ordinary if member.free]
        if len(busy) >= self._most or len(free) < (2 if theirs else 1):
            return None
        return free[0]

    def drain(self) -> list[Run]:
        """Give up all of them."""
        runs = [entry.run for entry in self.waiting]
        self.waiting.clear()
        return runs

    def workers_wanted(self, members: Iterable[WorkerState]) -> int:
        """How many more workers these runs could use."""
        if not self.waiting:
            return 0
        busy = [len(member.async_runs) for member in members if member.async_runs and not member.leaving]
        missing = len(self.waiting) - sum(max(0, self._limit - taken) for taken in busy)
        return max(0, min(-(-missing // max(1, self._limit)), self._most - len(busy)))
