"""What a timetable looks like in words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from tests.support.tables import table

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.words import in_words

NOW = datetime(2027, 1, 1, tzinfo=UTC)
ZURICH = {"timezone": "Europe/Zurich"}
DATES = [date(2027, 12, day) for day in range(24, 31)]


@table(
    ("given", "expected"),
    [
        ({"cron": "30 2 * * mon-fri", **ZURICH}, "At 02:30 on Monday through Friday, Europe/Zurich"),
        ({"cron": ["0 8 * * 1", "@hourly"]}, "At 08:00 on Monday and at the start of every hour, UTC"),
        ({"cron": "*/10 * * * * *", "seconds": True}, "Every 10th second of every minute, UTC"),
        ({"cron": "5 0 2 * * *", "seconds": True}, "At 02:00:05 every day, UTC"),
        ({"cron": "0 9 LW * *"}, "At 09:00 on the last weekday of every month, UTC"),
        ({"every": 1}, "Every second"),
        ({"every": 1.5}, "Every 1.5 seconds"),
        ({"every": 90}, "Every 90 seconds"),
        ({"every": 300}, "Every 5 minutes"),
        ({"every": 3600}, "Every hour"),
        ({"every": 5400}, "Every 90 minutes"),
        ({"every": 7 * 86_400}, "Every 7 days"),
        ({"every": 12_345_671}, "Every 12345671 seconds"),
        ({"rrule": "FREQ=DAILY;BYHOUR=9"}, "By the rule FREQ=DAILY;BYHOUR=9, UTC"),
        ({"every": 60, "exclude": [date(2027, 12, 25)]}, "Every minute, except on 2027-12-25"),
        (
            {"every": 60, "exclude": [*DATES, "* * * * sun"]},
            "Every minute, except on 2027-12-24, 2027-12-25, 2027-12-26, 2027-12-27, 2027-12-28, 2 other dates "
            "and every minute on Sunday",
        ),
        (
            {"every": 60, "start": NOW, "end": NOW.replace(year=2028), "runs": 1, "jitter": 30, **ZURICH},
            "Every minute, Europe/Zurich, from 2027-01-01 01:00 on, until 2028-01-01 01:00, at most 1 run, "
            "each up to 30 seconds later",
        ),
    ],
)
def test_when_a_schedule_runs_is_said_in_words(given: dict[str, Any], expected: str) -> None:
    options = ScheduleOptions.of("name", given, NOW)
    assert in_words(options, options.timetable("name", NOW)) == expected
