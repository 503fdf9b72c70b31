"""How schedules look: times on the clocks of a zone, states, latest runs, records for programs."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.unit.presentation.fakes import NOW, ago, job, schedule

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.schedule import local, marks, record, state_of, wall, words_of


def test_a_moment_is_shown_as_the_clocks_of_its_zone_show_it() -> None:
    assert wall(NOW, "Europe/Zurich") == "Sat 2026-11-21 09:00 CET"
    assert wall(NOW.replace(second=5), "UTC") == "Sat 2026-11-21 08:00:05 UTC"
    first, last = (datetime(year, month, 1, tzinfo=UTC) for year, month in ((1, 1), (9999, 12)))
    last = last.replace(day=31, hour=23)
    assert wall(first, "America/New_York").endswith("-01-01 00:00 UTC")
    assert wall(last, "Asia/Tokyo") == "Fri 9999-12-31 23:00 UTC"
    assert local(last, "Asia/Tokyo") == "9999-12-31 23:00:00+00:00"


def test_the_latest_runs_and_skipped_times_stand_in_one_order() -> None:
    old, new = job(Status.DONE, scheduled_at=ago(300)), job(Status.FAILED, scheduled_at=ago(60))
    found = marks([old, new], [ago(400), ago(120), ago(300)], 20)
    assert [(mark.time, mark.run) for mark in found] == [
        (ago(400), None), (ago(300), old), (ago(120), None), (ago(60), new)
    ]  # fmt: skip
    assert [mark.time for mark in marks([old, new], [ago(120)], 2)] == [ago(120), ago(60)]


def test_a_run_whose_time_cannot_be_read_stands_where_it_was_added() -> None:
    odd = job(Status.DONE, scheduled_at="x", created=ago(60))
    assert [mark.time for mark in marks([odd], [], 20)] == [ago(60)]


def test_a_schedule_that_cannot_be_read_says_so_in_its_record() -> None:
    good, odd = record(schedule()), record(schedule(times={"cron": ["61 * * * *"]}))
    assert (good["in_words"], good["fault"]) == ("At 02:30 on Monday through Friday, Europe/Zurich", None)
    assert (odd["state"], odd["in_words"]) == ("unreadable", "")
    assert odd["fault"].startswith("its field times is wrong: option cron: the minute of '61 * * * *' cannot be read")
    assert words_of(schedule(times={"every": 300})) == "Every 5 minutes"
    assert state_of(schedule(paused=True)) == "paused"
