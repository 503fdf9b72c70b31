"""Makes the n-th write of a process fail for its caller: after the server has carried it out, or before it was sent.

The driver's own second try is underneath, so it cannot help: what is tested is what the product does.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, NetworkTimeout

WRITES = (
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "bulk_write",
    "find_one_and_update",
    "delete_one",
    "delete_many",
)
AFTER, BEFORE = "after", "before"

#: a message that is lost costs time only
MESSAGES = {"taskscheduler.queue", "taskscheduler.events"}


class FaultyWrites:
    """The n-th write of this process, and `times` - 1 that follow it, fail. Each is written down in `record`.

    `only`: the name of the writes that count; empty: all.
    """

    def __init__(self, n: int, record: Path, when: str, times: int = 1, only: str = "") -> None:
        # no print: what a job prints goes into its own log
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC)
        self._wanted = range(n, n + times)
        self._when = when
        self._only = only
        self._pid = os.getpid()
        self._numbers = itertools.count(1)

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def written(collection: Collection[Any], *args: Any, **options: Any) -> Any:
            is_other = bool(self._only) and write.__name__ != self._only
            is_beside = is_other or collection.name in MESSAGES or os.getpid() != self._pid
            if is_beside or (number := next(self._numbers)) not in self._wanted:
                return write(collection, *args, **options)
            os.write(self._record, f"{self._when} {write.__name__} {number}\n".encode())
            if self._when == AFTER:
                write(collection, *args, **options)
            raise (NetworkTimeout if number % 2 else AutoReconnect)("as ordered by the test")

        return written


def arm(n: int, record: Path, when: str, times: int = 1, only: str = "") -> None:
    """All writes of this process go through the fault."""
    faulty = FaultyWrites(n, record, when, times, only)
    for name in WRITES:
        setattr(Collection, name, faulty.around(getattr(Collection, name)))
