"""InlineLog: the log of an attempt that runs in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bson import ObjectId

from taskscheduler.clock import NEVER, Clock
from taskscheduler.jobs.inline_runtime import Held
from taskscheduler.jobs.output import text_of
from taskscheduler.model.logs.lines import LOG, Entry
from taskscheduler.model.logs.tail import Log, LogTail
from taskscheduler.store.attempts.logs import LogStore, reference


class InlineLog:
    """Keeps what an attempt, or a batch of them, logs and prints in Python, and stores it at the end."""

    def __init__(self, held: Sequence[Held], clock: Clock) -> None:
        self._logs = [Log(one.fence.job_id, one.fence.attempt) for one in held]
        self._tail = LogTail(self._logs[0] if len(held) == 1 else Log(ObjectId(), 1))
        self._clock = clock
        self._lines: dict[str, str] = {}  #: the beginnings of lines that have no end yet

    def record(self, record: logging.LogRecord) -> None:
        self._add(LOG, text_of(record), record.levelname, record.name)

    def printed(self, stream: str, text: str) -> None:
        lines, end, rest = (self._lines.pop(stream, "") + text).rpartition("\n")
        if end:
            self._add(stream, lines + end)
        if rest:
            self._lines[stream] = rest

    def _add(self, stream: str, text: str, level: str = "", logger: str = "") -> None:
        at = self._clock.now().timestamp()
        self._tail.add(Entry(at, stream, text.encode(errors="backslashreplace"), level, logger))

    def store(self, logs: LogStore) -> None:
        """Stores the log. Nothing is written if there is none."""
        for stream, rest in self._lines.items():
            self._add(stream, rest)
        chunks = self._tail.chunks(0.0, NEVER, everything=True)
        if chunks and len(self._logs) > 1:
            chunks = [*(reference(log, self._tail.log) for log in self._logs), *chunks]
        if chunks:
            logs.write(chunks)
