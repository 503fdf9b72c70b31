"""The end of a run says whether it had output, and a silent one leaves nothing in its pipes."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon.ipc.output import Frame, FrameKind, FrameReader
from taskscheduler_daemon.ipc.output_pipes import ERR, OUT, PIPES, ReceivedPipes, WorkerPipes, receive_pipes
from taskscheduler_daemon.worker.output import WorkerOutput

KEY = (ObjectId().binary, 3)


class Bench:
    """The output of a worker, and the ends of its pipes that the node has."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._pipes = WorkerPipes(capture=False)
        with ours, theirs:
            self._pipes.send(ours, ObjectId().binary)
            received = receive_pipes(theirs)
        assert received is not None
        self.node: ReceivedPipes = received
        self.writers = self._pipes.writers
        self.output = WorkerOutput(self._pipes, SYSTEM_CLOCK)

    def read(self, pipe: int) -> list[bytes | Frame]:
        try:
            return list(FrameReader().feed(os.read(self.node.readers[pipe], 1 << 16)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        for reader in self.node.readers:
            os.close(reader)
        self.node.page.close()
        self._pipes.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_silent_run_writes_nothing(bench: Bench) -> None:
    for _ in range(2):
        bench.output.begin(KEY)
        assert bench.node.page.current() == KEY
        assert not bench.output.end()
        assert bench.node.page.current() is None
    assert [bench.read(pipe) for pipe in PIPES] == [[], []]


@table("pipe", PIPES)
def test_what_stands_in_a_pipe_is_ended(bench: Bench, pipe: int) -> None:
    bench.output.begin(KEY)
    os.write(bench.writers[pipe], b"said\n")
    assert bench.output.end()
    said, end = bench.read(pipe)
    assert said == b"said\n"
    assert isinstance(end, Frame)
    assert (end.kind, (end.job_id, end.attempt), end.payload) == (FrameKind.END, KEY, bytes([pipe]))
    assert bench.read(1 - pipe) == []


@table("pipe", PIPES)
def test_what_the_node_has_read_is_ended(bench: Bench, pipe: int) -> None:
    bench.output.begin(KEY)
    bench.node.page.note(pipe, True)
    assert bench.output.end()
    assert [type(one) for one in bench.read(pipe)] == [Frame]
    bench.node.page.note(pipe, False)
    bench.output.begin(KEY)
    assert not bench.output.end()


def test_what_is_printed_after_a_record_tells_its_time(bench: Bench) -> None:
    """Both stand in different pipes, and the node may read either first."""
    bench.output.begin(KEY)
    bench.output.record(logging.LogRecord("app", logging.INFO, __file__, 1, "logged", None, None))
    assert not bench.output.printed(OUT, "printed"), "it is written as it is"
    [record, _] = bench.read(ERR)
    [tick] = bench.read(OUT)
    assert isinstance(record, Frame)
    assert isinstance(tick, Frame)
    assert (record.kind, tick.kind) == (FrameKind.RECORD, FrameKind.TICK)
    assert tick.at >= record.at
    assert not bench.output.printed(OUT, "more")
    assert bench.read(OUT) == []
