"""Attempts in flight on this node: claimed, and not yet reported as ended."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.flows.membership import Membership, membership_of
from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.claimed_job import ClaimedJob
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import BATCH_RUN, NOT_BEGUN, Flag, Run
from taskscheduler_daemon.node.state.traits import Traits

# plain numbers: `|` and `&` with members of a Flag take a microsecond each, and there is a run for each attempt
_FORCED, _ASYNC, _EXCLUSIVE = int(Flag.FORCED), int(Flag.ASYNC), int(Flag.EXCLUSIVE)

_WATCHED, _SERVICE, _BATCH, _PRIORITY = int(Flag.WATCHED), int(Flag.SERVICE), int(Flag.BATCH), int(Flag.PRIORITY)


class Attempt:
    """One claimed attempt. `noted`, `seen_at`, `worker` and `began` are set by several threads, each at once."""

    noted = 0.0  #: when its sign of life was last written to the database
    seen_at = 0.0  #: when the manager last mentioned it
    worker: ObjectId | None = None
    began = NOT_BEGUN  #: when it began, in monotonic time
    start_by = 0.0  #: until when it may begin, in monotonic time; 0.0: no limit
    is_async = False  #: whether it runs in the event loop of a worker, beside others
    kept = False  #: whether the manager has not got it yet
    cleared = False  #: whether it is no suspect any more
    ended_as: Ending | None = None  #: how it ended, unless it succeeded
    batch: Batch | None = None  #: those that it runs with, once that is known

    def __init__(
        self,
        fence: Fence,
        job: Mapping[str, Any] | ClaimedJob,
        raw: bytes,
        claimed_at: float,
        traits: Traits | None = None,
        due: float | None = None,
    ) -> None:
        """`traits`: if they are known; `due`: unix time, None: `job` tells."""
        self.fence = fence
        self.key = fence.job_id.binary  #: its job, as the manager calls it
        self.raw = raw  #: the job as BSON
        self.claimed_at = claimed_at
        self.due = due
        self._job = job
        self.traits = traits = traits or Traits(self.job)
        self.suspect = traits.suspect  #: what it has to itself when it runs
        self.forced = traits.forced  #: whether it takes no slot
        self.exclusive = traits.exclusive  #: whether others wait until its process is gone
        self.gathers = traits.gathers  #: whether it runs with others of its class, and takes no slot for itself

    @property
    def job(self) -> Mapping[str, Any]:
        """Its job, decoded."""
        return self._job.job if isinstance(self._job, ClaimedJob) else self._job

    @property
    def member(self) -> Membership | None:
        """What its end means for its flow, if it belongs to one."""
        if not self.traits.of_flow:
            return None
        return self._job.member if isinstance(self._job, ClaimedJob) else membership_of(self._job)

    @property
    def parent(self) -> ObjectId | None:
        return self.job.get("parent")

    @property
    def priority(self) -> int:
        """That of its job; 0 also for one that is none, which anybody may have stored."""
        return self.traits.priority

    @property
    def is_plain(self) -> bool:
        """Whether nothing follows but in its flow if it succeeds without a result, and it takes a slot for itself."""
        return self.traits.is_plain and not self.is_async and self.fence.attempt == 1

    def run(self) -> Run:
        """Returns the message that has the manager run it."""
        traits = self.traits
        flags = traits.flags | _ASYNC if self.is_async and not traits.flags & _FORCED else traits.flags
        run = Run(self.key, self.fence.attempt, traits.timeout, flags, self.raw)
        if traits.priority:
            run = run._replace(priority=traits.priority)
        return self._watched(run) if traits.is_watched or self.start_by else run

    def _watched(self, run: Run) -> Run:
        service = self.job.get("service")
        silence = self.job["options"].get("silence_timeout", 0)
        if service is None:
            return run._replace(flags=run.flags | _WATCHED, silence=silence, start_by=self.start_by)
        flags = run.flags | _WATCHED | _SERVICE
        return run._replace(flags=flags, silence=silence, soft=service["stop_soft"], hard=service["stop_hard"])


@dataclass(slots=True, eq=False)
class Batch:
    """Attempts that run as one, under an id that the manager takes for that of a job."""

    attempts: list[Attempt]
    id: ObjectId = field(default_factory=ObjectId)
    size: int = 0  #: how many of them were sent to the manager
    sent_at: float = 0.0

    @property
    def is_async(self) -> bool:
        """Whether it runs in the event loop of a worker."""
        return self.attempts[0].is_async

    @property
    def key(self) -> tuple[bytes, int]:
        """The job and the attempt that the manager knows it by."""
        return self.id.binary, BATCH_RUN

    def run(self, attempts: Sequence[Attempt]) -> Run:
        """Returns the message that has the manager run these of its attempts. The shortest of their limits count."""
        flags = _BATCH | _EXCLUSIVE | _WATCHED | (_ASYNC if self.is_async else 0)
        options = [attempt.job["options"] for attempt in attempts]
        if priority := max(attempt.priority for attempt in attempts):
            flags |= _PRIORITY
        return Run(
            *self.key,
            _least(one["timeout"] for one in options),
            flags,
            b"".join(attempt.raw for attempt in attempts),
            silence=_least(one.get("silence_timeout", 0) for one in options),
            start_by=_least(attempt.start_by for attempt in attempts),
            jobs=len(attempts),
            priority=priority,
        )


def _least(limits: Iterable[float]) -> float:
    """Returns the shortest limit; 0 stands for none."""
    return min((limit for limit in limits if limit), default=0.0)


class Counts(NamedTuple):
    """How the attempts in flight use the workers."""

    slotted: int  #: take a slot each
    is_async: int  #: share the slots of event loops


class Coming:
    """The jobs that are being claimed. The claimer counts them."""

    def __init__(self) -> None:
        self.count = 0


class InFlight:
    """Holds the attempts in flight, one per job. Safe to use from many threads."""

    def __init__(self) -> None:
        self.closed = False  #: whether nothing more may be claimed: a suspect runs alone
        self.can_begin = True  #: whether a worker is ready; what was sent before has not begun for a while
        self._attempts: dict[bytes, Attempt] = {}
        self._lock = threading.Lock()
        self.coming = Coming()
        self._forced = 0  #: attempts that take no slot
        self._async = 0
        self.gathered = 0  #: attempts that gather or run in batches
        self.batches: dict[bytes, Batch] = {}  #: that the manager has; each takes a slot, or a place in an event loop
        self._async_batches = 0

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Adds claimed attempts; a later attempt replaces an earlier one of the same job."""
        with self._lock:
            for attempt in attempts:
                former = self._attempts.get(attempt.key)
                if former is not None:
                    self._count(former, -1)
                self._attempts[attempt.key] = attempt
                self._count(attempt, 1)

    def _count(self, attempt: Attempt, change: int) -> None:
        if attempt.forced:
            self._forced += change
        elif attempt.gathers:
            self.gathered += change
        elif attempt.is_async:
            self._async += change

    def pop(self, job_id: bytes, attempt: int) -> Attempt | None:
        """Removes and returns an attempt that has ended; None if it is not (or no longer) in flight."""
        with self._lock:
            found = self._attempts.get(job_id)
            if found is None or found.fence.attempt != attempt:
                return None
            self._count(found, -1)
            return self._attempts.pop(job_id)

    def pop_all(self, keys: Iterable[tuple[bytes, int]]) -> list[Attempt | None]:
        """Does the same for many jobs and their attempts, under one lock."""
        attempts, popped = self._attempts, list[Attempt | None]()
        with self._lock:
            for job_id, number in keys:
                found = attempts.get(job_id)
                if found is None or found.fence.attempt != number:
                    popped.append(None)
                    continue
                del attempts[job_id]
                self._count(found, -1)
                popped.append(found)
        return popped

    def get(self, job_id: bytes) -> Attempt | None:
        """Returns the attempt of a job, if there is one."""
        return self._attempts.get(job_id)

    def all(self) -> list[Attempt]:
        """Returns all attempts in the order in which they were added."""
        with self._lock:
            return list(self._attempts.values())

    def fences(self) -> list[Fence]:
        """Returns the fence of each attempt."""
        return [attempt.fence for attempt in self.all()]

    def clear(self) -> list[Attempt]:
        """Removes and returns all attempts."""
        with self._lock:
            attempts, self._attempts = list(self._attempts.values()), {}
            self._forced = self._async = self.gathered = self._async_batches = 0
            self.batches = {}
        return attempts

    def counts(self) -> Counts:
        """Counts the attempts by how they use the workers, at one moment."""
        with self._lock:
            alone = len(self._attempts) - self._forced - self._async - self.gathered
            return Counts(alone + len(self.batches) - self._async_batches, self._async + self._async_batches)

    @property
    def forced_count(self) -> int:
        """The number of attempts that run in workers of their own."""
        return self._forced

    @property
    def async_count(self) -> int:
        """The number of attempts that run in event loops; those of a batch count as one."""
        return self._async + self._async_batches

    # -- batches -------------------------------------------------------------------------------------------------------

    def holds(self, attempt: Attempt) -> bool:
        """Whether exactly this attempt is in flight."""
        return self._attempts.get(attempt.key) is attempt

    def begin_batch(self, batch: Batch, now: float) -> Run | None:
        """Returns the run of those of its attempts that are still in flight, None if there are none.

        A single one runs as if it had not gathered.
        """
        with self._lock:
            held = [attempt for attempt in batch.attempts if self.holds(attempt)]
            batch.size, batch.sent_at = len(held), now
            if len(held) == 1:
                self._count(held[0], -1)
                held[0].gathers = False
                self._count(held[0], 1)
            elif held:
                self.batches[batch.id.binary] = batch
                self._async_batches += batch.is_async
        if not held:
            return None
        return held[0].run() if len(held) == 1 else batch.run(held)

    def end_batch(self, batch: Batch) -> None:
        """Notes that a batch takes no slot any more."""
        with self._lock:
            if self.batches.pop(batch.id.binary, None) is not None:
                self._async_batches -= batch.is_async

    def members(self, batch: Batch) -> list[Attempt]:
        """Returns the attempts of a batch that are in flight: not cancelled, and not reported."""
        return [attempt for attempt in batch.attempts if self.holds(attempt)]

    def abandoned_batches(self) -> list[Batch]:
        """Returns the batches that nobody needs any more: all their jobs were cancelled or taken over."""
        return [batch for batch in list(self.batches.values()) if not self.members(batch)]
