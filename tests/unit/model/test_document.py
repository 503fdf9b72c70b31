"""What the document of a new job looks like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.document import due, new_document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions
from taskscheduler.model.process_state import stored_options

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)


def new(data: Any = None, **options: Any) -> dict[str, Any]:
    return new_document("mail", data, JobOptions.of(options), NOW)


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


@table("at", [0, 1_000_000_000, timedelta(0), timedelta(hours=-1), NOW, NOW - timedelta(days=400)])
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


# -- due --------------------------------------------------------------------------------------------------------------


@table(
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
