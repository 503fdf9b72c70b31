"""A migration from version 0.1.0 ends at one of its writes and is begun again, also beside nodes of both versions."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from taskscheduler import Scheduler, Status
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.migration.steps import STEPS
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.operations.migration.migrate import migrate
from taskscheduler.store.migration.migrations import MigrationStore
from taskscheduler.store.schema import complete
from tests.faults.steps.acting import CRASHED, WAITS, Actor, Orders
from tests.faults.steps.server import Server
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.older.side_by_side import mark
from tests.support.older.version import OlderVersion
from tests.support.older_database import load

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

JOBS, NODES = "taskscheduler.jobs", "taskscheduler.nodes"

_MOST = 60


@pytest.fixture
def uri(bare_uri: str) -> str:
    """The URI of a database that does not exist yet."""
    return bare_uri


def migrated(uri: str, directory: Path, n: int, **facts: Any) -> int:
    """The exit code of a migration that ends at its n-th moment."""
    actor = Actor(Orders("migrate", "migrate", uri, str(directory), facts, crash_at=n))
    try:
        code = actor.wait(120)
    finally:
        actor.destroy()
    assert code in (0, CRASHED, WAITS), (directory / "migrate.log").read_text()
    return code


# -- the database alone -----------------------------------------------------------------------------------------------


def crash(database: Database[dict[str, Any]], uri: str, directory: Path, n: int, **facts: Any) -> bool:
    """Whether it came to its end. Then, or once it has run again, the database is what it should be."""
    database.client.drop_database(database.name)
    ids = load(database)
    database[NODES].delete_many({})
    before = {job["_id"]: job for job in database[JOBS].find()}
    code = migrated(uri, directory, n, **facts)
    store = MigrationStore(database, SchedulerOptions())
    assert all(report.is_settled for report in migrate(store))
    assert [str(report.state) for report in store.plan()] == ["not needed"] * len(STEPS)
    assert {"parked", "retention"}.isdisjoint(database[JOBS].index_information())
    after = {job["_id"]: job for job in database[JOBS].find()}
    listed = {job_id for job_id, job in after.items() if job.pop("blocked", "").startswith("solo:")}
    assert listed == {job_id for job_id, job in before.items() if "parked_at" in job}
    assert after[ids["failed"]].pop("fingerprint", None) == fingerprint_of({"type": "ValueError"}, "fail")
    assert after == before
    return code == 0


def every_crash(database: Database[dict[str, Any]], uri: str, directory: Path, **facts: Any) -> int:
    for n in range(1, _MOST):
        if crash(database, uri, directory, n, **facts):
            return n
    raise AssertionError("the migration does not come to an end")


def test_a_migration_may_end_at_every_write(database: Database[dict[str, Any]], uri: str, tmp_path: Path) -> None:
    assert every_crash(database, uri, tmp_path) > 2 * len(STEPS)


def test_if_the_index_that_tells_of_the_older_version_goes_first_a_second_run_does_too_little(
    database: Database[dict[str, Any]], uri: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        every_crash(database, uri, tmp_path, backwards=True)


def test_a_migration_waits_for_indexes_that_are_being_made_for_somebody_who_is_gone(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    try:
        with MongoClient[dict[str, Any]](server.uri("older")) as client:
            load(client["older"])
            client["older"][NODES].delete_many({})
            standing = {"configureFailPoint": "hangAfterStartingIndexBuild"}
            server.client.admin.command({**standing, "mode": "alwaysOn"})
            hurried = MongoClient[dict[str, Any]](server.uri("older"), socketTimeoutMS=5000)
            with hurried, pytest.raises(AutoReconnect):
                complete(hurried["older"], SchedulerOptions())
            store = MigrationStore(client["older"], SchedulerOptions())
            assert "blocked (the server is making it)" in store.plan()[0].found
            with ThreadPoolExecutor(1) as threads:
                states = threads.submit(lambda: [str(report.state) for report in migrate(store)])
                with pytest.raises(TimeoutError):
                    states.result(2)
                server.client.admin.command({**standing, "mode": "off"})
                assert states.result(60) == ["done"] * len(STEPS)
    finally:
        server.stop()


# -- beside nodes of both versions ------------------------------------------------------------------------------------


@pytest.fixture
def older(tmp_path: Path) -> Iterator[OlderVersion]:
    """Version 0.1.0, ready to run."""
    folder = tmp_path / "older"
    folder.mkdir()
    version = OlderVersion(folder)
    yield version
    version.close()


class Cluster:
    """A database that version 0.1.0 has filled, with a node and a program of it, and later of this version."""

    def __init__(self, uri: str, older: OlderVersion, start_node: Callable[..., NodeProcess], folder: Path) -> None:
        self._start_node = start_node
        self._uri = uri
        self._older = older
        self._folder = folder
        self.trace, self.stop = folder / "trace", folder / "stop"
        self.acked = [folder / "acked-old", folder / "acked-new"]
        self.old_log = folder / "old-node.log"
        self.old_node = self.start_old()
        older.fill(uri, self.trace, folder / "fill.log")
        self._old_program = older.producer(uri, self.trace, self.acked[0], self.stop, folder / "producer.log")
        self._new_program = threading.Thread(target=self._add)
        eventually(self.acked[0].exists, 60, "jobs of version 0.1.0")

    def add_new(self) -> NodeProcess:
        """Starts a node and a program of this version beside the others; returns the node."""
        node = self._start_node(jobs=["tests.support.older.side_by_side"], orphaned_timeout=60)
        self._new_program.start()
        eventually(self.acked[1].exists, 60, "jobs of this version")
        return node

    def start_old(self) -> Any:
        node = self._older.node(self._uri, self.old_log)
        eventually(lambda: "node ready" in self.old_log.read_text(), 60, "a node of version 0.1.0")
        return node

    def _add(self) -> None:
        with Scheduler(self._uri) as scheduler:
            number = 0
            while not self.stop.exists():
                options: dict[str, Any] = {"solo": "key"} if number % 3 == 0 else {}
                data = {"file": str(self.trace), "seconds": 0.03 if options else 0.0}
                mark(str(self.acked[1]), scheduler.add_job("mark", data, options).id)
                number += 1
                threading.Event().wait(0.1)

    def finish(self) -> list[ObjectId]:
        """Ends both programs; the ids of all jobs that they were told are added."""
        self.stop.touch()
        self._new_program.join(60)
        assert self._old_program.wait(60) == 0
        return [ObjectId(words[0]) for path in self.acked for words in traces(path)]

    def end_old(self) -> None:
        self.old_node.terminate()
        assert self.old_node.wait(60) == 0

    @property
    def old_said(self) -> str:
        return self.old_log.read_text()


@pytest.fixture
def cluster(uri: str, older: OlderVersion, start_node: Callable[..., NodeProcess], tmp_path: Path) -> Iterator[Cluster]:
    """The cluster of both versions."""
    made = Cluster(uri, older, start_node, tmp_path)
    yield made
    made.stop.touch()


def ended_again_and_again(uri: str, directory: Path, code: int) -> int:
    """Migrates, killed at a later moment each time, until it comes to its end with this code; how many times."""
    for n in range(1, _MOST):
        if (found := migrated(uri, directory, n)) != CRASHED:
            assert found == code
            return n
    raise AssertionError("the migration does not come to an end")


def no_two_at_once(trace: Path, ids: set[str]) -> bool:
    """Whether a job of these has never begun before the one before it had ended."""
    moments = sorted((float(at), what) for what, job_id, at in traces(trace) if job_id in ids)
    return all(what == ("begin", "end")[number % 2] for number, (_, what) in enumerate(moments))


def test_nothing_is_lost_or_doubled_while_nodes_of_both_versions_run(
    cluster: Cluster, database: Database[dict[str, Any]], uri: str, tmp_path: Path
) -> None:
    assert ended_again_and_again(uri, tmp_path, WAITS) > 2, "it was killed before and after it made indexes"
    new_node = cluster.add_new()
    ended_again_and_again(uri, tmp_path, WAITS)
    assert {"parked", "retention"} <= database[JOBS].index_information().keys()
    worked = {"status": int(Status.DONE), "node": {"$type": "string"}}
    eventually(lambda: len(database[JOBS].distinct("node", worked)) == 2, 120, "nodes of both versions have worked")
    added = cluster.finish()
    unfinished = {"_id": {"$in": added}, "status": {"$ne": int(Status.DONE)}}
    eventually(lambda: database[JOBS].count_documents(unfinished) == 0, 120, "all jobs done")
    assert database[JOBS].count_documents({"_id": {"$in": added}}) == len(added) == len(set(added))
    assert "sweep failed" not in cluster.old_said
    begun = Counter(job_id for what, job_id, _ in traces(cluster.trace) if what == "begin")
    assert {begun[str(job_id)] for job_id in added} == {1}, "each has begun once"
    solo = {str(job["_id"]) for job in database[JOBS].find({"solo": "key"})}
    assert len(solo) > 2
    assert no_two_at_once(cluster.trace, solo)

    cluster.end_old()
    assert ended_again_and_again(uri, tmp_path, 0) > 2, "it was killed before and after it removed indexes"
    assert {"parked", "retention"}.isdisjoint(database[JOBS].index_information())
    nameless = {"status": int(Status.FAILED), "fingerprint": {"$exists": False}}
    assert database[JOBS].count_documents({"status": int(Status.FAILED)}) == 3
    assert database[JOBS].count_documents(nameless) == 0
    left = Counter(Status(job["status"]) for job in database[JOBS].find({"_id": {"$nin": added}}))
    assert left[Status.CANCELED] == 1
    assert left[Status.POSTPONED] >= 3, "a retry, a later run of the interval, and a job of the future"

    new_node.stop()
    cluster.start_old()  # the way back
    with Scheduler(uri) as scheduler:
        data = {"file": str(cluster.trace)}
        again = [scheduler.add_job("mark", data, solo="key") for _ in range(3)]
        assert [process.wait(60).status for process in again] == [Status.DONE] * 3
    assert not MigrationStore(database, SchedulerOptions()).plan()[-1].is_settled, "it has made its index again"


def test_if_nothing_waits_for_older_nodes_their_sweeps_fail(cluster: Cluster, uri: str, tmp_path: Path) -> None:
    assert migrated(uri, tmp_path, 0, heedless=True) == 0
    eventually(lambda: "sweep failed" in cluster.old_said, 60, "the index that it needs is gone")
