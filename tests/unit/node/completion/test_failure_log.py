"""The log of a node has each failed attempt in one line: what, where, and what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.errors import InvalidJobError
from taskscheduler.jobs.executor import find
from taskscheduler.model.attempt_result import describe
from taskscheduler.model.lifecycle import Ending
from taskscheduler.operations.finish import AttemptEnd, completion_of
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.completion.failure_log import LONGEST_REASON, MOST_PER_SECOND, FailureLog
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
def log(clock: SettableClock) -> FailureLog:
    return FailureLog(clock)


def raised(error: BaseException) -> dict[str, Any]:
    """An exception as a worker reports it."""
    try:
        raise error
    except BaseException as caught:
        return describe(caught)


def end(log: FailureLog, ending: Ending, error: dict[str, Any] | None = None, **options: Any) -> None:
    job = {**JOB, "options": {**OPTIONS, **options}}
    attempt = Attempt(Fence(ObjectId("5f5f5f5f5f5f5f5f5f5f5f5f"), "claim", 2), job, b"", 0.0)
    log.ended(
        attempt, ending, completion_of(attempt.fence, job, AttemptEnd(ending, {"error": error}, "worker", 1.0), 3)
    )


def test_a_failure_is_told_with_file_and_line(log: FailureLog, caplog: pytest.LogCaptureFixture) -> None:
    end(log, Ending.FAILED, raised(ValueError("no such address\nand more")))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "job failed: ValueError: no such address")
    said = vars(record)
    assert (said["job"], said["job_name"], said["attempt"]) == ("5f5f5f5f5f5f5f5f5f5f5f5f", "mail", 2)
    name, _, line = said["at"].partition(":")
    assert name == "test_failure_log.py"
    assert "raise error" in Path(__file__).read_text().splitlines()[int(line) - 1]
    assert "then" not in said
    assert "secret" not in str(said)


def test_a_job_that_is_not_registered_has_no_line(log: FailureLog, caplog: pytest.LogCaptureFixture) -> None:
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
    log: FailureLog,
    caplog: pytest.LogCaptureFixture,
    ending: Ending,
    options: dict[str, Any],
    message: str,
    then: str | None,
) -> None:
    end(log, ending, **options)
    (record,) = caplog.records
    assert (record.getMessage(), vars(record).get("then")) == (message, then)


@pytest.mark.parametrize("ending", [Ending.SUCCEEDED, Ending.RETURNED, Ending.UNSTARTED])
def test_nothing_else_is_told(log: FailureLog, caplog: pytest.LogCaptureFixture, ending: Ending) -> None:
    end(log, ending)
    assert caplog.records == []


def test_what_could_steer_a_terminal_is_escaped(log: FailureLog, caplog: pytest.LogCaptureFixture) -> None:
    end(log, Ending.FAILED, {"type": "Odd", "message": "\x1b[2Jred \u202e" + "x" * 1000})
    message = caplog.records[0].getMessage()
    assert message.startswith(r"job failed: Odd: \x1b[2Jred \u202exxx")
    assert len(message) < LONGEST_REASON + 30


def test_a_flood_is_cut_off_within_each_second(
    log: FailureLog, clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MOST_PER_SECOND + 50):
        end(log, Ending.FAILED)
    assert len(caplog.records) == MOST_PER_SECOND + 1
    assert caplog.records[-1].getMessage().startswith("more jobs fail")
    clock.seconds += 1
    end(log, Ending.FAILED)
    assert caplog.records[-1].getMessage() == "job failed"
