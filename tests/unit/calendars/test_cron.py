"""Cron expressions: what is read, what is refused, and what becomes of times on days on which the clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.support.tables import table

from taskscheduler.calendars.cron import CronTimes
from taskscheduler.calendars.zones import zone
from taskscheduler.errors import InvalidOptionError

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def times(cron: CronTimes, moment: datetime, until: datetime) -> Iterator[datetime]:
    found = cron.after(moment)
    while found is not None and found < until:
        yield found
        found = cron.after(found)


def first(expression: str, count: int = 3, name: str = "", *, seconds: bool = False) -> list[str]:
    found = times(CronTimes(expression, zone("UTC"), name, seconds=seconds), NEW_YEAR, NEW_YEAR + timedelta(days=9000))
    return [next(found).isoformat(" ")[:19] for _ in range(count)]


def on_the_day(expression: str, name: str, day: str, *, seconds: bool = False) -> list[str]:
    """The times of a day as its clocks show them."""
    where = zone(name)
    midnight = datetime.fromisoformat(day).replace(tzinfo=where)
    last = (midnight + timedelta(days=1)).astimezone(UTC)
    cron = CronTimes(expression, where, seconds=seconds)
    found = times(cron, midnight.astimezone(UTC) - timedelta(seconds=1), last)
    return [one.astimezone(where).isoformat()[11:] for one in found]


@table(
    ("expression", "name", "day", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2027-03-28", ["03:00:00+02:00"]),
        ("15,45 2 * * *", "Europe/Berlin", "2027-03-28", ["03:00:00+02:00"]),
        ("*/30 1-2 * * *", "Europe/Berlin", "2027-03-28", ["01:00:00+01:00", "01:30:00+01:00"]),
        ("30 2 * * *", "Europe/Berlin", "2027-10-31", ["02:30:00+02:00"]),
        ("0 2-3 * * *", "Europe/Berlin", "2027-10-31", ["02:00:00+02:00", "03:00:00+01:00"]),
        ("*/40 2 * * *", "Europe/Berlin", "2027-10-31", [f"02:{m}:00+0{o}:00" for o in (2, 1) for m in ("00", "40")]),
        ("30 2 * * *", "America/New_York", "2027-03-14", ["03:00:00-04:00"]),
        ("30 1 * * *", "America/New_York", "2027-11-07", ["01:30:00-04:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:30:00+11:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-04", ["01:45:00+11:00"]),
    ],
)  # fmt: skip
def test_on_days_on_which_the_clocks_change(expression: str, name: str, day: str, expected: list[str]) -> None:
    assert on_the_day(expression, name, day) == expected


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [("Europe/Berlin", "2027-03-28", 23), ("Europe/Berlin", "2027-10-31", 25), ("America/New_York", "2027-11-07", 25)],
)
def test_every_hour_follows_elapsed_time(name: str, day: str, hours: int) -> None:
    assert len(on_the_day("0 * * * *", name, day)) == hours
    assert len(on_the_day("*/15 * * * *", name, day)) == 4 * hours


@pytest.mark.parametrize(("day", "expected"), [("2027-03-28", ["03:00:15+02:00"]), ("2027-10-31", ["02:30:15+02:00"])])
def test_a_fixed_time_with_seconds_runs_once_as_well(day: str, expected: list[str]) -> None:
    assert on_the_day("15 30 2 * * *", "Europe/Berlin", day, seconds=True) == expected


def test_the_second_pass_of_a_repeated_hour_is_over_for_a_fixed_time() -> None:
    cron, where = CronTimes("30 2 * * *", zone("Europe/Berlin")), zone("Europe/Berlin")
    between = datetime(2027, 10, 31, 2, 10, tzinfo=where, fold=1)
    assert cron.after(between.astimezone(UTC)) == datetime(2027, 11, 1, 1, 30, tzinfo=UTC)


@table(
    ("expression", "expected"),
    [
        ("@hourly", ["2027-01-01 01:00:00", "2027-01-01 02:00:00", "2027-01-01 03:00:00"]),
        ("@Daily", ["2027-01-02 00:00:00", "2027-01-03 00:00:00", "2027-01-04 00:00:00"]),
        ("@midnight", ["2027-01-02 00:00:00", "2027-01-03 00:00:00", "2027-01-04 00:00:00"]),
        ("@weekly", ["2027-01-03 00:00:00", "2027-01-10 00:00:00", "2027-01-17 00:00:00"]),
        ("@monthly", ["2027-02-01 00:00:00", "2027-03-01 00:00:00", "2027-04-01 00:00:00"]),
        ("@yearly", ["2028-01-01 00:00:00", "2029-01-01 00:00:00", "2030-01-01 00:00:00"]),
        ("0 9 L * *", ["2027-01-31 09:00:00", "2027-02-28 09:00:00", "2027-03-31 09:00:00"]),
        ("0 9 LW * *", ["2027-01-29 09:00:00", "2027-02-26 09:00:00", "2027-03-31 09:00:00"]),
        ("0 9 * * 5L", ["2027-01-29 09:00:00", "2027-02-26 09:00:00", "2027-03-26 09:00:00"]),
        ("0 9 ? * mon#3", ["2027-01-18 09:00:00", "2027-02-15 09:00:00", "2027-03-15 09:00:00"]),
        ("0 9 ? jan-mar 7", ["2027-01-03 09:00:00", "2027-01-10 09:00:00", "2027-01-17 09:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
        ("0 0 1 * 1", ["2027-01-04 00:00:00", "2027-01-11 00:00:00", "2027-01-18 00:00:00"]),
    ],
)
def test_what_an_expression_means(expression: str, expected: list[str]) -> None:
    assert first(expression) == expected


def test_seconds_stand_first() -> None:
    assert first("*/20 * * * * *", seconds=True) == [
        "2027-01-01 00:00:20",
        "2027-01-01 00:00:40",
        "2027-01-01 00:01:00",
    ]
    assert first("30 0 9 * * 1-5", 1, seconds=True) == ["2027-01-01 09:00:30"]
    assert first("0 9 * * *", 1, seconds=True) == ["2027-01-01 09:00:00"]


def test_h_is_a_stable_place_that_differs_between_names() -> None:
    assert first("H H * * *", name="report") == first("H H * * *", name="report")
    places = {tuple(first("H H * * *", 1, name=f"report-{number}")) for number in range(200)}
    assert len(places) > 150
    minutes = {int(first("H(10-19) 3 * * *", 1, name=str(number))[0][14:16]) for number in range(200)}
    assert minutes == set(range(10, 20))


def test_h_with_a_step_is_a_phase() -> None:
    for number in range(50):
        minutes = [int(time[14:16]) for time in first("H/15 * * * *", 5, name=str(number))]
        assert len({minute % 15 for minute in minutes}) == 1
        assert len(set(minutes)) == 4
    assert {int(one[14:16]) for one in first("H(0-29)/10 * * * *", 9, name="x")} <= set(range(30))


BAD = {
    "61 * * * *": "minute of '61",
    "* 24 * * *": "hour of '* 24",
    "0 0 32 * *": "day of the month",
    "0 0 * 13 *": "month of",
    "0 0 * * 8": "day of the week",
    "* * * *": "4 fields instead of five",
    "* * * * * *": "give seconds=True",
    "": "0 fields",
    "5L/2 * * * *": "minute",
    "* * * * 5L/2": "day of the week",
    "0 0 30 2 *": "never comes",
    "0 0 31 2,4 *": "never comes",
    "@dayly": "did you mean @daily",
    "@": "there are @yearly",
    "H(0-99) * * * *": "not within 0-59",
    "H(9-3) * * * *": "not within 0-59",
    "H/0 * * * *": "its step is 0",
    "Hx * * * *": "none of H, H/15",
    "1-0 * * * *": "minute",
    "*/0 * * * *": "minute",
    "? * * * *": "minute",
    "0 0 * * 1#6": "day of the week",
    "\u0661 * * * *": "minute",
    "0 0 * * L": "day of the week",
}


@table(("expression", "reason"), BAD.items())
def test_a_bad_expression_is_refused_with_what_is_allowed(expression: str, reason: str) -> None:
    with pytest.raises(InvalidOptionError, match="option cron") as caught:
        CronTimes(expression, zone("UTC"))
    assert reason in str(caught.value)


@table("expression", [None, 5, b"* * * * *", ["* * * * *"]])
def test_an_expression_is_a_text(expression: object) -> None:
    with pytest.raises(InvalidOptionError, match="must be a text"):
        CronTimes(expression, zone("UTC"))


def test_the_minutes_of_a_day_are_those_of_the_clocks() -> None:
    christmas = CronTimes("0,59 9-10 25 12 *", zone("Europe/Berlin"))
    assert christmas.minutes_on(date(2027, 12, 24)) == 0
    assert christmas.minutes_on(date(2027, 12, 25)) == sum(1 << minute for minute in (540, 599, 600, 659))


def test_an_expression_can_be_told_in_words() -> None:
    assert CronTimes("0 9 * * 1-5", zone("UTC")).in_words() == "At 09:00 on Monday through Friday"
