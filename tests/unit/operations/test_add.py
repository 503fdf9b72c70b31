"""JobAdder: the checks before a job is stored, and the writes and messages after them."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.unit.operations.fakes import FakeConnection, Heard, SettableClock

from taskscheduler.errors import (
    DuplicateJobError,
    InvalidArgumentsError,
    InvalidJobError,
    InvalidOptionError,
    JobNotFoundError,
    PayloadTooLargeError,
    SchedulerError,
)
from taskscheduler.jobs.functions import job
from taskscheduler.jobs.job import Job
from taskscheduler.jobs.service import Service
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.operations.add import JobAdder, merged
from taskscheduler.operations.cancel import JobCanceller


class Mail(Job):
    name = "adder-mail"


class Notifying(Job):
    name = "adder-notifying"

    def notification(self, status: Any, process: Any) -> None:
        return None


class Lonely(Job):
    name = "adder-lonely"
    solo = "mailbox"


class Feed(Service):
    name = "adder-feed"


@job(name="adder-fetch")
async def fetch(url: str) -> None: ...


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def adder(connection: FakeConnection, heard: Heard) -> JobAdder:
    return JobAdder(connection.real, JobCanceller(connection.real, heard.announcer), connection.clock)


# -- one job ----------------------------------------------------------------------------------------------------------


def test_a_job_is_stored_and_wakes_the_nodes_of_its_queue(adder: JobAdder, connection: FakeConnection) -> None:
    document, outcome = adder.add(Mail, {"to": "a"}, {"queue": "mail"})
    assert outcome == "created"
    assert connection.jobs.stored[document["_id"]] == document
    assert (document["class"], document["data"], document["status"]) == ("adder-mail", {"to": "a"}, Status.WAITING)
    assert connection.wakeups.added == [([document["_id"]], {"mail"}, False, False)]


def test_a_job_for_later_or_for_an_extra_worker_says_so_to_the_nodes(
    adder: JobAdder, connection: FakeConnection
) -> None:
    for options in ({"at": connection.clock.now().timestamp() + 60}, {"force_spawn": True}):
        adder.add(Mail, None, options)
    adder.add(fetch, {"url": "x"}, {})
    assert [message[2:] for message in connection.wakeups.added] == [(True, False), (False, True), (False, True)]


def test_a_job_that_is_added_in_a_quiet_moment_wakes_nodes_by_itself(
    adder: JobAdder, connection: FakeConnection
) -> None:
    connection.wakeups.quiet = True
    assert adder.add(Mail, None, {})[0]["wake"] is True
    assert "wake" not in adder.add(Lonely, None, {})[0]  # it is parked, and a message follows
    connection.wakeups.quiet = False
    assert "wake" not in adder.add(Mail, None, {})[0]
    assert connection.wakeups.seen == [True, False, False]


@pytest.mark.parametrize(
    ("given", "data", "hook", "is_async"),
    [(Mail, None, False, False), (Notifying, None, True, False), (fetch, {"url": "x"}, False, True)],
)
def test_what_is_known_about_the_class_is_stored(
    adder: JobAdder, given: Any, data: Any, hook: bool, is_async: bool
) -> None:
    document = adder.add(given, data, {})[0]
    assert (document["hook"], "async" in document) == (hook, is_async)


def test_nothing_is_assumed_about_a_name_that_is_not_known_here(adder: JobAdder) -> None:
    document = adder.add("adder-unheard-of", object_of_any_kind := {"a": [1]}, {})[0]
    assert document["data"] == object_of_any_kind
    assert not {"hook", "async", "solo"} & document.keys()


def test_an_async_job_with_a_worker_of_its_own_is_none(adder: JobAdder) -> None:
    assert "async" not in adder.add(fetch, {"url": "x"}, {"force_spawn": True})[0]


@pytest.mark.parametrize(
    ("given", "options", "key"),
    [
        (Lonely, {}, "mailbox"),
        (Lonely, {"solo": "mine"}, "mine"),
        (Mail, {"solo": True}, "adder-mail"),
        (Mail, {}, None),
    ],
)
def test_a_solo_job_is_parked_and_its_lock_is_asked_for(
    adder: JobAdder, connection: FakeConnection, given: Any, options: dict[str, Any], key: str | None
) -> None:
    document = adder.add(given, None, options)[0]
    assert document.get("solo") == key
    assert ("parked_at" in document) is (key is not None)
    assert connection.admission.admitted == ([] if key is None else [{f"solo:{key}"}])


def test_the_class_may_be_solo_and_one_job_of_it_not(adder: JobAdder) -> None:
    assert "solo" not in adder.add(Lonely, None, {"solo": False})[0]


@pytest.mark.parametrize(
    ("given", "data", "options", "error"),
    [
        (Feed, None, {}, InvalidJobError),
        (5, None, {}, InvalidJobError),
        (fetch, {"address": "x"}, {}, InvalidArgumentsError),
        (Mail, None, {"foobar": 1}, InvalidOptionError),
        (Mail, "x" * 2_000_000, {}, PayloadTooLargeError),
        (Mail, None, {"parent": ObjectId()}, JobNotFoundError),
    ],
)
def test_a_job_that_is_refused_is_not_written(
    adder: JobAdder, connection: FakeConnection, given: Any, data: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        adder.add(given, data, options)
    assert (connection.jobs.writes, connection.wakeups.added) == ([], [])


def test_the_scheduler_options_of_the_moment_count(adder: JobAdder, connection: FakeConnection) -> None:
    assert adder.add(Mail, None, {})[0]["options"]["retry"] == 0
    connection.options = SchedulerOptions.of({"default_retry": 2, "max_payload": 1024})
    assert adder.add(Mail, None, {})[0]["options"]["retry"] == 2
    assert adder.add(Mail, None, {"retry": 5})[0]["options"]["retry"] == 5
    with pytest.raises(PayloadTooLargeError):
        adder.add(Mail, "x" * 2000, {})


# -- a child ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "child"),
    [
        (Status.PROCESSING, Status.WAITING),
        (Status.DONE, Status.WAITING),
        (Status.FAILED, Status.CANCELED),
        (Status.TIMEOUT, Status.CANCELED),
        (Status.CANCELED, Status.CANCELED),
    ],
)
def test_a_child_of_a_parent_that_has_ended_badly_is_cancelled(
    adder: JobAdder, connection: FakeConnection, heard: Heard, status: Status, child: Status
) -> None:
    parent = adder.add(Mail, None, {})[0]
    connection.jobs.stored[parent["_id"]]["status"] = int(status)
    document, outcome = adder.add(Mail, None, {"parent": parent["_id"]})
    assert (document["status"], outcome) == (child, "created")
    assert heard.events == ([("cancel", document["_id"])] if child is Status.CANCELED else [])


# -- many -------------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_write_and_one_message(adder: JobAdder, connection: FakeConnection) -> None:
    added = adder.add_many([Mail, (Mail, 1), (fetch, {"url": "x"}, {"queue": "web"})])
    ids = [document["_id"] for document, _ in added]
    assert [outcome for _, outcome in added] == ["created"] * 3
    assert [document["data"] for document, _ in added] == [None, 1, {"url": "x"}]
    assert connection.jobs.writes == [ids]
    assert connection.wakeups.added == [(ids, {"default", "web"}, False, True)]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ((), "job 2 of the batch: give a job, or a tuple of job, data and options"),
        ((Mail, 1, {}, 4), "job 2 of the batch: give a job, or a tuple of job, data and options"),
        ((fetch, {"address": 1}), "job 2 of the batch: job adder-fetch: argument url is missing"),
        ((Mail, None, {"retry": "x"}), "job 2 of the batch: option retry must be an integer"),
        ((Mail, None, 5), "job 2 of the batch: options must be a mapping, not int"),
    ],
)
def test_the_job_of_a_batch_that_is_wrong_is_named_and_nothing_is_written(
    adder: JobAdder, connection: FakeConnection, wrong: Any, what: str
) -> None:
    with pytest.raises(SchedulerError) as caught:
        adder.add_many([Mail, Mail, wrong, Mail])
    assert str(caught.value) == what
    assert connection.jobs.writes == []


def test_a_batch_with_an_id_that_is_taken_is_refused(adder: JobAdder, connection: FakeConnection) -> None:
    taken, twice = ObjectId(), ObjectId()
    adder.add(Mail, None, {"id": taken})
    for ids, wrong in (([ObjectId(), taken], taken), ([twice, ObjectId(), twice], twice)):
        with pytest.raises(DuplicateJobError) as caught:
            adder.add_many([(Mail, None, {"id": job_id}) for job_id in ids])
        assert caught.value.job_id == wrong
    assert connection.jobs.writes == [[taken]]


def test_jobs_with_dedupe_take_a_write_each_and_keep_their_places(adder: JobAdder, connection: FakeConnection) -> None:
    dedupe = {"dedupe": True}
    added = adder.add_many([(Mail, 1, dedupe), (Mail, 2), (Mail, 1, dedupe)])
    assert [outcome for _, outcome in added] == ["created", "created", "existing"]
    assert [document["data"] for document, _ in added] == [1, 2, 1]
    assert added[0][0]["_id"] == added[2][0]["_id"]
    assert [len(write) for write in connection.jobs.writes] == [1, 1]


def test_an_empty_batch_wakes_nobody(adder: JobAdder, connection: FakeConnection) -> None:
    assert adder.add_many([]) == []
    assert connection.wakeups.added == []


# -- dedupe -----------------------------------------------------------------------------------------------------------


def test_a_queued_job_with_the_same_key_is_returned_instead(adder: JobAdder, connection: FakeConnection) -> None:
    first = adder.add(Mail, {"a": 1, "b": 2}, {"dedupe": True})[0]
    assert adder.add(Mail, {"b": 2, "a": 1}, {"dedupe": True}) == (first, "existing")
    assert adder.add(Mail, {"a": 1}, {"dedupe": True})[1] == "created"
    assert len(connection.wakeups.added) == 2


def test_the_adder_gives_up_on_a_key_whose_holders_come_and_go(connection: FakeConnection, heard: Heard) -> None:
    clock = SettableClock(step=10)
    adder = JobAdder(connection.real, JobCanceller(connection.real, heard.announcer), clock)
    adder.add(Mail, 1, {"dedupe": True})
    connection.jobs.same_queued = lambda key: None  # type: ignore[method-assign]
    with pytest.raises(SchedulerError, match="other programs added and ended job adder-mail with the same key again"):
        adder.add(Mail, 1, {"dedupe": True})
    assert 30 <= clock.seconds <= 60


# -- once -------------------------------------------------------------------------------------------------------------


def test_an_equal_live_job_is_left_alone(adder: JobAdder) -> None:
    first, outcome = adder.add_once(Mail, {"a": 1}, {"retry": 2})
    assert outcome == "created"
    assert adder.add_once(Mail, {"a": 1}, {}) == (first, "existing")
    assert adder.add_once(Mail, {"a": 1}, {"retry": 2})[1] == "existing"


def test_a_live_job_with_other_options_is_replaced(adder: JobAdder, connection: FakeConnection, heard: Heard) -> None:
    first = adder.add_once(Mail, {"a": 1}, {"retry": 2})[0]
    second, outcome = adder.add_once(Mail, {"a": 1}, {"retry": 3})
    assert outcome == "replaced"
    assert connection.jobs.stored[first["_id"]]["status"] == Status.CANCELED
    assert connection.jobs.stored[second["_id"]]["status"] == Status.WAITING
    assert heard.events == [("cancel", first["_id"])]


def test_without_its_data_a_job_is_the_same_and_other_data_replace_it(adder: JobAdder) -> None:
    adder.add_once(Mail, 1, {"ignore_data": True})
    assert adder.add_once(Mail, 1, {"ignore_data": True})[1] == "existing"
    assert adder.add_once(Mail, 2, {"ignore_data": True})[1] == "replaced"


def test_an_ended_job_whose_next_run_is_not_stored_yet_has_it_delivered_first(
    adder: JobAdder, connection: FakeConnection
) -> None:
    first = adder.add_once(Mail, 1, {})[0]
    connection.jobs.stored[first["_id"]]["status"] = int(Status.DONE)

    def end() -> list[tuple[ObjectId, int]]:
        del connection.jobs.stored[first["_id"]]["once"]
        return []

    connection.outbox.effects[first["_id"]] = end
    assert adder.add_once(Mail, 1, {})[1] == "created"
    assert connection.outbox.delivered == [first["_id"]]


@pytest.mark.parametrize("options", [{"interval": 7200}, {"queue": "other"}, {"ignore_data": True, "data": 2}])
@pytest.mark.parametrize("owner", ["the live job", "a job that has ended", "another live job"])
def test_no_job_is_cancelled_for_one_whose_id_is_taken(
    adder: JobAdder, connection: FakeConnection, options: dict[str, Any], owner: str
) -> None:
    wanted = {"interval": 3600, "ignore_data": "data" in options}
    live, other = adder.add_once(Mail, 1, wanted)[0]["_id"], adder.add(Notifying, None, {})[0]["_id"]
    if owner == "a job that has ended":
        connection.jobs.stored[other]["status"] = int(Status.DONE)
    taken = live if owner == "the live job" else other
    given = {**wanted, **{name: one for name, one in options.items() if name != "data"}, "id": taken}
    before = {job_id: dict(job) for job_id, job in connection.jobs.stored.items()}
    with pytest.raises(DuplicateJobError) as caught:
        adder.add_once(Mail, options.get("data", 1), given)
    assert caught.value.job_id == taken
    assert connection.jobs.stored == before


def test_only_chosen_ids_of_a_batch_are_looked_for(adder: JobAdder, connection: FakeConnection) -> None:
    """A new id of this process is taken by nobody; reading all of them made adding slower by a tenth."""
    mine = ObjectId()
    assert len(adder.add_many([Mail, (Mail, 1, {"id": mine}), Mail])) == 3
    assert connection.jobs.looked_for == [mine]


def test_an_id_of_ones_own_may_replace_another_job(adder: JobAdder, connection: FakeConnection) -> None:
    first, mine = adder.add_once(Mail, 1, {})[0]["_id"], ObjectId()
    assert adder.add_once(Mail, 1, {"retry": 3, "id": mine})[1] == "replaced"
    assert connection.jobs.stored[first]["status"] == Status.CANCELED
    assert adder.add_once(Mail, 1, {"retry": 3, "id": mine})[1] == "existing"


def test_a_job_that_somebody_else_adds_first_is_the_one(adder: JobAdder, connection: FakeConnection) -> None:
    connection.jobs.before_insert.append(lambda: adder.add_once(Mail, 1, {}) and None)
    assert adder.add_once(Mail, 1, {})[1] == "existing"
    assert len(connection.jobs.stored) == 1


@pytest.mark.parametrize("option", [{"dedupe": True}, {"unique_for": 5}, {"debounce": 5}, {"unique_key": "k"}])
def test_once_and_options_that_compare_in_another_way_exclude_each_other(
    adder: JobAdder, option: dict[str, Any]
) -> None:
    with pytest.raises(InvalidOptionError, match=f"option {next(iter(option))} is for add_job"):
        adder.add_once(Mail, 1, option)


# -- services and options ---------------------------------------------------------------------------------------------


def test_a_new_service_is_not_stored(adder: JobAdder, connection: FakeConnection) -> None:
    new = adder.new_service(Feed, {"url": "x"}, {"force_spawn": True}, {"name": "feed"})
    assert (new.document["service"], new.document["class"]) == ({"name": "feed"}, "adder-feed")
    assert connection.jobs.writes == []


def test_options_are_given_as_a_mapping_or_as_keywords() -> None:
    assert merged({"retry": 1}, {"at": 2}) == {"retry": 1, "at": 2}
    assert merged(None, {}) == {}
    with pytest.raises(InvalidOptionError, match="option retry is given twice"):
        merged({"retry": 1}, {"retry": 1})
    with pytest.raises(InvalidOptionError, match="options must be a mapping, not list"):
        merged([], {})  # type: ignore[arg-type]
