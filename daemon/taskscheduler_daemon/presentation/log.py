"""How lines of logs look: to people, as records and as text."""

from __future__ import annotations

from typing import Any

from taskscheduler.model.logs.lines import GAP, LOG, LogLine
from taskscheduler_daemon.presentation.clean import clean, clean_lines
from taskscheduler_daemon.presentation.text import iso

COLUMNS = ("TIME", "ATTEMPT", "STREAM", "LEVEL", "LOGGER", "TEXT")

#: the colours of levels
COLORS = {"WARNING": 3, "ERROR": 1, "CRITICAL": 1}


def record(line: LogLine) -> dict[str, Any]:
    """Returns a line as JSON has it."""
    return {
        "time": iso(line.at),
        "attempt": line.attempt,
        "stream": line.stream,
        "level": line.level,
        "logger": line.logger,
        "text": line.text,
        "cursor": str(line.cursor),
    }


def row(line: LogLine) -> tuple[object, ...]:
    """Returns the cells of a line."""
    return iso(line.at), line.attempt, line.stream, line.level or "", line.logger or "", line.text


def source(line: LogLine) -> str:
    """Returns where a line comes from: the level of a record, or the stream."""
    return (line.level or "") if line.stream == LOG else line.stream


def shown_lines(line: LogLine) -> list[str]:
    """Returns a line for a terminal, one of its own lines each, without control characters."""
    if line.stream == GAP:
        return [clean(line.text)]
    parts = clean_lines(line.text) or [""]
    head = f"{line.at.astimezone():%H:%M:%S}  {clean(source(line)):<7} "
    return [head + parts[0], *(" " * len(head) + part for part in parts[1:])]
