"""The updates that take, extend and release the lock of a solo key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.model.lifecycle import Status, Transition, Verdict
from taskscheduler.model.solo import FAR
from taskscheduler.store.attempt_updates import Completion, completion_update
from taskscheduler.store.fence import Fence
from taskscheduler.store.solo_updates import acquire_update, extend_update, park_update, release_on_end, requeue_stage

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
LEASE = 30


def milliseconds(value: Any) -> Any:
    return timedelta(milliseconds=value) if isinstance(value, int | float) else value


def value_of(expression: Any, job: dict[str, Any]) -> Any:
    """What the server makes of an expression; as much of it as these updates use. None stands for a missing field."""
    if isinstance(expression, str) and expression.startswith("$$"):
        return {"$$NOW": NOW, "$$REMOVE": None}[expression]
    if isinstance(expression, str) and expression.startswith("$"):
        found: Any = job
        for part in expression[1:].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found
    if not isinstance(expression, dict):
        return expression
    [(operator, given)] = expression.items()
    if operator == "$literal":
        return given
    if operator == "$type":
        found = value_of(given, job)
        return "missing" if found is None else "date" if isinstance(found, datetime) else "present"
    if operator == "$isNumber":
        return isinstance(value_of(given, job), int | float)
    parts = [value_of(part, job) for part in given]
    if operator == "$add":
        return None if None in parts else parts[0] + milliseconds(parts[1])
    simple: dict[str, Callable[[], Any]] = {
        "$and": lambda: all(parts),
        "$cond": lambda: parts[1] if parts[0] else parts[2],
        "$eq": lambda: parts[0] == parts[1],
        "$ifNull": lambda: parts[1] if parts[0] is None else parts[0],
        "$max": lambda: max(part for part in parts if part is not None),
        "$multiply": lambda: parts[0] * parts[1],
        "$ne": lambda: parts[0] != parts[1],
    }
    return simple[operator]()


def updated(job: dict[str, Any], stages: list[dict[str, Any]]) -> dict[str, Any]:
    """The job after a pipeline update."""
    for stage in stages:
        job = {**job, **{name: value_of(expression, job) for name, expression in stage.get("$set", {}).items()}}
        for name in stage.get("$unset", []):
            job[name] = None
    return {name: value for name, value in job.items() if value is not None}


def test_a_parked_job_keeps_its_time_and_is_no_longer_due() -> None:
    due = NOW - timedelta(seconds=3)
    assert updated({"solo": "k", "at": due}, park_update()) == {"solo": "k", "at": FAR, "parked_at": due}


@pytest.mark.parametrize("key", ["k", "$status", "$$NOW"])
def test_the_job_that_gets_the_lock_waits_for_a_worker_since_it_was_due(key: str) -> None:
    due = NOW - timedelta(seconds=3)
    parked = {"solo": key, "status": int(Status.POSTPONED), "at": FAR, "parked_at": due}
    waiting = {"solo": key, "status": int(Status.WAITING), "gate": key, "at": due, "alive": NOW}
    assert updated(parked, acquire_update(key)) == waiting


def running(**more: Any) -> dict[str, Any]:
    return {"status": int(Status.PROCESSING), "solo": "k", "gate": "k", "at": NOW, "alive": NOW, **more}


def test_a_running_job_that_is_cancelled_keeps_the_lock_longer_than_the_lease_of_its_node() -> None:
    after = updated(running(), [release_on_end(LEASE)])
    assert after["gate"] == "k"
    assert after["gate_until"] == NOW + timedelta(seconds=LEASE + 5)


@pytest.mark.parametrize(("silence", "seconds"), [(0, LEASE + 5), (10, LEASE + 5), (600, 580)])
def test_a_tracked_program_keeps_it_until_it_has_been_silent_for_too_long(silence: int, seconds: int) -> None:
    alive = NOW - timedelta(seconds=20)
    job = running(program={"pid": 1}, alive=alive, options={"silence_timeout": silence})
    assert updated(job, [release_on_end(LEASE)])["gate_until"] == NOW + timedelta(seconds=seconds)


def test_one_that_does_not_run_gives_it_up_at_once() -> None:
    after = updated({**running(), "status": int(Status.WAITING)}, [release_on_end(LEASE)])
    assert not {"gate", "gate_until"} & set(after)


def test_a_parked_one_that_is_cancelled_shows_its_own_time_again() -> None:
    due = NOW - timedelta(hours=1)
    parked = {"status": int(Status.POSTPONED), "solo": "k", "at": FAR, "parked_at": due}
    assert updated(parked, [release_on_end(LEASE)])["at"] == due


def test_a_job_that_is_not_solo_gets_no_lock() -> None:
    job = {"status": int(Status.PROCESSING), "at": NOW, "alive": NOW}
    assert updated(job, [release_on_end(LEASE)]) == job


@pytest.mark.parametrize(("until", "extended"), [(10, LEASE + 5), (600, 600)])
def test_a_lock_is_extended_and_never_shortened(until: int, extended: int) -> None:
    job = {"gate": "k", "gate_until": NOW + timedelta(seconds=until)}
    assert updated(job, extend_update(LEASE))["gate_until"] == NOW + timedelta(seconds=extended)


def test_a_solo_job_that_is_requeued_is_parked() -> None:
    assert requeue_stage({"class": "mail"}) == {}
    requeued = updated({"solo": "k", "status": int(Status.FAILED)}, [{"$set": requeue_stage({"solo": "k"})}])
    assert requeued == {"solo": "k", "status": int(Status.POSTPONED), "at": FAR, "parked_at": NOW}


@pytest.mark.parametrize(
    ("transition", "keeps"),
    [
        (Transition.SUCCEED, False),
        (Transition.FAIL, False),
        (Transition.EXPIRE, False),
        (Transition.RETRY, False),  # it waits for its time, and then for the lock
        (Transition.RETRY_NOW, True),
        (Transition.RELEASE, True),
    ],
)
def test_the_end_of_an_attempt_releases_the_lock_unless_the_job_waits_for_a_worker_again(
    transition: Transition, keeps: bool
) -> None:
    completion = Completion(Fence(ObjectId(), "c", 1), Verdict(transition), error={"type": "x"}, solo="k")
    update: Any = completion_update(completion)._doc
    removed = update["$unset"] if isinstance(update, dict) else update[-1]["$unset"]
    assert ("gate" in removed) != keeps
