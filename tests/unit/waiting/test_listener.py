"""Listener: the events of a stream in order, and the jobs that are read again after a gap."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from tests.unit.operations.fakes import FakeConnection, SettableClock
from tests.unit.waiting.fakes import FakeFeed, change, document

from taskscheduler.clock import Deadline
from taskscheduler.errors import SchedulerError
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process, Processes
from taskscheduler.store.change_feed import GAP
from taskscheduler.waiting.listener import BackgroundListener, Listener


class Story:
    """A listener on a stream, and the events that it announces."""

    def __init__(self) -> None:
        self.clock = SettableClock(step=0.1)
        self.connection = FakeConnection(self.clock)
        self.connection.jobs.collection = None  # type: ignore[attr-defined]
        self.connection.jobs.find_changed = self.find_changed  # type: ignore[attr-defined]
        self.found: list[dict[str, Any]] = []
        self.asked: list[tuple[Mapping[str, Any], datetime]] = []
        self.announced: list[tuple[str, Any]] = []
        self.heard = threading.Event()
        self.listener = Listener(
            Processes(cast(Any, None)), cast(Any, self.connection.store), {"class": "x"}, None, True
        )

    def find_changed(self, query: Mapping[str, Any], since: datetime) -> list[dict[str, Any]]:
        self.asked.append((query, since))
        return self.found

    def announce(self, event: str, process: Process, _requeued: bool = False) -> None:
        self.announced.append((event, process.id))

    def deliver(self, event: str, process: Process, _requeued: bool) -> None:
        self.announced.append((event, process.id))
        self.heard.set()

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, self.clock)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.setattr("taskscheduler.waiting.listener_feed.ChangeFeed", FakeFeed)
    monkeypatch.setattr(FakeFeed, "opened", [])
    monkeypatch.setattr(FakeFeed, "events", [])
    return Story()


def test_each_change_is_announced_and_passed_to_the_callback_until_it_returns_true(story: Story) -> None:
    job, seen = document(Status.WAITING), list[Status]()
    FakeFeed.events += [change(dict(job), status) for status in (Status.PROCESSING, Status.DONE, Status.WAITING)]

    def callback(process: Process) -> bool:
        seen.append(process.status)
        return process.status is Status.DONE

    story.listener.run(callback, story.announce, story.deadline(60))
    assert seen == [Status.PROCESSING, Status.DONE]
    assert story.announced == [("processing", job["_id"]), ("done", job["_id"])]
    assert [feed.is_open for feed in FakeFeed.opened] == [False]


def test_a_callback_that_returns_something_else_goes_on_until_the_time_is_over(story: Story) -> None:
    FakeFeed.events += [change(document(Status.WAITING), Status.DONE) for _ in range(3)]
    calls: list[Process] = []

    def callback(process: Process) -> int:
        calls.append(process)
        return 1

    story.listener.run(callback, story.announce, story.deadline(5))
    assert len(calls) == 3


def test_without_time_there_is_one_look(story: Story) -> None:
    FakeFeed.events += [change(document(Status.WAITING), Status.DONE) for _ in range(2)]
    story.listener.run(None, story.announce, story.deadline(0))
    assert len(story.announced) == 1


def test_progress_is_announced_and_not_passed_to_the_callback(story: Story) -> None:
    event = change(document(Status.PROCESSING), Status.PROCESSING)
    event["updateDescription"]["updatedFields"] = {"progress": 50.0}
    FakeFeed.events += [event]
    story.listener.run(lambda _: pytest.fail("no change of a status"), story.announce, story.deadline(0))
    assert [name for name, _ in story.announced] == ["progress"]


def test_after_lost_history_a_notice_comes_and_all_jobs_that_may_have_changed(story: Story) -> None:
    story.found = [document(Status.DONE), document(Status.WAITING)]
    before, calls = story.clock.now(), list[Any]()
    FakeFeed.events += [GAP]
    story.listener.run(lambda process: calls.append(process.id), story.announce, story.deadline(0))
    assert story.announced == [("gap", None), ("done", story.found[0]["_id"]), ("waiting", story.found[1]["_id"])]
    assert calls == [job["_id"] for job in story.found]
    ((query, since),) = story.asked
    assert query == {"class": "x"}
    assert before - timedelta(seconds=11) <= since <= before - timedelta(seconds=9)


# -- in the background ------------------------------------------------------------------------------------------------


def test_a_background_listener_delivers_until_it_is_stopped(story: Story) -> None:
    job = document(Status.WAITING)
    FakeFeed.events += [change(job, Status.DONE)]

    with BackgroundListener(story.listener, cast(Any, story), story.clock) as background:
        assert story.heard.wait(20)
        ran = background.running
        assert background.token == FakeFeed.token
    assert (ran, background.running) == (True, False)
    assert story.announced == [("done", job["_id"])]


def test_a_background_listener_raises_what_ended_it_early(story: Story) -> None:
    def lost() -> Any:
        raise SchedulerError("lost")

    FakeFeed.events += [lost]
    background = BackgroundListener(story.listener, cast(Any, story), story.clock)
    with pytest.raises(SchedulerError, match="lost"):
        background.stop()
    assert not background.running
