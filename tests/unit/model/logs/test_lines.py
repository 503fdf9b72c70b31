"""Lines of logs, as they are stored and read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.logs.lines import (
    GAP,
    LEAST_SIZE,
    LOG,
    STDERR,
    STDOUT,
    Cursor,
    Entry,
    LogLine,
    chunk_document,
    gap_before,
    lines_of,
)

AT = datetime(2026, 11, 30, 8, 30, 0, 250_000, UTC)

JOB = ObjectId()


def chunk(*entries: Entry, number: int = 0, start: int = 0) -> dict[str, Any]:
    return chunk_document(JOB, 2, number, start, entries)


def printed(text: bytes, stream: str = STDOUT) -> Entry:
    return Entry(AT.timestamp(), stream, text)


def test_what_was_printed_becomes_lines_and_a_record_stays_whole() -> None:
    record = Entry(AT.timestamp(), LOG, b"failed\nTraceback", "ERROR", "app.mail")
    lines = list(lines_of(chunk(printed(b"a\n\nb\n"), record, printed(b"half", STDERR)), 2))
    assert lines == [
        LogLine(2, AT, STDOUT, "a", cursor=Cursor(2, 0, 0)),
        LogLine(2, AT, STDOUT, "", cursor=Cursor(2, 0, 1)),
        LogLine(2, AT, STDOUT, "b", cursor=Cursor(2, 0, 2)),
        LogLine(2, AT, LOG, "failed\nTraceback", "ERROR", "app.mail", Cursor(2, 0, 3)),
        LogLine(2, AT, STDERR, "half", cursor=Cursor(2, 0, 4)),
    ]


def test_a_line_as_it_stands_in_a_file() -> None:
    record = Entry(AT.timestamp(), LOG, b"sent", "INFO", "app.mail")
    assert [str(line) for line in lines_of(chunk(record, printed(b"hello\n")), 2)] == [
        "2026-11-30T08:30:00.250Z INFO  app.mail: sent",
        "2026-11-30T08:30:00.250Z stdout hello",
    ]


def test_a_chunk_that_somebody_else_has_written_costs_only_what_cannot_be_read() -> None:
    odd = {"n": "first", "entries": [1, {"text": 5}, {"text": "without a time"}, {"at": AT, "stream": 7, "text": "x"}]}
    assert [line.text for line in lines_of(odd, 1)] == ["without a time", "x"]
    others: list[Any] = [None, {}, "text"]
    for entries in others:
        assert list(lines_of({"n": 0, "entries": entries}, 1)) == []


def test_a_gap_is_said_where_bytes_are_missing() -> None:
    assert gap_before(chunk(printed(b"a\n")), 2, 0) is None
    said = gap_before(chunk(printed(b"a\n"), number=7, start=12_345), 2, 345)
    assert said == LogLine(2, AT, GAP, said.text, cursor=Cursor(2, 7, -1)) if said else None
    assert said is not None
    assert said.text == "[12,000 bytes are missing here: of each attempt only the newest MiB is kept]"
    unknown = gap_before(chunk(printed(b"a\n"), number=7, start=12_345), 2, None)
    assert unknown is not None
    assert unknown.text.startswith("[lines are missing here")


def test_small_entries_count_more_than_their_bytes() -> None:
    assert printed(b"\n").size == LEAST_SIZE
    assert printed(b"x" * 1000).size == 1001


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.x", "1" * 5000, "1.2." + "9" * 12])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"cursor '.*is none that a page of a log has given"):
        Cursor.of(text)


def test_a_cursor_can_be_sent_as_text() -> None:
    assert Cursor.of(str(Cursor(3, 17, -1))) == Cursor(3, 17, -1)
