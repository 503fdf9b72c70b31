"""Makes the n-th write of a process fail for its caller: after the server has carried it out, or before it was sent.

The driver's own second try is underneath, so it cannot help: what is tested is what the product does.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
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
    """The n-th write of this process, and `times` - 1 that follow it, fail."""

    def __init__(self, n: int, when: str, times: int = 1) -> None:
        self._wanted = range(n, n + times)
        self._when = when
        self._pid = os.getpid()
        self._numbers = itertools.count(1)

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def written(collection: Collection[Any], *args: Any, **options: Any) -> Any:
            is_beside = collection.name in MESSAGES or os.getpid() != self._pid
            if is_beside or (number := next(self._numbers)) not in self._wanted:
                return write(collection, *args, **options)
            print("fault", self._when, write.__name__, number, flush=True)  # noqa: T201  (the log of the process)
            if self._when == AFTER:
                write(collection, *args, **options)
            raise (NetworkTimeout if number % 2 else AutoReconnect)("as ordered by the test")

        return written


def arm(n: int, when: str, times: int = 1) -> None:
    """All writes of this process go through the fault."""
    faulty = FaultyWrites(n, when, times)
    for name in WRITES:
        setattr(Collection, name, faulty.around(getattr(Collection, name)))
