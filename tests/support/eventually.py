"""Wait for conditions with a deadline instead of sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")


def eventually(
    condition: Callable[[], T | Literal[False] | None],
    timeout: float = 30.0,
    what: str | Callable[[], str] = "",
    pause: float = 0.05,
) -> T:
    """The first true value of `condition`; AssertionError if there is none in time.

    `what`: what the error says; a function is called when the time is up, for what is only known then.
    `pause`: the longest time between two looks.
    """
    deadline = time.monotonic() + timeout
    event, seconds = threading.Event(), 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {said or condition}")
        event.wait(seconds)
        seconds = min(2 * seconds, pause)
