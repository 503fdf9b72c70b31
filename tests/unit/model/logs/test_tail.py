"""What is kept of the log of an attempt, and when it is stored."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.clock import NEVER
from taskscheduler.model.logs.lines import LOG, STDOUT, Entry
from taskscheduler.model.logs.tail import CHUNK, EACH_SECOND, Log, LogTail

KIB = 1024


def entry(size: int = 1000, at: float = 0.0) -> Entry:
    return Entry(at, STDOUT, b"x" * (size - 1))


def tail(most: int = 1024 * KIB) -> LogTail:
    return LogTail(Log(ObjectId(), 1), most)


def test_entries_are_given_out_once_in_numbered_chunks_of_limited_size() -> None:
    log = tail()
    for _ in range(200):
        log.add(entry())
    chunks = log.chunks(0.0, NEVER)
    assert [(one["n"], one["start"]) for one in chunks] == [(n, n * 66_000) for n in range(4)]
    assert all(one["size"] < CHUNK + 1000 for one in chunks)
    assert sum(one["size"] for one in chunks) == 200_000
    assert log.chunks(0.0, NEVER) == []
    log.add(entry())
    assert [(one["n"], one["start"]) for one in log.chunks(0.0, NEVER)] == [(4, 200_000)]


def test_entries_are_in_the_order_of_their_times_and_of_one_time_what_was_printed_comes_first() -> None:
    log = tail()
    for one in (entry(at=3), Entry(2, LOG, b"record"), Entry(2, STDOUT, b"printed"), entry(at=1)):
        log.add(one)
    [chunk] = log.chunks(0.0, NEVER)
    assert [one["at"].timestamp() for one in chunk["entries"]] == [1, 2, 2, 3]
    assert chunk["entries"][1]["text"] == "printed"


def test_what_may_have_something_before_it_that_is_not_read_yet_waits() -> None:
    log = tail()
    log.add(entry(at=1))
    log.add(entry(at=3))
    assert [one["size"] for one in log.chunks(0.0, 2)] == [1000]
    assert log.chunks(0.0, 2) == []
    assert [one["size"] for one in log.chunks(0.0, 2, everything=True)] == [1000]


def test_stored_chunks_make_room_for_new_entries() -> None:
    log = tail(most=100 * KIB)
    for _ in range(100):
        log.add(entry(KIB))
    assert [one["n"] for one in log.chunks(0.0, NEVER)] == [0, 1]
    assert log.to_trim() is None
    log.add(entry(KIB))
    assert log.to_trim() == 1
    assert log.to_trim() is None
    assert [(one["n"], one["start"]) for one in log.chunks(1.0, NEVER)] == [(2, 100 * KIB)]


def test_what_was_never_stored_is_left_out_if_there_is_too_much_of_it() -> None:
    log = tail(most=100 * KIB)
    for _ in range(1000):
        log.add(entry(KIB))
    chunks = log.chunks(0.0, NEVER, everything=True)
    assert (chunks[0]["n"], chunks[0]["start"]) == (0, 900 * KIB)
    assert sum(one["size"] for one in chunks) == 100 * KIB
    assert log.to_trim() is None


def test_an_attempt_that_writes_too_much_is_stored_slowly_until_its_end() -> None:
    log = tail(most=1024 * KIB)
    now = written = 0.0
    for _ in range(40):  # ten seconds
        for _ in range(512):
            log.add(entry(4 * KIB))
        written += sum(one["size"] for one in log.chunks(now, NEVER))
        now += 0.25
    assert 1024 * KIB + 9 * EACH_SECOND <= written <= 1024 * KIB + 11 * EACH_SECOND + CHUNK * 40
    assert sum(one["size"] for one in log.chunks(now, NEVER, everything=True)) <= 1024 * KIB


def test_one_entry_is_kept_however_large_it_is() -> None:
    log = tail(most=KIB)
    log.add(entry(10 * KIB))
    assert [one["size"] for one in log.chunks(0.0, NEVER)] == [10 * KIB]
