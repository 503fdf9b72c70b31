"""What is special about services, solo jobs and records of programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.tables import table
from tests.unit.presentation.fakes import NOW, ago, job

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.kinds import (
    blocks,
    chosen_options,
    failing,
    is_parked,
    is_service,
    kind,
    limit_names,
    program,
    restarts,
    sequence,
    service_name,
    sign_of_life,
    solo_key,
    waits_for,
)


def test_a_plain_job_is_nothing_special() -> None:
    plain = job(Status.PROCESSING)
    assert not is_service(plain)
    assert not is_parked(plain)
    tellers = (kind, program, restarts, service_name, solo_key, limit_names, sequence, waits_for, blocks)
    assert [tell(plain) for tell in tellers] == [""] * len(tellers)


@pytest.mark.parametrize(("name", "text"), [("Mail", "service"), ("feed", "service feed")])
def test_a_service_is_named_unless_it_is_called_like_its_job(name: str, text: str) -> None:
    assert kind(job(Status.WAITING, service={"name": name})) == text


def test_a_program_is_known_by_its_process() -> None:
    assert program(job(Status.PROCESSING, program={"pid": 17, "host": "web-1"})) == "pid 17 on web-1"
    assert program(job(Status.PROCESSING, program={"pid": 17})) == "pid 17 on ?"


@table(
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


@table(
    ("blocked", "text"),
    [
        ("limit:stripe", "waits for a place of limit stripe"),
        ("limit:tenant:acme", "waits for a place of limit tenant:acme"),
        ("sequence:account-42", "waits for its turn in sequence account-42"),
        ("rate:api", "waits for the rate api"),
        ("solo:{key}", "waits for another job with the key {key}"),
        ("pause:all", "paused: everything"),
        ("pause:queue:mail", "paused: queue mail"),
        ("odd:x", "waits for its turn"),
        (5, "waits for its turn"),
        (None, "waits for its turn"),
    ],
)
def test_a_parked_job_says_what_it_waits_for(blocked: Any, text: str) -> None:
    assert waits_for(job(Status.POSTPONED, parked_at=NOW, blocked=blocked)) == text
    assert waits_for(job(Status.WAITING, parked_at=NOW, blocked=blocked)) == ""
    assert waits_for(job(Status.POSTPONED, blocked=blocked)) == ""
    assert not is_parked(job(Status.WAITING, parked_at=NOW))


def test_the_controls_of_a_job_are_named() -> None:
    block = {"sequence_on_failure": "block"}
    one = job(Status.WAITING, options=block, solo="key", limits=["a", 5], sequence="s")
    assert (solo_key(one), limit_names(one), sequence(one)) == ("key", "a, 5", "s, blocked if it fails")
    assert sequence(job(Status.WAITING, sequence="s")) == "s"
    assert limit_names(job(Status.WAITING, limits="odd")) == ""
    assert chosen_options(one) == {}


@table(
    ("status", "fields", "text"),
    [
        (Status.FAILED, {"sequence": "s", "turn": 5}, "blocks sequence s"),
        (Status.TIMEOUT, {"sequence": "s", "turn": 5}, "blocks sequence s"),
        (Status.FAILED, {"sequence": "s"}, ""),
        (Status.PROCESSING, {"sequence": "s", "turn": 5}, ""),
    ],
)
def test_a_failed_job_in_the_way_of_others_says_so(status: Status, fields: dict[str, Any], text: str) -> None:
    assert blocks(job(status, **fields)) == text


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
    given = {"retry_interval": 300, "backoff": [1, 5], "jitter": 0.5, "start_by": 60}
    assert chosen_options(job(Status.WAITING, options={"retry": 0, **given})) == {"start_by": 60}
    listed = chosen_options(job(Status.WAITING, options={"retry": 2, **given}))
    assert listed == {"retry": 2, "backoff": [1, 5], "jitter": 0.5, "start_by": 60}


@table(
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
