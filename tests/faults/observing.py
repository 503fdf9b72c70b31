"""What nodes and the listener write down beside their own events: their log, and when a change stream is resumed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pymongo.change_stream import ChangeStream

from tests.faults.history import History

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class HistoryHandler(logging.Handler):
    """Writes the log of a process, and of those that it forks, into the history as well."""

    def __init__(self, history: History, name: str) -> None:
        super().__init__(logging.INFO)
        self._history = history
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self._history.write("log", by=self._name, text=record.getMessage(), level=record.levelname, extra=extra)


def observe_streams(history: History) -> None:
    """Write down when the driver resumes a stream by itself, which no log tells."""
    resume: Callable[..., None] = ChangeStream._resume

    def resumed(self: ChangeStream[Any]) -> None:
        resume(self)
        history.write("resumed")

    ChangeStream._resume = resumed  # type: ignore[method-assign]
