"""Reads the state of a cluster for tools: server, collections, nodes, counts and backlogs.

Every read is bounded.
"""

from __future__ import annotations

from collections.abc import Collection as Group
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.control.reasons import MOST_COUNTED
from taskscheduler.model.control.summary import CODES
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored, smallest_name
from taskscheduler.model.lifecycle import FINAL, Status
from taskscheduler.model.migration.steps import StepReport
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.sound import is_text
from taskscheduler.store.client import check_server, durable
from taskscheduler.store.control.queue_place import QueuePlaces
from taskscheduler.store.control.settings import ControlStore
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.counts.keys import KeyCounts
from taskscheduler.store.counts.queues import read_backlogs
from taskscheduler.store.counts.reached import Reached
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.job_lists import CAP
from taskscheduler.store.lenient_reads import read, read_command, seconds_until
from taskscheduler.store.migration.migrations import MigrationStore
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.schema import missing_indexes

_LIVE_LIST = "live_list"

_BLOCKED = "blocked"

_LIVE: Mapping[str, Any] = {"status": {"$lte": int(Status.PROCESSING)}}

_OLDEST = (10, 1000)  #: live jobs of one class that are looked at, first and if none of them waits


@dataclass(frozen=True, slots=True)
class Server:
    """Facts about the server."""

    version: str
    replica_set: str  #: empty for a sharded cluster
    address: str  #: empty for a sharded cluster
    ping: float  #: seconds
    ahead: float  #: seconds by which this host's clock is ahead of the server's


class ClusterOverview:
    """Reads for administrators. Changes nothing; raises DatabaseError and its subclasses."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = durable(database)
        self._options = options
        self._clock = clock
        self._jobs = self._database[options.job_store]
        self._keys = KeyCounts(self._jobs, clock)
        self._places = QueuePlaces(self._database, options)
        self._reached = Reached(clock)

    @translated()
    def server(self) -> Server:
        """Returns facts about the server; UnsupportedServerError if it cannot hold jobs."""
        check_server(self._database, self._clock)
        begun, here = self._clock.monotonic(), SYSTEM_CLOCK.now()
        hello = read_command(self._database, {"hello": 1})
        ping = self._clock.monotonic() - begun
        there = hello["localTime"]
        there = there if there.tzinfo else there.replace(tzinfo=UTC)
        ahead = (here + timedelta(seconds=ping / 2) - there).total_seconds()
        version = str(read_command(self._database, {"buildInfo": 1})["version"])
        return Server(version, hello.get("setName", ""), hello.get("me", ""), ping, ahead)

    @translated()
    def open_stream(self) -> float:
        """Opens a change stream on the jobs, reads once and returns the seconds that took."""
        begun = self._clock.monotonic()
        jobs = self._jobs.with_options(read_concern=ReadConcern("majority"))
        with jobs.watch([{"$match": {"operationType": "none"}}], max_await_time_ms=1) as stream:
            stream.try_next()
        return self._clock.monotonic() - begun

    @translated()
    def missing_indexes(self) -> list[str]:
        """Returns the names of the indexes that the job store lacks."""
        return missing_indexes(self._database, self._options)

    def migration(self) -> list[StepReport]:
        """Returns the steps by which `taskscheduler migrate` moves an older database to this version."""
        return MigrationStore(self._database, self._options).plan()

    @translated()
    def capped(self) -> dict[str, bool | None]:
        """Returns for each collection that must be capped whether it is; None if it does not exist."""
        names = [self._options.job_queue, self._options.event_queue]
        found = {entry["name"]: entry for entry in self._database.list_collections(filter={"name": {"$in": names}})}
        return {name: bool(found[name]["options"].get("capped")) if name in found else None for name in names}

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._database.name

    @translated()
    def nodes(self) -> list[Document]:
        """Returns every node of the last day; see NodeStore.all."""
        return NodeStore(self._database).all()

    @translated()
    def counts(self, statuses: Iterable[Status] = tuple(Status), backlogs: Iterable[Backlog] = ()) -> dict[Status, int]:
        """Counts the jobs in each of these statuses, up to CAP + 1.

        With `backlogs` that were read just now, it does not count the waiting jobs if those are too many anyway.
        """
        known = {Status.WAITING: CAP + 1} if sum(one.waiting for one in backlogs) > CAP else {}
        return {one: known[one] if one in known else self._keys.of([one])[one] for one in statuses}

    @translated()
    def ended_within(self, seconds: float) -> dict[Status, int]:
        """Counts the jobs that ended so many seconds ago at most, in each final status up to CAP + 1."""
        since = self._clock.now() - timedelta(seconds=seconds)
        return {status: self._keys.ended_since(status, since, seconds) for status in sorted(FINAL)}

    @translated()
    def backlogs(self) -> list[Backlog]:
        """Returns the backlog of the first queues by name; see `read_backlogs`."""
        return read_backlogs(self._jobs, self._keys)

    @translated()
    def live_class(self, after: str, but: Group[str]) -> str | None:
        """Returns the first class behind `after` that has live jobs, apart from these; None if there is none.

        The server skips the jobs of those classes.
        """
        if not self._keys.has(_LIVE_LIST):  # of an older version
            return None
        query = as_stored({**_LIVE, "class": {"$gt": after, "$nin": sorted(but)}})
        found = read(self._jobs, lambda jobs: jobs.find(query, {"class": 1}).hint(_LIVE_LIST).sort("class", 1).limit(1))
        return smallest_name(found[0]["class"], after) if found else None

    @translated()
    def waits_in(self, name: str) -> str | None:
        """Returns the queue in which a job of a class waits; None if none of its oldest live jobs does."""
        found = (self._waiting_among(most, name) for most in _OLDEST)
        return next((queue for queue in found if is_text(queue)), None)

    def _waiting_among(self, most: int, name: str) -> Any:
        """Returns the queue of the first that waits among so many live jobs of a class."""
        stages: list[Document] = [
            {"$match": as_stored({**_LIVE, "class": name})},
            {"$limit": most},
            {"$match": {"status": int(Status.WAITING), "queue": {"$type": "string"}}},
            {"$limit": 1},
            {"$project": {"queue": 1}},
        ]
        found = read(self._jobs, lambda jobs: jobs.aggregate(stages, hint=_LIVE_LIST))
        return found[0]["queue"] if found else None

    @translated()
    def next_due(self) -> float | None:
        """Returns the seconds until the next postponed job is due; None if there is none."""
        stages: list[Document] = [
            {"$match": {"status": int(Status.POSTPONED), "at": {"$lt": FAR, "$not": {"$type": "array"}}}},
            {"$sort": {"at": 1}},
            {"$limit": 1},
            {"$project": {"_id": 0, "left": seconds_until("$at")}},
        ]
        entry = next(iter(self._jobs.aggregate(stages)), None)
        return None if entry is None else float(entry["left"])

    @translated()
    def parked(self) -> dict[str, int]:
        """Returns how many jobs are parked in the lists of controls, by their kinds, each up to MOST_COUNTED + 1."""
        if not self._keys.has(_BLOCKED):  # of an older version
            return {}
        left = [kind for kind in CODES if kind not in self._reached]
        found = self._places.parked(left)
        for kind in left:
            if found[kind] > MOST_COUNTED:
                self._reached.note(kind)
        return {kind: found.get(kind, MOST_COUNTED + 1) for kind in CODES}

    @translated()
    def pauses(self) -> tuple[Pause, ...]:
        """Returns what is paused now."""
        return ControlStore(self._database, self._clock).load().at(self._clock.now()).pauses
