"""How log records look."""

from __future__ import annotations

import logging

from taskscheduler_daemon.logs import CompactFormatter


def test_a_log_line_has_the_extra_fields_and_stays_one_line() -> None:
    record = logging.makeLogRecord(
        {"msg": "node %s\nstarted", "args": ("a",), "levelname": "INFO", "created": 0.123, "node": "web 1", "pid": 7}
    )
    line = CompactFormatter().format(record)
    assert line == '1970-01-01T00:00:00.123Z INFO  node a\\nstarted node="web 1" pid=7'
