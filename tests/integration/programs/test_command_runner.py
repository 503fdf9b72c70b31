"""How a command is run, what its exit code becomes, and what is stored."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

import pytest
from tests.unit.programs.fakes import FakeRecord

from taskscheduler import JobCanceledError
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.process_state import ProcessState
from taskscheduler_daemon.programs.command_runner import NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT, CommandRunner


def run(record: FakeRecord, *arguments: str, timeout: float = 0, most_output: int = 1000) -> tuple[int, str]:
    """The exit code and the remarks."""
    stderr = io.StringIO()
    code = CommandRunner(record, 0.3, timeout, most_output, stderr, SYSTEM_CLOCK).run(arguments)
    return code, stderr.getvalue()


def python(script: str) -> tuple[str, ...]:
    return sys.executable, "-c", script


def result(end: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = end[2]
    return found


def test_a_command_that_succeeds_is_done_with_the_end_of_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    record = FakeRecord()
    assert run(record, "sh", "-c", "echo good; echo bad >&2; exit 0", most_output=5) == (0, "")
    assert capfd.readouterr() == ("good\n", "bad\n")
    kind, success, stored = record.end
    assert (kind, success, stored["exit_code"], stored["output_bytes"]) == ("finish", True, 0, 9)
    assert len(stored["output"]) == 5


def test_a_command_that_fails_has_its_exit_code() -> None:
    record = FakeRecord()
    assert run(record, "sh", "-c", "exit 3") == (3, "")
    assert record.end[1] == "exit code 3"
    assert record.end[3] == {"exit_code": 3}


def test_a_command_that_a_signal_killed_has_its_number_and_its_name() -> None:
    record = FakeRecord()
    assert run(record, "sh", "-c", "kill -KILL $$") == (128 + signal.SIGKILL, "")
    assert record.end[1] == "killed by SIGKILL"
    assert record.end[3] == {"signal": "SIGKILL"}


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [("/no/such/command", NOT_FOUND, "command not found"), ("/", NOT_EXECUTABLE, "Permission denied")],
)
def test_a_command_that_cannot_be_run_fails(command: str, code: int, reason: str) -> None:
    record = FakeRecord()
    assert run(record, command) == (code, f"taskscheduler exec: {command}: {reason}\n")
    assert record.written == [("fail", f"{command}: {reason}", None, {"exit_code": code})]


def test_a_command_that_runs_too_long_is_ended() -> None:
    record = FakeRecord()
    code, remarks = run(record, *python("import signal; signal.pause()"), timeout=0.2)
    assert code == TIMED_OUT
    assert "the command ran longer than 0.2 s and was killed" in remarks
    assert record.end[:2] == ("fail", "it ran longer than 0.2 s and was killed")
    assert result(record.end)["exit_code"] == -signal.SIGTERM


def test_a_command_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler_daemon.programs.command_runner.GRACE", 0.1)
    record = FakeRecord()
    code, _ = run(record, "sh", "-c", "trap '' TERM; exec sleep 1000", timeout=1.5)
    assert code == TIMED_OUT
    assert result(record.end)["exit_code"] == -signal.SIGKILL


def test_a_command_whose_record_is_cancelled_is_ended_and_nothing_more_is_stored() -> None:
    record = FakeRecord()
    record.refusals = [JobCanceledError("job x was cancelled", ProcessState({}))]
    code, remarks = run(record, *python("import signal; signal.pause()"))
    assert code == 128 + signal.SIGTERM
    assert remarks == "taskscheduler exec: job x was cancelled; the command was ended\n"
    assert record.written == []


def test_a_signal_goes_on_to_the_command() -> None:
    record = FakeRecord()
    script = "import os, signal; os.kill(os.getppid(), signal.SIGHUP); signal.pause()"
    assert run(record, *python(script)) == (128 + signal.SIGHUP, "")
    assert record.end[1] == "killed by SIGHUP"


def test_output_of_a_child_that_outlives_the_command_is_read_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskscheduler_daemon.programs.command_runner._LINGER", 0.1)
    record = FakeRecord()
    script = "import os, signal\nif os.fork() == 0:\n    signal.alarm(20); signal.pause()\n"
    began = SYSTEM_CLOCK.monotonic()
    assert run(record, *python(script)) == (0, "")
    assert SYSTEM_CLOCK.monotonic() - began < 15
