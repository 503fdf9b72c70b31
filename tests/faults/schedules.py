"""Pure: the promises about schedules: exactly one run for each time, none for any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.faults.checker import Facts, Violation

NAME, LATEST = "every-second", "every-second-latest"
#: one makes up for every time, the other one leaves out those that were missed
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    NAME: {"every": 1, "overlap": "allow", "missed": "all"},
    LATEST: {"every": 1, "overlap": "allow", "missed": "latest"},
}
_SECOND = timedelta(seconds=1)
_MISSED = timedelta(seconds=10)  #: how old a time must be to count as missed


def one_run_for_each_time(facts: Facts) -> Iterator[Violation]:
    """Runs of a schedule are for one second after the other, from the first that was planned to the last one."""
    for event in facts.of("schedule"):
        found, first, last = _runs(facts, event["name"]), *_bounds(event)
        counted = Counter(run["scheduled_at"] for run in found)
        for time in _times(first, last):
            if counted[time] != 1 and not (counted[time] == 0 and _may_be_left_out(event["name"], time, found)):
                yield Violation("a schedule has one run for each time", event["name"], f"{time}: {counted[time]} runs")
        for time in counted:
            if not first <= time <= last:
                yield Violation("a schedule has no run for another time", event["name"], f"{time}")


def left_out(facts: Facts) -> int:
    """How many times of all schedules have no run."""
    count = 0
    for event in facts.of("schedule"):
        known = {run["scheduled_at"] for run in _runs(facts, event["name"])}
        count += sum(1 for time in _times(*_bounds(event)) if time not in known)
    return count


def _bounds(event: Mapping[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(event["first"]), datetime.fromisoformat(event["last"])


def _times(first: datetime, last: datetime) -> Iterator[datetime]:
    while first <= last:
        yield first
        first += _SECOND


def _runs(facts: Facts, name: str) -> list[Mapping[str, Any]]:
    """The runs of a schedule by their times."""
    found = [document for document in facts.documents.values() if document.get("schedule") == name]
    return sorted(found, key=lambda run: run["scheduled_at"])


def _may_be_left_out(name: str, time: datetime, runs: list[Mapping[str, Any]]) -> bool:
    """Whether it was missed when the next run was added."""
    if SCHEDULES.get(name, {}).get("missed") != "latest":
        return False
    following = next((run for run in runs if run["scheduled_at"] > time), None)
    return following is not None and following["created"] - time > _MISSED
