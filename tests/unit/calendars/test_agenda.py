"""What becomes of a schedule whose time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.calendars.agenda import MOST_RUNS, ScheduleState, Step, next_step
from taskscheduler.calendars.options import ScheduleOptions

NOON = datetime(2027, 6, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def step(now: datetime, next_at: datetime | None = NOON, live: bool = False, **more: Any) -> Step:
    buffered, made = more.pop("buffered", ()), more.pop("runs_made", 0)
    options = ScheduleOptions.of("x", {"cron": "* * * * *", **more}, NOON)
    return next_step(ScheduleState(options, options.timetable("x", NOON), next_at, buffered, made, live), now)


def test_before_its_time_nothing_happens() -> None:
    assert step(NOON - MINUTE) == Step(NOON)


def test_at_its_time_a_run_is_added() -> None:
    assert step(NOON) == Step(NOON + MINUTE, [NOON])
    assert step(NOON + timedelta(seconds=9)) == Step(NOON + MINUTE, [NOON])


@table(
    ("overlap", "expected"),
    [
        ("skip", Step(NOON + MINUTE, skipped=[NOON])),
        ("allow", Step(NOON + MINUTE, [NOON])),
        ("buffer_one", Step(NOON + MINUTE, buffered=[NOON])),
        ("buffer_all", Step(NOON + MINUTE, buffered=[NOON])),
        ("cancel_other", Step(NOON + MINUTE, [NOON], cancels=True)),
    ],
)
def test_the_run_before_has_not_ended(overlap: str, expected: Step) -> None:
    assert step(NOON, live=True, overlap=overlap) == expected


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("buffer_one", Step(NOON + MINUTE, buffered=[NOON - MINUTE], skipped=[NOON])),
        ("buffer_all", Step(NOON + MINUTE, buffered=[NOON - MINUTE, NOON])),
    ],
)
def test_a_run_was_put_off_before(overlap: str, expected: Step) -> None:
    assert step(NOON, live=True, overlap=overlap, buffered=(NOON - MINUTE,)) == expected


def test_the_first_run_that_was_put_off_begins_when_the_one_before_has_ended() -> None:
    buffered = (NOON - 2 * MINUTE, NOON - MINUTE)
    assert step(NOON - MINUTE / 2, buffered=buffered) == Step(NOON, [buffered[0]], [buffered[1]])
    assert step(NOON, buffered=buffered, overlap="buffer_all") == Step(
        NOON + MINUTE, [buffered[0]], [buffered[1], NOON]
    )


def test_of_several_times_at_once_the_first_run_counts_as_live() -> None:
    late = NOON + timedelta(seconds=5)
    seconds: dict[str, Any] = {"cron": "* * * * * *", "seconds": True}
    times = [NOON + timedelta(seconds=number) for number in range(6)]
    assert step(late, overlap="skip", **seconds).skipped == times[1:]
    assert len(step(late, overlap="allow", **seconds).runs) == 6
    assert step(late, overlap="cancel_other", **seconds) == Step(late + timedelta(seconds=1), [late], skipped=times[:5])


@pytest.mark.parametrize(
    ("missed", "expected"),
    [("latest", [NOON + HOUR - MINUTE]), ("skip", []), ("all", [NOON + number * MINUTE for number in range(60)])],
)
def test_times_that_were_missed(missed: str, expected: list[datetime]) -> None:
    now = NOON + HOUR - timedelta(seconds=30)
    found = step(now, missed=missed, overlap="allow")
    assert (found.runs, found.next_at) == (expected, NOON + HOUR)


def test_times_that_are_too_old_are_never_made_up_for() -> None:
    now = NOON + 30 * HOUR - timedelta(seconds=30)
    assert len(step(now, missed="all", overlap="allow", missed_window=600).runs) == 10
    assert step(now, missed="latest", cron="0 12 * * *", missed_window=600).runs == []
    assert step(now, missed="latest", cron="0 12 * * *").runs == [NOON + 24 * HOUR]


def test_what_is_not_late_runs_whatever_was_missed() -> None:
    now = NOON + HOUR + timedelta(seconds=1)
    for missed in ("latest", "skip"):
        assert step(now, missed=missed).runs == [NOON + HOUR]


def test_nothing_is_missed_by_who_was_there_all_the_time() -> None:
    options = ScheduleOptions.of("x", {"cron": "* * * * *", "overlap": "allow"}, NOON)
    state = ScheduleState(options, options.timetable("x", NOON), NOON, on_time=HOUR)
    assert next_step(state, NOON + HOUR).runs == [NOON + number * MINUTE for number in range(61)]


def test_very_many_missed_times_are_added_in_parts() -> None:
    now = NOON + timedelta(seconds=2 * MOST_RUNS + 20)
    found = step(now, cron="* * * * * *", seconds=True, missed="all", overlap="allow")
    assert len(found.runs) == MOST_RUNS
    assert found.next_at == found.runs[-1] + timedelta(seconds=1)


def test_no_more_runs_than_asked_for() -> None:
    assert step(NOON, runs=3, runs_made=2) == Step(None, [NOON])
    assert step(NOON, runs=3, runs_made=3) == Step(None)
    assert step(NOON, live=True, runs=3, runs_made=2) == Step(NOON + MINUTE, skipped=[NOON])
    assert step(NOON, live=True, runs=3, runs_made=2, overlap="buffer_all") == Step(None, buffered=[NOON])


def test_a_schedule_that_is_over_only_begins_what_was_put_off() -> None:
    assert step(NOON, next_at=None) == Step(None)
    assert step(NOON, next_at=None, buffered=(NOON,)) == Step(None, [NOON])


def test_after_its_end_it_is_over() -> None:
    assert step(NOON, end=NOON) == Step(None, [NOON])
