"""JobAdder jobs: what is stored, what is refused before anything is written, and that user data stay plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import Noop, add_up
from tests.support.nodes import NodeProcess

from taskscheduler import (
    DuplicateJobError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    Job,
    JobNotFoundError,
    PayloadTooLargeError,
    Process,
    Scheduler,
    SchedulerError,
    Status,
    job,
)

Documents = Database[dict[str, Any]]


class NotAJob:
    pass


@job
def plain_function(value: Any) -> Any:
    return value


HOSTILE: list[Any] = [
    {"$where": "1"},
    "$$NOW",
    "$data",
    {"$literal": {"$add": [1, 1]}},
    {"a.b": 1, "a": {"b": 2}},
    {"$set": {"status": 3}, "$unset": {"once": ""}},
    {"": "empty key", "nested": {"": {"": [{"": 1}]}}},
    {"$ref": "jobs", "$db": "admin", "deep": {"$ref": 1}},
    {"$oid": "not an id"},
    {"$date": "yesterday"},
    [{"$ne": None}, {"$expr": {"$function": {"body": "1", "args": [], "lang": "js"}}}],
    {"_id": 1, "status": 6, "class": "other", "options": {"retry": -1}},
    {"__proto__": {"x": 1}, "ünïcödé ☃": "\x00 inside \u202e", "0": "zero"},
]


def unstorable() -> list[tuple[str, Any]]:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: dict[str, Any] = {}
    for _ in range(300):  # MongoDB takes at most 200 levels
        deep = {"deeper": deep}
    return [
        ("object", object()),
        ("set of complex numbers", {1j}),
        ("complex", 1j),
        ("function", unstorable),
        ("class", NotAJob),
        ("huge integer", 2**64),
        ("integer key", {1: 2}),
        ("None key", {None: 1}),
        ("bytes key", {b"a": 1}),
        ("NUL in key", {"a\0b": 1}),
        ("lone surrogate", "\ud800"),
        ("lone surrogate in key", {"\ud800": 1}),
        ("lone surrogate deep inside", {"a": [{"b": "\udfff"}]}),
        ("deep inside", {"a": [{"b": object()}]}),
        ("naive generator", iter([1])),
        ("contains itself", loop),
        ("list in itself", cycle),
        ("nested deeper than the server takes", deep),
        ("range", range(2)),
    ]


#: every way to get an add wrong: what is given, and what it raises
BAD: dict[str, tuple[Callable[[Scheduler], Any], type[Exception], str]] = {
    "no job": (lambda s: s.add_job(None), InvalidJobError, "is not a job"),
    "empty name": (lambda s: s.add_job(""), InvalidJobError, "must not be empty"),
    "the base class": (lambda s: s.add_job(Job), InvalidJobError, "is not a job"),
    "a stranger": (lambda s: s.add_job(NotAJob), InvalidJobError, "NotAJob is not a job"),
    "an instance": (lambda s: s.add_job(Noop()), InvalidJobError, "is not a job"),
    "an undecorated function": (lambda s: s.add_job(unstorable), InvalidJobError, "is not a job"),
    "unknown option": (lambda s: s.add_job(Noop, foobar=1), InvalidOptionError, "^invalid option foobar given$"),
    "unknown in mapping": (lambda s: s.add_job(Noop, None, {"foobar": 1}), InvalidOptionError, "option foobar given"),
    "options no mapping": (lambda s: s.add_job(Noop, None, ["retry"]), InvalidOptionError, "must be a mapping"),  # type: ignore[arg-type]
    "given twice": (lambda s: s.add_job(Noop, None, {"retry": 1}, retry=2), InvalidOptionError, "retry is given twice"),
    "retry text": (lambda s: s.add_job(Noop, retry="1"), InvalidOptionError, "^option retry must be an integer$"),
    "retry bool": (lambda s: s.add_job(Noop, retry=True), InvalidOptionError, "^option retry must be an integer$"),
    "retry float": (lambda s: s.add_job(Noop, retry=1.5), InvalidOptionError, "^option retry must be an integer$"),
    "retry -2": (lambda s: s.add_job(Noop, retry=-2), InvalidOptionError, "option retry"),
    "retry huge": (lambda s: s.add_job(Noop, retry=2**40), InvalidOptionError, "option retry"),
    "at text": (lambda s: s.add_job(Noop, at="now"), InvalidOptionError, "^option at must be an integer"),
    "at bool": (lambda s: s.add_job(Noop, at=True), InvalidOptionError, "^option at must be an integer"),
    "at nan": (lambda s: s.add_job(Noop, at=float("nan")), InvalidOptionError, "option at"),
    "at infinite": (lambda s: s.add_job(Noop, at=float("inf")), InvalidOptionError, "option at"),
    "at negative": (lambda s: s.add_job(Noop, at=-1), InvalidOptionError, "option at"),
    "at too far": (lambda s: s.add_job(Noop, at=10**12), InvalidOptionError, "option at"),
    "at naive": (lambda s: s.add_job(Noop, at=datetime(2030, 1, 1)), InvalidOptionError, "time zone"),  # noqa: DTZ001
    "at before year 1 in UTC": (
        lambda s: s.add_job(Noop, at=datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
        InvalidOptionError,
        "option at",
    ),
    "at after year 9999 in UTC": (
        lambda s: s.add_job(Noop, at=datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))),
        InvalidOptionError,
        "option at",
    ),
    "interval text": (lambda s: s.add_job(Noop, interval="1h"), InvalidOptionError, "option interval must be an integ"),
    "interval -2": (lambda s: s.add_job(Noop, interval=-2), InvalidOptionError, "option interval"),
    "interval nan": (lambda s: s.add_job(Noop, interval=float("nan")), InvalidOptionError, "option interval"),
    "reference": (
        lambda s: s.add_job(Noop, interval_reference="middle"),
        InvalidOptionError,
        '^option interval_reference must be "start" or "end"$',
    ),
    "retry_interval -1": (lambda s: s.add_job(Noop, retry_interval=-1), InvalidOptionError, "option retry_interval"),
    "retry_interval None": (
        lambda s: s.add_job(Noop, retry_interval=None),
        InvalidOptionError,
        "option retry_interval",
    ),
    "timeout negative": (lambda s: s.add_job(Noop, timeout=-1), InvalidOptionError, "option timeout"),
    "timeout text": (lambda s: s.add_job(Noop, timeout="1"), InvalidOptionError, "^option timeout must be an integer"),
    "force_spawn 1": (lambda s: s.add_job(Noop, force_spawn=1), InvalidOptionError, "force_spawn must be a boolean$"),
    "ignore_data 0": (lambda s: s.add_job(Noop, ignore_data=0), InvalidOptionError, "ignore_data must be a boolean$"),
    "id text": (lambda s: s.add_job(Noop, id="5b3cbc39e26cf26c6d0ede6"), InvalidOptionError, "option id must be a"),
    "id number": (lambda s: s.add_job(Noop, id=1), InvalidOptionError, "option id must be a"),
    "queue with space": (lambda s: s.add_job(Noop, queue="a b"), InvalidOptionError, "option queue"),
    "queue with capital": (lambda s: s.add_job(Noop, queue="Mail"), InvalidOptionError, "option queue"),
    "queue empty": (lambda s: s.add_job(Noop, queue=""), InvalidOptionError, "option queue"),
    "queue newline": (lambda s: s.add_job(Noop, queue="mail\n"), InvalidOptionError, "option queue"),
    "queue None": (lambda s: s.add_job(Noop, queue=None), InvalidOptionError, "option queue"),
    "priority text": (lambda s: s.add_job(Noop, priority="high"), InvalidOptionError, "option priority must be an int"),
    "priority bool": (lambda s: s.add_job(Noop, priority=False), InvalidOptionError, "option priority must be an int"),
    "priority huge": (lambda s: s.add_job(Noop, priority=2**31), InvalidOptionError, "option priority"),
    "parent text": (lambda s: s.add_job(Noop, parent="x"), InvalidOptionError, "option parent must be an ObjectId"),
    "parent unknown": (lambda s: s.add_job(Noop, parent=ObjectId()), JobNotFoundError, "was not found"),
    "20 MB of data": (lambda s: s.add_job(Noop, b"x" * 20_000_000), PayloadTooLargeError, "max_payload"),
    "20 MB of text": (lambda s: s.add_job(Noop, {"t": "x" * 20_000_000}), PayloadTooLargeError, "max_payload"),
    "a byte too many": (lambda s: s.add_job(Noop, b"x" * 1024 * 1024), PayloadTooLargeError, "max_payload"),
    **{
        f"data: {what}": (lambda s, value=value: s.add_job(Noop, value), InvalidDataError, "noop")  # type: ignore[misc]
        for what, value in unstorable()
    },
}


@pytest.fixture(scope="module")
def shared_uri(server_uri: str) -> Iterator[str]:
    """One database for all tests in which nothing may be written."""
    name = f"test_{ObjectId()}"
    yield server_uri.format(name)
    with MongoClient[dict[str, Any]](server_uri.format("admin")) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def refusing(shared_uri: str) -> Iterator[Scheduler]:
    """A scheduler that has added one job, and must not have sent more than one message in the end."""
    with Scheduler(shared_uri) as scheduler, MongoClient[dict[str, Any]](shared_uri) as client:
        scheduler.add_job("before")
        yield scheduler
        scheduler.close()  # sends what is still to be sent
        database = client.get_default_database()
        assert len(told(database)) == 1
        assert database["taskscheduler.events"].count_documents({}) == 0


@pytest.fixture
def untouched(refusing: Scheduler) -> Iterator[None]:
    """Whatever the test does, no job may come of it."""
    jobs, queue = (refusing.store.database[f"taskscheduler.{name}"] for name in ("jobs", "queue"))
    yield
    assert [document["class"] for document in jobs.find()] == ["before"]
    assert queue.count_documents({}) <= 1


def jobs(scheduler: Scheduler, query: dict[str, Any]) -> list[Process]:
    return list(scheduler.get_jobs(query))


def messages(database: Documents) -> list[ObjectId]:
    """The ids in all messages about added jobs."""
    return [job_id for message in database["taskscheduler.queue"].find() for job_id in message.get("jobs", [])]


def told(database: Documents) -> list[ObjectId]:
    """The ids of the jobs of which nodes hear, each as often as they do: by its insert, and by messages."""
    return [job["_id"] for job in database["taskscheduler.jobs"].find({"wake": True})] + messages(database)


def test_a_class_a_function_and_a_name_can_be_added(scheduler: Scheduler) -> None:
    assert scheduler.add_job(Noop).job == "noop"
    assert scheduler.add_job(add_up, {"a": 1}).job == "sum"
    assert scheduler.add_job(plain_function, 1).job.endswith("test_adding.plain_function")
    assert scheduler.add_job("some.where.else", 1).job == "some.where.else"
    assert sorted(process.job for process in scheduler.get_jobs())[0] == "noop"


def test_a_document_has_the_names_and_values_of_the_seed(scheduler: Scheduler, database: Documents) -> None:
    process = scheduler.add_job("mail", {"to": "a@b.c"}, retry=3, retry_interval=60)
    document = database["taskscheduler.jobs"].find_one({"_id": process.id})
    assert document is not None
    expected = {
        "_id": process.id,
        "class": "mail",
        "status": 0,
        "started": None,
        "ended": None,
        "worker": None,
        "progress": 0.0,
        "data": {"to": "a@b.c"},
    }
    assert {name: document[name] for name in expected} == expected
    assert isinstance(document["created"], datetime)
    assert isinstance(document["alive"], datetime)
    assert document["options"] | {"retry": 3, "retry_interval": 60, "at": 0, "interval": 0} == document["options"]
    assert document["options"]["interval_reference"] == "end"
    assert document["options"]["timeout"] == 0
    assert document["options"]["force_spawn"] is False
    assert document["options"]["ignore_data"] is False


def test_the_process_returned_knows_what_was_stored(scheduler: Scheduler) -> None:
    process = scheduler.add_job("mail", [1, 2], queue="post-1_a", priority=7, timeout=timedelta(minutes=1))
    again = scheduler.get_job(process.id)
    for one in (process, again):
        assert one.status is Status.WAITING
        assert one.data == [1, 2]
        assert one.options["queue"] == "post-1_a"
        assert one.options["priority"] == 7
        assert one.options["timeout"] == 60
        assert one.progress == 0.0
        assert (one.attempt, one.attempts, one.result_value, one.error) == (0, [], None, None)
        assert (one.worker, one.node, one.started, one.ended, one.series) == (None, None, None, None, None)
    assert process.outcome == "created"
    assert process == again
    assert len({process, again}) == 1
    assert str(process.id) in repr(process)
    assert process.created is not None
    assert again.created is not None
    assert abs(process.created - again.created) < timedelta(milliseconds=1)


def test_a_job_for_later_is_postponed_and_one_for_the_past_waits(scheduler: Scheduler) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    for at in (later, later.timestamp(), int(later.timestamp()), timedelta(hours=1)):
        process = scheduler.add_job("noop", at=at)
        assert process.status is Status.POSTPONED
        assert process.at is not None
        assert abs(process.at - later) < timedelta(seconds=10)
    for past in (1_000_000_000, 1_000_000_000.5, timedelta(hours=-1), datetime(2001, 1, 1, tzinfo=UTC), 0):
        assert scheduler.add_job("noop", at=past).status is Status.WAITING


def test_scheduler_defaults_apply_to_jobs_added_from_then_on(scheduler: Scheduler) -> None:
    before = scheduler.add_job("noop")
    assert scheduler.set_options({"default_retry": 4}, default_timeout=timedelta(seconds=9)) is scheduler
    after = scheduler.add_job("noop")
    chosen = scheduler.add_job("noop", retry=1)
    assert before.refresh().options["retry"] == 0
    assert (after.options["retry"], after.options["timeout"]) == (4, 9)
    assert (chosen.options["retry"], chosen.options["timeout"]) == (1, 9)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_job_is_refused_before_anything_is_written(refusing: Scheduler, name: str) -> None:
    add, error, text = BAD[name]
    with pytest.raises(error, match=text) as caught:
        add(refusing)
    assert isinstance(caught.value, SchedulerError)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", ["data: deep inside", "20 MB of data", "retry text", "parent unknown", "no job"])
def test_add_job_once_refuses_the_same(refusing: Scheduler, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add, error, text = BAD[name]
    monkeypatch.setattr(refusing, "add_job", refusing.add_job_once)
    with pytest.raises(error, match=text):
        add(refusing)


def test_data_as_large_as_max_payload_fit(uri: str) -> None:
    with Scheduler(uri, max_payload=2048) as scheduler:
        overhead = 4 + 1 + 1 + 1  # of bytes in BSON: length, subtype, type and empty name
        fits = b"x" * (2048 - overhead)
        assert scheduler.add_job("noop", fits).refresh().data == fits
        with pytest.raises(PayloadTooLargeError, match="2049 bytes, more than max_payload"):
            scheduler.add_job("noop", fits + b"x")
    with Scheduler(uri, max_payload=15 * 1024 * 1024) as scheduler:
        large = b"x" * (14 * 1024 * 1024)
        assert scheduler.add_job("noop", large).refresh().data == large


def test_an_id_can_be_chosen_once(scheduler: Scheduler, database: Documents) -> None:
    chosen = ObjectId()
    assert scheduler.add_job("noop", 1, id=chosen).id == chosen
    with pytest.raises(DuplicateJobError, match=str(chosen)):
        scheduler.add_job("other", 2, id=chosen)
    with pytest.raises(DuplicateJobError, match=str(chosen)):
        scheduler.add_job_once("other", 2, id=chosen)
    assert scheduler.get_job(chosen).data == 1
    assert scheduler.add_job("noop", id=None).id != chosen
    scheduler.close()
    assert told(database).count(chosen) == 1


def test_an_id_stays_taken_after_the_job_has_ended(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    process.cancel()
    with pytest.raises(DuplicateJobError):
        scheduler.add_job("noop", id=process.id)
    assert process.refresh().status is Status.CANCELED


def test_the_child_of_a_live_parent_is_added(scheduler: Scheduler) -> None:
    parent = scheduler.add_job("noop")
    child = scheduler.add_job("noop", parent=parent.id)
    assert child.refresh().parent == parent.id
    assert child.status is Status.WAITING


def test_nodes_hear_of_every_added_job_once_by_its_insert_or_by_a_message_in_the_capped_queue(
    scheduler: Scheduler, database: Documents
) -> None:
    added = [scheduler.add_job("noop", number).id for number in range(50)]
    added += [process.id for process in scheduler.add_jobs([("noop", number) for number in range(2500)])]
    added.append(scheduler.add_job("noop", at=timedelta(hours=1)).id)
    added.append(scheduler.add_job_once("noop", "once").id)
    eventually(lambda: len(told(database)) == len(added))
    assert sorted(told(database)) == sorted(added)
    assert database["taskscheduler.queue"].options()["capped"]


def test_closing_sends_the_last_message(uri: str, database: Documents) -> None:
    with Scheduler(uri) as scheduler:
        added = [scheduler.add_jobs([("noop", number)])[0].id for number in range(20)]  # which sends a message
    assert sorted(messages(database)) == sorted(added)


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_keeps_its_order_and_the_options_of_each(scheduler: Scheduler) -> None:
    chosen = ObjectId()
    entries: list[Any] = [
        Noop,
        ("mail", {"to": 1}),
        (add_up, [1, 2], {"retry": 1, "queue": "sums"}),
        ("mail", None, {"id": chosen, "at": timedelta(hours=1)}),
        ("mail", 5, None),
    ]
    processes = scheduler.add_jobs(entry for entry in entries)
    assert [process.job for process in processes] == ["noop", "mail", "sum", "mail", "mail"]
    assert [process.data for process in processes] == [None, {"to": 1}, [1, 2], None, 5]
    assert (processes[2].options["retry"], processes[2].options["queue"]) == (1, "sums")
    assert (processes[3].id, processes[3].status) == (chosen, Status.POSTPONED)
    stored = {process.id: process for process in scheduler.get_jobs()}
    assert len(stored) == 5
    for process in processes:
        assert stored[process.id].data == process.data
        assert stored[process.id].options == process.options


def test_a_large_batch_is_stored_whole(scheduler: Scheduler, database: Documents) -> None:
    processes = scheduler.add_jobs([("noop", number) for number in range(3333)])
    stored = {document["_id"]: document["data"] for document in database["taskscheduler.jobs"].find()}
    assert [stored[process.id] for process in processes] == list(range(3333))


def test_an_empty_batch_is_fine(scheduler: Scheduler, database: Documents) -> None:
    assert scheduler.add_jobs([]) == []
    scheduler.close()
    assert database["taskscheduler.queue"].count_documents({}) == 0


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (("noop", object()), InvalidDataError, "job 1500 .*cannot be stored"),
        (("noop", b"x" * 20_000_000), PayloadTooLargeError, "job 1500 .*max_payload"),
        (("noop", 1, {"foobar": 1}), InvalidOptionError, "job 1500 .*invalid option foobar given"),
        (("noop", 1, {"retry": "x"}), InvalidOptionError, "job 1500 .*option retry must be an integer"),
        (("noop", 1, {"parent": ObjectId()}), JobNotFoundError, "job 1500 .*was not found"),
        (("noop", 1, "options"), InvalidOptionError, "job 1500 .*mapping"),
        (("noop", 1, {}, 4), InvalidJobError, "job 1500 "),
        ((), InvalidJobError, "job 1500 "),
        (None, InvalidJobError, "job 1500 .*is not a job"),
        (NotAJob, InvalidJobError, "job 1500 .*is not a job"),
        (("noop", dict(unstorable())["nested deeper than the server takes"]), InvalidDataError, "job 1500 "),
    ],
)
def test_one_bad_job_refuses_the_whole_batch_and_is_named(
    refusing: Scheduler, bad: Any, error: type[Exception], text: str
) -> None:
    batch: list[Any] = [("noop", number) for number in range(1600)]
    batch[1500] = bad
    with pytest.raises(error, match=text):
        refusing.add_jobs(batch)


@pytest.mark.usefixtures("untouched")
def test_an_id_twice_in_a_batch_refuses_it(refusing: Scheduler) -> None:
    twice = ObjectId()
    with pytest.raises(DuplicateJobError, match=str(twice)):
        refusing.add_jobs([("noop", 1, {"id": twice}), ("noop", 2), ("noop", 3, {"id": twice})])


@pytest.mark.usefixtures("untouched")
def test_an_id_that_is_taken_refuses_the_batch(refusing: Scheduler) -> None:
    taken = next(refusing.get_jobs()).id
    batch: list[Any] = [("noop", number) for number in range(2100)]
    batch[2050] = ("noop", 1, {"id": taken})
    with pytest.raises(DuplicateJobError, match=str(taken)):
        refusing.add_jobs(batch)


@pytest.mark.usefixtures("untouched")
def test_a_batch_from_a_generator_that_breaks_writes_nothing(refusing: Scheduler) -> None:
    def broken() -> Iterator[Any]:
        yield ("noop", 1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        refusing.add_jobs(broken())


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("bad", ["noop", {"noop": 1}, None, 5])
def test_what_is_no_list_of_jobs_is_no_batch(refusing: Scheduler, bad: Any) -> None:
    for call in (refusing.add_jobs, refusing.run_batch):
        with pytest.raises(InvalidOptionError, match="a batch must be a list of jobs, not"):
            call(bad)


# -- hostile data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", HOSTILE, ids=repr)
def test_hostile_data_are_stored_as_they_are(scheduler: Scheduler, data: Any) -> None:
    added = scheduler.add_job("echo", data)
    batch = scheduler.add_jobs([("echo", data), ("echo", data)])
    assert all(scheduler.get_job(process.id).data == data for process in (added, *batch))
    for process in (added, *batch):
        process.cancel()
    once = scheduler.add_job_once("echo", data)
    assert (once.outcome, once.refresh().data) == ("created", data)
    assert scheduler.add_job_once("echo", data).outcome == "existing"
    assert scheduler.add_job_once("echo", [data]).outcome == "created"


def test_hostile_data_come_back_as_result_and_error(scheduler: Scheduler, node: NodeProcess) -> None:
    echoes = scheduler.add_jobs([("echo", data) for data in HOSTILE])
    # an error takes another kind of update than a result, a run of a series a third one
    failing = scheduler.add_jobs([("fail", str(data), {"retry": 1, "retry_interval": 0}) for data in HOSTILE])
    series = scheduler.add_jobs([("echo", data, {"interval": 3600}) for data in HOSTILE])
    scheduler.wait_for([*echoes, *failing, *series], timeout=20)
    for data, echo, failed, run in zip(HOSTILE, echoes, failing, series, strict=True):
        assert echo.status is Status.DONE
        assert echo.result_value["data"] == data
        assert failed.status is Status.FAILED
        assert failed.error is not None
        assert failed.error["message"] == str(data)
        assert failed.attempts[0]["error"]["message"] == str(data)
        assert run.status is Status.DONE
        assert run.result_value["data"] == data
        query = {"series": run.id, "status": 1}
        assert [following.data for following in eventually(partial(jobs, scheduler, query))] == [data]


def test_all_kinds_of_bson_values_survive(scheduler: Scheduler) -> None:
    now = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
    data = {"n": None, "t": True, "i": 2**31, "l": Int64(2**62), "f": 0.1, "d": now, "b": b"\0\xff", "o": ObjectId()}
    assert scheduler.add_job("echo", data).refresh().data == data
    assert scheduler.add_job("echo").refresh().data is None
    assert scheduler.add_job("echo", 0).refresh().data == 0
    assert scheduler.add_job("echo", "").refresh().data == ""
