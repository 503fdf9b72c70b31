"""Frames between the raw bytes of standard streams."""

from __future__ import annotations

import random

from bson import ObjectId

from taskscheduler_daemon.ipc.output import (
    HEAD_SIZE,
    MAGIC,
    MOST_PAYLOAD,
    NOBODY,
    Frame,
    FrameKind,
    FrameReader,
    encode,
    record_of,
    record_payload,
)

JOB = ObjectId().binary


def record(text: str, number: int = 7) -> Frame:
    return Frame(FrameKind.RECORD, JOB, 2, 1.5, record_payload("INFO", "app", text), number)


def joined(items: list[bytes | Frame]) -> list[bytes | Frame]:
    """With raw bytes that follow each other as one."""
    found: list[bytes | Frame] = []
    for item in items:
        if isinstance(item, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += item
        else:
            found.append(item)
    return found


def test_frames_are_found_between_raw_bytes_however_the_pipe_is_read() -> None:
    end, tick = Frame(FrameKind.END, JOB, 2, 2.5, b"\0"), Frame(FrameKind.TICK, NOBODY, 0, 3.5)
    parts: list[bytes | Frame] = [b"raw\xf5", record("hello"), end, b"\xf5\0ts more", tick, b"last"]
    data = b"".join(part if isinstance(part, bytes) else b"".join(encode(part)) for part in parts)
    for _ in range(300):
        reader, found, rest = FrameReader(), list[bytes | Frame](), data
        while rest:
            size = random.randint(1, 60)
            found += reader.feed(rest[:size])
            rest = rest[size:]
        assert joined([*found, reader.end()] if (left := reader.end()) else [*found, left])[: len(parts)] == parts


def test_a_long_message_takes_several_frames_none_longer_than_a_pipe_takes_at_once() -> None:
    frames = list(encode(record("x" * 10_000)))
    assert [len(frame) <= HEAD_SIZE + MOST_PAYLOAD == 4096 for frame in frames] == [True] * 3
    found = list(FrameReader().feed(b"".join(frames)))
    assert [one.more for one in found if isinstance(one, Frame)] == [True, True, False]
    payload = b"".join(one.payload for one in found if isinstance(one, Frame))
    assert record_of(payload) == ("INFO", "app", b"x" * 10_000)


def test_what_only_looks_like_a_frame_counts_as_raw_bytes() -> None:
    [frame] = encode(record("hello"))
    forged = MAGIC + b"\xff" * (len(frame) - len(MAGIC))
    for data in (MAGIC * 10 + b"x" * 100, forged + b"end"):
        reader = FrameReader()
        found = [*reader.feed(data), reader.end()]
        assert joined(found) == [data] or joined(found) == [data, b""]


def test_a_frame_that_is_cut_off_at_the_end_is_not_lost() -> None:
    [frame] = encode(record("hello"))
    reader = FrameReader()
    assert list(reader.feed(b"raw" + frame[:-1])) == [b"raw"]
    assert reader.end() == frame[:-1]


def test_a_record_may_have_any_text() -> None:
    assert record_of(record_payload("A\0B", "c\0d", "e\0f\ud800")) == ("A B", "c d", b"e\0f\\ud800")
    assert record_of(b"") == ("", "", b"")
