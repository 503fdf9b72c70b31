"""The filter language: what an expression asks of a job, and how a wrong one is refused."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.filters.expression import LONGEST, Filter, all_of
from taskscheduler.model.filters.job_query import FIELDS, fields_as_stored
from taskscheduler.model.filters.keys import KEYS

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ID = "6a5f01c2e26cf26c6d0ede69"


def query(text: str) -> dict[str, Any]:
    return Filter.parse(text).query(NOW)


@table(
    ("text", "expected"),
    [
        ("", {}),
        ("status:failed", {"status": {"$in": [4]}}),
        ("status:failed,Timeout", {"status": {"$in": [4, 6]}}),
        ("state:running", {"status": {"$in": [2]}}),
        ("status:live", {"status": {"$in": [0, 1, 2]}}),
        ("status:ended", {"status": {"$in": [3, 4, 5, 6]}}),
        ("class:Mail", {"class": "Mail"}),
        ("job:Mail,Copy", {"class": {"$in": ["Mail", "Copy"]}}),
        ('class:"a b",c', {"class": {"$in": ["a b", "c"]}}),
        ('class:"a,b"', {"class": "a,b"}),
        ('class:"*"', {"class": "*"}),
        ("tag:*", {"tags": {"$exists": True}}),
        ("queue:mail node:web-1", {"queue": "mail", "node": "web-1"}),
        (f"id:{ID}", {"_id": ObjectId(ID)}),
        (f"origin:{ID}", {"_id": ObjectId(ID)}),
        (f"parent:{ID},{ID[:-1]}0", {"parent": {"$in": [ObjectId(ID), ObjectId(ID[:-1] + "0")]}}),
        ("service:web", {"service.name": "web"}),
        ("limit:stripe,api", {"limits": {"$in": ["stripe", "api"]}}),
        ("sequence:account-42", {"sequence": "account-42"}),
        ("kind:solo", {"solo": {"$exists": True}}),
        ("fingerprint:3f2a", {"fingerprint": "3f2a"}),
        ("created:>-2h", {"created": {"$gt": NOW - timedelta(hours=2)}}),
        ("created:<=-1h30m", {"created": {"$lte": NOW - timedelta(minutes=90)}}),
        ("ended:<2026-11-21", {"ended": {"$lt": datetime(2026, 11, 21, tzinfo=UTC)}}),
        ("started:>=2026-11-21T08:00+01:00", {"started": {"$gte": datetime(2026, 11, 21, 7, tzinfo=UTC)}}),
        ("alive:<now", {"alive": {"$lt": NOW}}),
        (
            "created:2026-11-21",
            {"created": {"$gte": datetime(2026, 11, 21, tzinfo=UTC), "$lt": datetime(2026, 11, 22, tzinfo=UTC)}},
        ),
        (
            "at:<+1h",
            {
                "$or": [
                    {"at": {"$lt": NOW + timedelta(hours=1)}, "parked_at": {"$exists": False}},
                    {"parked_at": {"$lt": NOW + timedelta(hours=1)}},
                ]
            },
        ),
        ("attempt:>2", {"attempt": {"$gt": 2}}),
        ("priority:-1,0", {"priority": {"$in": [-1, 0]}}),
        ("progress:>=50.5", {"progress": {"$gte": 50.5}}),
        ("data.user.id:42", {"data.user.id": 42}),
        ('data.user.id:"42"', {"data.user.id": "42"}),
        ("data.n:>1.5 data.ok:true data.x:null", {"data.n": {"$gt": 1.5}, "data.ok": True, "data.x": None}),
        ("data.to:a,b", {"data.to": "a,b"}),
        ("data:Ann", {"data": "Ann"}),
        ("data.Name:Ann", {"data.Name": "Ann"}),
        (f"data.ref:{ID}", {"data.ref": {"$in": [ID, ObjectId(ID)]}}),
        ("data.day:>=2026-11-21", {"data.day": {"$gte": "2026-11-21"}}),
        ("attempt:>1 attempt:<5", {"attempt": {"$gt": 1}, "$and": [{"attempt": {"$lt": 5}}]}),
    ],
)
def test_an_expression_is_a_query(text: str, expected: dict[str, Any]) -> None:
    assert query(text) == expected
    assert fields_as_stored(query(text)) == query(text)


@table(
    ("text", "found", "missed"),
    [
        ("class:SMTP*", "SMTPError", "an SMTPError"),
        ("class:*.Mail", "myapp.Mail", "myapp.Mailer"),
        ("class:my*.M*l", "myapp.jobs.Mail", "xmyapp.Mail"),
        ("class:a.b*", "a.bc", "axbc"),
        ("class:*a*", "\n a \n", "b"),
    ],
)
def test_a_star_stands_for_any_characters(text: str, found: str, missed: str) -> None:
    pattern = query(text)["class"]
    assert isinstance(pattern, re.Pattern)
    assert pattern.search(found)
    assert not pattern.search(missed)


def test_an_error_is_found_by_its_type_and_its_message() -> None:
    assert query("error:OSError") == {"$or": [{"error.type": "OSError"}, {"error.message": "OSError"}]}


def test_a_text_alone_is_found_in_several_fields_whatever_its_case() -> None:
    conditions = query('"no space (left"')["$or"]
    assert [next(iter(one)) for one in conditions] == ["class", "tags", "message", "error.type", "error.message"]
    assert conditions[0]["class"].search("No Space (LEFT on device")


@table(
    ("text", "message"),
    [
        ("stauts:failed", "filter 'stauts:failed': there is no key 'stauts'; did you mean status?"),
        ("zzz:1", "there is no key 'zzz'; keys are status, class, "),
        ("http://x", "a text with a colon needs quotes"),
        ("status:faild", "there is no status 'faild'; did you mean failed?"),
        ("status:7", "there is no status '7'; there are live, ended, waiting, "),
        ("kind:services", "there is no kind 'services'; did you mean service?"),
        ("failed", "did you mean status:failed? To look for the text write \"failed\""),
        ("finished", "did you mean status:done?"),
        ("tags", "did you mean tag:…?"),
        ("status=failed", 'did you mean status:failed? To look for the text write "status=failed"'),
        ("created>-2h", "did you mean created:>-2h?"),
        ("attempt<=3", "did you mean attempt:<=3?"),
        ("data.user.id==42", "did you mean data.user.id:42?"),
        ("SMTP*", "a text is found anywhere: leave out the *"),
        ("class:", "filter 'class:': a value is missing"),
        ("class:a,,b", "a value must not be empty"),
        ('class:""', "a value must not be empty"),
        ('""', "a text must not be empty"),
        (":x", "a key is missing"),
        ("class:>a", "class cannot be compared with >; that is for numbers, dates and data"),
        (">5", "a text cannot be compared with >"),
        ("attempt:>1,2", "attempt takes one value"),
        ("attempt:many", "filter 'attempt:many': give a number"),
        ('attempt:"1"', "give a number"),
        ("attempt:1e999", "this number is too large"),
        ("data.n:99999999999999999999", "a whole number has at most 64 bits; in quotes it is a text"),
        ("data.n:" + "9" * 500, "this number has too many digits"),
        ("created:-2h", "compare it, such as >-2h or <2026-11-21, or give a day"),
        ("created:>2h", "give a time ago (-2h, -1h30m, -7d), to come (+1h), or a date"),
        ("created:>-2parsecs", "give a time ago"),
        ("created:>2026-13-01", "give a time ago"),
        ("created:>-9999999w", "this is more than a century"),
        ("created:9999-12-31", "this is beyond the calendar"),
        ("created:>-1h,-2h", "created takes one value"),
        ("id:1234", "give the 24 hexadecimal digits of a job's id"),
        ("data.$where:1", "the place in the data must be names with dots between them"),
        ("data..a:1", "the place in the data must be names"),
        ('class:"a', "a quote is not closed, or text follows it"),
        ('status:failed "a" "b', "filter '\"b': a quote is not closed"),
        ('class:a"b"', "quotes must stand around the whole value"),
        ("class:a\0b", "a text of Unicode characters without NUL"),
        ("class:\udc80", "a text of Unicode characters without NUL"),
        ("x" * (LONGEST + 1), f"a filter must have {LONGEST} characters at most, not {LONGEST + 1}"),
    ],
)  # fmt: skip
def test_a_wrong_expression_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=re.escape(message)):
        Filter.parse(text)


@table("text", [None, 5, b"status:failed", ["status:failed"]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InvalidOptionError, match="a filter must be a text such as"):
        Filter.parse(text)


def test_a_time_ago_that_is_no_date_is_refused_when_it_is_asked() -> None:
    chosen = Filter.parse("created:>-90d")
    with pytest.raises(InvalidOptionError, match="this is beyond the calendar"):
        chosen.query(datetime(1, 1, 2, tzinfo=UTC))


def test_a_filter_prints_what_it_was_read_from() -> None:
    text = 'status:failed class:Mail,"a \\"b\\"" created:>-2h data.user.id:42 "two words"'
    assert str(Filter.parse(text)) == text
    assert str(Filter.parse("  JOB:a \n state:Failed")) == "class:a status:Failed"


def test_a_filter_knows_its_keys() -> None:
    assert Filter.parse("state:failed").names("status")
    assert not Filter.parse("class:status").names("status")


def test_conditions_on_the_same_field_all_hold() -> None:
    conditions = [{"a": 1}, {"a": 2, "b": 3}, {"a": 4}]
    assert all_of(conditions) == {"a": 1, "$and": [{"a": 2, "b": 3}, {"a": 4}]}
    assert all_of([]) == {}


def test_every_key_asks_for_a_field_that_jobs_have() -> None:
    words = {"status": "failed", "kind": "solo", "id": ID, "parent": ID, "series": ID, "flow": ID}
    for key in KEYS:
        ordered = ">1" if key in ("attempt", "retries", "lost", "priority", "progress") else "<now"
        text = words.get(key, ordered if KEYS[key].ordered else "x")
        asked = query(f"{key}:{text}")
        fields = {name for one in asked.get("$or", [asked]) for name in one}
        assert {name.partition(".")[0] for name in fields} <= FIELDS, key


@pytest.mark.parametrize("text", [",".join(["class:a"] * 1000), 'a"' * 4000, '""' * 4000])
def test_an_odd_expression_is_read_quickly(text: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidOptionError):
        Filter.parse(text + '"')
    assert time.process_time() - began < 1
