"""Pure: the attempts that a node has claimed and not yet seen the end of, and how many more it should claim."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.node.state.capacity import _AHEAD_SECONDS, _FIRST_BATCH, _MOST_AHEAD, Crowd


@dataclass(slots=True)
class Attempt:
    """One claimed attempt in the hands of this node."""

    fence: Fence
    job: Mapping[str, Any]
    raw: bytes  #: the job as BSON
    claimed_at: float
    noted: float = 0.0  #: when the database was last told that it runs
    seen_at: float = 0.0  #: when the manager last said that it has it
    worker: ObjectId | None = None
    seconds: float = -1.0
    forced: bool = field(init=False)  #: whether it runs in a worker of its own, beyond the slots
    exclusive: bool = field(init=False)  #: whether others wait until nothing is left of it
    is_async: bool = False  #: whether it runs in the event loop of a worker, beside others

    def __post_init__(self) -> None:
        self.forced = bool(self.job["options"]["force_spawn"])
        self.exclusive = "solo" in self.job or "service" in self.job

    @property
    def parent(self) -> ObjectId | None:
        return self.job.get("parent")

    def run(self) -> Run:
        """What the manager is sent."""
        options = self.job["options"]
        flags = Flag.FORCED if self.forced else Flag.ASYNC if self.is_async else Flag.NONE
        if self.exclusive:
            flags |= Flag.EXCLUSIVE
        run = Run(self.fence.job_id.binary, self.fence.attempt, options["timeout"], flags, self.raw)
        return self._watched(run) if "silence_timeout" in options or "service" in self.job else run

    def _watched(self, run: Run) -> Run:
        service = self.job.get("service")
        silence = self.job["options"].get("silence_timeout", 0)
        if service is None:
            return run._replace(flags=run.flags | Flag.WATCHED, silence=silence)
        flags = run.flags | Flag.WATCHED | Flag.SERVICE
        return run._replace(flags=flags, silence=silence, soft=service["stop_soft"], hard=service["stop_hard"])


class Ledger:
    """All attempts in the hands of this node. Safe to use from many threads."""

    def __init__(self) -> None:
        self._attempts: dict[bytes, Attempt] = {}
        self._lock = threading.Lock()
        self._forced = 0  #: how many of them take no slot
        self._crowd = Crowd()
        self._slots = 0
        self._mean = 0.0
        self._rate = 0.0
        self._finished = 0
        self._rated_at: float | None = None

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempts: Iterable[Attempt]) -> None:
        with self._lock:
            for attempt in attempts:
                former = self._attempts.get(attempt.fence.job_id.binary)
                if former is not None:
                    self._count(former, -1)
                attempt.is_async = self._crowd.takes(attempt)
                self._attempts[attempt.fence.job_id.binary] = attempt
                self._count(attempt, 1)

    def _count(self, attempt: Attempt, change: int) -> None:
        if attempt.forced:
            self._forced += change
        elif attempt.is_async:
            self._crowd.held += change

    def take(self, job_id: bytes, attempt: int) -> Attempt | None:
        """Remove an attempt that has ended; None if it is not ours (any more)."""
        with self._lock:
            found = self._attempts.get(job_id)
            if found is None or found.fence.attempt != attempt:
                return None
            self._count(found, -1)
            return self._attempts.pop(job_id)

    def get(self, job_id: bytes) -> Attempt | None:
        return self._attempts.get(job_id)

    def all(self) -> list[Attempt]:
        with self._lock:
            return list(self._attempts.values())

    def fences(self) -> list[Fence]:
        """What names each attempt in the database."""
        return [attempt.fence for attempt in self.all()]

    def clear(self) -> list[Attempt]:
        """Remove and give all attempts."""
        with self._lock:
            attempts, self._attempts = list(self._attempts.values()), {}
            self._forced = self._crowd.held = 0
        return attempts

    # -- how much to claim ------------------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def busy(self) -> int:
        """How many slots are taken: async attempts share one, forced ones take none."""
        with self._lock:
            others = len(self._attempts) - self._forced - self._crowd.held
            crowded = max(self._crowd.workers(), min(1, self._crowd.held))
            return min(self._slots, others + crowded)

    def set_slots(self, slots: int, async_jobs: int = 0) -> None:
        """How many jobs the manager can run at once, and how many async ones in each of its event loops."""
        self._slots = slots
        self._crowd.set_limits(slots, async_jobs)

    def learn_async(self, name: str) -> None:
        """A worker says that the jobs of this class are async."""
        self._crowd.names.add(name)

    @property
    def has_async(self) -> bool:
        """Whether there are async attempts here."""
        return self._crowd.held > 0

    @property
    def async_full(self) -> bool:
        """Whether no more async attempts can be made here now."""
        return self._crowd.held > 0 and self._crowd.left() <= 0

    def async_room(self) -> int:
        """How many more to claim now that are known to be async."""
        with self._lock:
            return self._crowd.room(len(self._attempts) - self._forced - self._crowd.held)

    def learn(self, seconds: float) -> None:
        """A job took so long to run."""
        self._finished += 1
        self._mean = seconds if self._mean == 0.0 else self._mean * 0.95 + seconds * 0.05

    def stalled(self) -> None:
        """The manager has handed work back because nothing moved: claim nothing ahead until jobs end again."""
        self._mean = max(self._mean, 2 * _AHEAD_SECONDS * max(1, self._slots))

    def rate(self, now: float) -> None:
        """Measure how many jobs per second really end; call it now and then."""
        if self._rated_at is None:
            self._rated_at, self._finished = now, 0
        elif now - self._rated_at >= 0.1:
            self._rate = self._finished / (now - self._rated_at)
            self._rated_at, self._finished = now, 0

    def target(self) -> int:
        """How many attempts this node should hold: one for each slot, and what can start in the next 100 ms."""
        slots = self._slots - self._crowd.workers()
        if not slots or self._mean <= 0.0:
            return slots
        ahead = int(_AHEAD_SECONDS * slots / self._mean)
        # twice: what is being claimed takes about as long to come as what is here takes to run
        known = max(_FIRST_BATCH, int(self._rate * _AHEAD_SECONDS * 2))
        return slots + min(ahead, known, _MOST_AHEAD)

    def room(self, asked: int = 0) -> int:
        """How many more to claim now, `asked` being under way; 0 until a worthwhile part of the target is free.

        What they are is not known before: while there are async ones, each may be one, for which there is less room.
        """
        target, crowd = self.target(), self._crowd
        room = target - (len(self._attempts) - self._forced - crowd.held) - asked
        worthwhile = max(1, (target - self._slots) // 2)
        if room < worthwhile:
            return 0
        return room if not crowd.held or crowd.left() <= 0 else max(0, min(room, crowd.left() - asked))
