"""Inserts that outlive elections: repeated while answers are lost, never stored twice and never given up in silence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, NotPrimaryError, OperationFailure
from tests.support.tables import table

from taskscheduler.errors import DuplicateJobError
from taskscheduler.model.document import NewJob, new_document
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import encode
from taskscheduler.store.client import Database
from taskscheduler.store.job_inserts import JobInserts
from taskscheduler.store.jobs import OnceTakenError
from taskscheduler.store.on_demand.making import OnDemandIndexes

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

ID_TAKEN = DuplicateKeyError("E11000", 11000, {"keyPattern": {"_id": 1}})
KEY_TAKEN = DuplicateKeyError("E11000", 11000, {"keyPattern": {"once": 1}})


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses.append(seconds)


class FakeCollection:
    """Answers inserts with the given errors, one after the other, and then without any."""

    def __init__(self, errors: list[Exception | None], stored: list[dict[str, Any]]) -> None:
        self.errors = errors
        self.stored = stored
        self.durable_after = 0
        self.inserts = 0

    def __getitem__(self, _name: str) -> FakeCollection:
        return self

    def with_options(self, **_options: Any) -> FakeCollection:
        return self

    def insert_one(self, _document: Any) -> None:
        self.inserts += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def insert_many(self, documents: list[Any], ordered: bool) -> None:
        assert not ordered
        self.insert_one(documents)

    def find_one(self, query: dict[str, Any], _fields: Any) -> dict[str, Any] | None:
        return next((one for one in self.stored if one["_id"] == query["_id"]), None)

    def find(self, _query: Any, _fields: Any) -> list[dict[str, Any]]:
        self.durable_after -= 1
        return [] if self.durable_after >= 0 else self.stored


def a_job() -> NewJob:
    document = new_document("mail", None, JobOptions.of({}), NOON)
    return NewJob(document["_id"], document, encode(document, 1024))


def inserts(
    *errors: Exception | None, stored: list[NewJob] | None = None
) -> tuple[JobInserts, FakeCollection, FakeClock]:
    clock = FakeClock()
    collection = FakeCollection(list(errors), [job.document for job in stored or []])
    database, options = cast("Database[Any]", collection), SchedulerOptions()
    return JobInserts(database, options, clock, OnDemandIndexes(database, options, clock)), collection, clock


LOST = AutoReconnect("connection closed")


def refused(*entries: tuple[int, int]) -> BulkWriteError:
    return BulkWriteError({"writeErrors": [{"index": index, "code": code} for index, code in entries]})


@pytest.mark.parametrize("error", [LOST, NotPrimaryError("not primary"), OperationFailure("stepping down", 11602)])
def test_an_insert_is_repeated_after_a_fault_that_passes(error: Exception) -> None:
    store, collection, clock = inserts(error, error, None)
    store.insert(a_job())
    assert collection.inserts == 3
    assert clock.pauses == [0.05, 0.1]


def test_an_insert_that_the_server_rejects_is_not_repeated() -> None:
    store, collection, _ = inserts(OperationFailure("not authorized", 13))
    with pytest.raises(OperationFailure, match="not authorized"):
        store.insert(a_job())
    assert collection.inserts == 1


def test_after_half_a_minute_of_faults_the_last_one_is_raised() -> None:
    store, _, clock = inserts(*[LOST] * 1000)
    with pytest.raises(AutoReconnect):
        store.insert(a_job())
    assert clock.seconds == pytest.approx(30)
    assert max(clock.pauses) == 1


def test_its_own_earlier_try_is_no_duplicate() -> None:
    job = a_job()
    store, collection, _ = inserts(LOST, ID_TAKEN, stored=[job])
    store.insert(job)
    assert collection.inserts == 2


def test_its_own_earlier_try_counts_once_a_majority_has_it() -> None:
    job = a_job()
    store, collection, _ = inserts(LOST, *[ID_TAKEN] * 3, stored=[job])
    collection.durable_after = 2
    store.insert(job)
    assert collection.inserts == 4


def test_an_id_that_is_taken_by_another_job_is_refused() -> None:
    job = a_job()
    store, _, _ = inserts(ID_TAKEN, stored=[job])
    with pytest.raises(DuplicateJobError, match=str(job.id)):
        store.insert(job)  # the first try cannot be an own one
    other = NewJob(job.id, {**job.document, "class": "post"}, job.raw)
    store, _, _ = inserts(LOST, ID_TAKEN, stored=[other])
    with pytest.raises(DuplicateJobError, match=str(job.id)):
        store.insert(job)


def test_a_key_that_is_taken_is_told_apart_from_an_id() -> None:
    store, _, _ = inserts(KEY_TAKEN)
    with pytest.raises(OnceTakenError):
        store.insert(a_job())


def test_a_batch_is_repeated_until_all_of_it_is_stored() -> None:
    jobs = [a_job(), a_job()]
    store, collection, _ = inserts(LOST, refused((0, 11000), (1, 11000)), stored=jobs)
    store.insert_many(jobs)
    assert collection.inserts == 2


def test_a_batch_names_the_job_whose_id_is_taken() -> None:
    jobs = [a_job(), a_job()]
    store, _, _ = inserts(refused((1, 11000)), stored=jobs)
    with pytest.raises(DuplicateJobError, match=str(jobs[1].id)):
        store.insert_many(jobs)


def test_a_batch_that_is_refused_for_another_reason_says_so() -> None:
    store, _, _ = inserts(refused((0, 10334)))
    with pytest.raises(BulkWriteError):
        store.insert_many([a_job()])


def test_runs_that_are_stored_already_are_passed_over() -> None:
    store, collection, _ = inserts(refused((0, 11000)))
    store.insert_missing([a_job().document])
    assert collection.inserts == 1
    store, _, _ = inserts(refused((0, 11000), (1, 10334)))
    with pytest.raises(BulkWriteError):
        store.insert_missing([a_job().document] * 2)


def test_runs_that_are_stored_already_count_only_if_a_majority_has_them() -> None:
    """An election in this moment may take back what another process has inserted before it died."""
    stepping_down = {"writeErrors": [{"index": 0, "code": 11000}], "writeConcernErrors": [{"code": 91}]}
    store, _, _ = inserts(BulkWriteError(stepping_down))
    with pytest.raises(BulkWriteError):
        store.insert_missing([a_job().document])


@table(("count", "commands"), [(0, 0), (1, 1), (1000, 1), (1001, 2)])
def test_a_large_batch_is_inserted_in_parts(count: int, commands: int) -> None:
    job = a_job()
    store, collection, _ = inserts()
    store.insert_many([job] * count)
    assert collection.inserts == commands


def test_ids_in_use_are_named() -> None:
    job = a_job()
    store, _, _ = inserts(stored=[job])
    assert store.taken_ids([job.id, ObjectId()]) == [job.id]
