"""The drawing of the states of a job, and of its attempts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.tables import table
from tests.unit.presentation.fakes import NOW, ago

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.web.pages.jobs.drawing import Course, machine, timeline


def kinds(course: Course) -> dict[str, str]:
    boxes = machine(course, {})["boxes"]
    return {box["status"].label: box["kind"] for box in boxes if box["kind"]}


@table(
    ("course", "seen", "ways"),
    [
        (Course(Status.WAITING, 0, False), {"waiting": "now"}, 0),
        (Course(Status.POSTPONED, 0, True), {"waiting": "seen", "postponed": "now"}, 1),
        (Course(Status.PROCESSING, 1, False), {"waiting": "seen", "processing": "now"}, 1),
        (Course(Status.FAILED, 3, True),
         {"waiting": "seen", "postponed": "seen", "processing": "seen", "failed": "now"}, 4),
        (Course(Status.CANCELED, 0, False), {"waiting": "seen", "canceled": "now"}, 1),
    ],
)  # fmt: skip
def test_the_state_now_those_before_and_the_ways_between(course: Course, seen: dict[str, str], ways: int) -> None:
    assert kinds(course) == seen
    lines = machine(course, {})["lines"]
    assert sum(line["taken"] for line in lines) == ways
    assert [line["taken"] for line in lines] == sorted(line["taken"] for line in lines), "taken ones lie above"


def test_a_state_that_was_not_seen_has_no_note() -> None:
    boxes = machine(Course(Status.WAITING, 0, False), dict.fromkeys(Status, "5s"))["boxes"]
    assert [box["note"] for box in boxes] == ["5s", "", "", "", "", "", ""]


def attempt(status: Status | None, started: Any, ended: Any) -> dict[str, Any]:
    return {"status": status, "started": started, "ended": ended}


def test_bars_stand_where_the_attempts_were() -> None:
    drawn = timeline(
        [attempt(Status.FAILED, ago(100), ago(60)), attempt(Status.PROCESSING, ago(20), None)], ago(100), NOW
    )
    assert drawn is not None
    first, second = drawn["rows"]
    assert (first["bar"], first["lag"]) == ({"x": "0.00", "width": "40.00"}, None)
    assert (second["bar"], second["lag"]) == ({"x": "80.00", "width": "20.00"}, {"x": "40.00", "width": "40.00"})
    assert 2 <= len(drawn["ticks"]) <= 4


def test_a_short_attempt_can_be_seen_and_a_long_wait_leaves_room() -> None:
    drawn = timeline([attempt(Status.DONE, ago(10), ago(9.999))], ago(1_000_000), NOW)
    assert drawn is not None
    [row] = drawn["rows"]
    assert float(row["bar"]["width"]) >= 0.6
    assert float(row["lag"]["width"]) > 50


@table(
    ("seconds", "text"),
    [(3, r"\d\d:\d\d:\d\d"), (7200, r"\d\d:\d\d"), (86_400 * 40, r"\d\d-\d\d")],
)
def test_marks_stand_at_whole_units(seconds: float, text: str) -> None:
    drawn = timeline([attempt(Status.DONE, ago(seconds), NOW)], None, NOW)
    assert drawn is not None
    assert 1 <= len(drawn["ticks"]) <= 5
    found = [tick["text"] for tick in drawn["ticks"] if tick["text"]]
    assert found
    assert all(re.fullmatch(text, one) for one in found)


@table(
    ("attempts",),
    [([],), ([attempt(Status.FAILED, None, None)],), ([attempt(None, "yesterday", 5)],)],
)
def test_without_times_there_is_no_time_line(attempts: list[dict[str, Any]]) -> None:
    assert timeline(attempts, ago(5), NOW) is None


def test_dates_at_the_edge_of_the_calendar_do_not_matter() -> None:
    for year in (1, 9999):
        edge = datetime(year, 12 if year > 1 else 1, 31 if year > 1 else 1, tzinfo=UTC)
        timeline([attempt(Status.DONE, edge, edge + timedelta(hours=1))], edge - timedelta(0), NOW)


@table(("before",), [(number,) for number in range(1, 400, 7)])
def test_texts_of_marks_do_not_run_into_each_other_nor_over_the_edge(before: float) -> None:
    drawn = timeline([attempt(Status.DONE, ago(before), NOW)], None, NOW)
    assert drawn is not None
    free = 0.0
    for tick in filter(lambda one: one["text"], drawn["ticks"]):
        width, x = 37 if len(tick["text"]) > 5 else 24, float(tick["x"])
        begin = x - width if tick["anchor"] == "end" else x
        assert free <= begin + 0.01
        assert begin + width <= 100
        free = begin + width
