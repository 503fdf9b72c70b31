"""For each guarantee: with its mechanism the checker finds nothing, without it the checker finds the violation.

Where several mechanisms protect the same thing, the others are taken away in both runs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.write_concern import WriteConcern

from taskscheduler.operations import services
from taskscheduler.store import attempt_updates, client
from tests.faults import schedules
from tests.faults.cluster import MAX_LOST
from tests.faults.controls import Control
from tests.faults.processes import send
from tests.faults.producer import release_sequences
from tests.faults.program import SILENCE
from tests.faults.sabotage import WRONG_CLOCK
from tests.faults.turns import BACK_WITHIN, FREED_LATE
from tests.support.eventually import eventually
from tests.support.nodes import is_running
from tests.support.replicaset import ReplicaSet

pytestmark = pytest.mark.faults

SOLO = "solo jobs of one key do not overlap"
LIMIT = "never more jobs of a limit are at work than it allows"
ORDER = "jobs of a sequence run in the order of adding"
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


def killer_of_managers(control: Control, *without: str) -> None:
    """A job kills its manager again and again, beside a long job and before fifty others."""
    control.node("first", *without, min_children=2, max_children=2)
    control.add("nap", 2.0)
    control.add("manager_killer", 0.3, "poisoned")
    control.add_many("nap", [0.02] * 50)
    control.await_end(60.0)


def killed_manager(control: Control, *without: str) -> None:
    """A manager is killed that has not begun all jobs which it has got."""
    node = control.node("first", "suspicion", *without)
    control.add_many("nap", [0.02] * 150)
    eventually(lambda: len(control.seen("start")) > 50, 30, "fifty of them")
    for manager in node.manager:
        send(manager, signal.SIGKILL)
    control.await_end()


def killer_beside_another(control: Control, *without: str) -> None:
    """A job that kills its manager is always beside another one."""
    control.node("first", *without, min_children=2, max_children=2)
    control.add("manager_killer", 0.5, "poisoned")
    control.add("nap", 4.0)
    try:
        control.await_end(25.0 if without else 60.0)
    except AssertionError:
        pass  # for the checker to say


def asked_workers(control: Control, *without: str) -> None:
    """Somebody sends the worker of a job SIGTERM as often as a job may lose its worker."""
    control.node("first", *without)
    job = control.add("nap", 1.5)
    for attempt in range(1, MAX_LOST + 1):
        pid = control.await_start(job, attempt)["pid"]
        send(pid, signal.SIGTERM)
    control.await_end()


def ended_leases(control: Control, *without: str) -> None:
    """A node stands still beyond its lease as often as a job may lose its worker."""
    node = control.node("first", *without)
    job = control.add("nap", 6.0)
    for attempt in range(1, MAX_LOST + 1):
        pid = control.await_start(job, attempt)["pid"]
        control.pause([node.pid])
        eventually(lambda pid=pid: not is_running(pid), 10, "the end of its worker")  # type: ignore[misc]
        control.resume([node.pid])
    control.await_end()


def unknown_class(control: Control, *without: str) -> None:
    """A node that does not know a job meets it first."""
    control.node("first", *without, jobs=[])
    control.add("quick")
    eventually(lambda: _mentions(control, "not known") or control.count(status=4), 20, "it has met the job")
    control.node("second")
    control.await_end()


def _mentions(control: Control, text: str) -> bool:
    return any(text in event["text"] for event in control.seen("log"))


def death_while_a_run_is_added(control: Control, *without: str) -> None:
    """A node dies when it has added the run of a schedule, and before the schedule says so."""
    first = control.schedule()
    dying = control.node("first", "trap: die before a schedule is settled", *without)
    eventually(lambda: not dying.running, 20, "the node is dead")
    control.node("second", *without)
    eventually(lambda: control.count(schedule=schedules.NAME, status=3) > 3, 20, "the schedule goes on")
    control.end_schedule(first)
    control.await_end()


def no_room_in_time(control: Control, *without: str) -> None:
    """There is no slot for a job until it is of no use any more."""
    control.node("first", *without, min_children=1, max_children=1)
    control.await_start(control.add("nap", 1.5), 1)
    control.add("quick", expected="any", start_by=0.5)
    control.await_end()


def two_admit_at_once(control: Control, *without: str) -> None:
    """The only place of a limit is given to a job while a node is about to give it to another one."""
    control.limit("x", 1)
    control.node("first", "trap: admit late", *without, min_children=2, max_children=2)
    job = control.add("nap", 2.5, limits=["x"], at=timedelta(seconds=0.3))
    eventually(lambda: control.count(_id=job, blocked="limit:x"), 10, "it is parked")
    control.add("nap", 2.5, limits=["none", "x"])
    control.await_end()


def killed_worker_under_a_limit(control: Control, *without: str) -> None:
    """The worker of a job dies, and another job waits for its place."""
    control.limit("x", 1)
    control.node("first", *without, min_children=2, max_children=2)
    job = control.add("nap", 4.0, limits=["x"])
    control.add("nap", 0.5, limits=["x"])
    send(control.await_start(job, 1)["pid"], signal.SIGKILL)
    control.await_end()


def two_of_a_limit(control: Control, *without: str) -> None:
    """A job waits for the place of another one, and that ends."""
    control.limit("x", 1)
    control.node("first", *without)
    for _ in range(2):
        control.add("quick", limits=["x"])
    try:
        control.await_end(5.0 if without else 30.0)
    except AssertionError:
        pass  # for the checker to say


def three_of_a_sequence(control: Control, *without: str) -> None:
    """Two jobs wait when the first one of their sequence ends."""
    control.node("first", *without)
    for seconds in (1.0, 0.1, 0.1):
        control.add("nap", seconds, sequence="s")
    control.await_end()


def retry_in_a_sequence(control: Control, *without: str) -> None:
    """A job waits for its next try, and another one for the end of it."""
    control.node("first", *without)
    control.add("flaky", 1, sequence="s", retry=1, retry_interval=1.0)
    control.add("quick", sequence="s")
    control.await_end()


def failure_in_a_sequence(control: Control, *without: str) -> None:
    """A job that blocks its sequence fails, and after a while somebody releases it."""
    control.node("first", *without)
    control.add("flaky", 1000, "failed", sequence="s", sequence_on_failure="block")
    control.add("quick", sequence="s")
    eventually(lambda: control.count(status=4), 20, "its failure")
    control.await_start(control.add("quick", at=timedelta(seconds=1.5)), 1)
    release_sequences(control.scheduler, control.history)
    control.await_end()


CONTROLS: list[tuple[Scenario, str, str]] = [
    (killer_of_managers, "suspicion", "the innocent are not set aside"),
    (killed_manager, "note of what began", "what had not started is not charged"),
    (killer_beside_another, "quarantine", "every job ends"),
    (asked_workers, "requests", "the innocent are not set aside"),
    (ended_leases, "reason to kill", "the innocent are not set aside"),
    (unknown_class, "patience with the unknown", "jobs end as they should"),
    (late_report, "fence", "a job is finished once"),
    (silent_node, "deadline", "executions do not overlap"),
    (thawed_host, "mark", "executions do not overlap"),
    (death_while_a_run_is_added, "derived ids", "a schedule has one run for each time"),
    (death_between_two_runs, "outbox", "a series goes on"),
    (wrong_clock, "second look", "executions do not overlap"),
    (same_jobs, "read-back", "an attempt starts once"),
    (lost_message, "rescan", "every job ends"),
    (no_room_in_time, "hurry", "nothing starts too late"),
    (two_of_a_key, "turn", SOLO),
    (two_admit_at_once, "turn", LIMIT),
    (killed_worker_under_a_limit, "place of what waits again", LIMIT),
    (two_of_a_limit, "freed place", "no place is kept"),
    (two_of_a_limit, "freed place", "every job ends"),
    (three_of_a_sequence, "order", ORDER),
    (retry_in_a_sequence, "turn over retries", ORDER),
    (failure_in_a_sequence, "failure that blocks", "a failure blocks its sequence until it is released"),
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
        monkeypatch.setattr(attempt_updates, "release_on_end", lambda _lease: {"$set": {"gate": "$$REMOVE"}})
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
