"""Pool: workers and runs; the inventory for the node."""

from __future__ import annotations

from collections import deque

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc.messages import NO_WORKER, Flag, Run
from taskscheduler_daemon.manager.pool.async_queue import AsyncQueue
from taskscheduler_daemon.manager.pool.boot_backoff import BootBackoff
from taskscheduler_daemon.manager.pool.options import PoolOptions, ProcessManagement
from taskscheduler_daemon.manager.pool.worker_state import AsyncEntry, KillReason, QueuedRun, WorkerState


def account(pool: Pool, now: float) -> list[tuple[bytes, int, bytes, float]]:
    """Each job, its attempt, the worker that runs it (or none) and for how many seconds.

    Notifications apart: their jobs have ended, and the node would have them killed.
    """
    held = [(entry.run, NO_WORKER, -1.0) for entry in pool.unassigned()]
    for member in pool.workers.values():
        for place, run in enumerate(member.runs):
            held.append((run, member.id, now - member.since) if place == 0 else (run, NO_WORKER, -1.0))
        held += [(entry.run, member.id, now - entry.since) for entry in member.async_runs.values()]
    return [(run.job_id, run.attempt, worker, seconds) for run, worker, seconds in held if not run.flags & Flag.HOOK]


class Pool:
    """The workers and the jobs in the hands of one manager."""

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.workers: dict[int, WorkerState] = {}  #: by pid
        self.waiting: deque[QueuedRun] = deque()
        self.forced: deque[QueuedRun] = deque()  #: each waits for a worker of its own
        self.asynchronous = AsyncQueue(options)
        self.stopping = False
        self.boot_backoff = BootBackoff()
        self.mean = 0.0  #: seconds that a job takes, newest weighing most; 0: not known

    # -- jobs -------------------------------------------------------------------------------------------------------

    def accept(self, run: Run, now: float) -> None:
        """Take over a run from the node."""
        self._line(run).append(QueuedRun(run, now))

    def _line(self, run: Run) -> deque[QueuedRun]:
        if run.flags & Flag.FORCED:
            return self.forced
        return self.asynchronous.waiting if run.flags & Flag.ASYNC else self.waiting

    def requeue(self, runs: list[Run], now: float) -> None:
        """Runs that were handed to a worker and did not begin: first in the line again."""
        for run in reversed(runs):
            self._line(run).appendleft(QueuedRun(run, now))

    def recalled(self, member: WorkerState, runs: list[Run], now: float) -> None:
        """A worker gave up runs that it had not begun. It may have begun others in between, before or behind them.

        Those that were cancelled are not put back; whoever buries the worker does what is left to do about them.
        """
        runs = [run for run in runs if not _is_canceled(member, run)]
        back = {(run.job_id, run.attempt) for run in runs}
        member.runs = deque(run for run in member.runs if (run.job_id, run.attempt) not in back)
        for run in runs:
            if run.flags & Flag.ASYNC:
                member.async_runs.pop(run.job_id, None)
        if runs and member.allowance <= 0:
            member.leaving = False  # it has not had its last job yet
        member.allowance += len(runs)
        self.requeue(runs, now)

    def remove_waiting(self, job_id: bytes) -> Run | None:
        """Forget a run that has not been handed over; None if there was none."""
        for line in (self.waiting, self.forced, self.asynchronous.waiting):
            for entry in line:
                if _makes(entry.run, job_id):
                    line.remove(entry)
                    return entry.run
        return None

    def drain(self) -> list[Run]:
        """Give up everything that has not been handed to a worker."""
        runs = [entry.run for entry in self.unassigned()]
        for line in (self.waiting, self.forced, self.asynchronous.waiting):
            line.clear()
        return runs

    def unassigned(self) -> list[QueuedRun]:
        """All that no worker has yet."""
        return [*self.waiting, *self.forced, *self.asynchronous.waiting]

    def holds(self) -> bool:
        """Whether there is any run here at all."""
        if self.waits():
            return True
        return any(member.runs or member.async_runs for member in self.workers.values())

    def waits(self) -> bool:
        """Whether there is a run that no worker has."""
        return bool(self.waiting or self.forced or self.asynchronous.waiting)

    def idle(self) -> list[WorkerState]:
        """The workers that could begin any ordinary job now."""
        return [member for member in self.workers.values() if member.free and not member.forced]

    def holder(self, job_id: bytes) -> WorkerState | None:
        """The worker that has been handed this job."""
        for member in self.workers.values():
            if job_id in member.async_runs or any(_makes(run, job_id) for run in member.runs):
                return member
        return None

    def began(self, member: WorkerState, run: Run, now: float) -> None:
        """A run was handed to a worker."""
        if run.flags & Flag.ASYNC:
            entry = member.async_runs[run.job_id] = AsyncEntry(run, now)
            member.alarm = min(member.alarm, entry.wants_at())
        else:
            if not member.runs:
                member.since = now
            member.runs.append(run)
        member.allowance -= 1
        if member.allowance <= 0:
            member.leaving = True

    def ended(self, member: WorkerState, job_id: bytes, attempt: int, seconds: float, now: float) -> Run | None:
        """A worker reports the end of its first run; None if that is not the one it runs."""
        run = member.running
        if run is None or (run.job_id, run.attempt) != (job_id, attempt):
            return None
        member.runs.popleft()
        member.since = now
        self.mean = seconds if self.mean == 0.0 else self.mean * 0.9 + seconds * 0.1
        return run

    # -- workers ----------------------------------------------------------------------------------------------------

    def spawned(self, worker_id: bytes, pid: int, forced: bool) -> WorkerState:
        """A worker was started."""
        single = forced or self.options.pm is ProcessManagement.ONDEMAND
        member = self.workers[pid] = WorkerState(worker_id, pid, single, forced)
        member.allowance = 1 if single else self.options.worker_max_jobs or NEVER
        return member

    def ready(self, member: WorkerState, now: float) -> None:
        """A worker has been built and can take jobs."""
        member.ready = True
        member.born = member.since = now
        self.boot_backoff.succeeded()

    def exited(self, pid: int, now: float) -> WorkerState | None:
        """A child has ended: the worker it was, if it was one."""
        member = self.workers.pop(pid, None)
        if member is not None and not member.ready:
            self.boot_backoff.failed(now)
        return member

    def next_event(self, now: float) -> float:
        """The time at which something is to be decided although nothing happens."""
        times = [
            min(member.times_out_at(), member.silent_at(), member.interrupt_at, member.kill_at, member.alarm)
            for member in self.workers.values()
        ]
        if self.boot_backoff.not_before > now:
            times.append(self.boot_backoff.not_before)
        return min(times, default=NEVER)


def _is_canceled(member: WorkerState, run: Run) -> bool:
    entry = member.async_runs.get(run.job_id)
    return entry is not None and entry.kill_reason is KillReason.CANCELED


def _makes(run: Run, job_id: bytes) -> bool:
    """Whether it is an attempt of this job, not its notification."""
    return run.job_id == job_id and not run.flags & Flag.HOOK
