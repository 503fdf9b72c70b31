"""What a manager does with the workers that it has: hands them runs, takes runs back, lets them go."""

from __future__ import annotations

from taskscheduler_daemon.manager.pool.assignment import Assignments, assignments, steal_from
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle


class Assigner:
    """The workers of a pool and what is held of each; they are started and buried by WorkerSupervisor."""

    def __init__(self, pool: Pool) -> None:
        self.handles: dict[int, WorkerHandle] = {}  #: by pid
        self._pool = pool

    def assign(self, now: float) -> None:
        """Hand out what waits, as far as workers have room."""
        for kind in assignments(self._pool):
            self._hand_out(kind, now)
        loaded = steal_from(self._pool)
        if loaded is not None:
            self.recall(loaded, now)
            if self._pool.waiting:
                self.assign(now)

    def _hand_out(self, kind: Assignments, now: float) -> None:
        for member, run in kind:
            if not self.handles[member.pid].assign(run):
                self._pool.requeue([run], now)
                return
            self._pool.began(member, run, now)

    def recall(self, member: WorkerState, now: float, dead: bool = False) -> None:
        """Take from a worker what it was handed and has not begun; an event loop begins everything at once."""
        if member.async_runs and not dead:
            return
        runs = self.handles[member.pid].recall()
        if runs:
            self._pool.recalled(member, runs, now)

    def dismiss(self, member: WorkerState) -> None:
        """Give a worker no more jobs; one that has none ends now."""
        member.leaving = True
        if not member.runs and not member.async_runs and member.kill_reason is None:
            self.handles[member.pid].release()

    def replace(self, member: WorkerState, now: float) -> None:
        """Let a worker end after the job that it runs; others make what it was given ahead."""
        self.recall(member, now)
        self.dismiss(member)

    def recycle(self) -> None:
        """Let all workers end, each after its jobs."""
        for member in list(self._pool.workers.values()):
            self.dismiss(member)

    def send(self, member: WorkerState, message: bytes) -> None:
        """Send a worker something that is no run."""
        self.handles[member.pid].send(message)
