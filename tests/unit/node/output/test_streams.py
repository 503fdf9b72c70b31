"""Whose output it is that was read from the pipes of a worker."""

from __future__ import annotations

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.logs.lines import LOG, STDERR, STDOUT, Entry
from taskscheduler_daemon.ipc.output import NOBODY, Frame, FrameKind, encode, record_payload
from taskscheduler_daemon.ipc.output_pipes import ERR, OUT
from taskscheduler_daemon.node.output.streams import Key, Output, PipeReader, WorkerStreams

FIRST: Key = (ObjectId().binary, 1)

SECOND: Key = (ObjectId().binary, 3)


def end(key: Key, pipes: bytes = b"\0") -> bytes:
    return b"".join(encode(Frame(FrameKind.END, *key, 9.0, pipes)))


def frame(kind: FrameKind, key: Key, at: float, payload: bytes = b"", number: int = 0) -> bytes:
    return b"".join(encode(Frame(kind, *key, at, payload, number)))


def output(key: Key | None, text: bytes, at: float = 5.0, stream: str = STDOUT) -> Output:
    return Output(key, Entry(at, stream, text))


def test_raw_bytes_are_those_of_the_end_that_comes_after_them() -> None:
    reader = PipeReader(OUT)
    data = b"a\nb\n" + end(FIRST) + b"c\n" + end(SECOND) + b"d\n"
    assert reader.feed(data, 5.0) == [output(FIRST, b"a\nb\n"), output(SECOND, b"c\n")]
    assert reader.ended == [(FIRST, b"\0"), (SECOND, b"\0")]
    assert reader.is_undecided
    assert reader.has_unended
    assert reader.decide(None) == [output(None, b"d\n")]


def test_nothing_is_open_after_an_end() -> None:
    reader = PipeReader(OUT)
    reader.feed(b"a\n" + end(FIRST), 5.0)
    assert not reader.is_undecided
    assert not reader.has_unended


def test_a_line_is_complete_when_its_end_comes_or_that_of_its_attempt() -> None:
    reader = PipeReader(OUT)
    reader.feed(b"one ", 5.0)
    assert reader.decide(FIRST) == []
    reader.feed(b"line\ntwo", 6.0)
    assert reader.decide(FIRST) == [output(FIRST, b"one line\n", 6.0)]
    assert reader.feed(end(FIRST), 7.0) == [output(FIRST, b"two", 6.0)]


def test_the_beginning_of_a_line_does_not_wait_for_ever() -> None:
    reader = PipeReader(OUT)
    reader.feed(b"50 %", 5.0)
    reader.decide(FIRST)
    assert reader.overdue(5.9) == []
    assert reader.has_beginnings
    assert reader.overdue(6.0) == [output(FIRST, b"50 %")]
    assert not reader.has_beginnings


def test_a_line_without_an_end_is_stored_in_parts_between_its_characters() -> None:
    reader = PipeReader(OUT)
    reader.feed("ü".encode() * 30_000, 5.0)
    [part] = reader.decide(FIRST)
    lines = part.entry.text.decode().split("\n")
    assert [len(line) for line in lines] == [8192, 8192, 8192, 0]
    assert [len(one.entry.text) for one in reader.close(FIRST, 6.0)] == [60_000 - 3 * 16_384]


def test_what_comes_before_a_tick_or_a_record_is_no_younger() -> None:
    reader = PipeReader(OUT)
    assert reader.feed(b"a\n" + frame(FrameKind.TICK, (NOBODY, 0), 2.0) + b"b\n", 5.0) == []
    assert reader.decide(FIRST) == [output(FIRST, b"a\n", 2.0), output(FIRST, b"b\n", 5.0)]


@table("kind", [FrameKind.TICK, FrameKind.RECORD])
def test_what_comes_after_a_tick_or_a_record_is_no_older(kind: FrameKind) -> None:
    reader = PipeReader(ERR)
    payload = record_payload("INFO", "app", "text") if kind is FrameKind.RECORD else b""
    reader.feed(frame(kind, FIRST, 6.0, payload) + b"a\n", 5.0)
    assert reader.decide(FIRST) == [output(FIRST, b"a\n", 6.0, STDERR)]


def test_a_record_has_its_level_and_its_logger() -> None:
    reader = PipeReader(ERR)
    payload = record_payload("INFO", "app", "text" * 3000)
    found = reader.feed(b"raw\n" + frame(FrameKind.RECORD, FIRST, 4.0, payload, 3), 5.0)
    assert found == [Output(FIRST, Entry(4.0, LOG, b"text" * 3000, "INFO", "app"))]
    assert reader.decide(FIRST) == [output(FIRST, b"raw\n", 4.0, STDERR)]


def test_what_async_jobs_print_is_told_apart() -> None:
    reader = PipeReader(OUT)
    parts = [(FIRST, b"a"), (SECOND, b"b\n"), (FIRST, b"\n")]
    data = b"".join(frame(FrameKind.TEXT, key, 4.0, text) for key, text in parts)
    assert reader.feed(data, 5.0) == [output(SECOND, b"b\n", 4.0), output(FIRST, b"a\n", 4.0)]


def test_an_attempt_has_ended_when_all_its_pipes_say_so() -> None:
    streams = WorkerStreams()
    streams.pipes[ERR].feed(end(FIRST, b"\0\1"), 5.0)
    assert streams.ended(ERR) == []
    streams.pipes[OUT].feed(end(FIRST, b"\0\1") + end(SECOND, b"\0"), 5.0)
    assert streams.ended(OUT) == [FIRST, SECOND]


def test_attempts_end_with_their_worker() -> None:
    streams = WorkerStreams()
    streams.took([output(FIRST, b"a\n"), output(None, b"b\n")])
    assert sorted(streams.close(SECOND)) == sorted([FIRST, SECOND])
