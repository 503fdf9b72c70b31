"""A worker as its manager sees it, the runs assigned to it, and a run that waits for one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.ipc.messages import Flag, Run

ASK_AGAIN = 1.0  #: seconds after which the node is asked once more: a message may be lost


class KillReason(Enum):
    """Why a worker is being killed with the job it runs."""

    TIMED_OUT = auto()
    SILENT = auto()  #: gave no sign of life for too long
    CANCELED = auto()
    RETURNED = auto()  #: the node stops
    LEASE_ENDED = auto()
    BESIDE = auto()  #: killed with another job, which did not end when it had to

    @property
    def status(self) -> Status:
        """The status that the worker shows its job."""
        return _STATUS[self]


_STATUS = {
    KillReason.TIMED_OUT: Status.TIMEOUT,
    KillReason.SILENT: Status.TIMEOUT,
    KillReason.CANCELED: Status.CANCELED,
    KillReason.RETURNED: Status.WAITING,
    KillReason.LEASE_ENDED: Status.WAITING,
    KillReason.BESIDE: Status.WAITING,
}


@dataclass(slots=True)
class AsyncEntry:
    """An async run in the event loop of a worker."""

    run: Run
    since: float  #: when it was assigned
    kill_reason: KillReason | None = None  #: why it has to end
    kill_at: float = NEVER  #: when its worker is killed if it does not
    alive_at: float = 0.0  #: the last sign of life
    asked_at: float = NEVER  #: when the node was asked for signs of life of its children, and has not answered

    def times_out_at(self) -> float:
        """Returns when its timeout is over."""
        return self.since + self.run.timeout if self.run.timeout else NEVER

    def wants_at(self) -> float:
        """Returns when it must be interrupted, or its worker killed."""
        if self.kill_reason is not None:
            return self.kill_at
        return min(self.times_out_at(), self.silent_at())

    def silent_at(self) -> float:
        """Returns when it counts as silent, or the node is asked once more; infinity without a limit."""
        if self.asked_at != NEVER:
            return self.asked_at + ASK_AGAIN
        return max(self.since, self.alive_at) + self.run.silence if self.run.silence else NEVER


@dataclass(slots=True, eq=False)
class WorkerState:
    """A worker as the manager sees it."""

    id: bytes
    pid: int
    single: bool  #: ends after one job
    forced: bool = False  #: spawned for a force_spawn job, beyond the limits
    ready: bool = False
    leaving: bool = False  #: gets no more jobs
    runs: deque[Run] = field(default_factory=deque)  #: assigned to it; the first one is running
    async_runs: dict[bytes, AsyncEntry] = field(default_factory=dict)  #: by job; they run side by side
    alarm: float = NEVER  #: the earliest deadline among them
    since: float = 0.0  #: when the first run began; without runs, since when it is idle
    kill_reason: KillReason | None = None
    kill_at: float = NEVER  #: when SIGKILL follows SIGTERM
    interrupt_at: float = NEVER  #: when a service that was asked to stop gets SIGTERM once more
    alive_at: float = 0.0  #: the last known sign of life
    asked_at: float = NEVER  #: when the node was asked for signs of life of children, and has not answered
    allowance: float = NEVER  #: how many more jobs it may get
    born: float = 0.0  #: when it became ready
    resident: int = 0  #: bytes of memory that it had then; 0 if growth is not limited
    measured_at: float = float("-inf")  #: when its memory was last measured

    is_mute: bool = False  #: killed for what it has sent; nothing else that it sends counts

    def holds(self, job_id: bytes, attempt: int) -> bool:
        """Tells whether it runs this attempt now."""
        run = self.running
        if run is not None and (run.job_id, run.attempt) == (job_id, attempt):
            return True
        entry = self.async_runs.get(job_id)
        return entry is not None and entry.run.attempt == attempt

    @property
    def running(self) -> Run | None:
        return self.runs[0] if self.runs else None

    @property
    def free(self) -> bool:
        return self.ready and not self.leaving and self.kill_reason is None and not self.runs and not self.async_runs

    @property
    def takes_ordinary(self) -> bool:
        """Whether it may get any runs other than a force_spawn job."""
        return self.ready and not self.leaving and self.kill_reason is None and not self.forced

    @property
    def serves(self) -> bool:
        """Whether it runs a service, which is asked to stop before it is interrupted."""
        return bool(self.runs and self.runs[0].flags & Flag.SERVICE)

    def stop_requested(self, run: Run, now: float) -> None:
        """Sets the deadlines of a service that was asked to stop: `stop_soft` and `stop_hard` from now."""
        self.interrupt_at, self.kill_at = now + run.soft, now + run.hard

    def interrupt_sent(self, now: float) -> None:
        """Extends the kill deadline by the delay with which the interrupt was sent."""
        self.kill_at += now - self.interrupt_at
        self.interrupt_at = NEVER

    def shorten_to(self, now: float, grace: float) -> None:
        """Shortens its deadlines to the grace time, whatever its service was promised."""
        self.interrupt_at, self.kill_at = min(self.interrupt_at, now), min(self.kill_at, now + grace)

    def next_event(self) -> float:
        """Returns the time of the next deadline of it or of its runs."""
        deadline, run = min(self.interrupt_at, self.kill_at, self.alarm), self.running
        if run is None or not (run.timeout or run.silence):
            return deadline  # as for most jobs: this is asked at every turn of the loop
        return min(deadline, self.times_out_at(), self.silent_at())

    def times_out_at(self) -> float:
        """Returns when the running job times out; infinity if it has no limit."""
        run = self.running
        return self.since + run.timeout if run is not None and run.timeout and self.kill_reason is None else NEVER

    def silent_at(self) -> float:
        """Returns when the running job counts as silent, by its last known sign of life; infinity without a limit.

        While the node is asked for signs of life of its children: when to ask once more.
        """
        run = self.running
        if run is None or not run.silence or self.kill_reason is not None:
            return NEVER
        if self.asked_at != NEVER:
            return self.asked_at + ASK_AGAIN
        return max(self.since, self.alive_at) + run.silence


@dataclass(slots=True)
class QueuedRun:
    """A run that no worker has yet."""

    run: Run
    since: float
    place: int  #: in the order of arrival of all runs
