"""Which minutes and hours answer a question, and how a chart is divided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.tables import table

from taskscheduler import InvalidOptionError
from taskscheduler.model.metrics.steps import DAY, HOUR, MINUTE, MOST_POINTS, Span, divided, joined, range_of, spans

NOW = datetime(2026, 11, 30, 10, 20, 30, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}:00+00:00")


def test_the_ids_of_documents_are_in_the_order_of_time_and_can_be_read_back() -> None:
    begins = MINUTE.begins(NOW)
    assert MINUTE.key(begins) == "minute 2026-11-30T10:20"
    assert MINUTE.key(begins) < MINUTE.key(begins + timedelta(hours=14)) < MINUTE.key(begins + timedelta(days=400))
    assert MINUTE.began(MINUTE.key(begins)) == begins
    assert HOUR.began(HOUR.key(HOUR.begins(NOW))) == at("30T10:00")


@table("key", [None, 5, "", "minute", "minute x", "hour 2026-11-30T10:20", "minute 2026-13-30T10:20"])
def test_other_ids_are_those_of_no_minute(key: object) -> None:
    assert MINUTE.began(key) is None


def test_documents_are_kept_from_their_end_on() -> None:
    assert MINUTE.expires(at("01T00:00")) == at("04T00:01")
    assert HOUR.expires(at("01T00:00")) == at("01T01:00") + timedelta(days=90)


@table(
    ("ago", "seconds", "points"),
    [
        (timedelta(hours=1), 60, 61),
        (timedelta(hours=6), 300, 73),
        (timedelta(days=1), 1800, 49),
        (timedelta(hours=72), 3600, 73),
        (timedelta(days=7), 10_800, 57),
        (timedelta(days=90), 86_400, 91),
        (timedelta(days=900), 86_400, 901),
    ],
)
def test_a_chart_gets_a_step_that_it_shows_well(ago: timedelta, seconds: int, points: int) -> None:
    time = range_of(NOW - ago, NOW, None, NOW)
    assert time.seconds == seconds
    assert len(list(time.begins())) == points
    assert time.since <= NOW - ago < time.since + timedelta(seconds=seconds)


def test_steps_are_whole_ones_around_what_was_asked() -> None:
    time = range_of(NOW - timedelta(minutes=12), NOW, 300, NOW)
    assert (time.since, time.until) == (at("30T10:05"), at("30T10:25"))
    assert time.span == Span(MINUTE, at("30T10:05"), at("30T10:25"))
    assert range_of(NOW - timedelta(days=1), NOW, 3600, NOW).span.step is HOUR


@table(
    ("since", "until", "seconds", "text"),
    [
        (NOW, NOW, None, "option since .* must be before until"),
        (NOW, NOW - timedelta(hours=1), 60, "must be before until"),
        (NOW - timedelta(hours=1), NOW, 90, "whole minutes below an hour, else whole hours, not 90 s"),
        (NOW - timedelta(hours=1), NOW, 5400, "whole minutes below an hour, else whole hours, not 5400 s"),
        (NOW - timedelta(hours=1), NOW, 0, "whole minutes"),
        (NOW - timedelta(hours=80), NOW, 600, "minutes are kept for 72 hours: for an earlier time give a step of"),
        (NOW - timedelta(hours=70), NOW, 60, f"more than {MOST_POINTS} steps: give a longer one"),
    ],
)
def test_what_cannot_be_answered_is_refused(since: datetime, until: datetime, seconds: int | None, text: str) -> None:
    with pytest.raises(InvalidOptionError, match=text):
        range_of(since, until, seconds, NOW)


@table(
    ("since", "until", "parts"),
    [
        (at("30T10:05"), NOW, [(MINUTE, "30T10:05", "30T10:21")]),
        (at("30T10:00"), NOW, [(HOUR, "30T10:00", "30T11:00")]),
        (at("29T08:30"), NOW, [(MINUTE, "29T08:30", "29T09:00"), (HOUR, "29T09:00", "30T11:00")]),
        (
            at("29T08:30"),
            at("30T09:10"),
            [(MINUTE, "29T08:30", "29T09:00"), (HOUR, "29T09:00", "30T09:00"), (MINUTE, "30T09:00", "30T09:10")],
        ),
        (at("20T08:30"), NOW, [(HOUR, "20T08:00", "30T11:00")]),
        (at("20T08:30"), at("21T08:30"), [(HOUR, "20T08:00", "21T09:00")]),
    ],
)
def test_a_sum_reads_whole_hours_and_the_minutes_around_them(
    since: datetime, until: datetime, parts: list[tuple[object, str, str]]
) -> None:
    expected = [(step, at(first), at(last)) for step, first, last in parts]
    assert [tuple(part) for part in spans(since, until, NOW)] == expected


def test_whole_days_of_a_span_are_those_that_lie_in_it() -> None:
    assert Span(HOUR, at("02T05:00"), at("05T07:00")).days == Span(DAY, at("03T00:00"), at("05T00:00"))
    assert Span(HOUR, at("02T00:00"), at("05T00:00")).days == Span(DAY, at("02T00:00"), at("05T00:00"))
    within_a_day = Span(HOUR, at("02T05:00"), at("02T07:00")).days
    assert within_a_day.since >= within_a_day.until


def test_the_rest_of_a_span_is_what_its_days_leave() -> None:
    span = Span(HOUR, at("02T05:00"), at("06T07:00"))
    days = [at("05T00:00"), at("03T00:00")]
    assert span.without(days) == [
        Span(HOUR, at("02T05:00"), at("03T00:00")),
        Span(HOUR, at("04T00:00"), at("05T00:00")),
        Span(HOUR, at("06T00:00"), at("06T07:00")),
    ]
    assert span.without([]) == [span]
    assert Span(HOUR, at("03T00:00"), at("04T00:00")).without([at("03T00:00")]) == []


def test_spans_are_divided_at_a_moment() -> None:
    times = [at(f"{day}T00:00") for day in (10, 11, 12, 13)]
    spans = [Span(DAY, times[0], times[1]), Span(HOUR, times[1], times[3])]
    assert divided(spans, times[2]) == (
        [Span(DAY, times[0], times[1]), Span(HOUR, times[1], times[2])],
        [Span(HOUR, times[2], times[3])],
    )
    assert divided(spans, times[0]) == ([], spans)
    assert divided(spans, times[3]) == (spans, [])


def test_days_in_a_row_are_one_span() -> None:
    days = [at("05T00:00"), at("02T00:00"), at("03T00:00")]
    assert joined(days) == [Span(DAY, at("02T00:00"), at("04T00:00")), Span(DAY, at("05T00:00"), at("06T00:00"))]
    assert joined([]) == []
