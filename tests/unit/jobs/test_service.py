"""What a service may do, and how one is defined."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler import InvalidJobError, InvalidOptionError, Job, Service
from taskscheduler.declarations.registry import REGISTRY, job_name
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model.lifecycle import Ending, Status, Transition
from taskscheduler.model.options import JobOptions
from taskscheduler.model.services import Restart, RestartPolicy, ServiceOptions, restart_of, seconds_alive, split
from taskscheduler.operations.finish import completions_of_lost
from taskscheduler.store.attempts.ending import rearm_update
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report
from taskscheduler_daemon.node.completion.completer import completion_of_report
from taskscheduler_daemon.node.state.in_flight import Attempt

STARTED = datetime(2030, 1, 1, tzinfo=UTC)


class ChangeFeed(Service):
    name = "unit_feed"


def a_service(failures: int = 0, **options: Any) -> dict[str, Any]:
    """The document of a service that runs."""
    service, of_job = split("feed", options)
    return {
        "_id": ObjectId(),
        "class": "feed",
        "claim": "c",
        "attempt": 3,
        "retries": 0,
        "lost": 9,
        "options": JobOptions.of(of_job).stored(),
        "service": {**service.stored(), "failures": failures},
    }


# -- asking to stop ---------------------------------------------------------------------------------------------------


def test_it_waits_for_seconds_or_a_timedelta() -> None:
    service = ChangeFeed()
    assert service.wait(timedelta(milliseconds=1)) is False
    assert service.wait(0) is False
    with pytest.raises(InvalidOptionError, match=r"seconds must be a number of seconds, a timedelta or None"):
        service.wait("60")  # type: ignore[arg-type]


def test_a_request_wakes_whoever_waits_also_from_a_signal_handler() -> None:
    request = StopRequest()
    assert not request
    assert not request.wait(0)

    def handler(_number: int, _frame: FrameType | None) -> None:
        request.ask()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert request.wait(30)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert request
    assert request.wait(30)


def test_outside_of_a_worker_nobody_asks_a_service() -> None:
    feed = ChangeFeed()
    assert not feed.stopping
    assert feed.wait(0.01) is False


def test_a_service_uses_the_request_of_its_worker() -> None:
    class Runtime:
        stop_request = StopRequest()

    feed = ChangeFeed()
    feed._runtime = Runtime()  # type: ignore[assignment]
    Runtime.stop_request.ask()
    assert feed.stopping
    assert feed.wait()
    assert list(feed.messages()) == []


def test_services_are_jobs_and_their_base_is_none() -> None:
    assert issubclass(Service, Job)
    assert job_name(ChangeFeed) == "unit_feed"
    assert REGISTRY.find("taskscheduler.Service") is None
    with pytest.raises(InvalidJobError, match="class Service is not a job"):
        job_name(Service)


# -- options ----------------------------------------------------------------------------------------------------------


def test_a_service_is_always_restarted_by_default_and_has_a_worker_of_its_own() -> None:
    service, job = split("feed", {"name": None})
    assert service == ServiceOptions(name="feed")
    assert (service.restart, service.restart_interval, service.restart_interval_max) == ("always", 1, 60)
    assert (service.stop_soft, service.stop_hard) == (5, 10)
    assert (job["force_spawn"], job["retry"], job["interval"], job["at"]) == (True, 0, 0, 0)


def test_options_go_where_they_belong() -> None:
    given = {"name": "one", "restart": "never", "stop_hard": timedelta(minutes=1), "queue": "slow", "timeout": 5}
    service, job = split("feed", given)
    assert (service.name, service.restart, service.stop_hard) == ("one", "never", 60)
    assert (job["queue"], job["timeout"]) == ("slow", 5)


@table(
    ("given", "said"),
    [
        (
            {"restart": "no"},
            'Invalid restart policy \'no\' is given! It must be one of "always", "on-failure", "never"',
        ),
        ({"restart": 1}, "Invalid restart policy 1 is given!"),
        ({"retry": 1}, "invalid option retry given; a service takes name, restart, "),
        ({"force_spawn": True}, "invalid option force_spawn given"),
        ({"restart_interval": 0.01}, "option restart_interval must be between 0.1 and"),
        ({"restart_interval": 61}, "option restart_interval must not be greater than option restart_interval_max"),
        ({"stop_soft": 11}, "option stop_soft must not be greater than option stop_hard"),
        ({"stop_soft": True}, "option stop_soft must be"),
        ({"name": "a\nb"}, "option name must be a printable name"),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        split("feed", given)
    assert str(caught.value).startswith(said)


# -- what is written --------------------------------------------------------------------------------------------------


def test_a_job_is_no_service() -> None:
    assert restart_of({"_id": 1}, 5) is None


def test_how_long_a_service_lived_is_read_from_its_signs_of_life() -> None:
    assert seconds_alive({"started": STARTED, "alive": STARTED + timedelta(seconds=90)}) == 90
    assert seconds_alive({"started": STARTED, "alive": STARTED - timedelta(seconds=90)}) == 0
    assert seconds_alive({"started": None}) == 0
    assert restart_of(a_service(2), 90) == Restart(RestartPolicy.ALWAYS, 1, 60, 2, 90)


def run_of(job: dict[str, Any]) -> Attempt:
    return Attempt(Fence(job["_id"], "c", 3), job, b"", 0.0)


@table(
    ("ending", "ended_as", "pause", "failures"),
    [
        (Ending.SUCCEEDED, Status.DONE, 1, 0),
        (Ending.FAILED, Status.FAILED, 4, 3),
        (Ending.TIMED_OUT, Status.TIMEOUT, 4, 3),
        (Ending.LOST, Status.FAILED, 4, 3),
    ],
)
def test_the_end_of_a_run_arms_the_service_again(ending: Ending, ended_as: Status, pause: float, failures: int) -> None:
    job = a_service(2)
    report = Report(Kind.REPORT, ending, job["_id"].binary, 3, bytes(12), 5.0, b"")
    finish = completion_of_report(run_of(job), report, max_lost=3)
    assert (finish.verdict.move, finish.retry_interval, finish.ended_as) == (Transition.RETRY, pause, ended_as)
    stage = rearm_update(finish)[0]["$set"]
    assert stage["service.failures"] == {"$literal": failures}
    assert stage["at"] == {"$add": ["$$NOW", pause * 1000]}


def test_a_lost_node_restarts_a_service_and_fails_one_that_is_never_restarted() -> None:
    [lost] = completions_of_lost([{**a_service(1), "started": STARTED, "alive": STARTED}], "n1", max_lost=1)
    assert (lost.verdict.move, lost.retry_interval, lost.verdict.failures) == (Transition.RETRY, 2, 2)
    assert lost.error == {"type": "NodeLostError", "message": "node n1 was lost while it ran the job"}
    [once] = completions_of_lost([a_service(restart="never")], "n1", max_lost=3)
    assert once.verdict.move is Transition.FAIL


def test_a_run_of_a_service_says_how_it_is_stopped() -> None:
    run = run_of(a_service(stop_soft=2, stop_hard=3, silence_timeout=4)).run()
    assert run.flags == Flag.FORCED | Flag.SERVICE | Flag.WATCHED | Flag.EXCLUSIVE
    assert (run.soft, run.hard, run.silence) == (2, 3, 4)
