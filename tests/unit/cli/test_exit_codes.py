"""The exit code and the line of each error."""

from __future__ import annotations

from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError, JobNotFoundError, ServiceNotFoundError, WaitTimeoutError
from taskscheduler_daemon.cli.exit_codes import CODES, ExitCode, exit_code, failure


def test_exit_codes_of_errors() -> None:
    assert exit_code(WaitTimeoutError("x")) is ExitCode.TIMED_OUT
    assert exit_code(JobNotFoundError("x")) is ExitCode.NOT_FOUND
    assert exit_code(InvalidOptionError("x")) is ExitCode.USAGE


def test_no_class_of_errors_hides_a_later_one() -> None:
    earlier: list[type[Exception]] = []
    for classes, _ in CODES:
        for error in classes:
            assert not any(issubclass(error, other) for other in earlier)
        earlier += classes


@table(
    ("error", "code", "line"),
    [
        (InvalidOptionError("option retry\nis \x1bwrong"), ExitCode.USAGE, "option retry is  wrong"),
        (
            ServiceNotFoundError("feed"),
            ExitCode.NOT_FOUND,
            "Given service 'feed' does not exist; start it with: taskscheduler service start",
        ),
        (
            ModuleNotFoundError("No module named 'fastapi'", name="fastapi"),
            ExitCode.USAGE,
            "fastapi is not installed; run: pip install 'mongo-taskscheduler[web]'",
        ),
        (OSError("disk full"), ExitCode.FAILED, "disk full"),
        (
            KeyError("x"),
            ExitCode.FAILED,
            "unexpected KeyError: 'x' (this is a bug; -v shows where it happened)",
        ),
    ],
)
def test_each_error_is_one_line_with_its_cure(error: Exception, code: ExitCode, line: str) -> None:
    assert failure(error) == (code, line)


def test_a_module_of_somebody_else_that_is_missing_is_no_extra_of_ours() -> None:
    code, line = failure(ModuleNotFoundError("No module named 'theirs'", name="theirs"))
    assert (code, "pip install" in line) == (ExitCode.FAILED, False)
