"""What jobs print is printed where the node prints, each line after its job, and nobody waits for a slow reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from tests.unit.node.fakes import FakeClock, FakeStore, Threads, attempt

from taskscheduler.model.logs.lines import LOG, STDERR, STDOUT, Entry
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.output.echo import JobEcho
from taskscheduler_daemon.node.output.streams import Key, Output
from taskscheduler_daemon.node.state.in_flight import Attempt, Batch, InFlight


class Bench:
    """An echo between two pipes."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self.book = LogBook(FakeStore().store, self.in_flight, FakeClock(), Threads())
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        self.streams = out, err
        self.echo = JobEcho(self.book, self.streams)

    def print(self, key: Key | None, text: bytes, stream: str = STDOUT) -> None:
        self.echo.show([Output(key, Entry(0.0, stream, text))])

    def read(self, pipe: int) -> str:
        os.set_blocking(pipe, False)
        try:
            return os.read(pipe, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        for descriptor in (self.out, self.err, *self.streams):
            os.close(descriptor)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def named(name: str) -> Attempt:
    fields: dict[str, Any] = {"class": name}
    return attempt(**fields)


def running(bench: Bench, name: str) -> Attempt:
    one = named(name)
    bench.in_flight.add([one])
    return one


def key_of(one: Attempt) -> Key:
    return one.fence.job_id.binary, one.fence.attempt


def test_each_line_stands_after_its_job(bench: Bench) -> None:
    mail, copy = running(bench, "Mail"), running(bench, "myapp.Copy")
    bench.print(key_of(copy), b"one\ntwo\n")
    bench.print(key_of(mail), b"three\n", STDERR)
    bench.print(key_of(mail), b"of a record", LOG)
    bench.print(None, b"of nobody\n")
    ids = [str(one.fence.job_id)[-6:] for one in (copy, mail)]
    assert bench.read(bench.out) == f"myapp.Copy {ids[0]} | one\nmyapp.Copy {ids[0]} | two\n"
    assert bench.read(bench.err) == f"Mail {ids[1]}       | three\n"


def test_no_job_steers_the_terminal_or_speaks_for_another_one(bench: Bench) -> None:
    one = running(bench, "Mail\x1b[2J\n")
    bench.print(key_of(one), b"\x1b]0;title\x07\rMail 123456 | forged\n\xff\xfe\n")
    head = f"Mail\\x1b[2J\\n {str(one.fence.job_id)[-6:]} | "
    assert bench.read(bench.out).splitlines() == [
        head + "\\x1b]0;title\\x07",
        head + "Mail 123456 | forged",
        head + "��",
    ]


def test_a_job_that_has_ended_a_batch_and_an_unknown_one_are_named_as_far_as_known(bench: Bench) -> None:
    ended, member, stranger = named("Mail"), running(bench, "Each"), ObjectId()
    bench.book.expect(ended, has_output=True)
    batch = Batch([member])
    bench.in_flight.batches[batch.id.binary] = batch
    bench.print(key_of(ended), b"last words\n")
    bench.print(batch.key, b"together\n")
    bench.print((stranger.binary, 1), b"late\n")
    assert bench.read(bench.out).splitlines() == [
        f"Mail {str(ended.fence.job_id)[-6:]} | last words",
        f"Each {str(member.fence.job_id)[-6:]} | together",
        f"job {str(stranger)[-6:]}  | late",
    ]


def test_of_a_slow_reader_lines_are_left_out_and_counted(bench: Bench) -> None:
    one = running(bench, "Mail")
    for number in range(100):
        bench.print(key_of(one), b"%d " % number + b"x" * 4000 + b"\n")
    shown = bench.read(bench.out).splitlines()
    assert 10 < len(shown) < 20
    bench.print(key_of(one), b"read again\n")
    said, line = bench.read(bench.out).splitlines()
    assert said == f"[{100 - len(shown)} lines of jobs are left out here; they are stored]"
    assert line.endswith("| read again")
    os.close(bench.streams[0])
    bench.print(key_of(one), b"to nobody\n")
    bench.streams = os.dup(bench.streams[1]), bench.streams[1]
