"""The primary dies while jobs are added and run: none is lost, none ends twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo import IndexModel
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern
from tests.faults.steps.orders import broken_promises
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.replicaset import ReplicaSet

from taskscheduler import Scheduler, Status
from taskscheduler.store.schema import ensure_indexes


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("members")) as members:
        yield members


@pytest.fixture
def members(replica_set: ReplicaSet) -> ReplicaSet:
    """Three members that are well again, whatever the test before did to them."""
    for port in replica_set.ports:
        if not replica_set.is_up(port):
            replica_set.start(port)
        replica_set.resume(port)
    replica_set.wait_until_healthy()
    return replica_set


def test_jobs_survive_the_death_of_the_primary(members: ReplicaSet, tmp_path: Path) -> None:
    uri, log = members.uri("jobs"), tmp_path / "log"
    node = NodeProcess(uri, tmp_path / "node.log", {"pm": "static", "min_children": 2})
    try:
        node.wait_until_ready()
        with Scheduler(uri) as scheduler:
            added, dead = [], 0
            for number in range(300):
                if number in (100, 200):
                    dead = members.primary()
                    members.kill(dead)
                added.append(scheduler.add_job("trace", str(log)))
                if number in (130, 230):
                    members.start(dead)
            scheduler.wait_for(added, timeout=60)
            assert {process.status for process in added} == {Status.DONE}
            starts = Counter((job_id, attempt) for job_id, attempt, _ in traces(log))
            assert set(starts.values()) == {1}  # no attempt started twice
            assert {job_id for job_id, _ in starts} == {str(process.id) for process in added}
            assert sum(process.attempt for process in added) - len(added) < 20  # few had to start again
        assert node.stop(timeout=40) == 0
    finally:
        node.destroy()


@pytest.mark.faults  # half a minute, and jobs stand for it
def test_steps_and_signals_survive_the_death_of_the_primary(members: ReplicaSet, tmp_path: Path) -> None:
    """What a job was told is done is not done again, and a signal that was acknowledged is heard."""
    uri, log = members.uri("steps", serverSelectionTimeoutMS="20000"), str(tmp_path / "log")
    options = {"pm": "static", "min_children": 2, "jobs": ["tests.faults.steps.orders"], "max_lost": 10}
    node = NodeProcess(uri, tmp_path / "node.log", options)
    try:
        node.wait_until_ready()
        with Scheduler(uri) as scheduler:
            added = [scheduler.add_job("faulty_order", {"trace": log, "wait": True, "sleep": 0.1}) for _ in range(60)]
            told, dead = [], members.primary()
            for number, process in enumerate(added):
                if number in (15, 40):
                    dead = members.primary()
                    members.kill(dead)
                if number in (30, 55):
                    members.start(dead)
                told.append(scheduler.signal(process.id, "go", number))
            scheduler.wait_for(added, timeout=90)
            assert all(signal.won for signal in told)
            assert [process.result_value for process in added] == list(range(60))
            assert broken_promises(log) == []
        assert node.stop(timeout=40) == 0
    finally:
        node.destroy()


def test_an_index_counts_as_there_when_an_election_cannot_take_it_away(members: ReplicaSet) -> None:
    """Whoever takes it for there names it in queries, which the server refuses if it is not."""
    with Scheduler(members.uri("indexes")) as scheduler:
        database, name = scheduler.database, "faults.indexed"
        database.create_collection(name)
        stopped = members.secondaries()
        for port in stopped:
            members.pause(port)
        prompt = database.get_collection(name, write_concern=WriteConcern(w=1))
        prompt.create_indexes([IndexModel("x", name="x")])
        with pymongo.timeout(1), pytest.raises(PyMongoError):
            ensure_indexes(database, name, [IndexModel("x", name="x")])
        for port in stopped:
            members.resume(port)
        members.wait_until_healthy()
        ensure_indexes(database, name, [IndexModel("x", name="x")])
        assert "x" in database[name].index_information()


def test_a_node_that_has_served_waits_for_its_database(tmp_path: Path) -> None:
    """Its manager dies while no server can be reached: it does not give up, as it would at its start."""
    with ReplicaSet(tmp_path, members=1) as members:
        uri = members.uri("back", serverSelectionTimeoutMS="500")
        node = NodeProcess(uri, tmp_path / "node.log", {})
        try:
            node.wait_until_ready()
            members.kill(members.ports[0])
            os.kill(node.manager, signal.SIGKILL)
            eventually(lambda: "no database; trying again" in node.log.read_text(), 60, "a start without a database")
            members.start(members.ports[0])
            with Scheduler(uri) as scheduler:
                eventually(lambda: members.primary(), 30, "a primary")
                assert scheduler.add_job("echo", 1).result(timeout=30)["data"] == 1
            assert node.stop(timeout=40) == 0
        finally:
            node.destroy()
