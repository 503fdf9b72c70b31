"""Subscribers and processes without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription


class Noting:
    """A subscriber that notes its completions."""

    def __init__(self) -> None:
        self.completions: list[tuple[ObjectId, Any]] = []

    def completed(self, job_id: ObjectId, outcome: Any) -> None:
        self.completions.append((job_id, outcome))


def document(status: Status, **fields: Any) -> dict[str, Any]:
    """Returns a job in this status."""
    return {"_id": ObjectId(), "class": "x", "status": int(status), "attempt": 1, **fields}


def process(status: Status = Status.WAITING, **fields: Any) -> Process:
    """Returns a job in this status that no scheduler knows."""
    return Process(cast(Any, None), document(status, **fields))


class FakeWatcher:
    """Completes jobs with these outcomes as soon as somebody subscribes, in the thread of that."""

    def __init__(self, *outcomes: tuple[ObjectId, Any]) -> None:
        self.outcomes = outcomes
        self.known: dict[ObjectId, Status] = {}
        self.ended: list[Subscription] = []

    def subscribe(self, subscription: Subscription, known: Mapping[ObjectId, Status]) -> None:
        self.known = dict(known)
        for outcome in self.outcomes:
            subscription.subscriber.completed(*outcome)

    def unsubscribe(self, subscription: Subscription) -> None:
        self.ended.append(subscription)

    @property
    def real(self) -> CompletionWatcher:
        return cast(CompletionWatcher, self)


class FakeFeed:
    """A change stream that brings these events, one at each look, and then nothing."""

    opened: ClassVar[list[FakeFeed]] = []
    events: ClassVar[list[Any]] = []
    token = {"_data": "here"}

    def __init__(self, _collection: Any, pipeline: list[dict[str, Any]], **_options: Any) -> None:
        self.pipeline = pipeline
        self.is_open = False

    def open(self) -> None:
        self.opened.append(self)
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    leave = close

    def select(self, pipeline: list[dict[str, Any]]) -> None:
        self.pipeline = pipeline

    def __enter__(self) -> FakeFeed:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self) -> Any:
        event = self.events.pop(0) if self.events else None
        return event() if callable(event) else event


def change(stored: dict[str, Any], status: Status) -> dict[str, Any]:
    """Returns the event of the stream for a new status, which the job has from now on."""
    stored["status"] = int(status)
    return {
        "operationType": "update",
        "documentKey": {"_id": stored["_id"]},
        "updateDescription": {"updatedFields": {"status": int(status)}},
        "fullDocument": dict(stored),
    }
