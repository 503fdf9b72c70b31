"""What people may type for a time, and how times are shown; as properties, where there is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler.model.filters.durations import UNITS, TimeError, parse_duration
from taskscheduler_daemon.presentation.durations import brief, parse_at

CENTURY = 100 * 366 * 86_400


@table(
    ("text", "seconds"),
    [
        ("0", 0), ("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800),
        ("500ms", 0.5), ("1s500ms", 1.5), ("1.5h", 5400), (" 5M ", 300), ("1w2d3h4m5s6ms", 788_645.006),
    ],
)  # fmt: skip
def test_durations_that_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-9)


def test_whole_seconds_are_integers() -> None:
    assert isinstance(parse_duration("1h30m"), int)
    assert isinstance(parse_duration("2.0"), int)


@table("text", ["", " ", "s", "m5", "5x", "30m1h", "5m5m", "1h 30m", "-1", "-5m", "nan", "inf", "1e3", "٣"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(TimeError, match="1h30m"):
        parse_duration(text)


def test_only_an_endless_duration_may_be_minus_one() -> None:
    assert parse_duration("-1", endless=True) == -1
    with pytest.raises(TimeError):
        parse_duration("-2", endless=True)


@given(st.text(max_size=12))
def test_no_text_gives_another_error_or_a_negative_duration(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except TimeError:
        pass
    try:
        parse_at(text)
    except TimeError:
        pass


@given(st.lists(st.integers(0, 999), min_size=len(UNITS), max_size=len(UNITS)))
def test_a_duration_is_the_sum_of_its_parts(counts: list[int]) -> None:
    text = "".join(f"{count}{unit}" for unit, count in zip(UNITS, counts, strict=True))
    total = sum(count * size for size, count in zip(UNITS.values(), counts, strict=True))
    assert parse_duration(text) == pytest.approx(total)


@given(st.floats(0, CENTURY))
def test_a_shown_duration_reads_back_within_the_smaller_unit_shown(seconds: float) -> None:
    shown = brief(seconds)
    allowed = next(
        size for limit, size in [(0.1, 0.001), (10, 0.05), (3600, 1), (86_400, 60), (1e12, 3600)] if seconds < limit
    )
    assert abs(parse_duration(shown) - seconds) <= allowed + 1e-6
    assert len(shown) <= 9


@table(
    ("seconds", "shown"),
    [
        (0, "0s"), (0.004, "4ms"), (0.4, "0.4s"), (8, "8s"), (9.96, "10s"), (59.6, "1m"), (118, "1m58s"), (480, "8m"),
        (7500, "2h5m"), (86_400, "1d"), (86_401, "1d"), (273_600, "3d4h"), (-118, "-1m58s"),
    ],
)  # fmt: skip
def test_durations_as_people_read_them(seconds: float, shown: str) -> None:
    assert brief(seconds) == shown


def test_points_in_time() -> None:
    assert parse_at("0") == 0
    assert parse_at("1790000000") == 1_790_000_000
    assert parse_at("90s") == timedelta(seconds=90)
    assert parse_at("2026-11-21T08:00:00Z") == datetime(2026, 11, 21, 8, tzinfo=UTC)
    assert parse_at("2026-11-21T09:00:00+01:00") == datetime(2026, 11, 21, 8, tzinfo=UTC)


@table(
    ("text", "cure"),
    [
        ("90", "write 90s"), ("-90", "write 90s"), ("2026-11-21T08:00:00", "time zone"), ("2026-11-21", "time zone"),
        ("tomorrow", "1h30m"), ("99999999999999w", "too far"), ("", "unix time"),
    ],
)  # fmt: skip
def test_a_point_in_time_that_cannot_be_meant_is_refused_with_the_cure(text: str, cure: str) -> None:
    with pytest.raises(TimeError, match=cure):
        parse_at(text)


@table("value", ["600", None, [1], float("inf"), float("nan"), {"a": 1}])
def test_a_stored_value_that_is_no_duration_is_shown_as_it_is(value: object) -> None:
    assert brief(value) == str(value)
