"""Pure: what the manager knows of its workers and jobs, and every decision it takes about them.

Nothing here forks, kills, reads or writes; the manager carries the actions out and reports back what happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from taskscheduler.lifecycle import Status
from taskscheduler_daemon.asyncline import AsyncLine, Background
from taskscheduler_daemon.messages import Flag, Run
from taskscheduler_daemon.options import PoolOptions, ProcessManagement

#: a worker is handed at most this much measured work ahead, so that its socket never runs dry in between
_AHEAD_SECONDS = 0.01
_MOST_AHEAD = 64
#: unstarted work older than this goes back to the node, for other nodes to take
STALE_SECONDS = 0.15
_BOOT_PAUSE, _LONGEST_BOOT_PAUSE = 0.1, 5.0
MOST_BOOT_FAILURES = 5


class Doom(Enum):
    """Why a worker is being killed with the job it runs."""

    TIMED_OUT = auto()
    SILENT = auto()  #: gave no sign of life for too long
    CANCELED = auto()
    RETURNED = auto()  #: the node stops

    @property
    def status(self) -> Status:
        """What becomes of the job, as far as its worker is told."""
        return _BECOMES[self]


_BECOMES = {
    Doom.TIMED_OUT: Status.TIMEOUT,
    Doom.SILENT: Status.TIMEOUT,
    Doom.CANCELED: Status.CANCELED,
    Doom.RETURNED: Status.WAITING,
}


@dataclass(slots=True, eq=False)
class Member:
    """One worker as the manager sees it."""

    id: bytes
    pid: int
    single: bool  #: ends after one job
    forced: bool = False  #: spawned for a force_spawn job, beyond the limits
    ready: bool = False
    leaving: bool = False  #: gets no more jobs
    runs: deque[Run] = field(default_factory=deque)  #: handed over; the first one is running
    background: dict[bytes, Background] = field(default_factory=dict)  #: async ones by job, which run at once
    alarm: float = float("inf")  #: none of them is to be looked at earlier
    sacrificed: bool = False  #: killed for the sake of one of them; the others run again
    since: float = 0.0  #: when the first one began; without any, since when there is nothing to do
    doom: Doom | None = None
    kill_at: float = float("inf")  #: when SIGKILL follows SIGTERM
    interrupt_at: float = float("inf")  #: when a service that was asked to stop is interrupted
    alive_at: float = 0.0  #: the last sign of life that is known of
    allowance: float = float("inf")  #: how many more jobs it may be given
    born: float = 0.0  #: when it was ready
    resident: int = 0  #: bytes of memory that it had then, if that matters
    measured_at: float = float("-inf")  #: when its memory was last looked at

    @property
    def running(self) -> Run | None:
        return self.runs[0] if self.runs else None

    @property
    def free(self) -> bool:
        return self.ready and not self.leaving and self.doom is None and not self.runs and not self.background

    @property
    def serves(self) -> bool:
        """Whether it runs a service, which is asked to stop before it is interrupted."""
        return bool(self.runs and self.runs[0].flags & Flag.SERVICE)

    def asked(self, run: Run, now: float) -> None:
        """The service that it runs was asked to stop: it has the time that it was promised."""
        self.interrupt_at, self.kill_at = now + run.soft, now + run.hard

    def hurry(self, now: float, grace: float) -> None:
        """Whatever it was promised, it must be gone when the grace time is over."""
        self.interrupt_at, self.kill_at = min(self.interrupt_at, now), min(self.kill_at, now + grace)

    def times_out_at(self) -> float:
        """When the running job has had its time; infinity if it has no limit."""
        run = self.running
        return self.since + run.timeout if run is not None and run.timeout and self.doom is None else float("inf")

    def silent_at(self) -> float:
        """When the running job has been silent for too long, as far as is known; infinity if it has no limit."""
        run = self.running
        watched = run is not None and run.silence and self.doom is None
        return max(self.since, self.alive_at) + run.silence if watched and run is not None else float("inf")


@dataclass(slots=True)
class Waiting:
    """A run that no worker has yet."""

    run: Run
    since: float


class Pool:
    """The workers and the jobs in the hands of one manager."""

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.members: dict[int, Member] = {}  #: by pid
        self.waiting: deque[Waiting] = deque()
        self.forced: deque[Waiting] = deque()  #: each waits for a worker of its own
        self.asynchronous = AsyncLine(options)
        self.stopping = False
        self._mean = 0.0  #: seconds that a job takes, newest weighing most
        self._boot_failures = 0
        self._spawn_after = 0.0

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
        """A worker gave up runs that it had not begun. It may have begun others in between, before or behind them."""
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
                if entry.run.job_id == job_id:
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
        if self._waits():
            return True
        return any(member.runs or member.background for member in self.members.values())

    def _waits(self) -> bool:
        return bool(self.waiting or self.forced or self.asynchronous.waiting)

    def holder(self, job_id: bytes) -> Member | None:
        """The worker that has been handed this job."""
        for member in self.members.values():
            if job_id in member.background or any(run.job_id == job_id for run in member.runs):
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
        self._mean = seconds if self._mean == 0.0 else self._mean * 0.9 + seconds * 0.1
        return run

    def assignments(self) -> Iterator[tuple[Member, Run]]:
        """Which waiting run goes to which worker now; ask until it ends, telling `began` after each."""
        while (member := self._async_member()) is not None:
            yield member, self.asynchronous.waiting.popleft().run
        reserved = self._reserved()
        while self.waiting and (member := self._least_loaded(reserved)) is not None:
            yield member, self.waiting.popleft().run
        for member in list(self.members.values()):
            if member.forced and member.free and self.forced:
                yield member, self.forced.popleft().run

    def _async_member(self) -> Member | None:
        """The worker that is to have the first async run."""
        if not self.asynchronous.waiting:
            return None
        since = self.waiting[0].since if self.waiting else float("inf")
        return self.asynchronous.member(list(self.members.values()), since)

    def _reserved(self) -> Member | None:
        """A worker that gets no more of the others, so that it comes to the async runs which have waited longer."""
        line = self.asynchronous.waiting
        if not line or not self.waiting or self.waiting[0].since <= line[0].since:
            return None
        ordinary = [m for m in self.members.values() if m.ready and not m.forced and not m.leaving and m.doom is None]
        if any(member.background for member in ordinary):
            return None
        return min(ordinary, key=lambda member: len(member.runs), default=None)

    def _least_loaded(self, reserved: Member | None) -> Member | None:
        depth = self.depth()
        best = None
        for member in self.members.values():
            if not member.ready or member.leaving or member.doom is not None or member.forced:
                continue
            if member.background or member is reserved:
                continue
            load = len(member.runs)
            if load < (1 if member.single else depth) and (best is None or load < len(best.runs)):
                best = member
        return best

    def depth(self) -> int:
        """How many jobs a worker may hold, the running one included."""
        if self._mean <= 0.0 or self._mean > _AHEAD_SECONDS / 2:
            return 1
        return min(_MOST_AHEAD, 1 + int(_AHEAD_SECONDS / self._mean))

    def well_supplied(self) -> bool:
        """Whether all workers have so much to do ahead that none runs dry if the manager pauses for a moment."""
        enough = _MOST_AHEAD // 2
        return bool(self.members) and all(len(member.runs) >= enough for member in self.members.values())

    def victim(self) -> Member | None:
        """A worker whose handed-over jobs another one, which has nothing to do, should take."""
        if self.waiting or not any(member.free and not member.forced for member in self.members.values()):
            return None
        loaded = [member for member in self.members.values() if len(member.runs) > 1]
        return max(loaded, key=lambda member: len(member.runs), default=None)

    def stale(self, now: float) -> list[Member] | None:
        """The workers whose unstarted jobs are to go back to the node with all that waits; None if nothing should.

        That is when no slot has become free for so long that other nodes could have taken the work.
        """
        if any(member.free and not member.forced for member in self.members.values()) or self.stopping:
            return None
        stuck = [m for m in self.members.values() if len(m.runs) > 1 and now - m.since > STALE_SECONDS]
        # where async jobs run, a few of the others may have to wait until one of their workers has none left
        bearable = self.options.slots if any(member.background for member in self.members.values()) else 0
        crowded = len(self.waiting) > bearable
        old = crowded and now - self.waiting[0].since > STALE_SECONDS and not self.room()
        moving = any(now - m.since < STALE_SECONDS for m in self.members.values() if m.runs)
        return stuck if (stuck or old) and not moving else None

    def stale_async(self, now: float) -> bool:
        """Whether async runs are to go back to the node: no worker has had room for them for so long."""
        line = self.asynchronous.waiting
        if not line or self.stopping or now - line[0].since <= STALE_SECONDS or self._async_member() is not None:
            return False
        return not self.room() or not self.asynchronous.workers_wanted(self.members.values())

    # -- workers ----------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many more workers the limits allow, forced ones apart."""
        return max(0, self.options.slots - self._ordinary())

    def _ordinary(self) -> int:
        return sum(1 for member in self.members.values() if not member.forced)

    def to_spawn(self, now: float) -> tuple[int, int]:
        """How many workers to start now: ordinary ones, and ones for force_spawn jobs."""
        if self.stopping or now < self._spawn_after:
            return 0, 0
        forced = len(self.forced) - sum(1 for m in self.members.values() if m.forced and not m.runs and not m.leaving)
        return self._ordinary_to_spawn(), max(0, forced)

    def _ordinary_to_spawn(self) -> int:
        alive = [m for m in self.members.values() if not m.forced and not m.leaving]
        spare = sum(1 for member in alive if not member.runs and not member.background)
        needed = max(0, len(self.waiting) + self.asynchronous.workers_wanted(alive) - spare)
        if self.options.pm is ProcessManagement.STATIC:
            return min(self.room(), max(0, self.options.min_children - len(alive)))
        if self.options.pm is ProcessManagement.ONDEMAND:
            return min(self.room(), needed)
        return max(min(self.room(), needed), min(self.room(), self.options.min_children - len(alive)))

    def spawned(self, worker_id: bytes, pid: int, forced: bool) -> Member:
        """A worker was started."""
        single = forced or self.options.pm is ProcessManagement.ONDEMAND
        member = self.members[pid] = Member(worker_id, pid, single, forced)
        member.allowance = 1 if single else self.options.worker_max_jobs or float("inf")
        return member

    def ready(self, member: Member, now: float) -> None:
        """A worker has been built and can take jobs."""
        member.ready = True
        member.born = member.since = now
        self._boot_failures = 0

    def gone(self, pid: int, now: float) -> Member | None:
        """A child has ended: the worker it was, if it was one."""
        member = self.members.pop(pid, None)
        if member is not None and not member.ready:
            self._boot_failures += 1
            pause = min(_LONGEST_BOOT_PAUSE, _BOOT_PAUSE * 2**self._boot_failures)
            self._spawn_after = now + pause
        return member

    def spawn_failed(self, now: float) -> None:
        """The system refused a new process: try again in a while."""
        self._spawn_after = now + _LONGEST_BOOT_PAUSE / 5

    @property
    def broken(self) -> bool:
        """Whether no worker could be built again and again."""
        return self._boot_failures >= MOST_BOOT_FAILURES

    def next_event(self, now: float) -> float:
        """The time at which something is to be decided although nothing happens."""
        times = [
            min(member.times_out_at(), member.silent_at(), member.interrupt_at, member.kill_at, member.alarm)
            for member in self.members.values()
        ]
        if self._waits() or any(len(member.runs) > 1 for member in self.members.values()):
            times.append(now + STALE_SECONDS / 3)
        if self._spawn_after > now:
            times.append(self._spawn_after)
        return min(times, default=float("inf"))
