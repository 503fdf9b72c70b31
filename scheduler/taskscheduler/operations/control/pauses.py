"""Sets, ends and lists pauses."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from taskscheduler.clock import Deadline
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.control.pauses import JOB, PAUSE, TAG, Pause, read_pause
from taskscheduler.operations.audit.acting import acting_name
from taskscheduler.operations.control.obeying import park, unpark
from taskscheduler.store import Store

_PATIENCE = 10.0  #: seconds for which jobs are parked or made to wait again at the call; nodes do the rest


def pause(store: Store, asked: Pause, until: datetime | timedelta | None) -> Pause:
    """Keeps nodes from starting what is named; a pause of the same replaces the one before. Returns it as it is stored.

    Nodes obey within a second. Waiting jobs of a class or a tag are parked, so that nobody looks at them again.
    """
    now = store.clock.now()
    ends = _as_stored(now + until if isinstance(until, timedelta) else until)
    if ends is not None and ends <= now:
        raise InvalidOptionError(f"option until must be a time to come, not {ends.isoformat()}")
    made = replace(asked, until=ends, by=acting_name(), at=_as_stored(now))
    values = {"reason": made.reason, "until": made.until, "by": made.by, "at": made.at}
    given = {name: value for name, value in values.items() if value is not None}
    store.controls.put(made.key, {"kind": PAUSE, "name": made.name, **given})
    if made.kind in (JOB, TAG):
        _park(store, made)
    return made


def _as_stored(date: datetime | None) -> datetime | None:
    """Returns a date in whole milliseconds, as the database gives it back."""
    return None if date is None else date.replace(microsecond=date.microsecond // 1000 * 1000)


def _park(store: Store, made: Pause) -> None:
    deadline = Deadline(_PATIENCE, store.clock)
    for ids in store.blocked_jobs.waiting(made):
        park(store, ids, made.key)
        if deadline.passed:
            return


def resume(store: Store, asked: Pause) -> bool:
    """Lets nodes start again what is named; returns whether it was paused. Its jobs keep their places."""
    before = store.controls.delete(asked.key)
    deadline = Deadline(_PATIENCE, store.clock)
    for _ in unpark(store, asked.key):  # also those that an earlier call has left, which has died half way
        if deadline.passed:
            break
    found = None if before is None else read_pause(before)
    return found is not None and not found.is_over(store.clock.now())


def pauses(store: Store) -> list[Pause]:
    """Returns what is paused now: everything, then queues, classes and tags, by their names."""
    return list(store.controls.load().at(store.clock.now()).pauses)
