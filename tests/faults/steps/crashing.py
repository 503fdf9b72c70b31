"""A switch that ends a process with the n-th call of the database: nothing is cleaned up, nothing more is sent.

It writes down the calls that it counts, so that a test can tell what the process did.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

from pymongo import monitoring

#: what the driver asks by itself, and polls of streams, whose number depends on time alone
_UNCOUNTED = {"hello", "ismaster", "isMaster", "getMore", "killCursors", "endSessions", "ping"}


class CrashSwitch(monitoring.CommandListener):
    """SIGKILL to this process as soon as the n-th call has been answered, before anybody has read the answer.

    Before the call n + 1 is sent the database looks the same, so there is no switch for that.
    """

    def __init__(self, n: int, record: Path, since: str = "") -> None:
        self._n = n
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC)
        self._calls: dict[int, str] = {}  #: by request
        self._since = since  #: count from the first write to this collection on; empty: from the start
        self._pid = os.getpid()
        self._numbers = itertools.count(1)  # as one operation of the interpreter it needs no lock

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._calls[event.request_id] = f"{event.command_name} {event.command.get(event.command_name)}"
        if self._since and event.command.get(event.command_name) == self._since and event.command_name == "update":
            self._since = ""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._count(event.command_name, self._calls.pop(event.request_id))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._count(event.command_name, self._calls.pop(event.request_id))

    def _count(self, name: str, call: str) -> None:
        if name in _UNCOUNTED or self._since or os.getpid() != self._pid:
            return
        if next(self._numbers) == self._n:
            os.kill(self._pid, signal.SIGKILL)
        os.write(self._record, f"{call}\n".encode())


def arm(n: int, record: Path, since: str = "") -> None:
    """All clients that this process opens from now on are watched; the calls it survives are written to `record`."""
    monitoring.register(CrashSwitch(n, record, since))
