"""Assigns runs to workers, recalls unread ones, and dismisses workers."""

from __future__ import annotations

from taskscheduler_daemon.manager.pool.assignment import RunKind, in_the_way, next_assignment, steal_from
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle

_KINDS = tuple(RunKind)


class Assigner:
    """Speaks to the workers of a pool through their handles; WorkerSupervisor adds and removes these."""

    def __init__(self, pool: Pool) -> None:
        self.handles: dict[int, WorkerHandle] = {}  #: by pid
        self._pool = pool

    def assign(self, now: float) -> None:
        """Assigns waiting runs as far as workers have room, and moves unread ones from a busy worker to an idle one.

        A run of a higher priority comes before what a worker has not read.
        """
        for worker in in_the_way(self._pool):
            self.recall(worker, now)
        self._assign_waiting(now)
        loaded = steal_from(self._pool)
        if loaded is not None:
            self.recall(loaded, now)
            if self._pool.queues.ordinary:
                self.assign(now)

    def _assign_waiting(self, now: float) -> None:
        pool, handles = self._pool, self.handles
        for kind in _KINDS:
            while (found := next_assignment(pool, kind)) is not None:
                worker, run, queue = found
                if not handles[worker.pid].assign(run):
                    break  # its socket is full
                queue.popleft()
                pool.began(worker, run, now)

    def recall(self, worker: WorkerState, now: float) -> None:
        """Takes back the runs that a worker has not read; an event loop begins everything at once, so it keeps all."""
        if worker.async_runs:
            return
        runs = self.handles[worker.pid].recall()
        if runs:
            self._pool.recalled(worker, runs, now)

    def dismiss(self, worker: WorkerState) -> None:
        """Gives a worker no more runs, so that it ends after those that it has."""
        worker.leaving = True
        if not worker.runs and not worker.async_runs and worker.kill_reason is None:
            self.handles[worker.pid].release()

    def replace(self, worker: WorkerState, now: float) -> None:
        """Dismisses a worker after the job that it runs; other workers get the runs that it has not read."""
        self.recall(worker, now)
        self.dismiss(worker)

    def recycle(self) -> None:
        """Dismisses all workers."""
        for worker in list(self._pool.workers.values()):
            self.dismiss(worker)

    def send(self, worker: WorkerState, message: bytes) -> None:
        """Sends a worker a message that is no run."""
        self.handles[worker.pid].send(message)
