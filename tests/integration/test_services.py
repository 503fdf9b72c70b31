"""A service always comes back, and never runs twice at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.enduring import Chronicle as Chronicler
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess, is_running
from tests.support.tables import rarely

from taskscheduler import (
    InvalidJobError,
    InvalidOptionError,
    Job,
    PayloadTooLargeError,
    Scheduler,
    ServiceNotFoundError,
    Status,
)
from taskscheduler_daemon.presentation.job import attempt_label, attempt_note

StartNode = Callable[..., NodeProcess]
JOBS = ["tests.support.jobs", "tests.support.enduring"]
LEASE = 1.5
QUICK: dict[str, Any] = {"restart_interval": 0.1, "restart_interval_max": 0.5}


class SoloByClass(Job):
    name, solo = "solo-by-class", True


class Chronicle:
    """What the services of a test have written down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = {"trace": str(path)}

    def words(self, word: str) -> list[list[str]]:
        return [line for line in traces(self.path) if line[0] == word]

    def begun(self, count: int, timeout: float = 20) -> list[list[str]]:
        """The lines of the first starts, once there are so many."""
        return eventually(lambda: len(self.words("begin")) >= count and self.words("begin"), timeout, f"{count} starts")

    @property
    def pid(self) -> int:
        """That of the newest start."""
        return int(self.words("begin")[-1][2])

    def check(self) -> None:
        """No life goes on once the next one has begun; every start has its own attempt."""
        lines = sorted(traces(self.path), key=lambda line: float(line[3]))
        order = list(dict.fromkeys((line[1], line[2]) for line in lines))
        changes = [now for now, before in zip(lines, [[""] * 4, *lines], strict=False) if now[1:3] != before[1:3]]
        assert [(line[1], line[2]) for line in changes] == order, "two at the same time"
        assert len({attempt for attempt, _ in order}) == len(order)


@pytest.fixture
def chronicle(tmp_path: Path) -> Chronicle:
    return Chronicle(tmp_path / "chronicle")


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=JOBS, max_children=1)


# -- starting ---------------------------------------------------------------------------------------------------------


def test_a_service_runs_beside_the_jobs_and_starting_it_again_changes_nothing(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    service = scheduler.start_service("chronicle", chronicle.data)
    assert (service.outcome, service.job) == ("created", "chronicle")
    chronicle.begun(1)
    assert scheduler.add_job("echo").result(20), "it takes no slot"
    again = scheduler.start_service("chronicle", chronicle.data)
    assert (again.id, again.outcome) == (service.id, "existing")
    assert scheduler.service("chronicle").attempt == 1
    assert scheduler.service("chronicle").status is Status.PROCESSING
    assert [process.id for process in scheduler.services()] == [service.id]
    before = set(node.workers) - {chronicle.pid}
    node.send(signal.SIGHUP)
    eventually(lambda: not before & set(node.workers), 20, "new workers")
    assert chronicle.pid in node.workers
    assert len(chronicle.words("begin")) == 1


def test_a_service_is_no_job_that_add_job_once_may_take_for_the_same(scheduler: Scheduler) -> None:
    scheduler.start_service("echo", 1)
    assert scheduler.add_job_once("echo", 1).outcome == "created"


def test_a_service_that_is_defined_anew_is_replaced_in_place(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    first = scheduler.start_service("chronicle", {**chronicle.data, "tidies": 0.3}, name="one")
    chronicle.begun(1)
    second = scheduler.start_service("chronicle", {**chronicle.data, "tidies": 0.2}, name="one", restart="on-failure")
    assert (second.id, second.outcome) == (first.id, "replaced")
    assert second.data["tidies"] == 0.2
    chronicle.begun(2)
    scheduler.stop_service("one")
    assert scheduler.service("one").status is Status.CANCELED
    third = scheduler.start_service("chronicle", chronicle.data, name="one")
    assert (third.id, third.outcome) == (first.id, "created")
    chronicle.begun(3)
    chronicle.check()


def test_whoever_starts_a_service_at_once_with_others_starts_the_same_one(
    scheduler: Scheduler, start_node: StartNode, chronicle: Chronicle
) -> None:
    for _ in range(2):
        start_node(jobs=JOBS)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(scheduler.start_service, "chronicle", chronicle.data) for _ in range(16)]
        processes = [call.result(30) for call in calls]
    assert len({process.id for process in processes}) == 1
    assert [process.outcome for process in processes].count("created") == 1
    chronicle.begun(1)
    with ThreadPoolExecutor(4) as pool:
        for call in [pool.submit(scheduler.restart_service, "chronicle") for _ in range(4)]:
            assert not call.result(40).status.is_final
    chronicle.begun(2)
    chronicle.check()


# -- coming back ------------------------------------------------------------------------------------------------------


def test_a_service_comes_back_after_every_end(scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle) -> None:
    scheduler.start_service("chronicle", {**chronicle.data, "lives": 0.05}, **QUICK)
    chronicle.begun(3)
    service = scheduler.service("chronicle")
    assert not service.status.is_final
    assert Status.DONE in [entry["status"] for entry in service.attempts]
    scheduler.start_service("chronicle", {**chronicle.data, "lives": 0.05, "fails": True}, **QUICK)
    begun = len(chronicle.words("begin"))
    chronicle.begun(begun + 3)
    errors = [entry.get("error") or {} for entry in scheduler.service("chronicle").attempts]
    assert "ValueError" in [error.get("type") for error in errors]
    assert scheduler.service("chronicle").to_dict()["service"]["failures"] >= 2
    chronicle.check()


def test_on_failure_a_service_that_returns_is_done(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    service = scheduler.start_service("chronicle", {**chronicle.data, "lives": 0.05}, restart="on-failure")
    assert service.result(20) == "returned"


def test_a_service_that_is_never_restarted_runs_once_whatever_happens(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    service = scheduler.start_service("chronicle", chronicle.data, restart="never")
    chronicle.begun(1)
    os.kill(chronicle.pid, signal.SIGKILL)
    service.wait(20)
    assert (service.status, service.error and service.error["type"]) == (Status.FAILED, "WorkerLostError")
    scheduler.restart_service("chronicle")
    chronicle.begun(2)
    node.stop()
    service.wait(20)
    assert (service.status, service.attempt) == (Status.FAILED, 2)
    assert (service.error or {})["type"] == "NodeStoppedError"


@pytest.mark.parametrize("victim", ["worker", "manager", "node", *rarely("frozen manager", "frozen node")])
def test_whatever_is_killed_a_service_comes_back_and_never_runs_twice(
    scheduler: Scheduler, start_node: StartNode, chronicle: Chronicle, victim: str
) -> None:
    lease = 30 if victim in ("worker", "manager") else 2  # who dies with a node that lives is seen by that
    nodes = [start_node(jobs=JOBS, orphaned_timeout=lease) for _ in range(2)]
    scheduler.start_service("chronicle", chronicle.data, **QUICK)
    for count in range(1, 4 if victim in ("worker", "manager") else 2):
        chronicle.begun(count)
        [home] = [node for node in nodes if chronicle.pid in node.tree()]
        if victim == "node":
            home.kill()
        elif victim == "frozen node":
            home.send(signal.SIGSTOP)
        elif victim == "frozen manager":
            os.kill(home.manager, signal.SIGSTOP)
        else:
            os.kill(chronicle.pid if victim == "worker" else home.manager, signal.SIGKILL)
        chronicle.begun(count + 1)
    chronicle.check()
    assert not scheduler.service("chronicle").status.is_final, "it is never set aside"


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_a_service_that_is_asked_to_stop_ends_by_itself_and_stays_ended(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    scheduler.start_service("chronicle", {**chronicle.data, "tidies": 0.3}, **QUICK)
    chronicle.begun(1)
    stopped = scheduler.stop_service("chronicle")
    assert stopped.status is Status.CANCELED
    assert len(chronicle.words("end")) == 1
    assert not chronicle.words("interrupted")
    assert not is_running(chronicle.pid)
    assert scheduler.stop_service("chronicle").status is Status.CANCELED, "no harm in asking twice"
    assert scheduler.add_job("echo").result(20)
    assert len(chronicle.words("begin")) == 1


def test_an_async_service_hears_that_it_is_to_stop(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    scheduler.start_service("async_patient", chronicle.data, stop_soft=20, stop_hard=20)
    chronicle.begun(1)
    scheduler.stop_service("async_patient")
    assert len(chronicle.words("asked")) == 1


def test_a_service_that_ends_while_its_node_does_not_hear_that_it_was_stopped(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message to the node is lost, and the service ends before the node looks by itself."""
    monkeypatch.setattr(scheduler.store.wakeups, "jobs_cancelled", lambda _: None)
    scheduler.start_service("chronicle", {**chronicle.data, "lives": 0.3}, **QUICK)
    for count in range(1, 4):
        chronicle.begun(count)
        scheduler.restart_service("chronicle")
    chronicle.check()


def test_a_node_that_does_not_hear_of_a_restart_starts_the_service_all_the_same(
    scheduler: Scheduler, start_node: StartNode, chronicle: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears that the service was cancelled, and finds it in the queue by itself: as a busy node does."""
    start_node(jobs=JOBS, max_children=1, orphaned_timeout=LEASE)
    service = scheduler.start_service("chronicle", chronicle.data)
    chronicle.begun(1)
    monkeypatch.setattr(scheduler.store.wakeups, "jobs_rearmed", lambda *_, **__: None)
    for count in (2, 3):
        scheduler.restart_service("chronicle")
        eventually(lambda: service.refresh().status is Status.PROCESSING)
        scheduler.restart_service("chronicle")
        chronicle.begun(count)
    scheduler.stop_service("chronicle")
    chronicle.check()


def test_a_claim_that_is_carried_out_late_does_not_hold_up_a_service(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    """The node has given the claim up; then the database carries it out, and the service is stopped."""
    start_node(jobs=JOBS, queues=["other"], max_children=1, orphaned_timeout=LEASE)
    (node,) = scheduler.store.nodes.all()
    service = scheduler.start_service("chronicle")
    assert scheduler.store.claims.claim([service.id], "late", node["_id"], node["name"]) == 1
    scheduler.stop_service("chronicle")
    assert not scheduler.restart_service("chronicle").status.is_final


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_service_that_does_not_listen_is_interrupted_and_then_killed(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle, stubborn: bool
) -> None:
    data = {**chronicle.data, "deaf": True, "stubborn": stubborn}
    scheduler.start_service("chronicle", data, stop_soft=0.3, stop_hard=3 if stubborn else 30)
    chronicle.begun(1)
    scheduler.stop_service("chronicle")
    assert not is_running(chronicle.pid)
    assert len(chronicle.words("interrupted")) == 1
    assert len(chronicle.words("end")) == (0 if stubborn else 1)


def test_a_restart_waits_for_the_old_process(scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle) -> None:
    service = scheduler.start_service("chronicle", {**chronicle.data, "tidies": 0.4})
    for count in range(1, 4):
        chronicle.begun(count)
        again = scheduler.restart_service("chronicle")
        assert again.id == service.id
    chronicle.begun(4)
    service.cancel()
    assert not scheduler.retry_job(service.id).status.is_final, "also as a job"
    chronicle.begun(5)
    chronicle.check()


def test_a_deletion_waits_for_the_process(scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle) -> None:
    service = scheduler.start_service("chronicle", {**chronicle.data, "tidies": 0.4})
    chronicle.begun(1)
    assert scheduler.delete_job(service.id)
    assert not is_running(chronicle.pid)
    assert scheduler.services() == []


def test_a_node_that_stops_hands_its_services_to_another_one(
    scheduler: Scheduler, start_node: StartNode, chronicle: Chronicle
) -> None:
    nodes = [start_node(jobs=JOBS) for _ in range(2)]
    scheduler.start_service("chronicle", {**chronicle.data, "tidies": 0.2})
    chronicle.begun(1)
    [home] = [node for node in nodes if chronicle.pid in node.tree()]
    assert home.stop() == 0
    chronicle.begun(2)
    assert len(chronicle.words("end")) == 1
    assert not chronicle.words("interrupted")
    chronicle.check()
    [handed_back, _] = scheduler.service("chronicle").attempts
    assert (handed_back["status"], handed_back["error"], handed_back["node"]) == (None, None, home.log.stem)
    assert (attempt_label(handed_back), attempt_note(handed_back)) == ("handed back", "its node stopped while it ran")
    assert scheduler.service("chronicle").error is None


def test_the_time_that_a_node_has_to_stop_binds_its_services(
    scheduler: Scheduler, start_node: StartNode, chronicle: Chronicle
) -> None:
    node = start_node(jobs=JOBS, stop_timeout=0.5, kill_grace=0.3)
    data = {**chronicle.data, "deaf": True, "stubborn": True}
    scheduler.start_service("chronicle", data, stop_soft=60, stop_hard=120)
    chronicle.begun(1)
    assert node.stop(20) == 0
    assert not is_running(chronicle.pid)
    assert scheduler.service("chronicle").status is Status.WAITING


# -- messages ---------------------------------------------------------------------------------------------------------


def test_messages_arrive_once_and_in_order_also_those_sent_before_the_start(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    parrot = scheduler.start_service("parrot")
    for number in range(20):
        scheduler.send("parrot", {"number": number})
    start_node(jobs=JOBS)
    answers = [scheduler.receive(parrot, timeout=20) for _ in range(20)]
    assert [answer["heard"]["number"] for answer in answers] == list(range(20))
    assert scheduler.receive("parrot", timeout=0, default="nothing") == "nothing"
    scheduler.restart_service("parrot")
    scheduler.send(parrot, None)
    assert scheduler.receive(parrot, timeout=20) == {"heard": None, "attempt": 2}


def test_a_service_that_waits_for_a_message_stops_at_once(scheduler: Scheduler, node: NodeProcess) -> None:
    scheduler.start_service("parrot", stop_soft=60, stop_hard=60)
    eventually(lambda: scheduler.service("parrot").worker or scheduler.service("parrot").status is Status.PROCESSING)
    assert scheduler.stop_service("parrot").status is Status.CANCELED


def test_a_bad_message_is_refused(uri: str) -> None:
    with Scheduler(uri, max_payload=1024) as scheduler:
        scheduler.start_service("parrot")
        with pytest.raises(PayloadTooLargeError, match="the message takes"):
            scheduler.send("parrot", "x" * 2000)
        with pytest.raises(ValueError, match="the message cannot be stored"):
            scheduler.send("parrot", object())


# -- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_named(scheduler: Scheduler) -> None:
    for call in (scheduler.service, scheduler.stop_service, scheduler.restart_service):
        with pytest.raises(ServiceNotFoundError, match="Given service 'nobody' does not exist"):
            call("nobody")
    with pytest.raises(ServiceNotFoundError):
        scheduler.send("nobody", 1)
    with pytest.raises(InvalidOptionError, match="Invalid restart policy 'sometimes' is given! It must be one of"):
        scheduler.start_service("chronicle", restart="sometimes")
    for wrong, said in (
        ({"interval": 5}, "invalid option interval given; a service takes"),
        ({"restart_interval": 0}, "option restart_interval must be between 0.1 and"),
        ({"restart_interval": 5, "restart_interval_max": 1}, "must not be greater than option restart_interval_max"),
        ({"stop_soft": 20}, "option stop_soft must not be greater than option stop_hard"),
        ({"name": ""}, "option name must be a printable name"),
    ):
        given: dict[str, Any] = wrong
        with pytest.raises(InvalidOptionError, match=said):
            scheduler.start_service("chronicle", **given)
    with pytest.raises(InvalidJobError, match=r"job solo-by-class is solo and cannot be a service"):
        scheduler.start_service(SoloByClass)
    for add in (scheduler.add_job, scheduler.add_job_once):
        with pytest.raises(InvalidJobError, match=r"chronicle is a service: start it with start_service"):
            add(Chronicler)
    with pytest.raises(InvalidJobError, match=r"job 1 of the batch: chronicle is a service"):
        scheduler.add_jobs(["echo", Chronicler])
    assert scheduler.services() == []
    assert list(scheduler.get_jobs({})) == []


def test_what_a_name_does_not_tell_the_node_refuses(uri: str, node: NodeProcess, chronicle: Chronicle) -> None:
    """Here the names are known: another process that has imported nothing adds them."""
    script = f"""
from taskscheduler import Scheduler
with Scheduler({uri!r}) as scheduler:
    scheduler.add_job("chronicle", {chronicle.data!r})
    scheduler.add_job("async_patient", {chronicle.data!r})
    scheduler.start_service("loner", {chronicle.data!r}, restart="never")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with Scheduler(uri) as scheduler:
        jobs = sorted(scheduler.get_jobs({}), key=lambda job: job.job)
        errors = [(job.wait(20).error or {}) for job in jobs]
    assert [(error["type"], error["message"].split(":")[0]) for error in errors] == [
        ("InvalidJobError", "async_patient is a service"),
        ("InvalidJobError", "chronicle is a service"),
        ("InvalidJobError", "job loner is solo and cannot be a service; the name of a service is unique anyway"),
    ]
    assert not chronicle.path.exists()


def test_a_child_that_fails_does_not_end_a_service(
    scheduler: Scheduler, node: NodeProcess, chronicle: Chronicle
) -> None:
    """Ended by others it could be started again while its process is still there."""
    service = scheduler.start_service("chronicle", {**chronicle.data, "stubborn": True}, **QUICK)
    chronicle.begun(1)
    assert scheduler.add_job("fail", parent=service.id).wait(20).status is Status.FAILED
    eventually(lambda: not list(scheduler.get_jobs({"pending": "family"})))
    again = scheduler.start_service("chronicle", {**chronicle.data, "stubborn": True}, **QUICK)
    assert (again.outcome, again.status, again.attempt) == ("existing", Status.PROCESSING, 1)
    chronicle.check()
