"""How a job looks in one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.cells import cell_len
from tests.support.tables import table
from tests.unit.presentation.fakes import NOW, ago, job

from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.job import (
    COLUMNS,
    LOOKS,
    attempt_label,
    attempt_note,
    count,
    lasted,
    look_of,
    news,
    note,
    row,
    run_time,
    start_by,
    state,
    state_of,
    tries,
    wait_time,
)


def test_a_running_job_in_a_row() -> None:
    running = job(
        Status.PROCESSING,
        options={"retry": 2},
        attempt=2,
        at=ago(121),
        started=ago(118),
        progress=82.0,
        message="3.2 of 3.9 GB",
    )
    expected = ("6a5f01c2e26cf26c6d0ede69", "Mail", "processing", "2/3", "8m", "3s", "1m58s", "82% 3.2 of 3.9 GB")
    assert row(running, NOW) == expected
    assert len(expected) == len(COLUMNS)


@table(
    ("process", "text"),
    [
        (job(Status.POSTPONED, at=NOW + timedelta(hours=2)), "due in 2h"),
        (job(Status.POSTPONED, at=ago(1)), "due now"),
        (
            job(
                Status.POSTPONED,
                at=NOW + timedelta(seconds=24),
                retries=1,
                error={"type": "OSError", "message": "no\nx"},
            ),
            "retry in 24s; OSError: no",
        ),
        (job(Status.POSTPONED, at=NOW + timedelta(hours=2), options={"interval": 86_400}), "due in 2h; every 1d"),
        (
            job(Status.POSTPONED, at=NOW + timedelta(minutes=5), retries=1, rearmed="3:snoozed", error={"type": "E"}),
            "snoozed, again in 5m",
        ),
        (job(Status.WAITING, rearmed="3:snoozed", error={"type": "E"}), "E"),
        (job(Status.WAITING, options={"interval": -1}), "again and again"),
        (job(Status.FAILED, progress=40.0, error={"type": "KeyError", "message": ""}), "40%; KeyError"),
        (job(Status.DONE, progress=100.0, message="42 sent", options={"interval": 60}), "42 sent"),
        (job(Status.CANCELED), ""),
        (job(Status.POSTPONED, at=datetime(9999, 1, 1, tzinfo=UTC), parked_at=NOW), "waits for its turn"),
        (job(Status.POSTPONED, at=NOW, parked_at=NOW, blocked="pause:tag:x"), "paused: tag x"),
        (job(Status.PROCESSING, program={"pid": 7, "host": "a"}, progress=50.0), "pid 7 on a; 50%"),
        (job(Status.PROCESSING, program={"pid": 7}), "pid 7 on ?"),
        (job(Status.PROCESSING, service={"name": "feed"}, attempt=3), "service feed"),
        (job(Status.WAITING, service={"name": "Mail"}), "service"),
        (
            job(Status.POSTPONED, service={"name": "Mail"}, attempt=1, retries=1, at=NOW + timedelta(seconds=4)),
            "service; starts again in 4s",
        ),
    ],
)
def test_the_note_says_what_matters_now(process: Process, text: str) -> None:
    assert note(process, NOW) == text


def test_lost_attempts_do_not_look_like_too_many_tries() -> None:
    assert tries(job(Status.PROCESSING, attempt=2, lost=1)) == "2/2"
    assert tries(job(Status.DONE, attempt=1)) == "1"
    assert tries(job(Status.PROCESSING, attempt=7, options={"retry": -1})) == "7/*"
    assert tries(job(Status.WAITING)) == ""
    assert tries(job(Status.PROCESSING, attempt=9, lost=2, service={"name": "feed"})) == "9"
    assert tries(job(Status.PROCESSING, attempt=4, snoozes=2, options={"retry": 2})) == "4/5"


def test_an_attempt_that_was_put_off_says_why() -> None:
    attempt = {"attempt": 1, "status": Status.POSTPONED, "reason": "quota used up", "error": None}
    assert (attempt_label(attempt), attempt_note(attempt)) == ("snoozed", "quota used up")


def test_a_queued_job_says_by_when_it_has_to_begin() -> None:
    assert start_by(job(Status.WAITING, expires=NOW + timedelta(seconds=90)), NOW).endswith(", in 1m30s")
    assert start_by(job(Status.POSTPONED, expires=ago(1)), NOW).endswith(", over")
    assert start_by(job(Status.PROCESSING, expires=NOW), NOW) == start_by(job(Status.WAITING), NOW) == ""


def test_the_run_time_is_that_of_an_attempt_that_runs_or_has_ended() -> None:
    assert run_time(job(Status.POSTPONED, started=ago(60), ended=ago(50)), NOW) == ""
    assert run_time(job(Status.DONE, started=ago(60), ended=ago(50)), NOW) == "10s"
    assert run_time(job(Status.CANCELED, started=None, ended=ago(50)), NOW) == ""
    assert run_time(job(Status.PROCESSING, started=NOW + timedelta(seconds=1)), NOW) == "0s"


def test_every_status_has_a_sign_of_its_own_without_colour() -> None:
    assert set(LOOKS) == set(Status)
    assert len({look.glyph for look in LOOKS.values()}) == len({look.ascii for look in LOOKS.values()}) == len(Status)
    assert all(look.ascii.isascii() for look in LOOKS.values())
    assert all(cell_len(state(status, True)) == len(status.label) + 2 for status in Status)


def test_counts_go_no_further_than_ten_thousand() -> None:
    assert [count(0), count(10_000), count(10_001)] == ["0", "10000", "10k+"]


def test_a_failing_service_looks_like_a_failure_and_says_when_it_starts_again() -> None:
    service = {"name": "feed", "failures": 8}
    failing = job(Status.POSTPONED, attempt=9, at=NOW + timedelta(seconds=57), service=service)
    assert news(failing, NOW) == "failing (8 times), again in 57s"
    assert (state_of(failing, True), state_of(failing, False)) == ("✗ failing", "x failing")
    assert look_of(failing).color == LOOKS[Status.FAILED].color
    well = job(Status.POSTPONED, attempt=9, at=NOW + timedelta(seconds=57), service={"name": "feed", "failures": 0})
    assert news(well, NOW) == "starts again in 57s"
    assert state_of(well, False) == "~ postponed"
    assert look_of(well).color == LOOKS[Status.POSTPONED].color


@table(
    ("process", "text"),
    [
        (job(Status.WAITING, at=ago(90)), "1m30s"),
        (job(Status.POSTPONED, at=ago(1)), ""),
        (job(Status.PROCESSING, at=ago(30), started=ago(20)), "10s"),
        (job(Status.DONE, at=ago(3600), started=ago(20), ended=ago(10)), "7m40s"),  # it was not added before
        (job(Status.DONE, at=ago(20), started=ago(20.01), ended=ago(10)), "0s"),
        (job(Status.CANCELED, at=ago(20)), ""),
        (job(Status.PROCESSING, at=ago(20), started=ago(20), program={"pid": 7}), ""),
        (job(Status.WAITING, at="soon"), ""),
    ],
)
def test_how_long_a_job_waits_or_has_waited(process: Process, text: str) -> None:
    assert wait_time(process, NOW) == text


def test_the_attempts_of_a_job_say_how_long_they_ran() -> None:
    entries: list[dict[str, Any]] = [
        {"status": None, "started": ago(9), "ended": ago(7)},
        {"status": Status.DONE, "started": "now"},
    ]
    assert [lasted(entry, NOW) for entry in entries] == ["2s", ""]
    assert lasted({"status": Status.PROCESSING, "started": ago(9)}, NOW) == "9s"
