"""A record of a program without a database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from taskscheduler.errors import SchedulerError


class FakeRecord:
    """Keeps what is written to it; refuses as often as it is told to."""

    def __init__(self, solo: bool = False) -> None:
        self.written: list[tuple[Any, ...]] = []
        self.refusals: list[SchedulerError] = []
        self.before_end: Callable[[], object] = lambda: None
        self.alive = threading.Event()  #: set at each sign of life
        self._solo = solo

    def to_dict(self) -> dict[str, Any]:
        return {"solo": "key"} if self._solo else {}

    def stands_for(self, group: int) -> None:
        self._write("group", group)

    def sign_of_life(self) -> None:
        self.alive.set()
        self._write("alive")

    def finish(self, success: bool = True, result: Any = None) -> None:
        self.before_end()
        self._write("finish", success, result)

    def fail(self, message: str, result: Any = None, /, **details: Any) -> None:
        self.before_end()
        self._write("fail", message, result, details)

    def _write(self, *what: Any) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.written.append(what)

    @property
    def end(self) -> tuple[Any, ...]:
        """The only end that was stored."""
        [end] = [what for what in self.written if what[0] in ("finish", "fail")]
        return end
