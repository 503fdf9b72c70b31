"""get_job and get_jobs: the default list, MongoDB queries with job classes in them, and ids that are wrong."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout
from tests.support.jobs import Echo, Fail, Noop, add_up

from taskscheduler import (
    InvalidJobError,
    InvalidOptionError,
    JobNotFoundError,
    Process,
    Scheduler,
    SchedulerError,
    Status,
)
from taskscheduler.store.job_lists import JobLists

Documents = Database[dict[str, Any]]


@pytest.fixture
def one_of_each(scheduler: Scheduler, database: Documents) -> dict[Status, Process]:
    """A job in every status."""
    found = {status: scheduler.add_job(Noop, status.label) for status in Status}
    for status, process in found.items():
        database["taskscheduler.jobs"].update_one({"_id": process.id}, {"$set": {"status": int(status)}})
    return found


def test_a_job_is_found_by_its_id(scheduler: Scheduler) -> None:
    process = scheduler.add_job(Echo, {"a": 1}, retry=2)
    scheduler.add_job(Echo, {"a": 2})
    found = scheduler.get_job(process.id)
    assert (found.id, found.data, found.options["retry"], found.outcome) == (process.id, {"a": 1}, 2, None)


def test_an_unknown_id_is_an_error_with_the_words_of_the_seed(scheduler: Scheduler) -> None:
    unknown = ObjectId()
    with pytest.raises(JobNotFoundError, match=f"^job {unknown} was not found$") as caught:
        scheduler.get_job(unknown)
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, SchedulerError)
    assert caught.value.job_id == unknown
    with pytest.raises(JobNotFoundError):
        scheduler.cancel_job(unknown)


@pytest.mark.parametrize(
    "bad", ["5b3cbc39e26cf26c6d0ede6", "5b3cbc39e26cf26c6d0ede6g", 1, None, {"$gt": ""}, b"123456789012", [ObjectId()]]
)
def test_an_id_of_another_type_is_an_invalid_option(scheduler: Scheduler, bad: Any) -> None:
    scheduler.add_job(Noop)
    with pytest.raises(InvalidOptionError, match="must be an ObjectId"):
        scheduler.get_job(bad)
    with pytest.raises(InvalidOptionError, match="must be an ObjectId"):
        scheduler.cancel_job(bad)
    assert next(scheduler.get_jobs()).status is Status.WAITING


def test_a_process_whose_job_was_deleted_is_not_found(scheduler: Scheduler) -> None:
    process = scheduler.add_job(Noop)
    assert scheduler.flush() == 1
    with pytest.raises(JobNotFoundError):
        process.refresh()
    with pytest.raises(JobNotFoundError):
        process.cancel()


def test_by_default_the_live_jobs_are_listed(scheduler: Scheduler, one_of_each: dict[Status, Process]) -> None:
    assert {process.status for process in scheduler.get_jobs()} == {0, 1, 2}
    assert {process.status for process in scheduler.get_jobs({})} == set(Status)


def test_every_status_can_be_asked_for(scheduler: Scheduler, one_of_each: dict[Status, Process]) -> None:
    for status, process in one_of_each.items():
        assert [found.id for found in scheduler.get_jobs({"status": status})] == [process.id]
        assert [found.id for found in scheduler.get_jobs({"status": int(status)})] == [process.id]
    live = scheduler.get_jobs({"status": {"$lte": Status.PROCESSING}})
    assert {found.status for found in live} == {Status.WAITING, Status.POSTPONED, Status.PROCESSING}
    bad = scheduler.get_jobs({"status": {"$in": [Status.FAILED, Status.TIMEOUT]}})
    assert {found.status for found in bad} == {Status.FAILED, Status.TIMEOUT}


def test_the_digits_of_an_id_stand_for_it_everywhere(scheduler: Scheduler) -> None:
    parent = scheduler.add_job(Noop, id="6b0b3cbc39e26cf26c6d0ede")
    digits = str(parent.id)
    child = scheduler.add_job(Echo, parent=digits)
    assert scheduler.get_job(digits.upper()).id == child.parent == parent.id
    for query in ({"_id": digits}, {"_id": {"$in": [digits]}}, {"$or": [{"_id": {"$eq": digits}}]}):
        assert list(scheduler.get_jobs(query)) == [parent]
    assert list(scheduler.get_jobs({"parent": digits})) == [child]
    assert scheduler.cancel_job(digits)
    assert scheduler.retry_job(digits).status is Status.WAITING
    assert scheduler.delete_job(digits)
    assert scheduler.delete_job(str(child.id))
    assert list(scheduler.get_jobs({})) == []


def test_names_of_statuses_work_in_queries(scheduler: Scheduler, one_of_each: dict[Status, Process]) -> None:
    for status, process in one_of_each.items():
        for name in (status.label, status.name, status.label.title()):
            assert list(scheduler.get_jobs({"status": name})) == [process]
    queries: list[tuple[dict[str, Any], set[Status]]] = [
        ({"status": {"$in": ["failed", "timeout", Status.DONE]}}, {Status.FAILED, Status.TIMEOUT, Status.DONE}),
        ({"status": {"$nin": ("failed", 6)}}, set(Status) - {Status.FAILED, Status.TIMEOUT}),
        ({"status": {"$lte": "processing"}}, {Status.WAITING, Status.POSTPONED, Status.PROCESSING}),
        (
            {"$or": [{"status": "done"}, {"$and": [{"status": {"$not": {"$ne": "failed"}}}]}]},
            {Status.DONE, Status.FAILED},
        ),
    ]
    for query, wanted in queries:
        assert {job.status for job in scheduler.get_jobs(query)} == wanted, query


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"status": "cancelled"}, "there is no status 'cancelled'; did you mean canceled?"),
        ({"status": "runing"}, "there is no status 'runing'; did you mean processing?"),
        ({"status": "faild"}, "there is no status 'faild'; did you mean failed?"),
        ({"status": "over"}, "there is no status 'over'; there are waiting, postponed, processing, "),
        ({"status": 99}, "there is no status 99; there are waiting"),
        ({"status": {"$in": ["done", "runing"]}}, "there is no status 'runing'"),
        ({"$or": [{"status": "nope"}]}, "there is no status 'nope'"),
        ({"stauts": 0}, "jobs have no field 'stauts'; did you mean status?"),
        ({"job": "mail"}, "jobs have no field 'job'; did you mean class?"),
        ({"id": ObjectId()}, "jobs have no field 'id'; did you mean _id?"),
        ({"$and": [{"$nor": [{"quue": "a"}]}]}, "jobs have no field 'quue'; did you mean queue?"),
        ({"option.retry": 3}, "jobs have no field 'option.retry'; did you mean options?"),
        ({"customer": 7}, "jobs have no field 'customer'"),
    ],
)
def test_what_would_find_nothing_in_silence_is_refused(scheduler: Scheduler, query: dict[str, Any], said: str) -> None:
    for ask in (scheduler.get_jobs, lambda asked: scheduler.listen(lambda _: True, asked, 0)):
        with pytest.raises(InvalidOptionError) as caught:
            ask(query)
        assert str(caught.value).startswith(said)


def test_every_field_that_is_stored_can_be_asked_for(scheduler: Scheduler, one_of_each: dict[Status, Process]) -> None:
    scheduler.start_service("s")
    scheduler.track("p", solo=True, rows=1).start()
    scheduler.add_job_once(Echo, {"a": 1})
    parent = scheduler.add_job(Noop).id
    scheduler.add_job(Echo, dedupe=True, interval=5, tags=["a"], solo="key", parent=parent)
    stored = {name for job in scheduler.get_jobs({}) for name in job.to_dict()}
    assert len(stored) > 20
    for name in stored:
        list(scheduler.get_jobs({name: {"$exists": True}}))


def test_a_class_or_a_function_may_stand_for_its_name(scheduler: Scheduler) -> None:
    noop, echo, fail = (scheduler.add_job(job) for job in (Noop, Echo, Fail))
    total = scheduler.submit(add_up, 1, 2)
    queries: list[tuple[dict[str, Any], list[Process]]] = [
        ({"class": Noop}, [noop]),
        ({"class": "noop"}, [noop]),
        ({"class": add_up}, [total]),
        ({"class": {"$in": [Noop, "echo"]}}, [noop, echo]),
        ({"class": {"$nin": (Noop, Echo)}}, [fail, total]),
        ({"class": {"$ne": Noop}, "status": {"$lte": 2}}, [echo, fail, total]),
        ({"$or": [{"class": Noop}, {"class": Fail}]}, [noop, fail]),
        ({"status": 0, "$or": [{"class": Noop}, {"$and": [{"class": Echo}]}]}, [noop, echo]),
        ({"_id": {"$in": [noop.id, total.id]}}, [noop, total]),
        ({"class": "unknown"}, []),
    ]
    for query, expected in queries:
        assert set(scheduler.get_jobs(query)) == set(expected), query


def test_a_class_that_is_no_job_is_refused_in_a_query(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidJobError):
        list(scheduler.get_jobs({"class": dict}))


@pytest.mark.parametrize("bad", ["failed", 4, [Status.FAILED]])
def test_what_is_no_query_is_refused_at_the_call(scheduler: Scheduler, bad: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r'a query must be a mapping, such as \{"class": MailJob\}, not'):
        scheduler.get_jobs(bad)


@pytest.mark.parametrize("bad", [object(), 2**64, {1: 2}, "\ud800"])
def test_a_query_holds_what_bson_can_hold(scheduler: Scheduler, bad: Any) -> None:
    with pytest.raises(InvalidOptionError, match="a query must hold what BSON can hold: "):
        scheduler.get_jobs({"data": bad})


def test_data_and_options_can_be_asked_for(scheduler: Scheduler) -> None:
    wanted = scheduler.add_job("mail", {"to": "a@b.c", "tries": [1, 2]}, retry=3, queue="post", priority=2)
    scheduler.add_job("mail", {"to": "x@y.z"})
    for query in ({"data.to": "a@b.c"}, {"data.tries": 2}, {"options.retry": {"$gt": 2}}, {"queue": "post"}):
        assert [process.id for process in scheduler.get_jobs(query)] == [wanted.id], query
    assert [process.id for process in scheduler.get_jobs({"priority": {"$gte": 1}})] == [wanted.id]


def test_no_job_gives_an_empty_list(scheduler: Scheduler) -> None:
    assert list(scheduler.get_jobs()) == []
    assert list(scheduler.get_jobs({"class": "noop"})) == []


def test_jobs_of_a_class_come_in_the_order_in_which_they_were_added(scheduler: Scheduler) -> None:
    added = [scheduler.add_job("noop", number, at=timedelta(hours=number % 2)).id for number in range(50)]
    assert [process.id for process in scheduler.get_jobs()] == added
    assert [process.id for process in scheduler.get_jobs({"class": "noop"})] == added


def test_jobs_are_read_as_they_are_asked_for(scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", number) for number in range(1000)])
    jobs = scheduler.get_jobs()
    assert inspect.isgenerator(jobs) or iter(jobs) is jobs
    assert next(jobs).status is Status.WAITING
    scheduler.flush()
    assert sum(1 for _ in jobs) < 999  # the rest of the first batch only; the others were not read yet


def test_all_of_many_jobs_are_listed_once(scheduler: Scheduler) -> None:
    added = scheduler.add_jobs([("noop", number) for number in range(3000)])
    ended = added[::3]
    for process in ended[:5]:
        process.cancel()
    listed = [process.id for process in scheduler.get_jobs()]
    assert len(listed) == len(set(listed)) == 2995
    assert len(list(scheduler.get_jobs({"status": Status.CANCELED}))) == 5
    assert scheduler.counts()["noop"] == dict.fromkeys(Status, 0) | {Status.WAITING: 2995, Status.CANCELED: 5}


def test_a_query_that_mongodb_refuses_is_our_error(scheduler: Scheduler) -> None:
    with pytest.raises(SchedulerError, match="unknown operator"):
        list(scheduler.get_jobs({"status": {"$foo": 1}}))


def test_the_list_reads_what_other_schedulers_have_added(scheduler: Scheduler, uri: str) -> None:
    with Scheduler(uri) as other:
        process = other.add_job(Noop)
    assert [found.id for found in scheduler.get_jobs()] == [process.id]


def test_schedulers_with_other_collections_do_not_see_each_other(scheduler: Scheduler, uri: str) -> None:
    scheduler.add_job(Noop)
    with Scheduler(uri, job_store="other.jobs", job_queue="other.queue", event_queue="other.events") as other:
        assert list(other.get_jobs()) == []
        mine = other.add_job(Noop)
        assert [found.id for found in other.get_jobs()] == [mine.id]
    assert mine.id not in {found.id for found in scheduler.get_jobs()}


def test_the_default_list_works_without_its_indexes(scheduler: Scheduler, database: Documents) -> None:
    """Somebody may have dropped the collection or its indexes; that costs speed only."""
    scheduler.add_job(Noop)
    database["taskscheduler.jobs"].drop_indexes()
    assert len(list(scheduler.get_jobs())) == 1
    database.drop_collection("taskscheduler.jobs")
    assert list(scheduler.get_jobs()) == []
    process = scheduler.add_job(Noop)
    assert [found.id for found in scheduler.get_jobs()] == [process.id]


def test_few_postponed_jobs_are_found_behind_many_that_wait(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By age that takes too long, here at once; then the index that has only them is taken, and they are sorted."""
    late = [scheduler.add_job("noop", at=timedelta(hours=9 - hour)).id for hour in range(5)]
    waiting = [process.id for process in scheduler.add_jobs([("noop",)] * 5)]
    job_lists = JobLists(scheduler.store.database, scheduler.options)
    asked: list[Status] = []

    class TooSlow:
        """A cursor whose query takes longer than it may."""

        def max_time_ms(self, _limit: int) -> TooSlow:
            return self

        def __iter__(self) -> Iterator[Any]:
            raise ExecutionTimeout("operation exceeded time limit")

    def too_slow(self: JobLists, query: dict[str, Any], limit: int, fields: dict[str, Any]) -> Any:
        asked.extend(map(Status, query["status"]["$in"]))
        return TooSlow()

    monkeypatch.setattr(JobLists, "_found", too_slow)
    for status, ids in ((Status.POSTPONED, late), (Status.WAITING, waiting)):
        found = job_lists.recent({"status": {"$in": [int(status)]}}, 3)
        assert [job["_id"] for job in found] == ids[:1:-1]
    assert asked == [Status.POSTPONED, Status.WAITING]
