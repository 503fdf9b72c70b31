"""The state of all workers and queued runs. The decisions on it are in the modules beside it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc.messages import NO_WORKER, NOT_BEGUN, NOT_MEASURED, Begun, Flag, Run
from taskscheduler_daemon.manager.pool.boot_backoff import BootBackoff
from taskscheduler_daemon.manager.pool.options import PoolOptions, ProcessManagement
from taskscheduler_daemon.manager.pool.queues import RunQueues
from taskscheduler_daemon.manager.pool.worker_state import AsyncEntry, KillReason, WorkerState

_ASYNC = int(Flag.ASYNC)  # a plain number: `&` with a member of a Flag takes ten times as long, for each run


class LastWords(NamedTuple):
    """What a worker that has ended left in its socket and in shared memory."""

    unread: list[Run]  #: runs that it had not read
    begun: Begun = None  #: those that it had begun; None: not known, so all that it had read
    signalled: bool = False  #: whether a signal had asked it to end since its run began
    spent: float = NOT_MEASURED  #: CPU seconds that it had spent before its run


@dataclass(frozen=True, slots=True)
class Casualty:
    """A worker that has ended, and the work that it held."""

    worker: WorkerState
    run: Run | None  #: which it was running
    unread: list[Run]  #: which it had not begun: they wait for another worker
    async_runs: list[AsyncEntry]  #: which were in its event loop
    signalled: bool = False  #: whether a signal had asked the worker to end
    spent: float = NOT_MEASURED  #: CPU seconds that the worker had spent before the only run that it had begun


class Pool:
    """Keeps the workers of one manager and the runs that it holds."""

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.workers: dict[int, WorkerState] = {}  #: by pid
        self.queues = RunQueues(options)
        self.stopping = False
        self.boot_backoff = BootBackoff()
        self.newly_ready = False  #: whether a worker became ready since the node was told last
        self.mean = 0.0  #: seconds that a job takes, newest weighing most; 0: not known

    def began(self, worker: WorkerState, run: Run, now: float) -> None:
        """Notes that a run was assigned to a worker."""
        if run.flags & _ASYNC:
            entry = worker.async_runs[run.job_id] = AsyncEntry(run, now)
            worker.alarm = min(worker.alarm, entry.wants_at())
        else:
            if not worker.runs:
                worker.since = now
            worker.runs.append(run)
        worker.allowance -= run.jobs
        if worker.allowance <= 0:
            worker.leaving = True

    def ended(self, worker: WorkerState, job_id: bytes, attempt: int, seconds: float, now: float) -> Run | None:
        """Notes that a worker has finished the run that it was running; None if it was running another one."""
        run = worker.running
        if run is None or run.job_id != job_id or run.attempt != attempt:
            return None
        worker.runs.popleft()
        worker.since, worker.asked_at = now, NEVER
        self.mean = seconds if self.mean == 0.0 else self.mean * 0.9 + seconds * 0.1
        return run

    def recalled(self, worker: WorkerState, runs: list[Run], now: float) -> list[Run]:
        """Puts runs that a worker has not begun back into their queues; returns them without the cancelled ones.

        It may have begun others in between, before or behind them. The cancelled ones stay with the worker: they
        are released when it has ended.
        """
        runs = [run for run in runs if not _is_canceled(worker, run)]
        back = {(run.job_id, run.attempt) for run in runs}
        worker.runs = deque(run for run in worker.runs if (run.job_id, run.attempt) not in back)
        for run in runs:
            if run.flags & _ASYNC:
                worker.async_runs.pop(run.job_id, None)
        if runs and worker.allowance <= 0:
            worker.leaving = False  # it has not had its last job yet
        worker.allowance += sum(run.jobs for run in runs)
        self.queues.put_back(runs, now)
        return runs

    def spawned(self, worker_id: bytes, pid: int, forced: bool) -> WorkerState:
        """Adds a worker that was started."""
        single = forced or self.options.pm is ProcessManagement.ONDEMAND
        worker = self.workers[pid] = WorkerState(worker_id, pid, single, forced)
        worker.allowance = 1 if single else self.options.worker_max_jobs or NEVER
        return worker

    def ready(self, worker: WorkerState, now: float) -> None:
        """Notes that a worker has been built and can take jobs."""
        worker.ready = self.newly_ready = True
        worker.born = worker.since = now
        self.boot_backoff.succeeded()

    @property
    def is_ready(self) -> bool:
        """Whether a worker could begin a run at once, or none is started before there is one."""
        none_waits = not self.options.min_children or self.options.pm is ProcessManagement.ONDEMAND
        return none_waits or any(worker.ready and not worker.forced for worker in self.workers.values())

    def exited(self, pid: int, left: LastWords, now: float) -> Casualty | None:
        """Removes a worker that has ended; what it had not begun waits again. None if the child was no worker."""
        worker = self.workers.pop(pid, None)
        if worker is None:
            return None
        if not worker.ready:
            self.boot_backoff.failed(now)
        unread = self.recalled(worker, left.unread, now)
        read = self.recalled(worker, _read_only(worker, left.begun), now)
        return Casualty(worker, worker.running, read + unread, list(worker.async_runs.values()), *left[2:])

    def holds(self) -> bool:
        """Tells whether there is any run here at all."""
        if self.queues.has_runs():
            return True
        return any(worker.runs or worker.async_runs for worker in self.workers.values())

    def idle(self) -> list[WorkerState]:
        """Returns the workers that could begin any ordinary job now."""
        return [worker for worker in self.workers.values() if not worker.runs and worker.free and not worker.forced]

    def holder(self, job_id: bytes) -> WorkerState | None:
        """Returns the worker that this job was assigned to."""
        for worker in self.workers.values():
            if job_id in worker.async_runs or any(run.is_attempt_of(job_id) for run in worker.runs):
                return worker
        return None

    def inventory(self) -> list[tuple[bytes, int, bytes, float]]:
        """Returns each job, its attempt, the worker that runs it (or none) and since when.

        Notifications apart: their jobs have ended, and the node would cancel them here.
        """
        held = [(entry.run, NO_WORKER, NOT_BEGUN) for entry in self.queues.all()]
        for worker in self.workers.values():
            for place, run in enumerate(worker.runs):
                held.append((run, worker.id, worker.since) if place == 0 else (run, NO_WORKER, NOT_BEGUN))
            held += [(entry.run, worker.id, entry.since) for entry in worker.async_runs.values()]
        return [(run.job_id, run.attempt, owner, since) for run, owner, since in held if not run.flags & Flag.HOOK]

    def next_event(self, now: float) -> float:
        """Returns the time of the next deadline of a worker or a run."""
        times = [worker.next_event() for worker in self.workers.values()]
        if self.boot_backoff.not_before > now:
            times.append(self.boot_backoff.not_before)
        return min(times, default=NEVER)


def _is_canceled(worker: WorkerState, run: Run) -> bool:
    entry = worker.async_runs.get(run.job_id)
    return entry is not None and entry.kill_reason is KillReason.CANCELED


def _read_only(worker: WorkerState, begun: Begun) -> list[Run]:
    """Returns the runs that a worker has read and not begun: its event loop reads on while async jobs are ending.

    Where that is not known, or the first one was to be ended, only those behind the first have not begun.
    """
    if begun is None or worker.kill_reason is not None:
        return list(worker.runs)[1:]
    runs = [*worker.runs, *(entry.run for entry in worker.async_runs.values())]
    return [run for run in runs if (run.job_id, run.attempt) not in begun]
