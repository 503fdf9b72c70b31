"""What `doctor` finds in a database and on this host, and the cures that it suggests."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.support.tables import table
from tests.unit.cli.fakes import FakeOverview

from taskscheduler.errors import AuthenticationError, DatabaseUnavailableError, EmbeddedServerError
from taskscheduler.model.migration.steps import report
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.overview import Server
from taskscheduler_daemon.cli import doctor_checks
from taskscheduler_daemon.cli.doctor_checks import BAD, GOOD, WARNING, Finding, database_findings, host_findings


def findings(**values: Any) -> dict[str, Finding]:
    overview: Any = FakeOverview(**values)
    return {finding.check: finding for finding in database_findings(overview, "taskscheduler dev")}


def server(ahead: float = 0.0, replica_set: str = "rs0") -> Server:
    return Server("6.0.5", replica_set, "db:27017", 0.0012, ahead)


def test_a_healthy_cluster_has_only_good_findings() -> None:
    found = findings()
    assert {name: finding.result for name, finding in found.items()} == dict.fromkeys(
        ("mongodb", "clock", "streams", "indexes", "schema", "capped", "nodes"), GOOD
    )
    assert found["nodes"].text == "1 up: web-1"
    assert not any(finding.cure for finding in found.values())


@pytest.mark.parametrize(("replica_set", "kind"), [("rs0", "replica set rs0"), ("", "sharded cluster")])
def test_the_server_is_described(replica_set: str, kind: str) -> None:
    text = findings(server_facts=server(replica_set=replica_set))["mongodb"].text
    assert text == f"6.0.5, {kind}, database app (1.2 ms)"


def test_an_unreachable_server_is_the_only_finding() -> None:
    found = findings(server_facts=DatabaseUnavailableError("no MongoDB server could be reached"))
    assert list(found) == ["mongodb"]
    assert (found["mongodb"].result, "--uri" in found["mongodb"].cure) == (BAD, True)


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (AuthenticationError("not authorized"), "the user needs the role taskscheduler_run, or readWrite"),
        (DatabaseUnavailableError("gone"), "check the server's log"),
    ],
)
def test_a_check_that_fails_does_not_stop_the_others(error: Exception, cure: str) -> None:
    found = findings(stream=error)
    assert (found["streams"].result, found["streams"].cure) == (BAD, cure)
    assert found["nodes"].result == GOOD


@table(
    ("ahead", "result", "text"),
    [
        (0.05, GOOD, "this host agrees with the server"),
        (-0.5, GOOD, "this host is 0.5s behind the server"),
        (2.0, WARNING, "this host is 2s ahead of the server"),
        (-31.0, BAD, "this host is 31s behind the server"),
    ],
)
def test_clocks_are_compared(ahead: float, result: str, text: str) -> None:
    clock = findings(server_facts=server(ahead))["clock"]
    assert (clock.result, clock.text) == (result, text)


def test_missing_indexes_are_a_warning() -> None:
    found = findings(indexes=["jobs.queue", "jobs.at"])["indexes"]
    assert (found.result, found.text) == (WARNING, "missing: jobs.queue, jobs.at")


def test_what_an_older_version_has_left_is_a_warning() -> None:
    old = {"name": "web", "host": "a", "silent": 1.0}
    assert findings(steps=[report(1, "blocked", [])])["schema"].result == GOOD, "the finding of the check before"
    needed = findings(steps=[report(5, "it is there", [])])["schema"]
    assert (needed.result, needed.cure) == (WARNING, "run: taskscheduler migrate")
    waiting = findings(steps=[report(5, "it is there", [old])])["schema"]
    assert waiting.text == "1 step to this version must wait for older nodes: web on a (version 0.1.0)"
    assert waiting.cure == "replace these nodes, then run: taskscheduler migrate"


@pytest.mark.parametrize(("capped", "result"), [(False, BAD), (None, WARNING)])
def test_collections_must_be_capped(capped: bool | None, result: str) -> None:
    assert findings(collections={"queue": capped, "events": True})["capped"].result == result


def test_no_node_is_a_problem_only_if_jobs_wait() -> None:
    waiting = [Backlog("mail", 3, 60.0)]
    assert findings(registered=())["nodes"].result == WARNING
    assert findings(registered=())["nodes"].cure == "start one: taskscheduler dev"
    assert findings(registered=(), waiting=waiting)["nodes"].result == BAD


def test_a_silent_node_is_a_warning_and_serves_nothing() -> None:
    overview: Any = FakeOverview(
        registered=[{"name": "web-1", "silent": 1.0, "lease": 30}, {"name": "web-2", "silent": 31.0, "lease": 30}]
    )
    nodes = [finding for finding in database_findings(overview, "taskscheduler dev") if finding.check == "nodes"]
    assert [(one.result, one.text) for one in nodes] == [
        (GOOD, "1 up: web-1"),
        (WARNING, "web-2 is silent, last seen 31s ago"),
    ]


def test_a_queue_that_no_node_serves_is_a_problem() -> None:
    nodes = [{"name": "web-1", "silent": 1.0, "lease": 30, "queues": ["files"]}]
    found = findings(registered=nodes, waiting=[Backlog("files", 1, 1.0), Backlog("mail", 10_001, 1.0)])["queues"]
    assert (found.result, found.cure) == (BAD, "start a node with --queue mail")
    assert found.text == "no node that is up serves the queue mail; jobs waiting in it: 10k+"


@pytest.mark.parametrize(("is_used", "result"), [(True, BAD), (False, WARNING)])
def test_a_missing_embedded_server_matters_if_it_is_used(
    monkeypatch: pytest.MonkeyPatch, is_used: bool, result: str
) -> None:
    def missing() -> None:
        raise EmbeddedServerError("no mongod")

    monkeypatch.setattr(doctor_checks, "find_mongod", missing)
    found = {finding.check: finding for finding in host_findings(is_used)}
    assert (found["embedded"].result, found["embedded"].text) == (result, "no mongod")


def test_message_queues_are_tried_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {finding.check: finding for finding in host_findings(False)}
    assert found["posix mq"].result in (GOOD, WARNING)
    monkeypatch.setitem(sys.modules, "posix_ipc", None)
    found = {finding.check: finding for finding in host_findings(False)}
    assert (found["posix mq"].result, found["posix mq"].text) == (WARNING, "posix_ipc is not installed")
