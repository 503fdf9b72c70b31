"""For each guarantee: with its mechanism the checker finds nothing, without it the checker finds the violation.

Where several mechanisms protect the same thing, the others are taken away in both runs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from bson import ObjectId
from pymongo.write_concern import WriteConcern

from taskscheduler.operations import services
from taskscheduler.store import attempt_updates, client
from tests.faults.controls import Control
from tests.faults.processes import send
from tests.faults.program import SILENCE
from tests.faults.sabotage import WRONG_CLOCK
from tests.faults.turns import BACK_WITHIN, FREED_LATE
from tests.support.eventually import eventually
from tests.support.replicaset import ReplicaSet

pytestmark = pytest.mark.faults

SOLO = "solo jobs of one key do not overlap"
Scenario = Callable[..., None]


@pytest.fixture
def control(uri: str, tmp_path: Path) -> Iterator[Control]:
    with Control(uri, tmp_path) as control:
        yield control


# -- scenarios: each brings about the moment for which a mechanism was made -------------------------------------------


def overtaken(control: Control, first: int, job: ObjectId) -> None:
    """A node is frozen while it runs a job, and wakes when another one has run it to its end."""
    control.await_start(job, 1)
    control.pause([first])
    control.node("second")
    control.await_start(job, 2)
    control.await_end()
    control.resume([first])


def late_report(control: Control, *without: str) -> None:
    """A frozen node learns of the end of a job when another one has run the job again."""
    first = control.node("first", "mark", "own check", *without)
    job = control.add("nap", 1.0)
    overtaken(control, first.pid, job)
    written = ("fenced", "recorded")
    eventually(
        lambda: any(event["pid"] == first.pid for kind in written for event in control.seen(kind)), 10, "a write"
    )
    control.await_end()


def silent_node(control: Control, *without: str) -> None:
    """A node cannot renew its lease; its manager and its worker go on."""
    first = control.node("first", *without)
    overtaken(control, first.pid, control.add("nap", 7.0))


def thawed_host(control: Control, *without: str) -> None:
    """A node thaws with all its processes when another one has taken its job over."""
    first = control.node("first", "deadline", "own check", *without)
    job = control.add("nap", 7.0)
    control.await_start(job, 1)
    frozen = first.tree
    control.pause(frozen)
    control.node("second")
    control.await_start(job, 2)
    control.resume(frozen)
    control.await_end()


def death_between_two_runs(control: Control, *without: str) -> None:
    """A node dies between the end of one run of a series and the beginning of the next."""
    first = control.node("first", "trap: die before the next run", *without)
    series = control.add("quick", "series", "any", interval=0.5)
    eventually(lambda: not first.running, 10, "the death of the node")
    control.node("second")
    try:
        eventually(lambda: control.count(series=series) > 2, 6 if without else 30, "the next run")
    except AssertionError:
        pass  # for the checker to say
    control.history.write("series", series=str(series), advanced=control.count(series=series) > 1)
    control.scheduler.cancel_job(series)
    control.await_end()


def wrong_clock(control: Control, *without: str) -> None:
    """The clock of one of two nodes is an hour ahead."""
    control.node("first")
    job = control.add("nap", 3.0)
    control.await_start(job, 1)
    control.node("second", WRONG_CLOCK, *without)
    control.await_end()


def same_jobs(control: Control, *without: str) -> None:
    """Two nodes ask for the same jobs at the same time."""
    for name in ("first", "second"):
        control.node(name, "trap: collide", *without, min_children=4, max_children=4)
    control.add_many("nap", [0.3] * 8)
    try:
        control.await_end(12.0 if without else 40.0)
    except AssertionError:
        pass  # for the checker to say


def lost_message(control: Control, *without: str) -> None:
    """The message that tells of a job is lost."""
    control.node("first", *without)
    done = control.add("quick")
    control.await_start(done, 1)
    control.await_end()
    messages = control.scheduler.store.wakeups
    messages.jobs_added = lambda *_, **__: None  # type: ignore[method-assign]
    messages.is_quiet = lambda: False  # type: ignore[method-assign]
    control.add("quick")
    try:
        control.await_end(5.0 if without else 30.0)
    except AssertionError:
        pass  # for the checker to say


def two_of_a_key(control: Control, *without: str) -> None:
    """A second job of a key is due while the first one runs."""
    control.node("first", *without, min_children=2, max_children=2)
    for seconds in (0.3, 0.6):
        control.add("nap", 2.5, solo="key", at=timedelta(seconds=seconds))
    control.await_end()


def two_programs(control: Control, *without: str) -> None:
    """Two programs want the same key again and again, until one of them was refused or both have it."""
    pids = {control.program(name, *without).pid for name in ("one", "two")}
    control.node("first")
    eventually(lambda: pids == {event["pid"] for event in control.seen("end")}, 30, "each had its turn")
    eventually(lambda: control.seen("refused") or control.violations() & {SOLO}, 30, "they meet")
    for pid in pids:
        send(pid, signal.SIGKILL)
    control.history.write("over")
    control.await_end()


def silent_program(control: Control, *without: str) -> None:
    """A program freezes in its turn."""
    control.node("first", *without)
    program = control.program("one", *without)
    job = ObjectId(eventually(lambda: control.seen("beat"), 20, "its turn")[-1]["job"])
    control.pause([program.pid])
    control.history.write("over")
    try:
        eventually(lambda: control.count(_id=job, status=2) == 0, SILENCE + FREED_LATE + 1, "the end of its record")
        control.await_end()
    except AssertionError:
        pass  # for the checker to say


def service_that_ends(control: Control, *without: str) -> None:
    """A service ends by itself."""
    control.node("first", *without)
    service = control.service("fitful")
    eventually(lambda: control.seen("end"), 20, "its end")
    control.history.write("over")
    try:
        control.await_start(service, 3, BACK_WITHIN + 1)
    except AssertionError:
        pass  # for the checker to say
    control.stop_service("fitful", service)
    control.await_end()


CONTROLS: list[tuple[Scenario, str, str]] = [
    (late_report, "fence", "a job is finished once"),
    (silent_node, "deadline", "executions do not overlap"),
    (thawed_host, "mark", "executions do not overlap"),
    (death_between_two_runs, "outbox", "a series goes on"),
    (wrong_clock, "second look", "executions do not overlap"),
    (same_jobs, "read-back", "an attempt starts once"),
    (lost_message, "rescan", "every job ends"),
    (two_of_a_key, "turn", SOLO),
    (two_programs, "turn of programs", SOLO),
    (silent_program, "end of the silent", "the key of a dead program is free again"),
    (service_that_ends, "restart", "a service comes back"),
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


def cancel_what_does_not_listen(control: Control) -> None:
    """A solo job is cancelled that takes its time to end, and another one of its key waits."""
    control.node("first", min_children=2, max_children=2, kill_grace=2.0)
    job = control.add("stubborn", expected="any", solo="key")
    other = control.add("quick", solo="key")
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


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "without"])
def test_the_turn_of_a_cancelled_job_ends_when_its_process_is_gone(
    control: Control, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    if broken:
        monkeypatch.setattr(attempt_updates, "release_on_end", lambda _lease: {"$set": {"gate": "$$REMOVE"}})
    cancel_what_does_not_listen(control)
    found = control.violations()
    assert SOLO in found if broken else found == set()


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
