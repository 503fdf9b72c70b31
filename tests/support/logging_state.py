"""What a test did to logging is undone: a command that sets it up must not speak in the tests after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

_NAMES = (None, "taskscheduler", "taskscheduler_daemon", "pymongo")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Give the loggers that a program sets up their handlers and levels back."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        if logger.level != level:  # setting it forgets what all loggers know of their levels
            logger.setLevel(level)
        logger.handlers[:] = handlers
