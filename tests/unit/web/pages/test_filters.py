"""The filter of the list of jobs: its query, its refusals, and which filters no index serves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId
from fastapi import HTTPException
from tests.support.tables import table

from taskscheduler.model.filters.keys import KINDS
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler_daemon.web.pages.filters import JobFilter

ID = "6a5f01c2e26cf26c6d0ede69"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def test_an_empty_filter_matches_all_jobs() -> None:
    assert JobFilter().query(NOW) == {}
    assert JobFilter().given == {}
    assert JobFilter().before_id() is None


def test_all_fields_are_in_the_query() -> None:
    wanted = JobFilter(status="failed", job="Mail", queue="bulk", tag="blue", kind="solo", before=ID)
    assert wanted.query(NOW) == {
        "class": "Mail",
        "queue": "bulk",
        "tags": "blue",
        "status": {"$in": [int(Status.FAILED)]},
        "_id": {"$lt": ObjectId(ID)},
        **KINDS["solo"],
    }
    assert wanted.given == {"status": "failed", "job": "Mail", "queue": "bulk", "tag": "blue", "kind": "solo"}


def test_live_stands_for_several_statuses() -> None:
    assert JobFilter(status="live").query(NOW) == {"status": {"$in": sorted(map(int, LIVE))}}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (JobFilter(status="over"), 'There is no status "over"'),
        (JobFilter(kind="<b>\n"), 'There is no kind "<b>\\n"'),
        (JobFilter(before="x" * 200), f'"{"x" * 120}…" is not the id of a job'),
    ],
)
def test_unknown_values_are_refused(wanted: JobFilter, message: str) -> None:
    with pytest.raises(HTTPException) as raised:
        wanted.query(NOW)
    assert (raised.value.status_code, raised.value.detail) == (400, message)


@table(
    ("wanted", "reads_all"),
    [
        (JobFilter(), False),
        (JobFilter(status="done"), False),
        (JobFilter(job="Mail"), True),
        (JobFilter(queue="bulk", status="done"), True),
        (JobFilter(job="Mail", status="failed"), False),
        (JobFilter(job="Mail", tag="blue"), False),
        (JobFilter(job="Mail", kind="service"), False),
        (JobFilter(kind="service"), False),
        (JobFilter(kind="solo"), True),
        (JobFilter(kind="program", status="processing"), False),
        (JobFilter(kind="program", status="failed"), True),
    ],
)
def test_filters_without_an_index_are_known(wanted: JobFilter, reads_all: bool) -> None:
    assert wanted.reads_all is reads_all


@table(
    ("given", "expected"),
    [
        (JobFilter(q="data.n:1"), True),
        (JobFilter(q="data.n:1", kind="service"), False),
        (JobFilter(queue="mail", status="failed"), True),
        (JobFilter(job="Mail", status="canceled"), True),
        (JobFilter(queue="mail", status="waiting"), False),
        (JobFilter(queue="mail"), False),
        (JobFilter(status="failed"), False),
    ],
)
def test_jobs_that_many_others_stand_between_are_searched_a_part_at_a_time(given: JobFilter, expected: bool) -> None:
    assert given.passes_over_many is expected
