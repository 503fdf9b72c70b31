"""Counts the calls that set a handler of a signal, as a look at all 62 handlers takes two microseconds."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any

_MODULE: Any = sys.modules.get("_signal")

_Handler = Callable[[int, FrameType | None], Any] | int | None


class HandlerCalls:
    """Counts the calls of `signal.signal`, which is the only way to the handlers that Python knows.

    That function is written in Python, and looks up at each call what it is called in `_signal`. So a call counts also
    where the function was imported before.
    """

    def __init__(self) -> None:
        self.count = 0
        self.module = _MODULE  #: where the counter stands, as `signal`, unless somebody has replaced it
        self._set: Any = getattr(_MODULE, "signal", None)
        if self._set is not None:
            _MODULE.signal = self

    def __call__(self, number: int, handler: _Handler, /) -> _Handler:
        self.count += 1
        result: _Handler = self._set(number, handler)
        return result

    def is_exact(self) -> bool:
        """Tells whether calls do count in this Python, by setting a handler to what it is."""
        before, handler = self.count, signal.getsignal(signal.SIGTERM)
        try:
            signal.signal(signal.SIGTERM, handler)
        except (TypeError, ValueError):
            return False  # it was not set by Python, or this is not the main thread
        return self.count == before + 1


@cache
def handler_calls() -> HandlerCalls:
    """Returns the only counter of this process, and of its forks."""
    return HandlerCalls()
