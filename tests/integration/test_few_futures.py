"""A few who wait are told of their own jobs alone, and of every change of each."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status
from taskscheduler.store.change_feed import ChangeFeed
from taskscheduler.waiting import completion_watcher, watch_scope
from taskscheduler.waiting.completion_watcher import CompletionWatcher


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[ObjectId]:
    """The jobs of the changes that the stream brings, as they come."""
    told: list[ObjectId] = []
    take = CompletionWatcher._take

    def noting(self: CompletionWatcher, store: Any, event: dict[str, Any]) -> None:
        told.append(event["documentKey"]["_id"])
        take(self, store, event)

    monkeypatch.setattr(CompletionWatcher, "_take", noting)
    return told


def late(scheduler: Scheduler) -> Process:
    return scheduler.add_job("noop", at=timedelta(hours=1))


def is_open(scheduler: Scheduler) -> bool:
    feed = scheduler.completions._feed
    return feed is not None and feed._stream is not None


def test_changes_of_other_jobs_do_not_reach_them(scheduler: Scheduler, told: list[ObjectId]) -> None:
    mine = [late(scheduler) for _ in range(2)]
    futures = [mine[0].future()]
    eventually(lambda: is_open(scheduler), 30)
    for _ in range(50):
        late(scheduler).cancel()
    futures.append(mine[1].future())
    eventually(lambda: set(scheduler.completions._scope.ids or ()) == {process.id for process in mine}, 30)
    eventually(lambda: is_open(scheduler), 30)
    told.clear()
    for _ in range(50):
        late(scheduler).cancel()
    for process, future in zip(mine, futures, strict=True):
        process.cancel()
        eventually(future.done, 30)
    assert told == [process.id for process in mine]


@pytest.mark.parametrize(("pause", "late_to_look"), [(0.0, False), (0.0, True), (0.2, False), (0.2, True)])
def test_no_change_is_missed_or_heard_twice_when_others_begin_to_wait(
    scheduler: Scheduler, node: NodeProcess, monkeypatch: pytest.MonkeyPatch, pause: float, late_to_look: bool
) -> None:
    monkeypatch.setattr(watch_scope, "QUIET", pause)
    monkeypatch.setattr(completion_watcher, "POLL", math.inf)  # what the stream does not show is not made up for
    if late_to_look:  # the stream has passed changes of a further job before it is opened anew
        monkeypatch.setattr(ChangeFeed, "wake", lambda self: None)
    heard: dict[ObjectId, list[Status]] = {}
    scheduler.on("*", lambda event, process: heard.setdefault(process.id, []).append(process.status))
    first = late(scheduler)
    waiting = first.future()
    added = []
    for _ in range(10):
        added += [scheduler.add_job("noop") for _ in range(3)]
        for process in added[-3:]:
            process.future().result(30)
    first.cancel()
    eventually(waiting.done, 30)
    steps = [Status.WAITING, Status.PROCESSING, Status.DONE]
    assert [heard[process.id] for process in added] == [steps] * len(added)
    assert heard[first.id] == [Status.POSTPONED, Status.CANCELED]
