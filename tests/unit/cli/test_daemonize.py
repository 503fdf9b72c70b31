"""How the caller of a daemon learns that the node is ready, or why it is not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskscheduler_daemon.cli.daemonize import ReadinessHandler, parse_failure, with_pidfile
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.logs import NODE_READY
from taskscheduler_daemon.system.pidfile import Pidfile


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def record(message: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelno": logging.INFO})


def test_the_record_of_a_ready_node_is_reported_once(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    handler = ReadinessHandler(writer)
    handler.handle(record("node started"))
    handler.handle(record(NODE_READY))
    assert os.read(reader, 100) == f"ready {os.getpid()}".encode()
    assert os.read(reader, 100) == b""  # it is closed
    with (tmp_path / "other").open("w+b") as other:
        if is_copy := other.fileno() != writer:
            os.dup2(other.fileno(), writer)  # the number belongs to another file now
        handler.handle(record(NODE_READY))
        handler.report_failure(ExitCode.DATABASE, "too late to matter")
        if is_copy:
            os.close(writer)
        assert other.read() == b""


def test_a_failure_is_reported_with_its_code(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    ReadinessHandler(writer).report_failure(ExitCode.DATABASE, "no server\udcff")
    report = os.read(reader, 100).decode()
    assert report == "failed 4 no server?"
    assert parse_failure(report) == (4, "no server?")


def test_a_long_reason_is_cut(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    ReadinessHandler(writer).report_failure(ExitCode.FAILED, "x" * 5000)
    assert len(os.read(reader, 8000)) == 4000


def test_a_caller_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    handler = ReadinessHandler(writer)
    os.close(writer)
    handler.report_failure(ExitCode.FAILED, "nobody reads this")
    handler.handle(record(NODE_READY))


def test_a_daemon_that_ended_without_a_report_has_failed() -> None:
    assert parse_failure("") == (ExitCode.FAILED, "")


def test_the_pidfile_names_this_process_while_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "node.pid"

    def serve() -> int:
        assert Pidfile(path).owner() == os.getpid()
        return 7

    assert with_pidfile(str(path), serve) == 7
    assert not path.exists()
