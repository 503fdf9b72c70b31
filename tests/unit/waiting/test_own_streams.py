"""OwnStreams: a few calls may open a stream of their own at a time."""

from __future__ import annotations

import os

import pytest

from taskscheduler.waiting.own_streams import OwnStreams


def test_two_may_have_one_at_a_time_and_give_it_back() -> None:
    streams = OwnStreams()
    with streams.one() as first, streams.one() as second, streams.one() as third:
        assert (first, second, third) == (True, True, False)
    assert [streams.take(), streams.take(), streams.take()] == [True, True, False]
    streams.give_back()
    assert streams.take()


def test_a_forked_child_has_streams_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, parent = OwnStreams(), os.getpid()
    assert [streams.take(), streams.take(), streams.take()] == [True, True, False]
    monkeypatch.setattr("taskscheduler.waiting.own_streams.os.getpid", lambda: parent + 1)
    streams.give_back()  # which the parent took
    assert [streams.take(), streams.take(), streams.take()] == [True, True, False]
