"""A switch that ends a process with the n-th call of the database: nothing is cleaned up, nothing more is sent."""

from __future__ import annotations

import itertools
import os
import signal

from pymongo import monitoring

#: what the driver asks by itself, and polls of streams, whose number depends on time alone
_UNCOUNTED = {"hello", "ismaster", "isMaster", "getMore", "killCursors", "endSessions", "ping"}


class CrashSwitch(monitoring.CommandListener):
    """SIGKILL to this process as soon as the n-th call has been answered, before anybody has read the answer.

    Before the call n + 1 is sent the database looks the same, so there is no switch for that.
    """

    def __init__(self, n: int, since: str = "") -> None:
        self._n = n
        self._since = since  #: count from the first write to this collection on; empty: from the start
        self._pid = os.getpid()
        self._numbers = itertools.count(1)  # as one operation of the interpreter it needs no lock

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self._since and event.command.get(event.command_name) == self._since and event.command_name == "update":
            self._since = ""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._count(event.command_name)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._count(event.command_name)

    def _count(self, name: str) -> None:
        if name in _UNCOUNTED or self._since or os.getpid() != self._pid:
            return
        if next(self._numbers) == self._n:
            os.kill(self._pid, signal.SIGKILL)


def arm(n: int, since: str = "") -> None:
    """All clients that this process opens from now on are watched."""
    monitoring.register(CrashSwitch(n, since))
