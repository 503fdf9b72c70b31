"""Logs one compact line per record to the standard error, with extra fields as key=value."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

#: the message of the record that a node logs when it is ready; `taskscheduler node --daemonize` waits for it
NODE_READY = "node ready"

#: attributes of every record; all others were given as `extra`
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_MOST_NAMES = 20


class CompactFormatter(logging.Formatter):
    """Formats a record as `2026-11-21T08:00:00.123Z INFO  node started node=web-1 pid=4711`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as one line, followed by its traceback if it has one."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = [f"{_one_line(name)}={_value(value)}" for name, value in vars(record).items() if name not in _STANDARD]
        line = " ".join([time, f"{record.levelname:<5}", _one_line(record.getMessage()), *fields])
        if record.exc_info:
            # indented, so that the text of an exception cannot pass for a record
            line += "".join(f"\n  {_one_line(part)}" for part in self.formatException(record.exc_info).splitlines())
        return line


def listed(names: Sequence[str]) -> str:
    """Returns names for a field of a record; of many only the first."""
    more = len(names) - _MOST_NAMES
    return ",".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "") or "none"


def _value(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and text and not any(char in ' ="' for char in text)
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]


def logs_to_stderr() -> bool:
    """Returns whether `log_to_stderr` was called in this process."""
    return any(isinstance(handler.formatter, CompactFormatter) for handler in logging.getLogger().handlers)


def log_to_stderr(verbose: bool = False) -> None:
    """Sends the log of this process to the standard error; `verbose` includes debug records."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CompactFormatter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    # the driver would log every command and heartbeat
    logging.getLogger("pymongo").setLevel(logging.WARNING)
