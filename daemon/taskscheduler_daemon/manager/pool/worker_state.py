"""Pure: one worker as its manager sees it, the runs that it was handed, and a run that waits for one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.ipc.messages import Flag, Run


class KillReason(Enum):
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
    KillReason.TIMED_OUT: Status.TIMEOUT,
    KillReason.SILENT: Status.TIMEOUT,
    KillReason.CANCELED: Status.CANCELED,
    KillReason.RETURNED: Status.WAITING,
}


@dataclass(slots=True)
class AsyncEntry:
    """An async run in the event loop of a worker."""

    run: Run
    since: float  #: when it was handed over
    kill_reason: KillReason | None = None  #: why it has to end
    kill_at: float = NEVER  #: when its worker is killed if it does not
    alive_at: float = 0.0  #: the last sign of life

    def times_out_at(self) -> float:
        """When it has had its time."""
        return self.since + self.run.timeout if self.run.timeout else NEVER

    def wants_at(self) -> float:
        """When something is to be done about it."""
        if self.kill_reason is not None:
            return self.kill_at
        silent_at = max(self.since, self.alive_at) + self.run.silence if self.run.silence else NEVER
        return min(self.times_out_at(), silent_at)


@dataclass(slots=True, eq=False)
class WorkerState:
    """One worker as the manager sees it."""

    id: bytes
    pid: int
    single: bool  #: ends after one job
    forced: bool = False  #: spawned for a force_spawn job, beyond the limits
    ready: bool = False
    leaving: bool = False  #: gets no more jobs
    runs: deque[Run] = field(default_factory=deque)  #: handed over; the first one is running
    async_runs: dict[bytes, AsyncEntry] = field(default_factory=dict)  #: async ones by job, which run at once
    alarm: float = NEVER  #: none of them is to be looked at earlier
    killed_for_another: bool = False  #: killed for the sake of one of them; the others run again
    since: float = 0.0  #: when the first one began; without any, since when there is nothing to do
    kill_reason: KillReason | None = None
    kill_at: float = NEVER  #: when SIGKILL follows SIGTERM
    interrupt_at: float = NEVER  #: when a service that was asked to stop is interrupted
    alive_at: float = 0.0  #: the last sign of life that is known of
    allowance: float = NEVER  #: how many more jobs it may be given
    born: float = 0.0  #: when it was ready
    resident: int = 0  #: bytes of memory that it had then, if that matters
    measured_at: float = float("-inf")  #: when its memory was last looked at

    @property
    def running(self) -> Run | None:
        return self.runs[0] if self.runs else None

    @property
    def free(self) -> bool:
        return self.ready and not self.leaving and self.kill_reason is None and not self.runs and not self.async_runs

    @property
    def takes_ordinary(self) -> bool:
        """Whether it may be given runs at all, other than one that is to have a worker of its own."""
        return self.ready and not self.leaving and self.kill_reason is None and not self.forced

    @property
    def serves(self) -> bool:
        """Whether it runs a service, which is asked to stop before it is interrupted."""
        return bool(self.runs and self.runs[0].flags & Flag.SERVICE)

    def stop_requested(self, run: Run, now: float) -> None:
        """The service that it runs was asked to stop: it has the time that it was promised."""
        self.interrupt_at, self.kill_at = now + run.soft, now + run.hard

    def interrupt_sent(self, now: float) -> None:
        """It is told by a signal now, perhaps late: it has as much time to end as if that had been on time."""
        self.kill_at += now - self.interrupt_at
        self.interrupt_at = NEVER

    def shorten_to(self, now: float, grace: float) -> None:
        """Whatever it was promised, it must be gone when the grace time is over."""
        self.interrupt_at, self.kill_at = min(self.interrupt_at, now), min(self.kill_at, now + grace)

    def times_out_at(self) -> float:
        """When the running job has had its time; infinity if it has no limit."""
        run = self.running
        return self.since + run.timeout if run is not None and run.timeout and self.kill_reason is None else NEVER

    def silent_at(self) -> float:
        """When the running job has been silent for too long, as far as is known; infinity if it has no limit."""
        run = self.running
        watched = run is not None and run.silence and self.kill_reason is None
        return max(self.since, self.alive_at) + run.silence if watched and run is not None else NEVER


@dataclass(slots=True)
class QueuedRun:
    """A run that no worker has yet."""

    run: Run
    since: float
