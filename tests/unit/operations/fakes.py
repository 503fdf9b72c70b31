"""A store in memory for operations that are tested without a database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId

from taskscheduler.connection import Connection
from taskscheduler.errors import DuplicateJobError
from taskscheduler.event_names import EVENTS
from taskscheduler.events import Announcer, Events
from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler.model.document import NewJob
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.process import Processes
from taskscheduler.store.control.windows import Window
from taskscheduler.store.jobs import OnceTakenError

LOGGER = logging.getLogger("tests.operations")


class SettableClock:
    """A clock that goes on by `step` seconds at each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.step = step
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class FakeJobs:
    """Job documents in a dictionary, with the unique keys of add_job_once and `dedupe`."""

    def __init__(self) -> None:
        self.stored: dict[ObjectId, dict[str, Any]] = {}
        self.writes: list[list[ObjectId]] = []
        self.looked_for: list[ObjectId] = []  #: ids that might have been taken
        self.before_insert: list[Callable[[], None]] = []  #: what other programs do just before an insert

    def insert(self, new: NewJob) -> None:
        if self.before_insert:
            self.before_insert.pop(0)()
        if new.id in self.stored:
            raise DuplicateJobError(new.id)
        keys = {name: new.document[name] for name in ("once", "dedupe") if name in new.document}
        if any(job.get(name) == key for job in self.stored.values() for name, key in keys.items()):
            raise OnceTakenError
        self.insert_many([new])

    def insert_many(self, new: Sequence[NewJob]) -> None:
        self.writes.append([job.id for job in new])
        self.stored |= {job.id: dict(job.document) for job in new}

    def taken_ids(self, ids: Sequence[ObjectId]) -> list[ObjectId]:
        self.looked_for += ids
        return [job_id for job_id in ids if job_id in self.stored]

    def get(self, job_id: ObjectId) -> dict[str, Any] | None:
        found = self.stored.get(job_id)
        return None if found is None else dict(found)

    confirmed = get

    def all_of(self, ids: Iterable[ObjectId]) -> dict[ObjectId, dict[str, Any]]:
        return {job_id: dict(self.stored[job_id]) for job_id in ids if job_id in self.stored}

    def statuses(self, ids: Iterable[ObjectId]) -> dict[ObjectId, Status]:
        return {job_id: Status(self.stored[job_id]["status"]) for job_id in ids if job_id in self.stored}

    def places_of(self, ids: Sequence[ObjectId], status: Status) -> set[tuple[str, str]]:
        found = [self.stored[job_id] for job_id in ids if job_id in self.stored]
        return {(job.get("queue", ""), job["class"]) for job in found if job["status"] == status}

    def same_queued(self, key: str) -> dict[str, Any] | None:
        return next((dict(job) for job in self.stored.values() if job.get("dedupe") == key), None)

    def same_live(self, _name: str, _data: Any, key: str, _ignore_data: bool) -> dict[str, Any] | None:
        return next((dict(job) for job in self.stored.values() if job.get("once") == key), None)

    def cancel(self, job_id: ObjectId, only_queued: bool = False, _reason: str | None = None) -> dict[str, Any] | None:
        before = self.get(job_id)
        if before is None or Status(before["status"]).is_final:
            return None
        if only_queued and before["status"] == Status.PROCESSING:
            return None
        self.stored[job_id] |= {"status": int(Status.CANCELED)}
        self.stored[job_id].pop("once", None)
        return before

    def series(self, series: ObjectId) -> list[ObjectId]:
        runs = (job for job in self.stored.values() if job.get("series") == series)
        return [job["_id"] for job in runs if not Status(job["status"]).is_final]

    def end_series(self, _series: ObjectId) -> list[ObjectId]:
        return []

    def goes_on(self, series: ObjectId) -> bool:
        runs = (job for job in self.stored.values() if job.get("series") == series)
        return any(not Status(job["status"]).is_final for job in runs)

    def running(self, query: Mapping[str, Any]) -> list[ObjectId]:
        return [job_id for job_id in self.matching(query) if self.stored[job_id]["status"] == Status.PROCESSING]

    def delete(self, query: Mapping[str, Any]) -> int:
        return len([self.stored.pop(job_id) for job_id in self.matching(query)])

    def matching(self, query: Mapping[str, Any]) -> list[ObjectId]:
        return [
            job_id for job_id, job in self.stored.items() if all(job.get(name) == one for name, one in query.items())
        ]


class FakeWindows:
    """The windows of keys, in the time of a clock."""

    def __init__(self, clock: SettableClock) -> None:
        self.clock = clock
        self.records: dict[str, dict[str, Any]] = {}

    def open(self, key: str, job_id: ObjectId, _seconds: float) -> Window:
        record = self.records.get(key)
        if record is None or record["until"] <= self.clock.now():
            record = self.records[key] = {"job": job_id, "until": datetime.max.replace(tzinfo=UTC), "settled": False}
        return Window(record["job"], record["settled"])

    def settle(self, key: str, job_id: ObjectId, seconds: float) -> None:
        if self.records[key]["job"] == job_id:
            self.records[key] |= {"settled": True, "until": self.clock.now() + timedelta(seconds=seconds)}

    def settle_for_others(self, key: str, job_id: ObjectId, created: datetime, seconds: float) -> None:
        if self.records[key]["job"] == job_id and not self.records[key]["settled"]:
            self.records[key] |= {"settled": True, "until": created + timedelta(seconds=seconds)}


class FakeWakeups:
    """The messages that were sent to nodes."""

    def __init__(self) -> None:
        self.quiet = False
        self.added: list[tuple[list[ObjectId], set[str], bool, bool]] = []
        self.seen: list[bool] = []  #: for each of these, whether nodes see the inserts
        self.cancelled: list[ObjectId] = []

    def is_quiet(self) -> bool:
        return self.quiet

    def jobs_added(
        self,
        ids: list[ObjectId],
        queues: set[str],
        later: bool,
        forced: bool,
        urgent: Sequence[UrgentJob],
        are_seen: bool,
    ) -> None:
        self.added.append((ids, queues, later, forced))
        self.seen.append(are_seen)

    def jobs_cancelled(self, ids: Iterable[ObjectId]) -> None:
        self.cancelled += ids


class FakeOutbox:
    """Delivers the effects that a test has put here."""

    def __init__(self) -> None:
        self.delivered: list[ObjectId] = []
        self.effects: dict[ObjectId, Callable[[], list[tuple[ObjectId, int]]]] = {}

    def deliver(self, job_id: ObjectId) -> list[tuple[ObjectId, int]]:
        self.delivered.append(job_id)
        return self.effects.get(job_id, list)()


class FakeAdmission:
    """Notes the lists from which jobs were admitted, and the jobs that left theirs."""

    def __init__(self) -> None:
        self.admitted: list[set[str]] = []
        self.left: list[ObjectId] = []

    def admit_next(self, keys: Iterable[str]) -> None:
        self.admitted.append(set(keys))

    def ended(self, before: Mapping[str, Any]) -> None:
        self.left.append(before["_id"])


class FakeSequences:
    """Gives out turns as the database does."""

    def __init__(self) -> None:
        self.last = 0

    def number(self, documents: Sequence[dict[str, Any]]) -> None:
        for document in documents:
            if "sequence" in document:
                self.last += 1
                document["turn"] = self.last


class FakeNodes:
    """The nodes, and how often somebody has read them."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self.reads = 0
        self.error: Exception | None = None

    def all(self) -> list[dict[str, Any]]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.found


class FakeConnection:
    """A connection to a store in memory; its parts are those that the real store has."""

    def __init__(self, clock: SettableClock | None = None) -> None:
        self.options = SchedulerOptions()
        self.clock = clock or SettableClock()
        self.jobs = FakeJobs()
        self.wakeups = FakeWakeups()
        self.outbox = FakeOutbox()
        self.admission = FakeAdmission()
        self.sequences = FakeSequences()
        self.nodes = FakeNodes()
        self.windows = FakeWindows(self.clock)
        self.log: list[dict[str, Any]] = []
        self.streams = SimpleNamespace(
            for_few=lambda: {"taskscheduler.jobs": None}, for_many=lambda: {"taskscheduler.jobs": None}
        )
        self.store = SimpleNamespace(
            jobs=self.jobs,
            options=self.options,
            streams=self.streams,
            inserts=self.jobs,
            families=self.jobs,
            wakeups=self.wakeups,
            outbox=self.outbox,
            admission=self.admission,
            sequences=self.sequences,
            nodes=self.nodes,
            windows=self.windows,
            flows=SimpleNamespace(are_used=lambda: False),
            logs=SimpleNamespace(sweep=lambda after: (0, None), delete=lambda jobs: None),
            events=SimpleNamespace(append=self.log.extend),
            clock=self.clock,
        )

    @property
    def real(self) -> Connection:
        """The same for type checkers."""
        return cast(Connection, self)


class Heard:
    """An announcer with a handler for all events, which notes them."""

    def __init__(self, connected: bool = True) -> None:
        self.events: list[tuple[str, ObjectId]] = []
        self.handlers = Events(None, LOGGER)
        if connected:
            for event in EVENTS:
                self.handlers.on(event, lambda name, process: self.events.append((name, process.id)))
        self.announcer = Announcer(self.handlers, Processes(cast(Any, None)))
