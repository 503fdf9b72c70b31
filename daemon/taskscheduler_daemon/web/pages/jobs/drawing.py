"""Draws how far a job has come, and its attempts as a time line: pure, in numbers for SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from taskscheduler.model.lifecycle import Status

Attempt = Mapping[str, Any]

_LEAST = 0.6  #: percent of a bar that can be seen

_TICKS = 4  #: at least, of a time line of some seconds

_TEXT, _LONG_TEXT = 24, 37  #: percent of the narrowest time line that the text of a mark takes

_MOST_LEAD = 0.25  #: how much of the time line is left to the time before the first attempt

#: seconds between two marks
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)

_BOX = {
    Status.WAITING: (2, 14, 44),
    Status.POSTPONED: (2, 100, 44),
    Status.PROCESSING: (206, 57, 44),
    Status.DONE: (410, 2, 32),
    Status.FAILED: (410, 43, 32),
    Status.TIMEOUT: (410, 84, 32),
    Status.CANCELED: (410, 125, 32),
}

WIDTH, HEIGHT, BOX = 560, 160, 148

#: from, to, and the line between them
_LINES = (
    (Status.WAITING, Status.PROCESSING, "M150 36C178 36 178 72 198 72", (204, 72, "right")),
    (Status.PROCESSING, Status.POSTPONED, "M206 88C178 88 178 122 158 122", (152, 122, "left")),
    (Status.POSTPONED, Status.WAITING, "M76 100V66", (76, 60, "up")),
    (Status.PROCESSING, Status.DONE, "M354 68C382 68 374 18 402 18", (408, 18, "right")),
    (Status.PROCESSING, Status.FAILED, "M354 75C382 75 374 59 402 59", (408, 59, "right")),
    (Status.PROCESSING, Status.TIMEOUT, "M354 83C382 83 374 100 402 100", (408, 100, "right")),
    (Status.PROCESSING, Status.CANCELED, "M354 90C382 90 374 141 402 141", (408, 141, "right")),
)

_BEFORE_IT_RAN = "M150 {y}C190 {y} 160 152 210 152H380C396 152 392 146 402 144"


class Course(NamedTuple):
    """How a job came to where it is."""

    status: Status
    attempts: int  #: begun so far
    comes_back: bool  #: whether an attempt ended and it was put back


def tip(x: int, y: int, way: str) -> str:
    """Returns the path of the tip of an arrow."""
    ends = {"right": "l-8-4v8z", "left": "l8-4v8z", "up": "l-4 8h8z"}
    return f"M{x} {y}{ends[way]}"


def machine(course: Course, notes: Mapping[Status, str]) -> dict[str, Any]:
    """Returns the states of a job with the one it is in, those that it has seen, and the ways that it took."""
    seen = _seen(course)
    boxes = [
        {
            "status": status,
            "x": x,
            "y": y,
            "height": height,
            "note": notes.get(status, "") if status in seen else "",
            "kind": "now" if status is course.status else "seen" if status in seen else "",
        }
        for status, (x, y, height) in _BOX.items()
    ]
    taken = set(_taken(course))
    lines = [{"path": path, "tip": tip(*where), "taken": (one, other) in taken} for one, other, path, where in _LINES]
    if course.status is Status.CANCELED and course.attempts == 0:
        lines.append({"path": _BEFORE_IT_RAN.format(y=36), "tip": tip(408, 143, "right"), "taken": True})
    return {"boxes": boxes, "lines": sorted(lines, key=lambda line: bool(line["taken"]))}


def _seen(course: Course) -> set[Status]:
    seen = {course.status, Status.WAITING}
    seen |= {Status.PROCESSING} if course.attempts else set()
    return seen | ({Status.POSTPONED} if course.comes_back else set())


def _taken(course: Course) -> Iterator[tuple[Status, Status]]:
    if course.attempts:
        yield Status.WAITING, Status.PROCESSING
        if course.status.is_final:
            yield Status.PROCESSING, course.status
    if course.comes_back:
        yield Status.PROCESSING, Status.POSTPONED
        if course.status is not Status.POSTPONED:
            yield Status.POSTPONED, Status.WAITING


class _Span(NamedTuple):
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 0.001)

    def percent(self, moment: datetime) -> float:
        return min(100.0, max(0.0, 100 * (moment - self.start).total_seconds() / self.seconds))


def timeline(attempts: Sequence[Attempt], created: object, now: datetime) -> dict[str, Any] | None:
    """Returns the bars of attempts, the oldest first, and the marks of the time; None if no times are known."""
    try:
        return _timeline([_range(attempt, now) for attempt in attempts], created)
    except OverflowError:  # somebody else has written a date at the edge of the calendar
        return None


def _timeline(ranges: Sequence[_Span | None], created: object) -> dict[str, Any] | None:
    known = [one for one in ranges if one is not None]
    if not known:
        return None
    first, last = min(one.start for one in known), max(one.end for one in known)
    span = _Span(first - _lead(first, last, created), max(last, first + timedelta(milliseconds=10)))
    rows, before = list[dict[str, Any]](), span.start
    for one in ranges:
        rows.append({"bar": None if one is None else _part(span, *one), "lag": None})
        if one is not None:
            rows[-1]["lag"] = _part(span, before, one.start) if one.start > before else None
            before = one.end
    return {"rows": rows, "ticks": list(_ticks(span))}


def _range(attempt: Attempt, now: datetime) -> _Span | None:
    started, ended = attempt.get("started"), attempt.get("ended")
    if ended is None and attempt["status"] is Status.PROCESSING:
        ended = now
    if not isinstance(started, datetime) or not isinstance(ended, datetime):
        return None
    return _Span(started, max(started, ended))


def _lead(first: datetime, last: datetime, created: object) -> timedelta:
    """Returns how long before the first attempt the time line begins: when the job was added, if that is near."""
    if not isinstance(created, datetime) or created >= first:
        return timedelta()
    return min(first - created, max(timedelta(seconds=1), _MOST_LEAD * (last - first)))


def _part(span: _Span, start: datetime, end: datetime) -> dict[str, str]:
    x = min(span.percent(start), 100 - _LEAST)
    return {"x": f"{x:.2f}", "width": f"{max(_LEAST, span.percent(end) - x):.2f}"}


def _ticks(span: _Span) -> Iterator[dict[str, str]]:
    """Yields marks at whole seconds, minutes, hours or days."""
    days = -(-span.seconds // (_TICKS * 86_400)) * 86_400
    step = next((one for one in _STEPS if span.seconds / one <= _TICKS), days)
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%m-%d"
    zone = span.start.astimezone()
    midnight = zone.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + timedelta(seconds=-(-(zone - midnight).total_seconds() // step) * step)
    wide, free = (_LONG_TEXT if step < 60 else _TEXT), 0.0
    while at <= span.end:
        x = span.percent(at)
        if x < 97:
            anchor = "start" if free <= x <= 100 - wide else "end" if x - wide >= free else ""
            yield {"x": f"{x:.2f}", "text": at.strftime(form) if anchor else "", "anchor": anchor}
            free = {"start": x + wide, "end": x}.get(anchor, free)
        at += timedelta(seconds=step)
