"""The log of a node has the start and the end of each attempt in one line: what, where, and what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.errors import InvalidJobError
from taskscheduler.jobs.executor import find
from taskscheduler.model.attempt_result import describe
from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.operations.finish import AttemptEnd, completion_of
from taskscheduler.store.attempts.completion import Again
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import NO_WORKER, Kind, Report
from taskscheduler_daemon.node.completion.job_log import (
    EACH_SECOND,
    LONGEST_REASON,
    MOST_AT_ONCE,
    MOST_FAILURES,
    JobLog,
)
from taskscheduler_daemon.node.state.in_flight import Attempt

OPTIONS = {"retry": 0, "retry_interval": 300, "interval": 0, "interval_reference": "end", "force_spawn": False}
JOB = {"class": "mail", "retries": 0, "lost": 0, "options": OPTIONS, "data": {"password": "secret"}}


class SettableClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 7.5

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any:
        raise AssertionError("nobody asks for the date")

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def log(clock: SettableClock) -> JobLog:
    return JobLog(clock)


def raised(error: BaseException) -> dict[str, Any]:
    """An exception as a worker reports it."""
    try:
        raise error
    except BaseException as caught:
        return describe(caught)


def end(log: JobLog, ending: Ending, error: dict[str, Any] | None = None, **options: Any) -> None:
    job = {**JOB, "options": {**OPTIONS, **options}}
    attempt = an_attempt(job)
    report = Report(Kind.REPORT, ending, attempt.fence.job_id.binary, 2, NO_WORKER, 1.23456, b"")
    end_of = AttemptEnd(ending, {"error": error}, "worker", 1.0)
    log.ended(attempt, report, completion_of(attempt.fence, job, end_of, 3))


def an_attempt(job: dict[str, Any]) -> Attempt:
    return Attempt(Fence(ObjectId("5f5f5f5f5f5f5f5f5f5f5f5f"), "claim", 2), job, b"", 0.0)


def test_a_failure_is_told_with_file_and_line(log: JobLog, caplog: pytest.LogCaptureFixture) -> None:
    end(log, Ending.FAILED, raised(ValueError("no such address\nand more")))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "job failed: ValueError: no such address")
    said = vars(record)
    assert (said["job"], said["job_name"], said["attempt"]) == ("5f5f5f5f5f5f5f5f5f5f5f5f", "mail", 2)
    assert said["seconds"] == 1.235
    name, _, line = said["at"].partition(":")
    assert name == "test_job_log.py"
    assert "raise error" in Path(__file__).read_text().splitlines()[int(line) - 1]
    assert "then" not in said
    assert "secret" not in str(said)


def test_a_job_that_is_not_registered_has_no_line(log: JobLog, caplog: pytest.LogCaptureFixture) -> None:
    try:
        find("no.such.job")
    except InvalidJobError as error:
        end(log, Ending.FAILED, describe(error))
    assert "is not registered on this node" in caplog.records[0].getMessage()
    assert "at" not in vars(caplog.records[0])


@pytest.mark.parametrize(
    ("ending", "options", "message", "then"),
    [
        (Ending.TIMED_OUT, {}, "job ran out of time", None),
        (Ending.FAILED, {"retry": 1}, "job failed", "again in 300 s"),
        (Ending.FAILED, {"retry": 1, "retry_interval": 0}, "job failed", "again"),
        (Ending.LOST, {}, "job lost its worker", "again"),
    ],
)
def test_it_says_what_comes_next(
    log: JobLog,
    caplog: pytest.LogCaptureFixture,
    ending: Ending,
    options: dict[str, Any],
    message: str,
    then: str | None,
) -> None:
    end(log, ending, **options)
    (record,) = caplog.records
    assert (record.getMessage(), vars(record).get("then")) == (message, then)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (Ending.SUCCEEDED, "job done"),
        (Ending.RETURNED, "job handed back"),
        (Ending.UNSTARTED, "job handed back before it started"),
    ],
)
def test_other_ends_are_told_as_well(
    log: JobLog, caplog: pytest.LogCaptureFixture, ending: Ending, message: str
) -> None:
    caplog.set_level("INFO")
    end(log, ending)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage(), vars(record)["seconds"]) == ("INFO", message, 1.235)


@pytest.mark.parametrize(
    ("awaits", "message", "signal"),
    [
        (None, "job snoozes", None),
        ({"sleep": "pause", "until": None}, "job sleeps", None),
        ({"name": "approved", "until": None}, "job waits for a signal", "approved"),
    ],
)
def test_a_job_that_goes_on_later_says_what_it_waits_for(
    log: JobLog, caplog: pytest.LogCaptureFixture, awaits: dict[str, Any] | None, message: str, signal: str | None
) -> None:
    caplog.set_level("INFO")
    attempt = an_attempt(JOB)
    report = Report(Kind.REPORT, Ending.SNOOZED, attempt.fence.job_id.binary, 2, NO_WORKER, 1.0, b"")
    put_off = completion_of(attempt.fence, JOB, AttemptEnd(Ending.SNOOZED, {"after": 60}, "worker", 1.0), 3)
    put_off.again = Again(awaits=awaits)
    log.ended(attempt, report, put_off)
    (record,) = caplog.records
    assert (record.getMessage(), vars(record).get("signal")) == (message, signal)


def test_a_job_that_is_given_up_is_a_warning_however_it_ended(log: JobLog, caplog: pytest.LogCaptureFixture) -> None:
    job = {**JOB, "service": {"name": "s", "restart": "never", "failures": 0}}
    attempt = an_attempt(job)
    report = Report(Kind.REPORT, Ending.RETURNED, attempt.fence.job_id.binary, 2, NO_WORKER, 1.0, b"")
    given_up = completion_of(attempt.fence, JOB, AttemptEnd(Ending.RETURNED, {}, "worker", 1.0), 3)
    given_up.verdict = Verdict(Transition.FAIL)
    given_up.error = {"type": "NodeStoppedError", "message": "its node stopped while it ran"}
    log.ended(attempt, report, given_up)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "job handed back: NodeStoppedError: its node stopped while it ran"


def test_what_could_steer_a_terminal_is_escaped(log: JobLog, caplog: pytest.LogCaptureFixture) -> None:
    end(log, Ending.FAILED, {"type": "Odd", "message": "\x1b[2Jred \u202e" + "x" * 1000})
    message = caplog.records[0].getMessage()
    assert message.startswith(r"job failed: Odd: \x1b[2Jred \u202exxx")
    assert len(message) < LONGEST_REASON + 30


def test_of_a_flood_only_the_number_is_told(
    log: JobLog, clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log.started([an_attempt(JOB)] * (MOST_AT_ONCE + 7))
    for _ in range(MOST_AT_ONCE + 5):
        end(log, Ending.SUCCEEDED)
    for _ in range(MOST_FAILURES + 3):
        end(log, Ending.FAILED)
    assert len(caplog.records) == 2 * MOST_AT_ONCE + MOST_FAILURES
    pending = [log.has_more_to_say]
    caplog.clear()
    log.keep_time(clock.seconds + 0.9)
    assert caplog.records == []
    log.keep_time(clock.seconds + 1.0)
    assert [*pending, log.has_more_to_say] == [True, False]
    told, failed = caplog.records
    assert (told.levelname, vars(told)["starts"], vars(told)["ends"]) == ("INFO", 7, 5)
    assert (failed.levelname, vars(failed)["left_out"]) == ("WARNING", 3)
    caplog.clear()
    log.started([an_attempt(JOB)] * EACH_SECOND)
    log.keep_time(clock.seconds + 2.0)
    assert [record.getMessage() for record in caplog.records] == ["job starts"] * EACH_SECOND
    log.started([an_attempt(JOB)] * (EACH_SECOND + 1))
    assert len(caplog.records) == 2 * EACH_SECOND
