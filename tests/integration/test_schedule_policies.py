"""What real nodes do with times that nobody was there for, and with runs that overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
LASTS = 1.4  #: seconds, so that a run is still there when the next time comes
MISSED = {"latest": 1, "all": 5, "skip": 0}
OVERLAPS = ("skip", "buffer_one", "buffer_all", "cancel_other", "allow")


def runs(scheduler: Scheduler, name: str) -> list[Process]:
    """The runs that have started, by their times."""
    started = [process for process in scheduler.get_jobs({"schedule": name}) if process.started is not None]
    return sorted(started, key=scheduled)


def scheduled(process: Process) -> datetime:
    assert process.scheduled_at is not None
    return process.scheduled_at


def overlap(found: Sequence[Process]) -> bool:
    """Whether one of these runs began before the one before had ended."""
    return any(
        after.started is not None and (before.ended is None or after.started < before.ended)
        for before, after in pairwise(found)
    )


def all_times(found: Sequence[Process]) -> bool:
    """Whether there is a run for every second."""
    return all(scheduled(after) - scheduled(before) == SECOND for before, after in pairwise(found))


def test_missed_and_overlapping_runs_on_a_real_node(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    schedules, store = scheduler.schedules, scheduler.store.schedules
    for missed in MISSED:
        name = f"missed {missed}"
        schedules.add(name, "noop", every=DAY, missed=missed, overlap="allow", missed_window=9 * DAY)
        known = store.get(name)
        assert known is not None
        since = known["next_at"] - 5 * DAY
        assert store.change(known, {"next_at": since, "due_at": since}) is not None
    start_node(min_children=6, max_children=12)
    for policy in OVERLAPS:
        schedules.add(policy, "wait", {"seconds": LASTS}, every=1, overlap=policy, missed="all")
    eventually(lambda: all(len(runs(scheduler, policy)) >= 4 for policy in OVERLAPS), 30, "four runs of each")
    for policy in OVERLAPS:
        schedules.pause(policy)
    live = {"schedule": {"$in": list(OVERLAPS)}, "status": {"$lte": 2}}
    eventually(lambda: not list(scheduler.get_jobs(live)), 30, "no run is left")
    found = {policy: runs(scheduler, policy) for policy in OVERLAPS}
    skipped = {policy: schedules.get(policy).skipped for policy in OVERLAPS}

    assert not overlap(found["skip"])
    assert skipped["skip"] >= 3
    assert not overlap(found["buffer_one"])
    assert skipped["buffer_one"] >= 1, "while one run is put off"
    waited = [process.started - scheduled(process) for process in found["buffer_one"][1:] if process.started]
    assert max(waited) > timedelta(seconds=LASTS - 1), "a run that was put off begins when the one before has ended"
    assert not overlap(found["buffer_all"])
    assert all_times(found["buffer_all"])
    assert skipped["buffer_all"] == 0
    assert Status.CANCELED in {process.status for process in found["cancel_other"][:-1]}
    assert overlap(found["allow"])
    assert all_times(found["allow"])
    assert {process.status for policy in OVERLAPS[:3] for process in found[policy]} == {Status.DONE}
    assert {missed: len(runs(scheduler, f"missed {missed}")) for missed in MISSED} == MISSED
