"""Measures what the server works for one job, and what it would work for other designs.

`.venv/bin/python -m tests.scale.work [JOBS] [ROUNDS] [BATCH]`, 10 000, 3 and 500 by default. It prints the processor
time of mongod, in microseconds for each job and step, by the bare driver in batches of this size. These are medians of
rounds in which the designs take turns. `sum` is all that a job costs after its insert.

today             the documents, indexes and updates of the product
every index       the same where somebody has used each capability once
few indexes       only those for claims, for what a node holds, and for retention
without defaults  the same, and documents without fields that hold what they have at first
claims apart      a claim is a document of its own, which names its jobs; a job is written only when it ends

`tests.scale.savings` measures other forms of today's claims and ends.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import bson
from bson import CodecOptions, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from taskscheduler.embedded import EmbeddedServer
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.claiming import claim_update
from taskscheduler.store.claimed_job import READ_BACK
from taskscheduler.store.client import PROMPT, connect, durable
from taskscheduler.store.fence import BY_ID
from taskscheduler.store.indexes.definitions import CLAIM_ORDER, ON_DEMAND
from taskscheduler.store.schema import ensure
from taskscheduler_daemon.demo.environment import embedded_server
from tests.benchmarks.floor import documents

NEEDED = {"_id_", "claim", "held", "retention_done"}
TIMES, COUNTS = ("started", "ended", "alive"), ("attempt", "retries", "lost", "progress")
DEFAULTS = {*TIMES, *COUNTS, "worker", "data", "hook", "wake", "options"}
RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
OPTIONS = SchedulerOptions.of({})
WAITING, RUNNING, DONE = 0, 2, 3
NODE = "floor"

Document: TypeAlias = dict[str, Any]
Update: TypeAlias = Any  # a document, or a list of them


class Design(NamedTuple):
    """What is other than in the product."""

    few_indexes: bool = False
    every_index: bool = False
    without_defaults: bool = False
    claims_apart: bool = False


DESIGNS = {
    "today": Design(),
    "every index": Design(every_index=True),
    "today, claims apart": Design(claims_apart=True),
    "few indexes": Design(few_indexes=True),
    "without defaults": Design(few_indexes=True, without_defaults=True),
    "all three": Design(few_indexes=True, without_defaults=True, claims_apart=True),
}


class Pipeline:
    """The way of some jobs through one database, as the product has it."""

    def __init__(self, database: Database[Document], size: int) -> None:
        self.size = size  #: jobs in a batch
        self.boot, self.now = ObjectId(), datetime.now(UTC)
        self.jobs = database[OPTIONS.job_store]
        self.raw = self.jobs.with_options(codec_options=RAW, read_concern=ReadConcern("majority"))
        self.events = database.get_collection(OPTIONS.event_queue, write_concern=PROMPT)
        self.batches: list[tuple[str, list[ObjectId]]] = []

    def insert(self, made: Sequence[RawBSONDocument]) -> None:
        for start in range(0, len(made), self.size):
            self.jobs.insert_many(made[start : start + self.size], ordered=False)

    def find(self) -> None:
        query: Document = {"status": WAITING, "queue": "default", "priority": 0}
        fields = {"queue": 1, "priority": 1, "at": 1}
        while found := list(self.jobs.find(query, fields, batch_size=self.size).sort(CLAIM_ORDER).limit(self.size)):
            self.batches.append((f"{len(self.batches):032x}", [job["_id"] for job in found]))
            query |= {"at": {"$gte": found[-1]["at"]}, "_id": {"$gt": found[-1]["_id"]}}

    def claim(self) -> None:
        for claim, ids in self.batches:
            self.claim_batch(claim, ids)

    def read(self) -> None:
        for claim, ids in self.batches:
            self.read_batch(claim, ids)

    def finish(self) -> None:
        for claim, ids in self.batches:
            self.finish_batch(claim, ids)

    def log(self) -> None:
        """Logs that they run, and that they are done."""
        for status in (RUNNING, DONE):
            for _, ids in self.batches:
                events = [{"job": job, "status": status, "attempt": 1} for job in ids]
                self.events.insert_one({"_id": ObjectId(), "node": NODE, "events": events})

    def claim_batch(self, claim: str, ids: list[ObjectId]) -> None:
        waiting = {"_id": {"$in": ids}, "status": {"$in": [WAITING]}}
        self.jobs.update_many(waiting, self.claim_update(claim), hint=BY_ID)

    def claim_update(self, claim: str) -> Update:
        return claim_update(claim, self.boot, NODE)

    def read_batch(self, claim: str, ids: list[ObjectId]) -> None:
        held = {"boot": self.boot, "claim": claim, "status": RUNNING}
        self.exhaust(held, READ_BACK, "held")

    def exhaust(self, query: Document, fields: Document | None, hint: str) -> None:
        for _ in self.raw.find_raw_batches(query, fields, batch_size=10_000, hint=hint):
            pass

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        held = {"_id": {"$in": ids}, "status": {"$in": [RUNNING]}, "claim": claim}
        self.jobs.bulk_write([UpdateMany(held, self.finish_update(), hint=BY_ID)], ordered=False)

    def finish_update(self) -> Update:
        ended = {"status": DONE, "progress": 100.0, "worker": "0" * 24, "started": self.now, "ended": self.now}
        return {"$set": {**ended, "cpu": 0.001, "peak_memory": 50_000_000}}


class ClaimsApart(Pipeline):
    """The same with claims that are documents. A search would have to pass over the jobs that they name."""

    def __init__(self, database: Database[Document], size: int) -> None:
        super().__init__(database, size)
        self._claims = database["claims"]
        self._claims.create_index("ids", unique=True)

    def claim_batch(self, claim: str, ids: list[ObjectId]) -> None:
        self._claims.insert_one({"_id": claim, "boot": self.boot, "node": NODE, "ids": ids})

    def read_batch(self, claim: str, ids: list[ObjectId]) -> None:
        self.exhaust({"_id": {"$in": ids}}, READ_BACK, BY_ID)

    def finish_batch(self, claim: str, ids: list[ObjectId]) -> None:
        change = super().finish_update()
        by = {"claim": claim, "boot": self.boot, "node": NODE, "attempt": 1, "claimed": self.now}
        waiting = {"_id": {"$in": ids}, "status": {"$in": [WAITING]}}
        both = {"$set": {**change["$set"], **by}}
        self.jobs.bulk_write([UpdateMany(waiting, both, hint=BY_ID)], ordered=False)
        self._claims.delete_one({"_id": claim})


Way: TypeAlias = Callable[[Database[Document]], Pipeline]


def designed(database: Database[Document], size: int, design: Design) -> Pipeline:
    """The way of jobs through a database of this design."""
    way = (ClaimsApart if design.claims_apart else Pipeline)(database, size)
    if design.every_index:
        way.jobs.create_indexes(list(ON_DEMAND.values()))
    if design.few_indexes:
        for name in way.jobs.index_information().keys() - NEEDED:
            way.jobs.drop_index(name)
    return way


def stored(design: Design, count: int) -> list[RawBSONDocument]:
    """New jobs as this design stores them."""
    made = documents(count)
    if not design.without_defaults:
        return made
    kept = ({name: value for name, value in bson.decode(one.raw).items() if name not in DEFAULTS} for one in made)
    return [RawBSONDocument(bson.encode(one)) for one in kept]


@contextmanager
def fresh(uri: str) -> Iterator[Database[Document]]:
    """A new database with all collections and indexes."""
    plain = connect(uri.replace("/taskscheduler?", f"/work_{ObjectId()}?"))
    try:
        database = durable(plain)
        ensure(database, OPTIONS)
        yield database
    finally:
        plain.client.drop_database(plain.name)
        plain.client.close()


def used(pid: int) -> float:
    """The seconds of processor time that a process has used so far. The clock ticks in nanoseconds, /proc in 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # see clock_getcpuclockid(3)


def spent(mongod: int, count: int, act: Callable[[], None]) -> float:
    """The microseconds of the server's processor time for each job, with what it does a moment later."""
    before = used(mongod)
    act()
    time.sleep(0.15)
    return 1e6 * (used(mongod) - before) / count


def measured(server: EmbeddedServer, way_of: Way, made: list[RawBSONDocument]) -> dict[str, float]:
    """The same for each step, and for all that follows the insert."""
    mongod, count = server.address.mongod_pid, len(made)
    with fresh(server.uri) as database:
        way = way_of(database)
        steps = {"insert": spent(mongod, count, lambda: way.insert(made))}
        for step in (way.find, way.claim, way.read, way.finish, way.log):
            steps[step.__name__] = spent(mongod, count, step)
        if way.jobs.count_documents({"status": DONE}) != count:
            raise RuntimeError("some jobs have not ended")
    return {**steps, "sum": sum(steps.values()) - steps["insert"]}


def compare(ways: Mapping[str, tuple[Way, Design]], count: int, rounds: int) -> None:
    """Prints what each way costs, by its name; they take turns."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-work-"))
    try:
        with embedded_server(directory / "server") as server:
            for _ in range(rounds):
                for name, (way, design) in ways.items():
                    for step, cost in measured(server, way, stored(design, count)).items():
                        found[name][step].append(cost)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    steps = list(next(iter(found.values())))
    print(f"{'':<22}" + "".join(f"{step:>8}" for step in steps))  # noqa: T201
    for name, costs in found.items():
        print(f"{name:<22}" + "".join(f"{statistics.median(costs[step]):>8.1f}" for step in steps))  # noqa: T201


def arguments() -> tuple[int, int, int]:
    """The numbers of jobs and rounds, and the size of a batch."""
    given = [*map(int, sys.argv[1:])]
    count, rounds, size = [*given, *[10_000, 3, 500][len(given) :]]
    return count, rounds, size


def main() -> None:
    """Prints the table."""
    count, rounds, size = arguments()
    compare({name: (partial(designed, size=size, design=of), of) for name, of in DESIGNS.items()}, count, rounds)


if __name__ == "__main__":
    main()
