"""Steps: what a job has done once and for all, with sleeps and waits among them, in the order in which it came to them.

An entry of the field `steps` of a job:

    {name, at, attempt, result}         a step, and what its function returned
    {name, at, attempt, until}          a sleep, and when it is over
    {name, at, attempt, signal, until}  a wait for the signal of this name; `until` only if it has a limit

While the job is POSTPONED for one of these, its field `awaits` says so: `{name, until}` for a signal, `{sleep, until}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from taskscheduler.errors import InvalidOptionError, InvalidStateError
from taskscheduler.model.checks import Seconds, aware, near_miss, seconds
from taskscheduler.model.control.keys import is_parked
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.resumable.signals import entries_in

MOST_STEPS = 1000  #: of one job

_MOST_NAMED = 20  #: steps in a message


class Kind(StrEnum):
    """What a job did under a name."""

    STEP = "step"
    SLEEP = "sleep"
    SIGNAL = "signal"


def kind_of(entry: Mapping[str, Any]) -> Kind:
    """Returns what a stored entry is."""
    if entry.get("signal") is True:
        return Kind.SIGNAL
    return Kind.SLEEP if "until" in entry else Kind.STEP


def check_kind(entry: Mapping[str, Any], wanted: Kind) -> None:
    """Raises InvalidStateError if a job has used a name for something else in an earlier attempt."""
    found = kind_of(entry)
    if found is not wanted:
        raise InvalidStateError(
            f"{entry['name']!r} was a {found} of this job in attempt {entry.get('attempt')} and is now a {wanted}; "
            f"retry the job with from_step={entry['name']!r} if its code has changed"
        )


def used_twice(name: str) -> InvalidStateError:
    """Returns what is raised if an attempt uses a name twice."""
    return InvalidStateError(
        f"this attempt has used the name {name!r} already; each step, sleep and wait needs its own"
    )


def too_many(job_id: Any) -> InvalidStateError:
    """Returns what is raised if a job has as many steps as it may."""
    return InvalidStateError(
        f"job {job_id} has {MOST_STEPS} steps, sleeps and waits, and may not have more; let each do more, or add jobs"
    )


def length_of_sleep(
    given: Seconds | None, days: float, hours: float, minutes: float, until: datetime | None
) -> datetime | float:
    """Returns the seconds of a sleep, or the date at which it is over; InvalidOptionError for anything else."""
    parts = {"seconds": given, "days": days, "hours": hours, "minutes": minutes}
    named = [name for name, value in parts.items() if value not in (None, 0)]
    if until is not None:
        if named or given is not None:
            raise InvalidOptionError(f"sleep takes either until or {', '.join(named) or 'seconds'}")
        if not isinstance(until, datetime):
            raise InvalidOptionError(f"option until must be an aware datetime, not {until!r:.60}")
        return aware("until", until)
    if given is None and not named:
        raise InvalidOptionError("sleep takes seconds, days, hours, minutes or until: say how long")
    sizes = {"seconds": 1, "days": 86_400, "hours": 3600, "minutes": 60}
    checked = {name: seconds(name, value) for name, value in parts.items() if value is not None}
    return float(seconds(" and ".join(named) or "seconds", sum(value * sizes[name] for name, value in checked.items())))


def before(job: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the fields of an ended job that is to begin again with this step; None for a field to remove.

    That step and all after it are forgotten, and the signals that the job has waited for there. InvalidOptionError if
    it has no such step.
    """
    entries = entries_in(job.get("steps"))
    names = [one["name"] for one in entries]
    if name not in names:
        known = ", ".join(names[-_MOST_NAMED:])
        there = f"it has {'... ' if len(names) > _MOST_NAMED else ''}{known}" if names else "it has none"
        raise InvalidOptionError(f"job {job['_id']} has no step {name!r:.120}; {there}{near_miss(name, names)}")
    kept, dropped = entries[: names.index(name)], entries[names.index(name) :]
    waited = {one["name"] for one in dropped if kind_of(one) is Kind.SIGNAL}
    signals = [one for one in entries_in(job.get("signals")) if one["name"] not in waited]
    return {"steps": list(kept) or None, "signals": signals or None}


class Awaited(NamedTuple):
    """What a job that has given its slot back waits for."""

    kind: Kind  #: SLEEP or SIGNAL
    name: str
    until: datetime | None  #: at most; None: for ever


def awaited(job: Mapping[str, Any]) -> Awaited | None:
    """Returns what a stored job has given its slot back for; None if it is due, or waits for something else."""
    found = job.get("awaits")
    if not isinstance(found, Mapping) or job.get("status") != Status.POSTPONED or is_parked(job):
        return None
    until = found.get("until")
    limit = until if isinstance(until, datetime) else None
    if isinstance(found.get("name"), str):
        return Awaited(Kind.SIGNAL, found["name"], limit)
    return None if limit is None else Awaited(Kind.SLEEP, str(found.get("sleep")), limit)


def steps_of(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the steps of a job for people: name, kind, when and in which attempt, result, until, and the signal."""
    came = {one["name"]: one for one in entries_in(job.get("signals"))}
    return [_described(one, came.get(one["name"])) for one in entries_in(job.get("steps"))]


def _described(entry: Mapping[str, Any], signal: Mapping[str, Any] | None) -> dict[str, Any]:
    kind, about = kind_of(entry), {"at": entry["at"], "attempt": entry.get("attempt")}
    found: dict[str, Any] = {"name": entry["name"], "kind": str(kind), **about}
    if kind is Kind.STEP:
        return {**found, "result": entry.get("result")}
    found["until"] = entry.get("until")
    if kind is Kind.SLEEP:
        return found
    timed_out = signal is not None and signal.get("timed_out") is True
    value = None if signal is None else signal.get("value")
    return {**found, "came": signal is not None and not timed_out, "timed_out": timed_out, "result": value}
