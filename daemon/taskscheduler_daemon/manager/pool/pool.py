"""Pool: workers and runs; the inventory for the node."""

from __future__ import annotations

from collections import deque

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc.messages import NO_WORKER, Flag, Run
from taskscheduler_daemon.manager.pool.async_queue import AsyncLine
from taskscheduler_daemon.manager.pool.boot_backoff import Boots
from taskscheduler_daemon.manager.pool.options import PoolOptions, ProcessManagement
from taskscheduler_daemon.manager.pool.worker_state import Background, Doom, Member, Waiting


def account(pool: Pool, now: float) -> list[tuple[bytes, int, bytes, float]]:
    """Each job, its attempt, the worker that runs it (or none) and for how many seconds.

    Notifications apart: their jobs have ended, and the node would have them killed.
    """
    held = [(entry.run, NO_WORKER, -1.0) for entry in pool.unassigned()]
    for member in pool.members.values():
        for place, run in enumerate(member.runs):
            held.append((run, member.id, now - member.since) if place == 0 else (run, NO_WORKER, -1.0))
        held += [(entry.run, member.id, now - entry.since) for entry in member.background.values()]
    return [(run.job_id, run.attempt, worker, seconds) for run, worker, seconds in held if not run.flags & Flag.HOOK]


class Pool:
    """The workers and the jobs in the hands of one manager."""

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.members: dict[int, Member] = {}  #: by pid
        self.waiting: deque[Waiting] = deque()
        self.forced: deque[Waiting] = deque()  #: each waits for a worker of its own
        self.asynchronous = AsyncLine(options)
        self.stopping = False
        self.boots = Boots()
        self.mean = 0.0  #: seconds that a job takes, newest weighing most; 0: not known

    # -- jobs -------------------------------------------------------------------------------------------------------

    def accept(self, run: Run, now: float) -> None:
        """Take over a run from the node."""
        self._line(run).append(Waiting(run, now))

    def _line(self, run: Run) -> deque[Waiting]:
        if run.flags & Flag.FORCED:
            return self.forced
        return self.asynchronous.waiting if run.flags & Flag.ASYNC else self.waiting

    def put_back(self, runs: list[Run], now: float) -> None:
        """Runs that were handed to a worker and did not begin: first in the line again."""
        for run in reversed(runs):
            self._line(run).appendleft(Waiting(run, now))

    def taken_back(self, member: Member, runs: list[Run], now: float) -> None:
        """A worker gave up runs that it had not begun. It may have begun others in between, before or behind them.

        Those that were cancelled are not put back; whoever buries the worker does what is left to do about them.
        """
        runs = [run for run in runs if not _is_canceled(member, run)]
        back = {(run.job_id, run.attempt) for run in runs}
        member.runs = deque(run for run in member.runs if (run.job_id, run.attempt) not in back)
        for run in runs:
            if run.flags & Flag.ASYNC:
                member.background.pop(run.job_id, None)
        if runs and member.allowance <= 0:
            member.leaving = False  # it has not had its last job yet
        member.allowance += len(runs)
        self.put_back(runs, now)

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

    def unassigned(self) -> list[Waiting]:
        """All that no worker has yet."""
        return [*self.waiting, *self.forced, *self.asynchronous.waiting]

    def holds(self) -> bool:
        """Whether there is any run here at all."""
        if self.waits():
            return True
        return any(member.runs or member.background for member in self.members.values())

    def waits(self) -> bool:
        """Whether there is a run that no worker has."""
        return bool(self.waiting or self.forced or self.asynchronous.waiting)

    def idle(self) -> list[Member]:
        """The workers that could begin any ordinary job now."""
        return [member for member in self.members.values() if member.free and not member.forced]

    def holder(self, job_id: bytes) -> Member | None:
        """The worker that has been handed this job."""
        for member in self.members.values():
            if job_id in member.background or any(_makes(run, job_id) for run in member.runs):
                return member
        return None

    def began(self, member: Member, run: Run, now: float) -> None:
        """A run was handed to a worker."""
        if run.flags & Flag.ASYNC:
            entry = member.background[run.job_id] = Background(run, now)
            member.alarm = min(member.alarm, entry.wants_at())
        else:
            if not member.runs:
                member.since = now
            member.runs.append(run)
        member.allowance -= 1
        if member.allowance <= 0:
            member.leaving = True

    def ended(self, member: Member, job_id: bytes, attempt: int, seconds: float, now: float) -> Run | None:
        """A worker reports the end of its first run; None if that is not the one it runs."""
        run = member.running
        if run is None or (run.job_id, run.attempt) != (job_id, attempt):
            return None
        member.runs.popleft()
        member.since = now
        self.mean = seconds if self.mean == 0.0 else self.mean * 0.9 + seconds * 0.1
        return run

    # -- workers ----------------------------------------------------------------------------------------------------

    def spawned(self, worker_id: bytes, pid: int, forced: bool) -> Member:
        """A worker was started."""
        single = forced or self.options.pm is ProcessManagement.ONDEMAND
        member = self.members[pid] = Member(worker_id, pid, single, forced)
        member.allowance = 1 if single else self.options.worker_max_jobs or NEVER
        return member

    def ready(self, member: Member, now: float) -> None:
        """A worker has been built and can take jobs."""
        member.ready = True
        member.born = member.since = now
        self.boots.succeeded()

    def gone(self, pid: int, now: float) -> Member | None:
        """A child has ended: the worker it was, if it was one."""
        member = self.members.pop(pid, None)
        if member is not None and not member.ready:
            self.boots.failed(now)
        return member

    def next_event(self, now: float) -> float:
        """The time at which something is to be decided although nothing happens."""
        times = [
            min(member.times_out_at(), member.silent_at(), member.interrupt_at, member.kill_at, member.alarm)
            for member in self.members.values()
        ]
        if self.boots.not_before > now:
            times.append(self.boots.not_before)
        return min(times, default=NEVER)


def _is_canceled(member: Member, run: Run) -> bool:
    entry = member.background.get(run.job_id)
    return entry is not None and entry.doom is Doom.CANCELED


def _makes(run: Run, job_id: bytes) -> bool:
    """Whether it is an attempt of this job, not its notification."""
    return run.job_id == job_id and not run.flags & Flag.HOOK
