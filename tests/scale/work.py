"""Measures what the server works for one job, and what it would work for other designs.

`.venv/bin/python -m tests.scale.work [JOBS] [ROUNDS]`, 10 000 and 3 by default. It prints the processor time of mongod,
in microseconds for each job and step, by the bare driver in batches of 500. These are medians of rounds in which the
designs take turns:

today             the documents, indexes and updates of the product
every index       the same where somebody has used each capability once
few indexes       only those for claims, for what a node holds, and for retention
without defaults  the same, and documents without fields that hold what they have at first
claims apart      a claim is a document of its own, which names its jobs; a job is written only when it ends
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import bson
from bson import CodecOptions, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.claiming import claim_update
from taskscheduler.store.client import connect, durable
from taskscheduler.store.indexes.definitions import CLAIM_ORDER, ON_DEMAND
from taskscheduler.store.schema import ensure
from taskscheduler_daemon.demo.environment import embedded_server
from tests.benchmarks.floor import documents
from tests.benchmarks.processes import cpu_seconds

BATCH = 500
NEEDED = {"_id_", "claim", "held", "retention_done"}
TIMES, COUNTS = ("started", "ended", "alive"), ("attempt", "retries", "lost", "progress")
DEFAULTS = {*TIMES, *COUNTS, "worker", "data", "hook", "wake", "options"}
RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
OPTIONS = SchedulerOptions.of({})
WAITING, RUNNING, DONE = 0, 2, 3


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
    """The way of some jobs through one database."""

    def __init__(self, database: Database[dict[str, Any]], design: Design) -> None:
        self._design = design
        self._boot, self._now = ObjectId(), datetime.now(UTC)
        self._claims = database["claims"]
        self._jobs = database[OPTIONS.job_store]
        self._raw = self._jobs.with_options(codec_options=RAW, read_concern=ReadConcern("majority"))
        self._batches: list[tuple[str, list[ObjectId]]] = []
        if design.claims_apart:
            self._claims.create_index("ids", unique=True)
        if design.every_index:
            self._jobs.create_indexes(list(ON_DEMAND.values()))
        if design.few_indexes:
            for name in self._jobs.index_information().keys() - NEEDED:
                self._jobs.drop_index(name)

    def insert(self, stored: Sequence[RawBSONDocument]) -> None:
        for start in range(0, len(stored), BATCH):
            self._jobs.insert_many(stored[start : start + BATCH], ordered=False)

    def find(self) -> None:
        query: dict[str, Any] = {"status": WAITING, "queue": "default", "priority": 0}
        fields = {"queue": 1, "priority": 1, "at": 1}
        while found := list(self._jobs.find(query, fields).sort(CLAIM_ORDER).limit(BATCH)):
            self._batches.append((f"{len(self._batches):032x}", [job["_id"] for job in found]))
            query |= {"at": {"$gte": found[-1]["at"]}, "_id": {"$gt": found[-1]["_id"]}}

    def claim(self) -> None:
        for claim, ids in self._batches:
            if self._design.claims_apart:
                self._claims.insert_one({"_id": claim, "boot": self._boot, "node": "floor", "ids": ids})
            else:
                waiting = {"_id": {"$in": ids}, "status": {"$in": [WAITING]}}
                self._jobs.update_many(waiting, claim_update(claim, self._boot, "floor"), hint="_id_")

    def read(self) -> None:
        for claim, ids in self._batches:
            if self._design.claims_apart:
                list(self._raw.find({"_id": {"$in": ids}}))
            else:
                list(self._raw.find({"boot": self._boot, "claim": claim, "status": RUNNING}).hint("held"))

    def finish(self) -> None:
        ended = {"status": DONE, "progress": 100.0, "worker": "0" * 24, "started": self._now, "ended": self._now}
        change: dict[str, Any] = {**ended, "cpu": 0.001, "peak_memory": 50_000_000}
        for claim, ids in self._batches:
            if self._design.claims_apart:
                by = {"claim": claim, "boot": self._boot, "node": "floor", "attempt": 1, "claimed": self._now}
                self._jobs.update_many({"_id": {"$in": ids}, "status": {"$in": [WAITING]}}, {"$set": {**change, **by}})
                self._claims.delete_one({"_id": claim})
            else:
                held = {"_id": {"$in": ids}, "status": {"$in": [RUNNING]}, "claim": claim}
                self._jobs.update_many(held, {"$set": change})


def stored(design: Design, count: int) -> list[RawBSONDocument]:
    """New jobs as this design stores them."""
    made = documents(count)
    if not design.without_defaults:
        return made
    kept = ({name: value for name, value in bson.decode(one.raw).items() if name not in DEFAULTS} for one in made)
    return [RawBSONDocument(bson.encode(one)) for one in kept]


@contextmanager
def fresh(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """A new database with all collections and indexes."""
    plain = connect(uri.replace("/taskscheduler?", f"/work_{ObjectId()}?"))
    try:
        database = durable(plain)
        ensure(database, OPTIONS)
        yield database
    finally:
        plain.client.drop_database(plain.name)
        plain.client.close()


def spent(mongod: int, count: int, act: Callable[[], None]) -> float:
    """The microseconds of the server's processor time for each job, with what it does a moment later."""
    before = cpu_seconds([mongod])
    act()
    time.sleep(0.15)
    return 1e6 * (cpu_seconds([mongod]) - before) / count


def measured(uri: str, mongod: int, design: Design, count: int) -> dict[str, float]:
    """The same for each step, and for all that follows the insert."""
    with fresh(uri) as database:
        way, made = Pipeline(database, design), stored(design, count)
        steps = {"insert": spent(mongod, count, lambda: way.insert(made))}
        for step in (way.find, way.claim, way.read, way.finish):
            steps[step.__name__] = spent(mongod, count, step)
        if database[OPTIONS.job_store].count_documents({"status": DONE}) != count:
            raise RuntimeError("some jobs have not ended")
    return {**steps, "sum": sum(steps.values()) - steps["insert"]}


def main(count: int, rounds: int) -> None:
    """Prints the table."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-work-"))
    try:
        with embedded_server(directory / "server") as server:
            for _ in range(rounds):
                for name, design in DESIGNS.items():
                    for step, cost in measured(server.uri, server.address.mongod_pid, design, count).items():
                        found[name][step].append(cost)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    steps = list(found["today"])
    print(f"{'':<22}" + "".join(f"{step:>8}" for step in steps))  # noqa: T201
    for name, costs in found.items():
        print(f"{name:<22}" + "".join(f"{statistics.median(costs[step]):>8.0f}" for step in steps))  # noqa: T201


if __name__ == "__main__":
    main(*(int(text) for text in [*sys.argv[1:], *["10000", "3"][len(sys.argv) - 1 :]]))
