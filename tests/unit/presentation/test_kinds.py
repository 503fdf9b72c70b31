"""What is special about services, solo jobs and records of programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.presentation.fakes import NOW, ago, job

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.kinds import (
    chosen_options,
    failing,
    is_parked,
    is_service,
    kind,
    program,
    restarts,
    service_name,
    sign_of_life,
    solo_key,
)


def test_a_plain_job_is_nothing_special() -> None:
    plain = job(Status.PROCESSING)
    assert not is_service(plain)
    assert not is_parked(plain)
    assert [read(plain) for read in (kind, program, restarts, service_name, solo_key)] == [""] * 5


@pytest.mark.parametrize(("name", "text"), [("Mail", "service"), ("feed", "service feed")])
def test_a_service_is_named_unless_it_is_called_like_its_job(name: str, text: str) -> None:
    assert kind(job(Status.WAITING, service={"name": name})) == text


def test_a_program_is_known_by_its_process() -> None:
    assert program(job(Status.PROCESSING, program={"pid": 17, "host": "web-1"})) == "pid 17 on web-1"
    assert program(job(Status.PROCESSING, program={"pid": 17})) == "pid 17 on ?"


@pytest.mark.parametrize(
    ("attempt", "failures", "text"),
    [
        (0, None, "always, started 0 times"),
        (1, 1, "always, started once"),
        (4, 3, "always, started 4 times, 3 quick failures in a row"),
        (4, "many", "always, started 4 times"),
    ],
)
def test_restarts_of_a_service(attempt: int, failures: Any, text: str) -> None:
    assert restarts(job(Status.WAITING, attempt=attempt, service={"restart": "always", "failures": failures})) == text


def test_a_parked_solo_job_waits_for_its_turn() -> None:
    assert solo_key(job(Status.WAITING, solo="key")) == "key"
    parked = job(Status.POSTPONED, solo="key", parked_at=NOW)
    assert solo_key(parked) == "key, waits for its turn"
    assert not is_parked(job(Status.WAITING, parked_at=NOW))


def test_only_a_running_job_gives_signs_of_life() -> None:
    assert sign_of_life(job(Status.PROCESSING, alive=ago(2)), NOW).endswith(", 2s ago")
    assert sign_of_life(job(Status.PROCESSING, alive=NOW + timedelta(seconds=3)), NOW).endswith(", 0s ago")
    assert sign_of_life(job(Status.DONE, alive=ago(2)), NOW) == ""
    assert sign_of_life(job(Status.PROCESSING), NOW) == ""


def test_options_that_follow_from_others_are_left_out() -> None:
    def options(**fields: Any) -> dict[str, Any]:
        given = {"retry": 0, "retry_interval": 300, "interval": 0, "interval_reference": "end", "timeout": 0}
        return chosen_options(job(Status.WAITING, options={**given, "queue": "q", "force_spawn": True}, **fields))

    assert options() == {"force_spawn": True}
    assert options(service={"name": "feed"}) == {}
    retried = job(Status.WAITING, options={"retry": 2, "retry_interval": 300, "interval_reference": "end"})
    assert chosen_options(retried) == {"retry": 2, "retry_interval": 300}


@pytest.mark.parametrize(
    ("status", "failures", "text"),
    [
        (Status.POSTPONED, 1, "once"),
        (Status.POSTPONED, 8, "8 times"),
        (Status.POSTPONED, 0, ""),
        (Status.POSTPONED, None, ""),
        (Status.POSTPONED, "many", ""),
        (Status.POSTPONED, True, ""),
        (Status.PROCESSING, 8, ""),
        (Status.CANCELED, 8, ""),
    ],
)
def test_a_service_that_waits_after_failures_is_failing(status: Status, failures: Any, text: str) -> None:
    assert failing(job(status, service={"name": "s", "failures": failures})) == text


def test_other_jobs_are_never_failing() -> None:
    assert failing(job(Status.POSTPONED, retries=8)) == ""
