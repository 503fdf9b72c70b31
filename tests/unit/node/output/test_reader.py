"""While the database is away and the node has taken all that it can, a job that prints little goes on."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import cast

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeClock, FakeStore, Threads

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.logs.lines import LEAST_SIZE
from taskscheduler_daemon.ipc.output_pipes import OUT, WorkerPipes
from taskscheduler_daemon.node.output import book as module
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.output.echo import JobEcho
from taskscheduler_daemon.node.output.reader import OutputReader
from taskscheduler_daemon.node.output.streams import Key, Output
from taskscheduler_daemon.node.state.in_flight import InFlight

ROOM = 200_000  #: bytes that the node takes here


class Bench:
    """A reader whose book is never stored, and workers that run an attempt each."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        threads = Threads()
        self.read: list[Output] = []
        self.book = LogBook(FakeStore().store, InFlight(), clock, threads)
        self.manager, inbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inbox.setblocking(False)
        self._inbox = inbox
        echo = cast(JobEcho, SimpleNamespace(show=self.read.extend))
        self.reader = OutputReader(inbox, self.book, clock, threads, echo)
        self.reader.start()
        self.pipes: list[WorkerPipes] = []

    def worker(self) -> tuple[int, Key]:
        """Starts one; returns the pipe that it prints to, and its attempt."""
        pipes, key = WorkerPipes(capture=True), (ObjectId().binary, 1)
        self.pipes.append(pipes)
        pipes.send(self.manager, ObjectId().binary)
        pipes.page.turn(*key)
        os.set_blocking(pipes.writers[OUT], False)
        return pipes.writers[OUT], key

    def size(self, key: Key) -> int:
        tail = self.book._tails.get(key)
        return tail.unsaved_size if tail is not None else 0

    @contextmanager
    def flooded(self, pipe: int) -> Iterator[None]:
        """Prints to a pipe whatever it takes."""
        stop = threading.Event()
        flooding = threading.Thread(target=flood, args=(pipe, stop))
        flooding.start()
        try:
            yield
        finally:
            stop.set()
            flooding.join()

    def stop(self) -> None:
        """Ends the workers, then the reader."""
        for pipes in self.pipes:
            pipes.close()
        self.pipes.clear()
        self.reader.stop()
        self.manager.close()
        self._inbox.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "MOST_UNSAVED", ROOM)
    bench = Bench()
    yield bench
    if bench.pipes:
        bench.stop()


def flood(pipe: int, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(BlockingIOError):
            os.write(pipe, b"x" * 999 + b"\n")


def test_a_job_that_prints_little_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (loud, noisy), (pipe, quiet) = bench.worker(), bench.worker()
    with bench.flooded(loud):
        eventually(lambda: bench.book.is_full, 30, "the book is full")
        for number in range(1, 10):
            os.write(pipe, b"a line\n")
            eventually(lambda: bench.size(quiet) >= LEAST_SIZE * number, 30, "it is read")  # noqa: B023 - at once
        full = bench.size(noisy)
        assert full < 2 * ROOM
        monkeypatch.setattr(module, "MOST_UNSAVED", 2 * ROOM + full)
        eventually(lambda: bench.size(noisy) > full + ROOM // 2, 30, "there is room, and it is read again")


def test_what_a_worker_that_waits_has_printed_is_read_at_the_end(bench: Bench) -> None:
    pipe, key = bench.worker()
    with bench.flooded(pipe):
        eventually(lambda: bench.book.is_full, 30, "the book is full")
    before = bench.size(key)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"y" * 999 + b"\n")
    bench.stop()
    assert bench.size(key) > before


def test_what_is_printed_is_no_younger_than_what_the_job_logs_after_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node may come to look at the clock late."""
    clock, read = FakeClock(), os.read
    began = clock.now().timestamp()

    def slowly(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        clock.seconds += 60.0
        return data

    monkeypatch.setattr(os, "read", slowly)
    bench = Bench(clock)
    pipe, _ = bench.worker()
    try:
        os.write(pipe, b"a line\n")
        eventually(lambda: bench.read, 10, "it is read")
    finally:
        bench.stop()
    assert bench.read[0].entry.at == began
