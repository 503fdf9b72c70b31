"""What people have set, as it is read from the database, where anybody may have written anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Code, ObjectId
from bson.datetime_ms import DatetimeMS
from tests.support.tables import table

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.pauses import Pause, pause_of_key

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def controls(*keys: str, **fields: Any) -> Controls:
    return Controls.of([{"_id": key, "kind": "pause", **fields} for key in keys])


@table(
    ("key", "pause"),
    [
        ("pause:all", Pause("all")),
        ("pause:queue:mail", Pause("queue", "mail")),
        ("pause:job:app.Mail", Pause("job", "app.Mail")),
        ("pause:tag:a:b", Pause("tag", "a:b")),
    ],
)
def test_a_key_says_what_is_paused(key: str, pause: Pause) -> None:
    assert pause_of_key(key) == pause
    assert pause.key == key


@table("key", ["pause", "pause:", "pause:all:x", "pause:queue", "pause:queue:", "pause:x:y", "limit:a"])
def test_any_other_key_is_that_of_no_pause(key: str) -> None:
    assert pause_of_key(key) is None


def test_one_setting_that_cannot_be_read_hides_no_other() -> None:
    keys: list[Any] = [1, None, ObjectId(), ["pause:all"], Code("pause:all"), {}]
    odd = [{"_id": key} for key in keys]
    found = Controls.of([*odd, {}, {"_id": "pause:queue:mail"}])
    assert found.pauses == (Pause("queue", "mail"),)


@table("value", [1, [NOW], {}, None, DatetimeMS(2**60), Code("x")])
def test_a_pause_holds_whatever_else_is_stored_with_it(value: Any) -> None:
    found = controls("pause:all", reason=value, until=value, by=value, at=value)
    assert found.pauses == (Pause("all"),)


def test_pauses_are_in_a_fixed_order() -> None:
    found = controls("pause:tag:b", "pause:tag:a", "pause:job:z", "pause:queue:z", "pause:all")
    assert [pause.key for pause in found.pauses] == [
        "pause:all",
        "pause:queue:z",
        "pause:job:z",
        "pause:tag:a",
        "pause:tag:b",
    ]


@table(
    ("key", "job", "held"),
    [
        ("pause:all", {}, True),
        ("pause:queue:mail", {"queue": "mail"}, True),
        ("pause:queue:mail", {"queue": "copy", "job": "mail", "tags": ["mail"]}, False),
        ("pause:job:mail", {"queue": "x", "job": "mail"}, True),
        ("pause:job:mail", {"queue": "mail", "job": "copy", "tags": ["mail"]}, False),
        ("pause:tag:mail", {"queue": "x", "job": "x", "tags": ["a", "mail"]}, True),
        ("pause:tag:mail", {"queue": "mail", "job": "mail", "tags": ["mails", 1, {}]}, False),
        ("pause:tag:mail", {"queue": "mail", "job": "mail"}, False),
    ],
)
def test_a_pause_holds_the_jobs_of_what_it_names(key: str, job: dict[str, Any], held: bool) -> None:
    found = controls(key).pause_of(**job, now=NOW)
    assert (found is not None and found.key == key) is held


def test_a_pause_ends_by_itself() -> None:
    found = controls("pause:all", until=NOW)
    assert found.pause_of(now=NOW - timedelta(milliseconds=1)) is not None
    assert found.pause_of(now=NOW) is None


def test_one_that_is_over_hides_no_other() -> None:
    found = Controls.of([{"_id": "pause:all", "until": NOW}, {"_id": "pause:queue:mail"}])
    pause = found.pause_of(queue="mail", now=NOW)
    assert pause is not None
    assert pause.kind == "queue"
