"""Member: the part of a shared stream that one listener gets. The stream is that of the integration tests."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId, Timestamp
from tests.support.tables import table

from taskscheduler.errors import SchedulerError
from taskscheduler.model.matching import condition
from taskscheduler.store.change_events import changed_document
from taskscheduler.store.change_feed import GAP, Token, reaches
from taskscheduler.waiting import shared_stream
from taskscheduler.waiting.shared_stream import Head, Member


def event(time: int, **fields: Any) -> dict[str, Any]:
    job_id = ObjectId()
    return {
        "_id": {"_data": f"{time:04}"},
        "clusterTime": Timestamp(time, 1),
        "operationType": "insert",
        "documentKey": {"_id": job_id},
        "fullDocument": {"_id": job_id, "status": 0, **fields},
    }


class Stream:
    """A shared stream that a test moves on."""

    def __init__(self) -> None:
        self.head = Head()
        self.head.token = {"_data": "0000"}
        self.members: list[Member] = []

    def member(self, begin: Timestamp | Token, query: dict[str, Any] | None = None) -> Member:
        wanted = condition(query or {})
        assert wanted is not None
        self.members.append(Member(wanted, begin, self.head))
        return self.members[-1]

    def bring(self, *events: dict[str, Any]) -> None:
        for one in events:
            for member in self.members:
                member.offer(one, changed_document(one))
            self.head.token = one["_id"]


def test_a_listener_gets_what_it_asked_for_and_the_place_behind_it() -> None:
    stream = Stream()
    member = stream.member(Timestamp(0, 1), {"class": "a"})
    mine, other, later = event(1, **{"class": "a"}), event(2, **{"class": "b"}), event(3, **{"class": "a"})
    stream.bring(mine, other, later)
    assert (member.next(0.001), member.token) == (mine, mine["_id"])
    assert (member.next(0.001), member.token) == (later, later["_id"])
    stream.bring(event(4, **{"class": "b"}))
    assert (member.next(0.001), member.token) == (None, {"_data": "0004"})


@pytest.mark.parametrize("begin", [Timestamp(2, 1), {"_data": "0002"}])
def test_what_came_before_its_beginning_is_left_out(begin: Timestamp | Token) -> None:
    stream = Stream()
    member = stream.member(begin)
    events = [event(number) for number in range(1, 5)]
    stream.bring(*events)
    assert [member.next(0.001) for _ in range(3)] == [*events[2:], None]


def test_one_who_is_too_far_behind_gets_what_waits_and_then_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_stream, "_MOST_AHEAD", 2)
    stream = Stream()
    slow, quick = stream.member(Timestamp(0, 1)), stream.member(Timestamp(0, 1))
    for number in range(1, 5):
        one = event(number)
        stream.bring(one)
        assert quick.next(0.001) == one
    assert (slow.overtaken, quick.overtaken) == (True, False)
    heard = [slow.next(0.001) for _ in range(3)]
    assert [one["_id"]["_data"] if isinstance(one, dict) else one for one in heard] == ["0001", "0002", None]
    assert slow.token == {"_data": "0002"}


def test_a_gap_is_for_everybody_and_is_no_place() -> None:
    member = Stream().member(Timestamp(0, 1), {"class": "a"})
    member.offer(GAP, {})
    assert (member.next(0.001), member.token) == (GAP, {"_data": "0000"})


def test_one_who_waits_is_woken() -> None:
    member = Stream().member(Timestamp(0, 1))
    member.wake()
    assert member.next(60) is None


def test_a_stream_that_ends_says_why() -> None:
    failed, closed = Stream().member(Timestamp(0, 1)), Stream().member(Timestamp(0, 1))
    failed.end()
    assert (failed.next(0.001), failed.overtaken) == (None, True)
    closed.end(SchedulerError("closed"))
    with pytest.raises(SchedulerError, match="closed"):
        closed.next(0.001)


@table(
    ("token", "place", "answer"),
    [("02", "01", True), ("01", "01", True), ("01", "02", False), (b"1", b"0", False), ("01", None, False)],
)
def test_places_are_compared_as_texts(token: Any, place: Any, answer: bool) -> None:
    assert reaches({"_data": token}, None if place is None else {"_data": place}) is answer
