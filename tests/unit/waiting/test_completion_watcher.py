"""CompletionWatcher: who is called for which job. The stream is that of the integration tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from bson import ObjectId
from tests.unit.operations.fakes import FakeConnection, Heard
from tests.unit.waiting.fakes import Noting, document

from taskscheduler.errors import JobNotFoundError, SchedulerError
from taskscheduler.model.lifecycle import Status
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription
from taskscheduler.waiting.watch_scope import WatchScope


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watcher(connection: FakeConnection, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionWatcher]:
    """A watcher whose thread waits for its end, so that a test says what the stream brings."""
    monkeypatch.setattr(CompletionWatcher, "_follow", lambda self, store, stop: stop.wait())
    watcher = CompletionWatcher(connection.real, heard.announcer, connection.clock)
    yield watcher
    watcher.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "taskscheduler-completions"]


def stored(connection: FakeConnection, status: Status, **fields: Any) -> ObjectId:
    job = document(status, **fields)
    connection.jobs.stored[job["_id"]] = job
    job_id: ObjectId = job["_id"]
    return job_id


def changed(connection: FakeConnection, job_id: ObjectId, status: Status) -> dict[str, Any]:
    """Changes the status of a job and returns the event of the stream."""
    connection.jobs.stored[job_id]["status"] = int(status)
    updated = {"status": int(status)}
    return {
        "_id": {"_data": "82"},
        "operationType": "update",
        "documentKey": {"_id": job_id},
        "updateDescription": {"updatedFields": updated},
        "fullDocument": dict(connection.jobs.stored[job_id]),
    }


def test_a_job_that_has_ended_already_is_completed_at_once(
    watcher: CompletionWatcher, connection: FakeConnection, heard: Heard
) -> None:
    job_id, subscriber = stored(connection, Status.DONE), Noting()
    watcher.subscribe(Subscription(subscriber), {job_id: Status.WAITING})
    assert subscriber.completions == [(job_id, connection.jobs.stored[job_id])]
    assert heard.events == [("done", job_id)]


def test_a_status_that_was_known_is_not_announced(
    watcher: CompletionWatcher, connection: FakeConnection, heard: Heard
) -> None:
    job_id, subscriber = stored(connection, Status.DONE), Noting()
    watcher.subscribe(Subscription(subscriber), {job_id: Status.DONE})
    assert (len(subscriber.completions), heard.events) == (1, [])


def test_a_deleted_job_is_an_error_for_its_subscriber(watcher: CompletionWatcher) -> None:
    job_id, subscriber = ObjectId(), Noting()
    watcher.subscribe(Subscription(subscriber), {job_id: Status.WAITING})
    assert [(one, type(error)) for one, error in subscriber.completions] == [(job_id, JobNotFoundError)]


def test_changes_are_announced_and_the_last_one_completes_the_job_for_all_who_wait(
    watcher: CompletionWatcher, connection: FakeConnection, heard: Heard
) -> None:
    job_id, subscribers = stored(connection, Status.WAITING), [Noting(), Noting()]
    for subscriber in subscribers:
        watcher.subscribe(Subscription(subscriber), {job_id: Status.WAITING})
    for status in (Status.PROCESSING, Status.PROCESSING, Status.FAILED):
        watcher._take(connection.store, changed(connection, job_id, status))  # type: ignore[arg-type]
    assert heard.events == [("processing", job_id), ("failed", job_id)]
    assert [[one for one, _ in subscriber.completions] for subscriber in subscribers] == [[job_id], [job_id]]
    watcher._take(connection.store, changed(connection, job_id, Status.FAILED))  # type: ignore[arg-type]
    assert [len(subscriber.completions) for subscriber in subscribers] == [1, 1]


@pytest.mark.parametrize(("handlers", "reads"), [(True, 3), (False, 1)])
def test_without_handlers_a_job_is_read_when_it_has_ended(
    connection: FakeConnection, monkeypatch: pytest.MonkeyPatch, handlers: bool, reads: int
) -> None:
    monkeypatch.setattr(CompletionWatcher, "_follow", lambda self, store, stop: stop.wait())
    watcher = CompletionWatcher(connection.real, Heard(handlers).announcer, connection.clock)
    job_id, subscriber = stored(connection, Status.WAITING), Noting()
    watcher.subscribe(Subscription(subscriber), {job_id: Status.WAITING})
    monkeypatch.setattr(connection.jobs, "get", read := Mock(wraps=connection.jobs.get))
    for status in (Status.PROCESSING, Status.POSTPONED, Status.DONE):
        watcher._take(connection.real.store, changed(connection, job_id, status))
    watcher.stop()
    assert (read.call_count, [done for done, _ in subscriber.completions]) == (reads, [job_id])


def test_a_subscription_that_has_ended_hears_nothing_more(
    watcher: CompletionWatcher, connection: FakeConnection
) -> None:
    job_id, left, kept = stored(connection, Status.WAITING), Noting(), Noting()
    subscription = Subscription(left)
    watcher.subscribe(subscription, {job_id: Status.WAITING})
    watcher.subscribe(Subscription(kept), {job_id: Status.WAITING})
    watcher.unsubscribe(subscription)
    watcher._take(connection.store, changed(connection, job_id, Status.DONE))  # type: ignore[arg-type]
    assert (left.completions, len(kept.completions)) == ([], 1)


def test_a_subscription_that_ended_before_it_began_does_nothing(
    watcher: CompletionWatcher, connection: FakeConnection
) -> None:
    job_id, subscriber = stored(connection, Status.DONE), Noting()
    subscription = Subscription(subscriber)
    watcher.unsubscribe(subscription)
    watcher.subscribe(subscription, {job_id: Status.WAITING})
    assert subscriber.completions == []


def test_an_error_of_the_database_ends_the_subscription(
    watcher: CompletionWatcher, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(ids: Any) -> Any:
        raise LookupError("lost")

    job_id, subscriber = stored(connection, Status.WAITING), Noting()
    monkeypatch.setattr(connection.jobs, "statuses", lost)
    subscription = Subscription(subscriber)
    with pytest.raises(LookupError):
        watcher.subscribe(subscription, {job_id: Status.WAITING})
    assert (subscription.canceled, watcher._watched) == (True, {})


@pytest.mark.parametrize("end", [SystemExit(3), RuntimeError("broken")])
def test_a_subscriber_that_raises_in_the_thread_keeps_no_other_from_its_completion(
    watcher: CompletionWatcher, connection: FakeConnection, caplog: pytest.LogCaptureFixture, end: BaseException
) -> None:
    class Broken(Noting):
        def completed(self, job_id: ObjectId, outcome: Any) -> None:
            raise end

    job_id, subscriber = stored(connection, Status.WAITING), Noting()
    for one in (Broken(), subscriber):
        watcher.subscribe(Subscription(one), {job_id: Status.WAITING})
    event = changed(connection, job_id, Status.DONE)
    in_thread(lambda: watcher._take(connection.store, event))  # type: ignore[arg-type]
    assert len(subscriber.completions) == 1
    assert [record.message for record in caplog.records] == ["callback failed"]


def in_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_all_who_wait_hear_that_the_scheduler_was_closed(
    watcher: CompletionWatcher, connection: FakeConnection
) -> None:
    job_id, subscriber = stored(connection, Status.WAITING), Noting()
    watcher.subscribe(Subscription(subscriber), {job_id: Status.WAITING})
    watcher.stop()
    ((one, error),) = subscriber.completions
    assert one == job_id
    assert isinstance(error, SchedulerError)
    assert str(error) == "the scheduler was closed before the job ended"


def test_a_change_that_was_shown_before_the_stream_went_back_is_passed_over(
    watcher: CompletionWatcher, connection: FakeConnection, heard: Heard
) -> None:
    known, further = (stored(connection, Status.WAITING) for _ in range(2))
    watcher.subscribe(Subscription(Noting()), dict.fromkeys((known, further), Status.WAITING))
    watcher._scope = WatchScope([known], 0.0)
    watcher._scope.add([further], {"_data": "80"}, 10.0)
    watcher._scope.next([known, further], {"_data": "90"}, 10.0)
    for job_id in (known, further):
        watcher._take(connection.real.store, changed(connection, job_id, Status.PROCESSING))
    assert heard.events == [("processing", further)]


@pytest.mark.parametrize("odd_id", [{"a": 1}, "text", None, b"bytes"])
def test_a_change_of_a_job_whose_id_is_none_concerns_nobody(
    watcher: CompletionWatcher, connection: FakeConnection, odd_id: Any
) -> None:
    job_id, subscriber = stored(connection, Status.WAITING), Noting()
    watcher.subscribe(Subscription(subscriber), {job_id: Status.WAITING})
    event = {"operationType": "insert", "documentKey": {"_id": odd_id}, "fullDocument": {"_id": odd_id, "status": 3}}
    watcher._take(connection.store, event)  # type: ignore[arg-type]
    watcher._take(connection.store, changed(connection, job_id, Status.DONE))  # type: ignore[arg-type]
    assert [done for done, _ in subscriber.completions] == [job_id]


def test_who_waits_is_told_once_why_no_node_runs_a_job(
    watcher: CompletionWatcher, connection: FakeConnection, caplog: pytest.LogCaptureFixture
) -> None:
    waiting, running = stored(connection, Status.WAITING), stored(connection, Status.PROCESSING)
    begun = connection.clock.seconds
    watcher.subscribe(Subscription(Noting()), {waiting: Status.WAITING, running: Status.PROCESSING})
    store: Any = connection.store
    for later in (1.9, 2.5, 4.5):
        watcher._look_at_nodes(store, begun + later)
    assert ["no node that is up serves" in record.getMessage() for record in caplog.records] == [True]
    assert connection.nodes.reads == 1
