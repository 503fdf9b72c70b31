"""Prints what the library logs about its connection as remarks of the command, where the command writes no log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from taskscheduler_daemon.logs import logs_to_stderr
from taskscheduler_daemon.presentation.terminal import one_line, remark

_LOGGERS = ("taskscheduler.connection", "taskscheduler.embedded.server")


class _Remarks(logging.Handler):
    """Prints each record as one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record, unless it goes to a log on the same standard error."""
        if not logs_to_stderr():
            remark(f"taskscheduler: {one_line(record.getMessage())}")


@contextmanager
def shown_as_remarks() -> Iterator[None]:
    """Prints, in this context, where a slow connection goes, why there is none, and which database is used instead."""
    handler, loggers = _Remarks(), [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
