"""When a node reads messages about urgent jobs beside the change stream."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeStore, Threads

from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler_daemon.node import urgent_listener
from taskscheduler_daemon.node.urgent_listener import UrgentListener


class FakeTail:
    """Yields what it is given, and waits for more until it is closed."""

    def __init__(self, *_: object) -> None:
        self.messages: queue.SimpleQueue[list[dict[str, Any]]] = queue.SimpleQueue()
        self.reads = self.rests = 0

    def next(self) -> list[dict[str, Any]]:
        self.reads += 1
        return self.messages.get()

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None:
        self.messages.put([])


class Bench:
    """A listener, and what it has had claimed."""

    def __init__(self) -> None:
        self.heard: list[list[UrgentJob]] = []
        self.threads = Threads()
        self.faults = 0
        claims = cast(Any, SimpleNamespace(heard=self._heard))
        self.listener = UrgentListener(FakeStore().store, claims, self.threads)
        self.tail = cast(FakeTail, self.listener._tail)

    def _heard(self, jobs: list[UrgentJob]) -> None:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("odd")
        self.heard.append(jobs)

    def send(self, *jobs: UrgentJob) -> None:
        named = [[{"job": job.job_id, "queue": job.queue, "priority": job.priority}] for job in jobs]
        self.tail.messages.put([{"_id": ObjectId(), "urgent": one} for one in named])


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(urgent_listener, "MessageTail", FakeTail)
    return Bench()


def a_job() -> UrgentJob:
    return UrgentJob(ObjectId(), "mail", 1)


def test_nothing_is_read_before_it_is_wanted_or_after(bench: Bench) -> None:
    first, second, third = a_job(), a_job(), a_job()
    bench.listener.start()
    try:
        eventually(lambda: bench.tail.rests == 1)
        assert bench.tail.reads == 0
        bench.listener.listen(True)
        bench.send(first, second)
        eventually(lambda: bench.heard == [[first, second]], 10, "those of several messages are claimed together")
        eventually(lambda: bench.tail.reads == 2)
        bench.listener.listen(False)
        bench.send(third)
        eventually(lambda: bench.tail.rests == 2)
        assert len(bench.heard) == 1, "the change stream tells of it"
    finally:
        bench.listener.stop()
    assert not bench.threads.crashed.is_set()


@pytest.mark.parametrize("listens", [False, True])
def test_it_stops_whether_it_reads_or_not(bench: Bench, listens: bool) -> None:
    bench.listener.start()
    bench.listener.listen(listens)
    eventually(lambda: bench.tail.reads == 1 if listens else bench.tail.rests == 1)
    stopping = threading.Thread(target=bench.listener.stop)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()


def test_an_error_ends_neither_the_thread_nor_the_session(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(urgent_listener, "_PAUSE", 0.0)
    bench.faults, job = 1, a_job()
    bench.listener.start()
    bench.listener.listen(True)
    bench.send(a_job())
    bench.send(job)
    try:
        eventually(lambda: bench.heard == [[job]])
    finally:
        bench.listener.stop()
    assert "urgent jobs not claimed" in caplog.text
    assert not bench.threads.crashed.is_set()
