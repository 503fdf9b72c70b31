"""A switch that ends a process at one of its writes to the database: nothing is cleaned up, nothing more is sent.

There are two moments for each write. Once it is answered, and before anybody has read the answer, it is all that is
known. Before the next one is sent the database looks the same, but the process has done more beside it: a worker has
begun the job, or has ended it. At a read the database looks as at one of these moments, so there is no switch for that.

It writes down all calls that it sees, so that a test can tell what the process did.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

from pymongo import monitoring

#: what the driver asks by itself, and polls of streams, whose number depends on time alone
_UNSEEN = {"hello", "ismaster", "isMaster", "getMore", "killCursors", "endSessions", "ping", "saslContinue"}

_WRITES = {
    *("insert", "update", "delete", "findAndModify", "bulkWrite"),
    *("commitTransaction", "abortTransaction", "create", "createIndexes", "dropIndexes", "collMod", "killSessions"),
}

#: messages, whose loss costs time only, and signs of life, whose number depends on time alone
_BESIDE = {"insert taskscheduler.queue", "insert taskscheduler.events", "findAndModify taskscheduler.nodes"}


class CrashSwitch(monitoring.CommandListener):
    """SIGKILL to this process at the n-th moment: the odd ones are before a write is sent, the even ones after it."""

    def __init__(self, n: int, record: Path, since: str = "") -> None:
        self._n = n
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC)
        self._calls: dict[int, str] = {}  #: by request
        self._since = since  #: count from the first write to this collection on; empty: from the start
        self._pid = os.getpid()
        self._numbers = itertools.count(1)  # as one operation of the interpreter it needs no lock

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        call = f"{event.command_name} {event.command.get(event.command_name)}"
        self._calls[event.request_id] = call
        if call == f"update {self._since}":
            self._since = ""
        self._count(event.command_name, call)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._answered(event.command_name, self._calls.pop(event.request_id))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._answered(event.command_name, self._calls.pop(event.request_id))

    def _answered(self, name: str, call: str) -> None:
        self._count(name, call)
        if name not in _UNSEEN and not self._since and os.getpid() == self._pid:
            os.write(self._record, f"{call}\n".encode())

    def _count(self, name: str, call: str) -> None:
        if name not in _WRITES or call in _BESIDE or self._since or os.getpid() != self._pid:
            return
        if next(self._numbers) == self._n:
            os.kill(self._pid, signal.SIGKILL)


def arm(n: int, record: Path, since: str = "") -> None:
    """All clients that this process opens from now on are watched; the answered calls are written to `record`."""
    monitoring.register(CrashSwitch(n, record, since))
