"""JobCanceller: one job, and all the runs of a series."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.unit.operations.fakes import FakeConnection, Heard

from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.operations.delete import flush


def stored(connection: FakeConnection, status: Status = Status.WAITING, **fields: Any) -> ObjectId:
    """Stores a job in this status."""
    job_id = ObjectId()
    connection.jobs.stored[job_id] = {"_id": job_id, "class": "x", "status": int(status), "attempt": 1, **fields}
    return job_id


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def canceller(connection: FakeConnection, heard: Heard) -> JobCanceller:
    return JobCanceller(connection.real, heard.announcer)


def test_a_cancelled_job_is_returned_as_it_was_and_logged(canceller: JobCanceller, connection: FakeConnection) -> None:
    job_id = stored(connection)
    before = canceller.cancel(job_id)
    assert before is not None
    assert before["status"] == Status.WAITING
    assert connection.jobs.stored[job_id]["status"] == Status.CANCELED
    assert connection.outbox.delivered == [job_id]
    assert connection.log == [{"job": job_id, "status": int(Status.CANCELED), "attempt": 1}]


def test_only_the_node_of_a_running_job_is_told(canceller: JobCanceller, connection: FakeConnection) -> None:
    running = stored(connection, Status.PROCESSING, gate="key")
    for job_id in (running, stored(connection)):
        canceller.cancel(job_id)
    assert connection.wakeups.cancelled == [running]
    assert running not in connection.admission.left  # its node releases the lock


def test_a_queued_solo_job_lets_the_next_one_in(canceller: JobCanceller, connection: FakeConnection) -> None:
    job_id = stored(connection, gate="key")
    canceller.cancel(job_id)
    assert connection.admission.left == [job_id]


def test_a_job_that_has_ended_is_left_as_it_is(
    canceller: JobCanceller, connection: FakeConnection, heard: Heard
) -> None:
    assert canceller.cancel(stored(connection, Status.DONE)) is None
    assert (connection.outbox.delivered, connection.log, heard.events) == ([], [], [])


def test_all_jobs_that_end_by_it_are_announced(
    canceller: JobCanceller, connection: FakeConnection, heard: Heard
) -> None:
    parent, child = stored(connection), stored(connection, Status.CANCELED)
    connection.outbox.effects[parent] = lambda: [(child, Status.CANCELED)]
    canceller.cancel(parent)
    assert heard.events == [("cancel", parent), ("cancel", child)]


def test_without_handlers_nothing_is_read_again(connection: FakeConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, reads = stored(connection), list[ObjectId]()
    before = dict(connection.jobs.stored[job_id])
    monkeypatch.setattr(connection.jobs, "cancel", lambda *_: before)
    monkeypatch.setattr(connection.jobs, "get", reads.append)
    for heard in (Heard(connected=False), Heard()):
        assert JobCanceller(connection.real, heard.announcer).cancel(job_id) == before
    assert reads == [job_id]


# -- a series ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "only_queued", "answer", "after"),
    [
        (Status.WAITING, False, True, Status.CANCELED),
        (Status.WAITING, True, True, Status.CANCELED),
        (Status.PROCESSING, False, True, Status.CANCELED),
        (Status.PROCESSING, True, False, Status.PROCESSING),
        (Status.DONE, False, False, Status.DONE),
        (Status.DONE, True, False, Status.DONE),
    ],
)
def test_the_answer_is_whether_the_job_is_cancelled(
    canceller: JobCanceller, connection: FakeConnection, status: Status, only_queued: bool, answer: bool, after: Status
) -> None:
    job_id = stored(connection, status)
    assert canceller.cancel_series(job_id, only_queued) is answer
    assert connection.jobs.stored[job_id]["status"] == after


def test_an_id_that_is_not_stored_is_an_error(canceller: JobCanceller) -> None:
    unknown = ObjectId()
    with pytest.raises(JobNotFoundError) as caught:
        canceller.cancel_series(unknown)
    assert caught.value.job_id == unknown


def test_all_runs_of_a_series_are_cancelled_until_there_is_none(
    canceller: JobCanceller, connection: FakeConnection, heard: Heard
) -> None:
    series = ObjectId()
    ended = stored(connection, Status.DONE, series=series)
    first = stored(connection, series=series)
    late: list[ObjectId] = []

    def add_another() -> list[tuple[ObjectId, int]]:
        late.append(stored(connection, Status.POSTPONED, series=series))
        return []

    connection.outbox.effects[first] = add_another  # a run that is added while the series is ended
    assert canceller.cancel_series(ended) is False
    assert [connection.jobs.stored[one]["status"] for one in (ended, first, *late)] == [
        Status.DONE,
        Status.CANCELED,
        Status.CANCELED,
    ]
    assert heard.events == [("cancel", first), ("cancel", late[0])]


def test_a_series_whose_run_is_added_between_two_looks_is_looked_at_again(
    canceller: JobCanceller, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = ObjectId()
    ended, run = stored(connection, Status.DONE, series=series), stored(connection, series=series)
    look, missed = connection.jobs.series, iter([True])  # it is planned at the look at live runs, then it is live
    monkeypatch.setattr(connection.jobs, "series", lambda one: [] if next(missed, False) else look(one))
    canceller.cancel_series(ended)
    assert connection.jobs.stored[run]["status"] == Status.CANCELED


def test_a_run_that_is_left_alone_does_not_end_its_series(canceller: JobCanceller, connection: FakeConnection) -> None:
    series = ObjectId()
    running = stored(connection, Status.PROCESSING, series=series)
    queued = stored(connection, series=series)
    assert canceller.cancel_series(running, only_queued=True) is False
    assert connection.jobs.stored[queued]["status"] == Status.WAITING


# -- flush ------------------------------------------------------------------------------------------------------------


def test_flush_deletes_what_matches_and_stops_what_runs(connection: FakeConnection) -> None:
    running = stored(connection, Status.PROCESSING, queue="mail")
    stored(connection, queue="mail")
    kept = stored(connection, Status.PROCESSING, queue="web")
    assert flush(connection.store, {"queue": "mail"}) == 2  # type: ignore[arg-type]
    assert list(connection.jobs.stored) == [kept]
    assert connection.wakeups.cancelled == [running]
