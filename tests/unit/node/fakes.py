"""Stand-ins for what the parts of a node are built on: a clock, a store, a manager, and threads that must not crash."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.store import Store
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.claimed_job import ClaimedJob
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Kind, Report, Run, body
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.system.threads import SessionThreads

WORKER = ObjectId()


class FakeClock:
    """A clock that stands still until it is set."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class Faults:
    """Notes the calls of a store, and raises what it is told to in place of an answer."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._raised: dict[str, list[Exception]] = defaultdict(list)

    def fail(self, call: str, *errors: Exception) -> None:
        """The next calls of this name raise these."""
        self._raised[call] += errors

    def note(self, call: str) -> None:
        self.calls.append(call)
        if self._raised[call]:
            raise self._raised[call].pop(0)


class FakeClaims:
    """Waiting jobs that can be claimed."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.waiting: dict[ObjectId, dict[str, Any]] = {}
        self.got: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[list[ObjectId]] = []
        self.released: list[str] = []
        self.released_fences: list[Fence] = []
        self.documents: dict[ObjectId, RawBSONDocument] = {}

    def add(self, count: int = 1, **fields: Any) -> list[ObjectId]:
        added = [job_document(**fields) for _ in range(count)]
        self.waiting |= {job["_id"]: job for job in added}
        return [job["_id"] for job in added]

    def queues(self) -> list[str]:
        self._faults.note("claims.queues")
        return sorted({job["queue"] for job in self.waiting.values()})

    def candidates(
        self, queues: Sequence[str], count: int, after: object = None, but_async: bool = False
    ) -> list[dict[str, Any]]:
        self._faults.note("claims.candidates")
        found = [job for job in self.waiting.values() if job["queue"] in queues]
        return [job for job in found if not (but_async and "async" in job)][:count]

    def forced(self, queues: Sequence[str] | None, count: int) -> list[ObjectId]:
        self._faults.note("claims.forced")
        return [key for key, job in self.waiting.items() if job["options"]["force_spawn"]][:count]

    def asynchronous(self, queues: Sequence[str] | None, count: int) -> list[ObjectId]:
        self._faults.note("claims.asynchronous")
        return [key for key, job in self.waiting.items() if "async" in job][:count]

    def claim(self, ids: Sequence[ObjectId], claim: str, boot: ObjectId, node: str) -> int:
        self.asked.append(list(ids))
        self.got[claim] = [self.waiting.pop(job_id) for job_id in ids if job_id in self.waiting]
        self._faults.note("claims.claim")  # carried out although it raises
        return len(self.got[claim])

    def claim_one(
        self, job_id: ObjectId, queues: Sequence[str], claim: str, boot: ObjectId, node: str
    ) -> list[ClaimedJob]:
        self.asked.append([job_id])
        job = self.waiting.pop(job_id, None)
        self._faults.note("claims.claim_one")
        return [] if job is None else [claimed(job)]

    def claimed(self, claim: str, boot: ObjectId) -> list[ClaimedJob]:
        self._faults.note("claims.claimed")
        return [claimed(job) for job in reversed(self.got[claim])]

    def raw_document(self, job_id: ObjectId) -> RawBSONDocument | None:
        self._faults.note("claims.raw_document")
        return self.documents.get(job_id)

    def release_claim(self, claim: str, boot: ObjectId) -> int:
        self._faults.note("claims.release_claim")
        self.released.append(claim)
        return 0

    def release(self, fence: Fence) -> bool:
        self._faults.note("claims.release")
        self.released_fences.append(fence)
        return True


class FakeLeases:
    """The attempts that the database counts as running on nodes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.held: dict[ObjectId, list[Fence]] = defaultdict(list)

    def still_held(self, fences: Sequence[Fence]) -> set[ObjectId]:
        self._faults.note("leases.still_held")
        held = {fence for fences in self.held.values() for fence in fences}
        return {fence.job_id for fence in fences if fence in held}

    def held_by(self, boot: ObjectId) -> list[Fence]:
        self._faults.note("leases.held_by")
        return list(self.held[boot])

    def owners(self) -> set[ObjectId]:
        self._faults.note("leases.owners")
        return {boot for boot, fences in self.held.items() if fences}

    def jobs_of(self, boot: ObjectId, queue: str | None = None) -> list[dict[str, Any]]:
        self._faults.note("leases.jobs_of")
        jobs = [job_document(_id=fence.job_id, attempt=fence.attempt) for fence in self.held[boot]]
        return [{**job, "claim": fence.claim} for job, fence in zip(jobs, self.held[boot], strict=True)]


class FakeCompletions:
    """What was written about attempts; the fences of `fenced` are refused."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.written: list[Completion] = []
        self.batches: list[int] = []
        self.fenced: set[ObjectId] = set()
        self.reports: list[tuple[Fence, Mapping[str, Any], ObjectId | None]] = []

    def write(self, completions: Sequence[Completion]) -> int:
        self._faults.note("completions.write")
        landed = [replace(one) for one in completions if one.fence.job_id not in self.fenced]
        self.written += landed
        self.batches.append(len(completions))
        return len(landed)

    def confirmed(self, completions: Sequence[Completion]) -> set[ObjectId]:
        self._faults.note("completions.confirmed")
        return {one.fence.job_id for one in completions} - self.fenced

    def progress(self, reports: Sequence[tuple[Fence, Mapping[str, Any], ObjectId | None]]) -> None:
        self._faults.note("completions.progress")
        self.reports += reports


class FakeNodes:
    """The register of nodes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.registered: dict[ObjectId, dict[str, Any]] = {}
        self.lost: list[ObjectId] = []
        self.beats: list[Mapping[str, Any]] = []

    def register(self, boot: ObjectId, facts: Mapping[str, Any]) -> None:
        self._faults.note("nodes.register")
        self.registered[boot] = {"_id": boot, "silent": 0.0, "beat": 0, **facts}

    def beat(self, boot: ObjectId, facts: Mapping[str, Any]) -> bool:
        self._faults.note("nodes.beat")
        self.beats.append(facts)
        return boot not in self.lost

    def all(self) -> list[dict[str, Any]]:
        self._faults.note("nodes.all")
        return list(self.registered.values())

    def declare_lost(self, boot: ObjectId, beat: int) -> bool:
        self._faults.note("nodes.declare_lost")
        if self.registered[boot]["beat"] != beat:
            return False
        self.lost.append(boot)
        return True

    def remove(self, boot: ObjectId) -> None:
        self._faults.note("nodes.remove")
        self.registered.pop(boot, None)


class FakeDueJobs:
    """Postponed jobs, and the seconds until the next one is due."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.left: float | None = None
        self.due: list[ObjectId] = []
        self.promoted: list[ObjectId] = []

    def seconds_until_next(self) -> float | None:
        self._faults.note("postponed_jobs.seconds_until_next")
        return self.left

    def find(self) -> list[ObjectId]:
        self._faults.note("postponed_jobs.find")
        return list(self.due)

    def promote(self, ids: Sequence[ObjectId]) -> int:
        self._faults.note("postponed_jobs.promote")
        self.promoted += ids
        return len(ids)


class FakeLocks:
    """Locks of solo jobs, and the processes of services: what was said of them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.released: list[Fence] = []
        self.extended: list[Fence] = []
        self.admitted: list[str] = []
        self.unstarted: list[str] = []

    def extend(self, fence: Fence, lease: float) -> None:
        self._faults.note("locks.extend")
        self.extended.append(fence)

    def release(self, fence: Fence) -> None:
        self._faults.note("locks.release")
        self.released.append(fence)

    gone = release  #: of services

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        self._faults.note("locks.release_unstarted")
        self.unstarted.append(claim)

    def queue_for(self, ids: Sequence[ObjectId]) -> set[str]:
        self._faults.note("locks.queue_for")
        return {"key"} if ids else set()

    def admit_next(self, keys: set[str]) -> None:
        self._faults.note("locks.admit_next")
        self.admitted += keys

    def sweep(self) -> None:
        self._faults.note("locks.sweep")


class FakeOutbox:
    """Effects of ended jobs that wait to be delivered."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.pending: list[dict[str, Any]] = []
        self.delivered: list[ObjectId] = []
        self.hooks: set[ObjectId] = set()  #: jobs whose hook is due

    def undelivered(self, effects: Sequence[str], count: int) -> list[dict[str, Any]]:
        self._faults.note("outbox.undelivered")
        return self.pending[:count]

    def deliver(self, job_id: ObjectId) -> None:
        self._faults.note("outbox.deliver")
        self.delivered.append(job_id)

    def acknowledge(self, job_id: ObjectId, effect: str) -> bool:
        self._faults.note("outbox.acknowledge")
        due = job_id in self.hooks
        self.hooks.discard(job_id)
        return due

    def restore(self, job_id: ObjectId, effect: str) -> None:
        self._faults.note("outbox.restore")
        self.hooks.add(job_id)


class FakeEvents:
    """The log of status changes."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []

    def append(self, entries: Sequence[Mapping[str, Any]], node: str | None = None) -> None:
        self.entries += entries


class FakeWakeups:
    """Messages that were sent."""

    def __init__(self) -> None:
        self.rearmed: list[ObjectId] = []

    def jobs_rearmed(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool) -> None:
        self.rearmed += ids


class FakePrograms:
    """Records of tracked programs."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def end_silent(self, query: Mapping[str, Any]) -> list[ObjectId]:
        self._faults.note("programs.end_silent")
        return []


class FakeInvalidJobs:
    """Jobs that were failed, since their documents cannot be used."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.failed: dict[Any, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}  #: with the error, and the filter

    def fail(self, job_id: Any, error: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
        self._faults.note("invalid_jobs.fail")
        self.failed[job_id] = error, held
        return True


class FakeFeed:
    """A change stream that yields what it is given, and waits for more until it is closed."""

    def __init__(self, *_: object) -> None:
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.opened = self.closed = False
        self.rests = 0

    def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.closed = True
        self.events.put(None)

    def rest(self) -> None:
        self.rests += 1

    def next(self) -> Any:
        event = self.events.get()
        if isinstance(event, Exception):
            raise event
        return event


class FakeStore:
    """A store in memory that notes what is asked of it."""

    def __init__(self) -> None:
        self.faults = faults = Faults()
        self.database = object()
        self.options = SchedulerOptions.of({})
        self.claims = FakeClaims(faults)
        self.leases = FakeLeases(faults)
        self.completions = FakeCompletions(faults)
        self.nodes = FakeNodes(faults)
        self.postponed_jobs = FakeDueJobs(faults)
        self.solo_locks = self.services = FakeLocks(faults)
        self.outbox = FakeOutbox(faults)
        self.invalid_jobs = FakeInvalidJobs(faults)
        self.events = FakeEvents()
        self.wakeups = FakeWakeups()
        self.programs = FakePrograms(faults)

    @property
    def store(self) -> Store:
        """The same, as the parts of a node take it."""
        return cast(Store, self)


class FakeManager:
    """Notes what is sent to the worker manager."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.cancelled: list[ObjectId] = []

    @property
    def proxy(self) -> ManagerProxy:
        """The same, as the parts of a node take it."""
        return cast(ManagerProxy, self)

    @property
    def dispatched(self) -> list[ObjectId]:
        return [ObjectId(run.job_id) for run in self.runs]

    def dispatch(self, runs: Sequence[Run]) -> None:
        self.runs += runs

    def cancel(self, ids: list[ObjectId]) -> None:
        self.cancelled += ids


class Threads(SessionThreads):
    """Threads whose crash can be seen."""

    def __init__(self) -> None:
        self.crashed = threading.Event()
        super().__init__(self.crashed.set)


def lease(clock: FakeClock | None = None, duration: float = 30.0) -> Lease:
    return Lease(duration, clock or FakeClock())


def job_document(options: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A job as a node claims it."""
    return {
        "_id": ObjectId(),
        "class": "mail",
        "data": {"a": 1},
        "attempt": 1,
        "options": JobOptions.of(options or {}).stored(),
        "retries": 0,
        "lost": 0,
        "queue": "default",
        "priority": 0,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        **fields,
    }


def claimed(job: dict[str, Any]) -> ClaimedJob:
    return ClaimedJob(job, bson.encode(job, codec_options=CODEC))


def attempt(
    number: int = 1, options: Mapping[str, Any] | None = None, claimed_at: float = 0.0, **fields: Any
) -> Attempt:
    document = job_document(options, attempt=number, **fields)
    raw = RawBSONDocument(bson.encode(document, codec_options=CODEC))
    return Attempt(Fence(document["_id"], "claim", number), raw, bytes(raw.raw), claimed_at=claimed_at)


def report(of: Attempt, ending: Ending, seconds: float = 0.1, **content: Any) -> Report:
    packed = body(**content) if content else b""
    return Report(Kind.REPORT, ending, of.fence.job_id.binary, of.fence.attempt, WORKER.binary, seconds, packed)
