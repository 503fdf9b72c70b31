"""The async runs that wait for a worker, and which one they get; as few workers as possible run all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.worker_state import QueuedRun, WorkerState


class AsyncQueue:
    """Keeps the async runs that no worker has yet."""

    def __init__(self, options: PoolOptions) -> None:
        self.waiting: deque[QueuedRun] = deque()
        self._limit = options.async_limit
        self._slots = options.slots
        self._most = max(1, options.slots - 1)  #: workers; the last one is left to the other jobs

    def next_worker(self, workers: Iterable[WorkerState], other: int | None) -> WorkerState | None:
        """Returns the worker for the first run: the fullest one that has room, else a free one.

        If the first ordinary run arrived earlier, at the place `other`, the last free worker is left to it; where there
        is only one worker, it takes no more async runs and turns to the ordinary ones as soon as its own have ended.
        """
        available = [worker for worker in workers if worker.takes_ordinary]
        busy = [worker for worker in available if worker.async_runs]
        other_first = other is not None and other < self.waiting[0].place
        if other_first and self._slots == 1 and busy:
            return None
        roomy = [worker for worker in busy if len(worker.async_runs) < self._limit]
        if roomy:
            return max(roomy, key=lambda worker: len(worker.async_runs))
        free = [worker for worker in available if worker.free]
        if len(busy) >= self._most or len(free) < (2 if other_first else 1):
            return None
        return free[0]

    def drain(self) -> list[Run]:
        """Removes and returns all runs."""
        runs = [entry.run for entry in self.waiting]
        self.waiting.clear()
        return runs

    def workers_wanted(self, workers: Iterable[WorkerState]) -> int:
        """Returns how many more workers these runs could use."""
        if not self.waiting:
            return 0
        busy = [len(worker.async_runs) for worker in workers if worker.async_runs and not worker.leaving]
        missing = len(self.waiting) - sum(max(0, self._limit - taken) for taken in busy)
        return max(0, min(-(-missing // max(1, self._limit)), self._most - len(busy)))
