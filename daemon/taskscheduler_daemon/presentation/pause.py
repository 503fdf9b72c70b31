"""How a pause looks: in words, in a list, and as a record for programs."""

from __future__ import annotations

from typing import Any

from taskscheduler.model.control.pauses import ALL, Pause
from taskscheduler_daemon.presentation.text import iso, local

COLUMNS = ("PAUSED", "NAME", "SINCE", "UNTIL", "BY", "REASON")

EVERYTHING = "everything"


def what(pause: Pause) -> str:
    """Returns what is paused: `everything`, `queue mail`."""
    return EVERYTHING if pause.kind == ALL else f"{pause.kind} {pause.name}"


def in_words(pause: Pause) -> str:
    """Returns what is paused, since when, by whom, how long and why."""
    since = f"since {local(pause.at)}" if pause.at is not None else ""
    by = f"by {pause.by}" if pause.by else ""
    until = f"until {local(pause.until)}" if pause.until is not None else ""
    facts = ", ".join(part for part in (f"{what(pause)} {since}".strip(), by, until) if part)
    return f"{facts}: {pause.reason}" if pause.reason else facts


def row(pause: Pause) -> tuple[str, ...]:
    """Returns the cells of a pause for programs, in the order of COLUMNS."""
    dates = ("" if date is None else iso(date) for date in (pause.at, pause.until))
    return (pause.kind, pause.name or "", *dates, pause.by or "", pause.reason or "")


def row_for_people(pause: Pause) -> tuple[str, ...]:
    """Returns the same cells for people."""
    dates = ("" if date is None else local(date) for date in (pause.at, pause.until))
    kind = EVERYTHING if pause.kind == ALL else pause.kind
    return (kind, pause.name or "", *dates, pause.by or "", pause.reason or "")


def record(pause: Pause) -> dict[str, Any]:
    """Returns a pause for programs."""
    names = ("kind", "name", "reason", "until", "by", "at")
    return {"key": pause.key, **{name: getattr(pause, name) for name in names}}
