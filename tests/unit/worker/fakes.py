"""A worker in this process, its manager's end of the socket, and a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import bson
from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Kind, Report, Run
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.worker.worker import Worker

LIMIT = 0.5  #: seconds between two messages about progress


class FakeClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def pause(self, seconds: float) -> None:
        self.time += seconds


class FakeManager:
    """The manager's end of the socket to a worker, and the page that they share."""

    def __init__(self) -> None:
        self.end, self.worker_end = packets.pair()
        self.end.setblocking(False)
        self.page = SharedPage()
        self._received: list[bytes] = []

    def send(self, *messages: bytes) -> None:
        for message in messages:
            assert packets.send(self.end, message)

    def dismiss(self) -> None:
        """Sends nothing more, so that the worker ends."""
        self.end.shutdown(1)

    @property
    def received(self) -> list[bytes]:
        """All that the worker has sent so far."""
        self._received += packets.drain(self.end)
        return self._received

    @property
    def reports(self) -> list[Report]:
        return [Report.decode(message) for message in self.received if message[0] == Kind.REPORT]

    @property
    def progress(self) -> list[Report]:
        return [Report.decode(message) for message in self.received if message[0] == Kind.PROGRESS]

    def close(self) -> None:
        self.end.close()
        self.worker_end.close()
        self.page.close()


@contextmanager
def fake_manager() -> Iterator[FakeManager]:
    manager = FakeManager()
    try:
        yield manager
    finally:
        manager.close()


def connected(manager: FakeManager, clock: Clock | None = None) -> Worker:
    """A worker that executes what the test gives it, in this process."""
    worker = Worker(ObjectId()) if clock is None else Worker(ObjectId(), clock=clock)
    worker._connect(manager.worker_end, manager.page, LIMIT, 1024)
    return worker


def a_run(name: str, data: Any = None, flags: int = 0, **fields: Any) -> Run:
    job_id = ObjectId()
    body = bson.encode({"_id": job_id, "class": name, "data": data, "attempt": 1, **fields})
    return Run(job_id.binary, 1, 0, flags, body)


class FakeSource:
    """A worker in name only, as handlers of events get it."""

    def __init__(self) -> None:
        self.id = ObjectId()
