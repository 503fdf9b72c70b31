"""One mongod for the whole run, one database and one scheduler per test, nodes as real processes."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from taskscheduler import Scheduler
from taskscheduler.embedded import acquire
from tests.support.children import end_children, has_failed, pytest_runtest_makereport
from tests.support.databases import Databases
from tests.support.logging_state import logging_as_before
from tests.support.nodes import NodeProcess
from tests.support.temporary import pytest_configure, pytest_unconfigure

__all__ = ["end_children", "logging_as_before", "pytest_configure", "pytest_runtest_makereport", "pytest_unconfigure"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for all that a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else no process that a test starts hears Ctrl-C

#: else each of the hundreds of processes of a run, of which xdist starts some, compiles all modules anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

#: an example may take its time on a machine that does something else; in a gate it is the same one every time
settings.register_profile("patient", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", settings.get_profile("patient"), derandomize=True, database=None)
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Collects garbage neither while thousands of tests are made nor among them later: they live until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real mongod (one-member replica set) without a database name."""
    server = acquire(tmp_path_factory.mktemp("mongod"), timeout=100)
    try:
        yield server.uri_of("{}")
    finally:
        server.release()


@pytest.fixture(scope="session")
def databases(server_uri: str) -> Iterator[Databases]:
    """What gives each test a database."""
    databases = Databases(server_uri)
    yield databases
    databases.close()


@pytest.fixture
def uri(databases: Databases, server_uri: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of an empty database of its own, with the collections and indexes that a scheduler makes."""
    name = databases.take()
    yield server_uri.format(name)
    databases.give_back(name, reusable=not has_failed(request))


@pytest.fixture
def bare_uri(server_uri: str) -> Iterator[str]:
    """The URI of a database that does not exist yet."""
    name = f"test_{ObjectId()}"
    yield server_uri.format(name)
    client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"))
    with client:
        client.drop_database(name)


@pytest.fixture
def database(databases: Databases, uri: str) -> Database[dict[str, Any]]:
    """The fresh database, on a client that no scheduler uses. All tests share it: to connect takes 20 ms of CPU."""
    return databases.client.get_database(parse_uri(uri)["database"])


@pytest.fixture
def scheduler(uri: str) -> Iterator[Scheduler]:
    """A scheduler on the fresh database."""
    with Scheduler(uri) as scheduler:
        yield scheduler


@pytest.fixture
def start_node(uri: str, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start a queue node as a process of its own; whatever is left of it at the end is killed."""
    started: list[NodeProcess] = []

    def start(**options: Any) -> NodeProcess:
        node = NodeProcess(uri, tmp_path / f"node-{len(started)}.log", options)
        started.append(node)
        node.wait_until_ready()
        return node

    yield start
    for node in started:
        node.destroy()


@pytest.fixture
def node(start_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A node with two workers at most and the jobs of tests.support.jobs."""
    return start_node()
