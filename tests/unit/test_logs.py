"""How log records look."""

from __future__ import annotations

import logging
import sys

from taskscheduler_daemon.logs import CompactFormatter


def test_a_log_line_has_the_extra_fields_and_stays_one_line() -> None:
    record = logging.makeLogRecord(
        {"msg": "node %s\nstarted", "args": ("a",), "levelname": "INFO", "created": 0.123, "node": "web 1", "pid": 7}
    )
    line = CompactFormatter().format(record)
    assert line == '1970-01-01T00:00:00.123Z INFO  node a\\nstarted node="web 1" pid=7'


def test_neither_a_traceback_nor_the_name_of_a_field_can_steer_a_terminal() -> None:
    try:
        raise ValueError("a\x1b[2J\x9b\u202e\rb")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "levelname": "INFO", "exc_info": sys.exc_info(), "x\x1b": 1})
    line = CompactFormatter().format(record)
    assert "ValueError: a" in line
    assert all(char.isprintable() or char == "\n" for char in line)


def test_the_text_of_an_exception_cannot_pass_for_a_record() -> None:
    forged = "1970-01-01T00:00:00.123Z INFO  node stopped"
    try:
        raise ValueError(f"no\n{forged}\r{forged}\u2028{forged}")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "levelname": "INFO", "exc_info": sys.exc_info()})
    first, *rest = CompactFormatter().format(record).split("\n")
    assert first.endswith("failed")
    assert [line.strip() for line in rest][-3:] == [forged] * 3
    assert all(line.startswith("  ") for line in rest)
