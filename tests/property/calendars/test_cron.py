"""The times of random cron expressions in random zones are those that a walk over all minutes finds."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from taskscheduler.calendars.cron import CronTimes
from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.zones import at_wall_time
from taskscheduler.errors import InvalidOptionError

MORE = settings(max_examples=100, deadline=None)
FEW = settings(max_examples=30, deadline=None)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WALK = 2 * DAY
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC) - WALK
USUAL = ("UTC", "Europe/Berlin", "America/New_York")
ODD = ("Australia/Lord_Howe", "Asia/Kathmandu", "Antarctica/Troll", "America/St_Johns", "Pacific/Chatham")
ZONES = sorted(available_timezones() - {"localtime", "Factory"})


@cache
def changes(name: str) -> list[datetime]:
    """The days of these years on which the clocks of a zone change."""
    where, days = ZoneInfo(name), [FIRST + number * DAY for number in range((LAST - FIRST).days)]
    offsets = [day.astimezone(where).utcoffset() for day in days]
    return [day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after]


@st.composite
def places(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """A zone and where a walk begins there: on any day, or before its clocks change."""
    name = draw(st.one_of(st.sampled_from(USUAL), st.sampled_from(ODD), st.sampled_from(ZONES)))
    anywhere = st.integers(0, int((LAST - FIRST) / MINUTE)).map(lambda minutes: FIRST + minutes * MINUTE)
    before = [day - number * HOUR for day in changes(name) for number in (0, 7, 13)]
    return ZoneInfo(name), draw(st.one_of(anywhere, st.sampled_from(before)) if before else anywhere)


def field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    span = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(span, st.integers(1, 20)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    part = st.one_of(number.map(str), span, stepped)
    listed = st.lists(part, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.integers(1, 20).map(lambda step: f"*/{step}"), listed)


#: most expressions mean every month and day, or few would have a time within a walk
EVERY = st.just("*")
DAYS = st.one_of(EVERY, EVERY, field(1, 28), field(1, 31), st.sampled_from(["L", "LW", "1,L", "LW,15"]))
NTH = st.builds("{}{}".format, st.integers(0, 7), st.sampled_from(["L", "#1", "#3", "#5"]))
WEEKDAYS = st.one_of(EVERY, EVERY, field(0, 7), NTH)
MONTHS = st.one_of(EVERY, EVERY, field(1, 12))
EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), DAYS, MONTHS, WEEKDAYS).map(" ".join)


@cache
def members(text: str, lowest: int, highest: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{lowest}-{highest}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


class Dial:
    """Which times on the wall an expression means; days as Debian's cron combines them."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.is_fixed = not minute.startswith("*") and not hour.startswith("*")
        self._either = not day.startswith("*") and not weekday.startswith("*")
        self._minutes, self._hours = members(minute, 0, 59), members(hour, 0, 23)
        self._day, self._months, self._weekday = day, members(month, 1, 12), weekday

    def shows(self, wall: datetime) -> bool:
        return wall.minute in self._minutes and wall.hour in self._hours and self.is_on(wall.date())

    def is_on(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        on_day = any(is_day(part, day) for part in self._day.split(","))
        on_weekday = is_weekday(self._weekday, day)
        return (on_day or on_weekday) if self._either else (on_day and on_weekday)


def is_day(part: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if part == "L":
        return day.day == last
    if part == "LW":
        working = [number for number in range(1, last + 1) if day.replace(day=number).isoweekday() < 6]
        return day.day == working[-1]
    return day.day in members(part, 1, 31)


def is_weekday(text: str, day: date) -> bool:
    number = day.isoweekday() % 7
    if text.endswith("L"):
        return number == int(text[0]) % 7 and (day + 7 * DAY).month != day.month
    if "#" in text:
        return number == int(text[0]) % 7 and (day.day - 1) // 7 + 1 == int(text[2])
    return number in {one % 7 for one in members(text, 0, 7)}


def walk(expression: str, where: ZoneInfo, start: datetime) -> set[datetime]:
    """All times within the walk: of a fixed time the instants of its wall times, else the instants that match."""
    dial = Dial(expression)
    if dial.is_fixed:
        first = start.astimezone(where).replace(tzinfo=None) - timedelta(hours=3)
        walls = (first + number * MINUTE for number in range(int((WALK + timedelta(hours=6)) / MINUTE)))
        instants = {at_wall_time(wall, where) for wall in walls if dial.shows(wall)}
        return {instant for instant in instants if start < instant <= start + WALK}
    every = (start + number * MINUTE for number in range(1, int(WALK / MINUTE) + 1))
    return {one for one in every if dial.shows(one.astimezone(where).replace(tzinfo=None))}


def comes(expression: str) -> bool:
    """Whether there is a day for it; within 28 years weekdays and dates meet in every way."""
    dial = Dial(expression)
    return any(dial.is_on(FIRST.date() + number * DAY) for number in range(28 * 366))


def times(expression: str, where: ZoneInfo, start: datetime) -> list[datetime]:
    """What the product finds within the walk, one after the other."""
    try:
        cron, found = CronTimes(expression, where), list[datetime]()
    except InvalidOptionError:
        assert not comes(expression)
        return []
    time = cron.after(start)
    while time is not None and time <= start + WALK:
        found.append(time)
        time = cron.after(time)
    return found


@MORE
@given(EXPRESSIONS, places())
def test_the_times_are_those_of_a_walk_over_all_minutes(expression: str, place: tuple[ZoneInfo, datetime]) -> None:
    found = times(expression, *place)
    assert found == sorted(set(found))
    assert set(found) == walk(expression, *place)


@FEW
@example(["* * * * *"], ["* 9-10 * * *"], False, (ZoneInfo("Asia/Kathmandu"), FIRST))
@given(st.lists(EXPRESSIONS, min_size=1, max_size=3), st.lists(EXPRESSIONS, max_size=2), st.booleans(), places())
def test_a_timetable_has_the_times_of_all_sources_but_for_those_that_are_excluded(
    expressions: Sequence[str], excluded: Sequence[str], is_day_off: bool, place: tuple[ZoneInfo, datetime]
) -> None:
    assume(all(map(comes, [*expressions, *excluded])))
    where, start = place
    off = [(start + DAY).astimezone(where).date()] if is_day_off else []
    exclude = (*excluded, *(day.isoformat() for day in off))
    options = ScheduleOptions(cron=tuple(expressions), timezone=where.key, exclude=exclude, end=start + WALK)
    dials, every = [Dial(one) for one in excluded], set().union(*(walk(one, where, start) for one in expressions))
    shown = {time: time.astimezone(where).replace(tzinfo=None) for time in every}
    assert list(options.timetable("x", start).times(start)) == sorted(
        time for time, wall in shown.items() if wall.date() not in off and not any(dial.shows(wall) for dial in dials)
    )
