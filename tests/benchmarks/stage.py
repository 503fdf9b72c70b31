"""Decides what a benchmark stands on: a mongod of its own, a new database and directory each, nodes that are ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler import Scheduler
from taskscheduler.store.client import connect
from tests.benchmarks.figures import Figures
from tests.benchmarks.stamps import Stamps
from tests.benchmarks.versions import PRESENT, Version
from tests.support.nodes import NodeProcess

_JOBS = "taskscheduler.jobs"
_LIVE = {"class": {"$gte": ""}, "status": {"$in": [0, 1, 2]}}


class Stage:
    """Where a benchmark runs and where it leaves its figures."""

    def __init__(
        self,
        server_uri: str,
        mongod: int,
        directory: Path,
        figures: Figures,
        quick: bool,
        versions: Sequence[Version] = (PRESENT,),
    ) -> None:
        self._server_uri = server_uri
        self._versions = versions
        self.mongod = mongod  #: its pid
        self.directory = directory
        self.figures = figures
        self.quick = quick
        self.repetition = 0

    def in_turn(self) -> list[Version]:
        """The versions to measure; which one comes first alternates, as the second one finds a warm server."""
        return list(self._versions if self.repetition % 2 == 0 else reversed(self._versions))

    def scaled(self, full: int, quick: int) -> int:
        """How many: the one or the other."""
        return quick if self.quick else full

    def fresh_directory(self) -> Path:
        """The name of a directory that does not exist yet."""
        return self.directory / str(ObjectId())

    def stamps(self) -> Stamps:
        """An empty directory for the executions of what is started from now on."""
        return Stamps(self.fresh_directory())

    @contextmanager
    def fresh_uri(self) -> Iterator[str]:
        """The URI of a new database, which is dropped at the end."""
        name = f"bench_{ObjectId()}"
        try:
            yield self._server_uri.replace("/taskscheduler?", f"/{name}?")
        finally:
            client: MongoClient[dict[str, Any]] = MongoClient(self._server_uri, serverSelectionTimeoutMS=3000)
            with client:
                client.drop_database(name)

    @contextmanager
    def scheduler(self) -> Iterator[tuple[str, Scheduler]]:
        """A scheduler on a new database, connected, and the URI."""
        with self.fresh_uri() as uri, Scheduler(uri) as scheduler:
            assert scheduler.store
            yield uri, scheduler

    @contextmanager
    def database(self) -> Iterator[Database[dict[str, Any]]]:
        """A new database without anything in it, as the product would connect to it."""
        with self.fresh_uri() as uri:
            database = connect(uri)
            try:
                yield database
            finally:
                database.client.close()

    @contextmanager
    def jobs(self, uri: str) -> Iterator[Collection[dict[str, Any]]]:
        """The jobs of a database, by the bare driver, which makes no index in those of an older version."""
        client: MongoClient[dict[str, Any]] = MongoClient(uri)
        with client:
            yield client.get_default_database()[_JOBS]

    @contextmanager
    def node(self, uri: str, version: Version = PRESENT, **options: Any) -> Iterator[NodeProcess]:
        """A node with two static workers, started but perhaps not ready; gone at the end."""
        node = version.node(uri, self.directory / f"node-{ObjectId()}.log", **options)
        try:
            yield node
            node.stop()
        finally:
            node.destroy()


def await_runs(stamps: Stamps, count: int, node: NodeProcess, seconds: float = 120.0) -> None:
    """Wait until so many jobs have run. Raises TimeoutError, or RuntimeError if the node has ended instead."""

    def have_run() -> bool:
        if node.process.poll() is not None:
            raise RuntimeError(f"the node has ended: {node.log.read_text(errors='replace')[-500:]}")
        return stamps.count() >= count

    await_true(have_run, seconds)


def await_true(condition: Callable[[], bool], seconds: float = 120.0, every: float = 0.005) -> None:
    """Look until it is so; TimeoutError if it is not in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark did not get on")
        pause.wait(every)


def await_all_ended(jobs: Collection[Any]) -> float:
    """Wait until no job is live; the monotonic time at which that was seen."""
    await_true(lambda: jobs.find_one(_LIVE, {"_id": 1}) is None)
    return time.monotonic()
