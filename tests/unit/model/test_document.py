"""What a new job and the next run of a series look like, and which data can be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import ObjectId

from taskscheduler.errors import InvalidDataError, PayloadTooLargeError
from taskscheduler.model.document import due, new_document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC, DEEPEST, check_payload, encode
from taskscheduler.model.process_state import stored_options
from taskscheduler.model.schedules import successor, successor_id
from taskscheduler.model.uniqueness import fingerprint, once_key

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
MIB = 1024 * 1024


def new(data: Any = None, **options: Any) -> dict[str, Any]:
    return new_document("mail", data, JobOptions.of(options), NOW)


# -- a new job --------------------------------------------------------------------------------------------------------


def test_a_new_job_waits_and_has_never_run() -> None:
    document = new({"to": "a@b.c"})
    assert document["class"] == "mail"
    assert document["status"] == Status.WAITING
    assert type(document["status"]) is int
    assert (document["attempt"], document["retries"], document["lost"], document["progress"]) == (0, 0, 0, 0.0)
    assert (document["started"], document["ended"], document["worker"]) == (None, None, None)
    assert document["created"] == document["at"] == document["alive"] == NOW
    assert document["data"] == {"to": "a@b.c"}


def test_a_new_job_has_the_fields_that_users_query() -> None:
    names = {"_id", "class", "status", "created", "started", "ended", "alive", "worker", "progress", "data", "options"}
    assert names <= set(new())


def test_a_job_for_later_is_postponed() -> None:
    document = new(at=timedelta(hours=1))
    assert document["status"] == Status.POSTPONED
    assert document["at"] == NOW + timedelta(hours=1)
    assert document["options"]["at"] == (NOW + timedelta(hours=1)).timestamp()


@pytest.mark.parametrize("at", [0, 1, timedelta(0), timedelta(hours=-1), NOW, NOW - timedelta(days=400)])
def test_a_job_for_now_or_earlier_waits(at: Any) -> None:
    assert new(at=at)["status"] == Status.WAITING


def test_a_chosen_id_is_the_id_of_the_job() -> None:
    chosen = ObjectId()
    assert new(id=chosen)["_id"] == chosen
    assert new()["_id"] != new()["_id"]


@pytest.mark.parametrize("interval", [5, -1, 0.5])
def test_a_job_with_an_interval_begins_a_series(interval: float) -> None:
    document = new(interval=interval)
    assert (document["series"], document["seq"]) == (document["_id"], 0)


def test_a_job_without_an_interval_belongs_to_no_series() -> None:
    assert not {"series", "seq", "parent"} & set(new())


def test_a_child_names_its_parent() -> None:
    parent = ObjectId()
    assert new(parent=parent)["parent"] == parent


def test_the_options_of_a_stored_job_are_read_back_by_their_names() -> None:
    options = stored_options(new(queue="mail", priority=3, retry=2, timeout=1.5))
    assert (options["queue"], options["priority"], options["retry"], options["timeout"]) == ("mail", 3, 2, 1.5)
    assert options["at"] == 0
    assert options["parent"] is None


def test_the_document_of_a_job_holds_nothing_but_bson() -> None:
    document = new({"x": 1}, at=timedelta(hours=1), interval=5, retry=-1)
    assert bson.decode(encode(document, MIB).raw, codec_options=CODEC) == document


# -- due --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "date"),
    [
        (0, NOW),
        (timedelta(0), NOW),
        (timedelta(seconds=1.5), NOW + timedelta(seconds=1.5)),
        (timedelta(seconds=-1), NOW - timedelta(seconds=1)),
        (1, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (0.5, datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        (253_402_300_799, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2030, 1, 1, 12, tzinfo=UTC), NOW),
    ],
)
def test_a_job_is_due_at_the_date_that_its_option_stands_for(at: Any, date: datetime) -> None:
    assert due(at, NOW) == date
    assert due(at, NOW).utcoffset() == timedelta(0)


# -- the key of add_job_once ------------------------------------------------------------------------------------------


def test_the_order_of_keys_does_not_matter() -> None:
    one = {"a": 1, "b": {"x": [1, {"p": 1, "q": 2}], "y": 2}}
    two = {"b": {"y": 2, "x": [1, {"q": 2, "p": 1}]}, "a": 1}
    assert once_key("mail", one, False) == once_key("mail", two, False)


DIFFERENT: list[Any] = [
    None,
    {},
    [],
    "",
    0,
    False,
    {"a": None},
    {"a": 1},
    {"a": 2},
    {"a": "1"},
    {"a": [1, 2]},
    {"a": [2, 1]},
    {"a": {"b": 1}},
    {"b": {"a": 1}},
    {"a": True},
    "a",
    b"a",
    NOW,
]


def test_different_data_have_different_keys() -> None:
    assert len({once_key("mail", data, False) for data in DIFFERENT}) == len(DIFFERENT)


def test_different_jobs_have_different_keys_for_the_same_data() -> None:
    assert once_key("mail", {"a": 1}, False) != once_key("post", {"a": 1}, False)
    assert once_key("mail", {"a": 1}, True) != once_key("post", {"a": 1}, True)


def test_ignored_data_do_not_matter() -> None:
    assert len({once_key("mail", data, True) for data in DIFFERENT}) == 1
    assert once_key("mail", None, True) != once_key("mail", None, False)


def test_tuples_are_stored_as_lists_and_equal_to_them() -> None:
    assert fingerprint({"a": (1, 2)}) == fingerprint({"a": [1, 2]})


def test_the_key_of_a_job_is_stable_across_processes() -> None:
    key = "data:mail:69f2253d7926a707a18e98672b4b68d9ebfba06f2e8e7faa12e14bb26fd53ba8"
    assert once_key("mail", {"a": 1}, False) == key


# -- the next run -----------------------------------------------------------------------------------------------------

SERIES = ObjectId("64b000000000000000000001")


PLANNED = ObjectId("70000000aaaaaaaaaaaaaaaa")


def test_the_id_of_the_next_run_follows_from_the_series_and_the_number_of_the_run() -> None:
    first = successor_id(SERIES, 1, PLANNED)
    assert first == successor_id(ObjectId(str(SERIES)), 1, PLANNED)
    assert first.binary[4:] == successor_id(SERIES, 1, ObjectId()).binary[4:]
    assert first == ObjectId("700000008b80c8dfc1f2f5f3")


def test_the_id_of_the_next_run_tells_when_it_was_planned() -> None:
    assert successor_id(SERIES, 1, PLANNED).generation_time == PLANNED.generation_time


def test_every_run_of_every_series_has_an_id_of_its_own() -> None:
    other = ObjectId("64b000000000000000000002")
    ids = {successor_id(series, seq, PLANNED) for series in (SERIES, other) for seq in range(1000)}
    assert len(ids | {SERIES, other}) == 2002


def ended_run(**more: Any) -> dict[str, Any]:
    document = new({"to": "x"}, interval=60, retry=2, queue="mail", priority=7, parent=ObjectId())
    later = NOW + timedelta(seconds=60)
    plan = {"_id": successor_id(document["series"], 1, PLANNED), "at": later, "created": NOW + timedelta(seconds=1)}
    ran = {
        "status": int(Status.DONE),
        "attempt": 3,
        "retries": 2,
        "lost": 1,
        "progress": 100.0,
        "worker": "w",
        "node": "n",
        "started": NOW,
        "ended": NOW,
        "result": 1,
        "error": {"type": "x"},
        "attempts": [{}],
        "claim": "c",
        "boot": ObjectId(),
        "message": "m",
        "once": "key",
        "pending": ["next"],
        "rearmed": "1:failed",
    }
    return {**document, **ran, "next": plan, **more}


def test_the_next_run_keeps_what_the_user_gave() -> None:
    ended = ended_run(hook=True)
    fresh = successor(ended)
    for name in ("class", "queue", "priority", "data", "options", "series", "parent", "hook", "v"):
        assert fresh[name] == ended[name]
    assert fresh["seq"] == ended["seq"] + 1


def test_the_next_run_has_the_id_and_the_dates_that_were_planned() -> None:
    ended = ended_run()
    fresh = successor(ended)
    assert (fresh["_id"], fresh["at"], fresh["created"]) == (
        ended["next"]["_id"],
        ended["next"]["at"],
        ended["next"]["created"],
    )


def test_the_next_run_starts_afresh() -> None:
    fresh = successor(ended_run())
    assert (fresh["attempt"], fresh["retries"], fresh["lost"], fresh["progress"]) == (0, 0, 0, 0.0)
    assert (fresh["started"], fresh["ended"], fresh["worker"]) == (None, None, None)
    traces = {"node", "result", "error", "attempts", "claim", "boot", "message", "once", "pending", "next", "rearmed"}
    assert not traces & set(fresh)


def test_the_next_run_has_all_fields_of_a_new_job() -> None:
    assert set(new(interval=1)) <= set(successor(ended_run()))


def test_the_next_run_waits_for_its_time_unless_it_is_to_run_at_once() -> None:
    assert successor(ended_run())["status"] == Status.POSTPONED
    at_once = ended_run()
    at_once["options"] = {**at_once["options"], "interval": -1}
    assert successor(at_once)["status"] == Status.WAITING


# -- what can be stored -----------------------------------------------------------------------------------------------


def recursive_list() -> list[Any]:
    itself: list[Any] = []
    itself.append(itself)
    return itself


def recursive_dict() -> dict[str, Any]:
    itself: dict[str, Any] = {}
    itself["self"] = itself
    return itself


@pytest.mark.parametrize(
    "data",
    [
        object(),
        {"a": object()},
        {1: 2},
        {"a": [{None: 1}]},
        2**70,
        -(2**63) - 1,
        recursive_list(),
        recursive_dict(),
        "\ud800",
        {"\udfff": 1},
        {"a\0b": 1},
        {1, 2},
        lambda: None,
        1j,
    ],
    ids=lambda data: type(data).__name__,
)
def test_data_that_bson_cannot_hold_are_refused(data: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"^the data of job mail cannot be stored: .") as caught:
        encode(new(data), MIB)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, PayloadTooLargeError)


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        0,
        2**63 - 1,
        -(2**63),
        1.5,
        float("inf"),
        "ä\0",
        b"\0\xff",
        NOW,
        ObjectId(),
        UUID(int=5),
        {"$where": 1, "a.b": {"": []}},
        [1, "a", None, {"b": [1]}],
    ],
    ids=lambda data: type(data).__name__,
)
def test_data_that_bson_can_hold_come_back_equal(data: Any) -> None:
    assert bson.decode(encode(new(data), MIB).raw, codec_options=CODEC)["data"] == data


def test_data_that_are_too_large_are_refused_with_their_size_and_the_limit() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"^the data of job mail takes 2005 bytes, more than max_payload"):
        check_payload("the data of job mail", bytes(2000 - 2), 1024)
    with pytest.raises(PayloadTooLargeError) as caught:
        encode(new(bytes(2 * MIB)), MIB)
    assert "max_payload (1048576)" in str(caught.value)
    assert isinstance(caught.value, InvalidDataError)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_data_nested_deeper_than_mongodb_stores_are_refused() -> None:
    assert encode(new(nested(DEEPEST)), MIB)["class"] == "mail"
    with pytest.raises(InvalidDataError, match=rf"^the data of job mail is nested deeper than {DEEPEST} levels"):
        encode(new(nested(DEEPEST + 1)), MIB)
    with pytest.raises(InvalidDataError, match="is nested deeper"):
        encode(new({"a": ({"b": nested(DEEPEST - 2)},)}), MIB)


def test_data_just_within_the_limit_are_stored() -> None:
    overhead = len(bson.encode({"": b""})) - len(bson.encode({}))
    exactly = bytes(MIB - overhead)
    assert encode(new(exactly), MIB)["data"] == exactly
    with pytest.raises(PayloadTooLargeError):
        encode(new(exactly + b"x"), MIB)


def test_the_other_fields_of_a_job_do_not_count_as_its_data() -> None:
    check_payload("the data", "x" * (1024 - 7), 1024)
    assert encode(new("x" * 1000, queue="q" * 120), 1024)["data"] == "x" * 1000
