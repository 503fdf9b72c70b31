"""What the demo says about events, in one line each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.tables import table
from tests.unit.presentation.fakes import job

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.event_names import GAP
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.demo.output import PlainOutput, due, error, event_line, note, padded
from taskscheduler_daemon.demo.plan import ABOUT
from taskscheduler_daemon.presentation.job import state

ERROR = {"type": "some.module.ConnectionError", "message": "refused: by host\nmore"}


def after(seconds: float) -> datetime:
    return SYSTEM_CLOCK.now() + timedelta(seconds=seconds)


def copy(status: Status, **fields: Any) -> Any:
    return job(status, **{"class": "CopyFile", **fields})


@table(
    ("process", "text"),
    [
        (copy(Status.WAITING), ABOUT["CopyFile"]),
        (copy(Status.WAITING, error=ERROR), "ConnectionError: refused: by host"),
        (copy(Status.FAILED, error=ERROR), "ConnectionError: refused: by host"),
        (copy(Status.POSTPONED, at=datetime(2000, 1, 1, tzinfo=UTC)), f"now; {ABOUT['CopyFile']}"),
        (copy(Status.TIMEOUT, options={"timeout": 2}), "killed after 2s"),
        (copy(Status.CANCELED), "never started"),
        (copy(Status.CANCELED, started=after(-5), progress=25.0), "killed at 25 %"),
        (copy(Status.DONE, message="64 MB copied"), "64 MB copied"),
        (copy(Status.PROCESSING), ABOUT["CopyFile"]),
    ],
)
def test_the_note_says_what_matters_now(process: Any, text: str) -> None:
    assert note(process) == text


def test_an_event_is_one_line() -> None:
    line = event_line("done", copy(Status.DONE, message="64 MB\ncopied"), fancy=False)
    assert line[8:] == "  CopyFile        + done        64 MB\\ncopied"
    first = event_line("processing", copy(Status.PROCESSING, attempt=1), fancy=False)
    assert first[8:] == "  CopyFile        > processing"
    second = event_line("processing", copy(Status.PROCESSING, attempt=2), fancy=False)
    assert second.endswith("> processing  try 2")


def test_lost_events_are_told_by_their_message() -> None:
    assert event_line(GAP, copy(Status.DONE, message="some events were lost"), fancy=True)[8:] == (
        "  some events were lost"
    )


@table("status", Status)
def test_states_are_equally_wide(status: Status) -> None:
    assert len(padded(state(status, False))) == 12


def test_a_postponed_job_starts_in_whole_seconds() -> None:
    assert due(copy(Status.POSTPONED, at=after(8.2))) == "in 8s"
    assert due(copy(Status.POSTPONED, at=after(0.2))) == "in 1s"
    assert due(copy(Status.POSTPONED, at=after(-1))) == "now"
    assert due(copy(Status.POSTPONED)) == "later"


def test_an_error_is_named_without_its_module() -> None:
    assert error(copy(Status.FAILED, error={"type": "json.JSONDecodeError", "message": ""})) == "JSONDecodeError"
    assert error(copy(Status.FAILED)) == ""


def test_plain_output_prints_events_and_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    output = PlainOutput()
    output.say("begins\x1b")
    output.event("done", copy(Status.DONE))
    output.show([copy(Status.DONE)], "run 1")
    output.summary(["all done"])
    output.close()
    begins, event, *rest = capsys.readouterr().out.splitlines()
    assert begins == "begins\\x1b"
    assert "+ done" in event
    assert rest == ["", "all done"]
