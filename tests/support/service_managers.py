"""A service manager as far as a process sees it: a socket in the environment, and what arrives there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.eventually import eventually


class Listening:
    """Collects the notifications that processes send."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def take(self) -> list[str]:
        """Returns what has arrived since the last call."""
        arrived = []
        try:
            while True:
                arrived.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            pass
        self.heard += arrived
        return arrived

    def forget(self) -> None:
        """Has `wait_for` wait for what comes from now on."""
        self.take()
        self.heard.clear()

    def wait_for(self, *messages: str) -> None:
        """Waits until messages have come that begin so, in any order."""
        for message in messages:
            eventually(partial(self._has_heard, message), 60, message)

    def _has_heard(self, start: str) -> bool:
        self.take()
        return any(one.startswith(start) for one in self.heard)

    def close(self) -> None:
        """Listens no more."""
        self._socket.close()


@contextmanager
def listening(folder: Path, monkeypatch: pytest.MonkeyPatch, watchdog: float | None = None) -> Iterator[Listening]:
    """Has what is started from here on report to the yielded one, with signs of life within so many seconds."""
    found = Listening(str(folder / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", found.address)
    if watchdog is not None:
        monkeypatch.setenv("WATCHDOG_USEC", str(round(watchdog * 1e6)))
    try:
        yield found
    finally:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        found.close()
