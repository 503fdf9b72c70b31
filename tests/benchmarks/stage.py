"""Decides what a benchmark stands on: a mongod of its own, a new database and directory each, nodes that are ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from taskscheduler import Scheduler
from taskscheduler.store.client import connect
from tests.benchmarks.figures import Figures
from tests.benchmarks.stamps import Stamps
from tests.support.nodes import NodeProcess

_LIVE = {"class": {"$gte": ""}, "status": {"$in": [0, 1, 2]}}
STATIC = {"pm": "static", "min_children": 2, "max_children": 2}


class Stage:
    """Where a benchmark runs and where it leaves its figures."""

    def __init__(self, server_uri: str, mongod: int, directory: Path, figures: Figures, quick: bool) -> None:
        self._server_uri = server_uri
        self.mongod = mongod  #: its pid
        self.directory = directory
        self.figures = figures
        self.quick = quick

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
    def node(self, uri: str, **options: Any) -> Iterator[NodeProcess]:
        """A node with two static workers, started but perhaps not ready; gone at the end."""
        log = self.directory / f"node-{ObjectId()}.log"
        node = NodeProcess(uri, log, {"jobs": ["tests.benchmarks.jobs"], **STATIC, **options})
        try:
            yield node
            node.stop()
        finally:
            node.destroy()


def await_true(condition: Callable[[], bool], seconds: float = 120.0, every: float = 0.005) -> None:
    """Look until it is so; TimeoutError if it is not in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark did not get on")
        pause.wait(every)


def await_all_ended(scheduler: Scheduler) -> float:
    """Wait until no job is live; the monotonic time at which that was seen."""
    jobs = scheduler.store.jobs.collection
    await_true(lambda: jobs.find_one(_LIVE, {"_id": 1}) is None)
    return time.monotonic()
