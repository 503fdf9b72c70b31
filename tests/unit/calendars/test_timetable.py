"""Times from several sources, without those that are excluded; intervals, rules and zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from time import process_time
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.calendars.intervals import IntervalTimes
from taskscheduler.calendars.options import ScheduleOptions, split
from taskscheduler.calendars.timetable import changes_clocks, delay
from taskscheduler.calendars.zones import at_wall_time, zone
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import LONGEST

NOW = datetime(2027, 6, 1, 12, 0, 30, tzinfo=UTC)


def next_times(count: int = 3, now: datetime = NOW, **given: Any) -> list[str]:
    options = ScheduleOptions.of("report", given, now)
    return [time.isoformat(" ")[:19] for time in options.timetable("report", now).next_times(count, now)]


def test_the_times_of_all_sources_come_in_one_order_and_once() -> None:
    found = next_times(4, cron=["0 13 * * *", "0 13,14 * * *"])
    assert found == ["2027-06-01 13:00:00", "2027-06-01 14:00:00", "2027-06-02 13:00:00", "2027-06-02 14:00:00"]


def test_dates_and_expressions_are_excluded() -> None:
    found = next_times(3, cron="0 9 * * *", exclude=["2027-06-02", date(2027, 6, 4), "* * * * sat,sun"])
    assert found == ["2027-06-03 09:00:00", "2027-06-07 09:00:00", "2027-06-08 09:00:00"]


def test_a_date_is_one_of_the_zone() -> None:
    found = next_times(2, cron="0 1 * * *", timezone="Asia/Tokyo", exclude="2027-06-02")
    assert found == ["2027-06-02 16:00:00", "2027-06-03 16:00:00"]


def test_the_times_end_with_the_calendar() -> None:
    assert 79 <= len(next_times(100, every=100 * 365 * 86_400)) <= 80
    assert next_times(1000, cron="0 0 29 2 *", start=NOW.replace(year=8999))[-1] == "9996-02-29 00:00:00"
    for option in ("start", "end"):
        for year in (1, 1899, 9001):
            with pytest.raises(InvalidOptionError, match=f"option {option} must be within the years 1970 to 9000"):
                ScheduleOptions.of("report", {"every": 60, option: NOW.replace(year=year)}, NOW)


def test_a_long_exclusion_is_passed_over_quickly() -> None:
    for exclude in ("* * * 6-11 *", "0-59 * * 6-11 *"):
        assert next_times(1, cron="* * * * * *", seconds=True, exclude=exclude) == ["2027-12-01 00:00:00"]


@table(
    "given",
    [
        {"cron": "@daily", "exclude": "@daily", "timezone": "Europe/Zurich"},
        {"cron": "0 */2 * * *", "exclude": "0 * * * *"},
        {"cron": "0 0 29 2 *", "exclude": "* * 29 2 *"},
        {"every": 60, "exclude": ["0-58 * * * *", "59 * * * *"]},
        {"rrule": "FREQ=DAILY", "exclude": "* * * * *"},
    ],
)
def test_an_exclusion_of_everything_is_refused(given: dict[str, Any]) -> None:
    began = process_time()
    with pytest.raises(InvalidOptionError, match="option exclude leaves no time"):
        ScheduleOptions.of("x", given, NOW)
    assert process_time() - began < 2, "50 years are looked at day by day"


def test_what_is_left_on_the_days_on_which_the_clocks_change_is_a_time() -> None:
    """At midnight the clocks there go on to one o'clock, when a daily run makes up for the time that was skipped."""
    found = next_times(2, cron="@daily", exclude="@daily", timezone="America/Santiago")
    assert found == ["2027-09-05 04:00:00", "2028-09-03 04:00:00"]


def test_a_minute_that_comes_twice_is_excluded_twice() -> None:
    night = datetime(2027, 10, 31, 0, 20, tzinfo=UTC)
    found = next_times(3, night, every=60, exclude=["* 0-1,3-23 * * *", "0-57 2 * * *"], timezone="Europe/Berlin")
    assert [time[:16] for time in found] == ["2027-10-31 00:58", "2027-10-31 00:59", "2027-10-31 01:58"]


@table("given", ["2027-02-30", "christmas", "2027-12-25T00:00", "* * * *", "0 * * * * *", "99 * * * *"])
def test_a_bad_exclusion_is_refused_with_what_is_allowed(given: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"option exclude\b.*(dates such as|the minute of)"):
        ScheduleOptions.of("x", {"every": 60, "exclude": given}, NOW)


@table("option", ["start", "end"])
@table("given", [datetime.max, datetime.min, datetime(9001, 1, 1), datetime(1969, 12, 31)])  # noqa: DTZ001, DTZ901
def test_a_date_with_which_nobody_can_calculate_is_refused(option: str, given: datetime) -> None:
    with pytest.raises(InvalidOptionError, match=f"option {option} must be within the years 1970 to 9000"):
        ScheduleOptions.of("x", {"every": 60, option: given.replace(tzinfo=UTC)}, NOW)


def test_start_and_end_bound_the_times() -> None:
    start, end = datetime(2027, 7, 1, tzinfo=UTC), datetime(2027, 7, 2, tzinfo=UTC)
    assert next_times(9, cron="@daily", start=start, end=end) == ["2027-07-01 00:00:00", "2027-07-02 00:00:00"]


def test_intervals_count_from_the_epoch_with_a_phase_that_the_name_decides() -> None:
    first = IntervalTimes(3600, "a").after(NOW)
    assert first == IntervalTimes(timedelta(hours=1), "a").after(NOW + timedelta(seconds=1))
    assert IntervalTimes(3600, "a").after(first) == first + timedelta(hours=1)
    century = ScheduleOptions.of("x", {"every": LONGEST}, NOW).timetable("x", NOW).after(NOW)
    assert century is not None
    assert NOW < century <= NOW + timedelta(seconds=LONGEST)
    phases = {IntervalTimes(3600, str(number)).after(NOW) for number in range(50)}
    assert len(phases) == 50
    assert all(NOW < one <= NOW + timedelta(hours=1) for one in phases)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;BYHOUR=9", ["2027-06-15 07:00:00", "2027-06-29 07:00:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["2027-06-29 22:00:00", "2027-07-29 22:00:00"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30;COUNT=3", ["2027-06-02 00:30:00", "2027-06-03 00:30:00"]),
    ],
)
def test_a_rule_says_what_cron_cannot(rule: str, expected: list[str]) -> None:
    assert next_times(2, rrule=rule, timezone="Europe/Zurich") == expected


def test_a_rule_may_be_asked_for_any_moment() -> None:
    """It goes on from where it was last asked, or begins anew."""
    days = ScheduleOptions.of("x", {"rrule": "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"}, NOW).timetable("x", NOW)
    nine = datetime(2027, 6, 1, 9, tzinfo=UTC)
    for number in (1, 5, 2, 2, 40, 1):
        asked = nine + timedelta(days=number)
        assert (days.after(asked - timedelta(seconds=1)), days.after(asked)) == (asked, asked + timedelta(days=1))


def test_a_rule_keeps_the_time_on_the_wall_when_the_clocks_change() -> None:
    rule = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0"
    gap = datetime(2027, 3, 27, 12, tzinfo=UTC)
    assert next_times(2, gap, rrule=rule, timezone="Europe/Berlin") == ["2027-03-28 01:00:00", "2027-03-29 00:30:00"]
    overlap = datetime(2027, 10, 30, 12, tzinfo=UTC)
    assert next_times(2, overlap, rrule=rule, timezone="Europe/Berlin") == [
        "2027-10-31 00:30:00",
        "2027-11-01 01:30:00",
    ]


@table(
    ("rule", "reason"),
    [
        ("FREQ=SECONDLY", "too often"),
        ("FREQ=WEEKLEY", "cannot be read"),
        ("BYDAY=TU", "cannot be read"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
        ("DTSTART:20270601T090000Z\nRRULE:FREQ=DAILY", "timezone"),
        ("", "must be a text"),
        (5, "must be a text"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be at least 1"),
        ("FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=0,10,20,30,40", "25 times a day are too often"),
        ("FREQ=YEARLY;COUNT=0", "never comes"),
        ("FREQ=MONTHLY;BYDAY=MO;BYMONTHDAY=31;BYMONTH=2", "never comes: none of these months"),
        ("FREQ=DAILY;BYMONTH=4,6;BYMONTHDAY=-31", "never comes: none of these months"),
    ],
)
def test_a_bad_rule_is_refused(rule: Any, reason: str) -> None:
    with pytest.raises(InvalidOptionError, match=reason):
        ScheduleOptions.of("x", {"rrule": rule, "every": 60}, NOW)


@table(
    ("name", "near"),
    [
        ("zurich", "Europe/Zurich"),
        ("europe/berlin", "Europe/Berlin"),
        ("Xyzzy/Plugh", ""),
        (5, ""),
        ("+02:00", ""),
        ("../../etc/passwd", ""),
    ],
)
def test_a_bad_zone_is_refused(name: Any, near: str) -> None:
    with pytest.raises(InvalidOptionError, match="IANA name") as caught:
        zone(name)
    assert ("did you mean" in str(caught.value)) is bool(near)
    assert near in str(caught.value)


@pytest.mark.parametrize("name", ["localtime", "Factory"])
def test_what_differs_between_hosts_is_no_zone(name: str) -> None:
    with pytest.raises(InvalidOptionError, match="IANA name"):
        zone(name)


def test_a_skipped_day_of_a_zone_ends_at_the_next_one() -> None:
    assert at_wall_time(datetime(2011, 12, 30, 9), zone("Pacific/Apia")) == datetime(2011, 12, 30, 10, tzinfo=UTC)  # noqa: DTZ001


def test_jitter_is_the_same_in_every_process_and_differs_between_times() -> None:
    delays = {delay(60, "report", NOW + timedelta(minutes=number)) for number in range(100)}
    assert len(delays) > 90
    assert min(delays) >= timedelta(0)
    assert max(delays) <= timedelta(seconds=60)
    assert delay(60, "report", NOW) == delay(60, "report", NOW)
    assert delay(0, "report", NOW) == timedelta(0)


def test_days_on_which_the_clocks_change_are_known() -> None:
    berlin = zone("Europe/Berlin")
    assert changes_clocks(datetime(2027, 3, 28, 12, tzinfo=UTC), berlin)
    assert not changes_clocks(datetime(2027, 3, 29, 12, tzinfo=UTC), berlin)


def test_options_are_stored_without_defaults_and_read_again() -> None:
    given = {"cron": ["0 9 * * *"], "timezone": "Europe/Zurich", "exclude": ["2027-12-25"], "overlap": "allow"}
    options = ScheduleOptions.of("x", given, NOW)
    assert options.stored() == given
    assert ScheduleOptions.read({**options.stored(), "of a later version": 1}) == options


def test_options_of_the_job_are_told_apart() -> None:
    assert split({"cron": "@daily", "retry": 3, "queue": "x"}) == ({"cron": "@daily"}, {"retry": 3, "queue": "x"})
    with pytest.raises(InvalidOptionError, match="did you mean timezone"):
        split({"timezome": "UTC"})
