"""For each guarantee: with its mechanism the checker finds nothing, without it the checker finds the violation.

Where several mechanisms protect the same thing, the others are taken away in both runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.write_concern import WriteConcern

from taskscheduler.operations import services
from taskscheduler.store import client
from taskscheduler.store.attempts import bad_ends
from tests.faults.controls import Control
from tests.faults.moments import controlled, nodes, workers
from tests.faults.moments.controlled import SOLO
from tests.support.replicaset import ReplicaSet

pytestmark = pytest.mark.faults

LIMIT = "never more jobs of a limit are at work than it allows"
ORDER = "jobs of a sequence run in the order of adding"
Scenario = Callable[..., None]


@pytest.fixture
def control(uri: str, tmp_path: Path) -> Iterator[Control]:
    with Control(uri, tmp_path) as control:
        yield control


CONTROLS: list[tuple[Scenario, str, str]] = [
    (workers.killer_of_managers, "suspicion", "the innocent are not set aside"),
    (workers.killed_manager, "note of what began", "what had not started is not charged"),
    (workers.killer_beside_another, "quarantine", "every job ends"),
    (workers.asked_workers, "requests", "the innocent are not set aside"),
    (workers.ended_leases, "reason to kill", "the innocent are not set aside"),
    (nodes.unknown_class, "patience with the unknown", "jobs end as they should"),
    (nodes.late_report, "fence", "a job is finished once"),
    (nodes.silent_node, "deadline", "executions do not overlap"),
    (nodes.thawed_host, "mark", "executions do not overlap"),
    (nodes.death_while_a_run_is_added, "derived ids", "a schedule has one run for each time"),
    (nodes.death_between_two_runs, "outbox", "a series goes on"),
    (nodes.wrong_clock, "second look", "executions do not overlap"),
    (nodes.same_jobs, "read-back", "an attempt starts once"),
    (nodes.lost_message, "rescan", "every job ends"),
    (nodes.no_room_in_time, "hurry", "nothing starts too late"),
    (controlled.two_of_a_key, "turn", SOLO),
    (controlled.two_admit_at_once, "turn", LIMIT),
    (controlled.killed_worker_under_a_limit, "place of what waits again", LIMIT),
    (controlled.two_of_a_limit, "freed place", "no place is kept"),
    (controlled.two_of_a_limit, "freed place", "every job ends"),
    (controlled.three_of_a_sequence, "order", ORDER),
    (controlled.retry_in_a_sequence, "turn over retries", ORDER),
    (controlled.failure_in_a_sequence, "failure that blocks", "a failure blocks its sequence until it is released"),
    (controlled.two_programs, "turn of programs", SOLO),
    (controlled.silent_program, "end of the silent", "the key of a dead program is free again"),
    (controlled.service_that_ends, "restart", "a service comes back"),
]


@pytest.mark.parametrize(("scenario", "mechanism", "rule"), CONTROLS, ids=[name for _, name, _ in CONTROLS])
def test_without_the_mechanism_the_checker_finds_the_violation(
    control: Control, scenario: Scenario, mechanism: str, rule: str
) -> None:
    scenario(control, mechanism)
    assert rule in control.violations()


@pytest.mark.parametrize(("scenario", "mechanism", "rule"), CONTROLS, ids=[name for _, name, _ in CONTROLS])
def test_with_the_mechanism_it_finds_none(control: Control, scenario: Scenario, mechanism: str, rule: str) -> None:
    scenario(control)
    assert control.violations() == set()
    if mechanism == "fence":
        assert control.seen("fenced")


# -- what the library does where it is called --------------------------------------------------------------------------


def restart_what_does_not_listen(control: Control) -> None:
    """A service is to be started again that takes its time to end."""
    for name in ("first", "second"):
        control.node(name)
    service = control.service("reluctant")
    control.await_start(service, 1)
    control.scheduler.restart_service("reluctant")
    control.await_start(service, 2)
    control.stop_service("reluctant", service)
    control.await_end()


def cancel_what_does_not_listen(control: Control, **under: Any) -> None:
    """A job is cancelled that takes its time to end, and another one waits for its place."""
    control.limit("x", 1)
    control.node("first", min_children=2, max_children=2, kill_grace=2.0)
    job = control.add("stubborn", expected="any", **under)
    other = control.add("quick", **under)
    control.await_start(job, 1)
    control.scheduler.cancel_job(job)
    control.await_start(other, 1)
    control.await_end()


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "without"])
def test_a_service_is_started_again_when_its_process_is_gone(
    control: Control, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    if broken:
        monkeypatch.setattr(services, "await_gone", lambda *_: None)
    restart_what_does_not_listen(control)
    found = control.violations()
    assert "executions do not overlap" in found if broken else found == set()


@pytest.mark.parametrize(
    ("under", "rule"),
    [({"solo": "key"}, SOLO), ({"limits": ["x"]}, LIMIT), ({"sequence": "s"}, "jobs of a sequence run one at a time")],
    ids=["solo", "limit", "sequence"],
)
@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "without"])
def test_the_place_of_a_cancelled_job_is_free_when_its_process_is_gone(
    control: Control, monkeypatch: pytest.MonkeyPatch, broken: bool, under: dict[str, Any], rule: str
) -> None:
    if broken:
        monkeypatch.setattr(bad_ends, "release_on_end", lambda _lease: {"$set": {"gate": "$$REMOVE"}})
    cancel_what_does_not_listen(control, **under)
    found = control.violations()
    assert rule in found if broken else found == set()


# -- on a set of servers ----------------------------------------------------------------------------------------------


def add_to_a_primary_that_dies(servers: ReplicaSet, directory: Path) -> set[str]:
    """Jobs are added while nothing is replicated, then the primary dies with what it has alone. What was broken."""
    with Control(servers.uri("controls"), directory) as control:
        primary, others = servers.primary(), servers.secondaries()
        for port in others:
            servers.fail_point(port, "stopReplProducer", "alwaysOn")
        adding = threading.Thread(target=lambda: [control.add("quick") for _ in range(3)])
        adding.start()
        adding.join(2.0)
        servers.kill(primary)
        for port in others:
            servers.fail_point(port, "stopReplProducer", "off")
        servers.primary()
        servers.start(primary)
        servers.wait_until_healthy()
        adding.join(40.0)
        assert len(control.seen("acked")) == 3
        return control.violations()


@pytest.mark.parametrize("concern", [client.DURABLE, WriteConcern(w=1)], ids=["majority", "one"])
def test_an_add_is_acknowledged_by_a_majority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, concern: WriteConcern
) -> None:
    monkeypatch.setattr(client, "DURABLE", concern)
    with ReplicaSet(tmp_path, test_commands=True) as servers:
        broken = add_to_a_primary_that_dies(servers, tmp_path)
    assert ("acknowledged adds are kept" in broken) is (concern.document.get("w") == 1)
