"""The updates that park and admit controlled jobs, and that extend and release their places."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.control.keys import FAR, first_list
from taskscheduler.model.lifecycle import Status, Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import completion_update
from taskscheduler.store.control_updates import (
    admit_update,
    defer_update,
    extend_update,
    park_update,
    recall_update,
    release_on_end,
    requeue_stage,
)
from taskscheduler.store.fence import Fence

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
LEASE = 30


def milliseconds(value: Any) -> Any:
    return timedelta(milliseconds=value) if isinstance(value, int | float) else value


def type_of(value: Any) -> str:
    kinds = {datetime: "date", str: "string", list: "array"}
    return "missing" if value is None else kinds.get(type(value), "another")


OF_ONE: dict[str, Callable[[Any], Any]] = {
    "$isNumber": lambda value: isinstance(value, int | float),
    "$isArray": lambda value: isinstance(value, list),
    "$toLong": lambda value: round(value.timestamp() * 1000),
}


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
        return type_of(value_of(given, job))
    if operator == "$switch":
        met = (branch["then"] for branch in given["branches"] if value_of(branch["case"], job))
        return value_of(next(met, given["default"]), job)
    if operator in ("$isNumber", "$isArray", "$toLong"):
        return OF_ONE[operator](value_of(given, job))
    parts = [value_of(part, job) for part in given]
    if operator == "$add":
        return None if None in parts else parts[0] + milliseconds(parts[1])
    simple: dict[str, Callable[[], Any]] = {
        "$and": lambda: all(parts),
        "$arrayElemAt": lambda: next(iter(parts[0][parts[1] :]), None),
        "$concat": lambda: "".join(parts),
        "$cond": lambda: parts[1] if parts[0] else parts[2],
        "$eq": lambda: parts[0] == parts[1],
        "$gte": lambda: parts[0] is not None and parts[0] >= parts[1],
        "$lte": lambda: parts[0] is not None and parts[0] <= parts[1],
        "$ifNull": lambda: parts[1] if parts[0] is None else parts[0],
        "$max": lambda: max(part for part in parts if part is not None),
        "$min": lambda: min(part for part in parts if part is not None),
        "$multiply": lambda: parts[0] * parts[1],
        "$ne": lambda: parts[0] != parts[1],
        "$subtract": lambda: parts[0] - parts[1],
    }
    return simple[operator]()


def updated(job: dict[str, Any], stages: list[dict[str, Any]]) -> dict[str, Any]:
    """The job after a pipeline update."""
    for stage in stages:
        job = {**job, **{name: value_of(expression, job) for name, expression in stage.get("$set", {}).items()}}
        for name in stage.get("$unset", []):
            job[name] = None
    return {name: value for name, value in job.items() if value is not None}


CONTROLLED: list[dict[str, Any]] = [
    {"solo": "k"},
    {"limits": ["a", "b"]},
    {"limits": ["a"], "solo": "k"},
    {"sequence": "s", "limits": ["a"], "solo": "k"},
    {"limits": [], "solo": "k"},
    {"limits": "a", "solo": "k"},
    {"sequence": 5, "limits": [5], "solo": "k"},
]


@table("controls", CONTROLLED)
def test_a_parked_job_keeps_its_time_and_waits_in_the_list_of_its_first_control(controls: dict[str, Any]) -> None:
    due = NOW - timedelta(seconds=3)
    parked = {"at": FAR, "parked_at": due, "blocked": first_list(controls)}
    assert updated({**controls, "at": due}, park_update()) == {**controls, **parked}


@table("odd", [{}, {"solo": 5}, {"limits": [5]}, {"limits": 5, "sequence": []}])
def test_one_whose_controls_have_no_names_waits_in_no_list(odd: dict[str, Any]) -> None:
    assert updated({**odd, "at": NOW}, park_update()) == {**odd, "at": FAR, "parked_at": NOW}


@table("gate", ["k", "$status", "$$NOW", ["$status", "k"]])
def test_a_job_that_is_admitted_waits_for_a_worker_since_it_was_due(gate: str | list[str]) -> None:
    due = NOW - timedelta(seconds=3)
    parked = {"solo": "k", "status": int(Status.POSTPONED), "at": FAR, "parked_at": due, "blocked": "solo:k"}
    waiting = {"solo": "k", "status": int(Status.WAITING), "gate": gate, "at": due, "alive": NOW}
    assert updated(parked, admit_update(gate)) == waiting


def test_a_job_without_controls_that_was_parked_for_a_pause_gets_no_place() -> None:
    parked = {"status": int(Status.POSTPONED), "at": FAR, "parked_at": NOW, "blocked": "pause:all"}
    assert updated(parked, admit_update([])) == {"status": int(Status.WAITING), "at": NOW, "alive": NOW}


def test_one_that_is_recalled_is_parked_as_it_was_and_holds_nothing() -> None:
    parked = {"limits": ["a"], "status": int(Status.POSTPONED), "at": FAR, "parked_at": NOW, "blocked": "limit:a"}
    admitted = updated(parked, admit_update(["place"]))
    assert updated(admitted, recall_update()) == {**parked, "alive": NOW}


def test_one_that_is_put_off_after_its_claim_has_not_begun() -> None:
    job = {"limits": ["a"], "at": NOW, "attempt": 2, "retries": 1, "parked_at": NOW}
    held = {"status": int(Status.PROCESSING), "gate": ["place"], "claim": "c", "boot": ObjectId(), "node": "n"}
    claimed = {**job, **held, "attempt": 3, "claimed": NOW, "started": NOW, "dedupe": "d", "child_alive": NOW}
    parked = {"status": int(Status.POSTPONED), "at": FAR, "blocked": "rate:$a"}
    assert updated(claimed, defer_update("rate:$a")) == {**job, **parked}


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


@pytest.mark.parametrize("alive", [NOW + timedelta(days=3000), None, FAR])
def test_one_whose_sign_of_life_is_odd_keeps_it_no_longer_than_its_silence_may_last(alive: datetime | None) -> None:
    job = running(program={"pid": 1}, alive=alive, options={"silence_timeout": 600})
    assert updated(job, [release_on_end(LEASE)])["gate_until"] == NOW + timedelta(seconds=600)


def test_one_that_does_not_run_gives_it_up_at_once() -> None:
    after = updated({**running(), "status": int(Status.WAITING)}, [release_on_end(LEASE)])
    assert not {"gate", "gate_until"} & set(after)


def test_a_parked_one_that_is_cancelled_shows_its_own_time_again() -> None:
    due = NOW - timedelta(hours=1)
    parked = {"status": int(Status.POSTPONED), "solo": "k", "at": FAR, "parked_at": due}
    assert updated(parked, [release_on_end(LEASE)])["at"] == due


def test_a_job_without_controls_gets_no_place() -> None:
    job = {"status": int(Status.PROCESSING), "at": NOW, "alive": NOW}
    assert updated(job, [release_on_end(LEASE)]) == job


@pytest.mark.parametrize(("until", "extended"), [(10, LEASE + 5), (600, 600)])
def test_a_lock_is_extended_and_never_shortened(until: int, extended: int) -> None:
    job = {"gate": "k", "gate_until": NOW + timedelta(seconds=until)}
    assert updated(job, extend_update(LEASE))["gate_until"] == NOW + timedelta(seconds=extended)


def test_a_controlled_job_that_is_requeued_is_parked() -> None:
    assert requeue_stage({"class": "mail"}) == {}
    requeued = updated({"solo": "k", "status": int(Status.FAILED)}, [{"$set": requeue_stage({"solo": "k"})}])
    parked = {"status": int(Status.POSTPONED), "at": FAR, "parked_at": NOW, "blocked": "solo:k"}
    assert requeued == {"solo": "k", **parked}


def test_one_that_is_requeued_for_later_is_not_parked_yet() -> None:
    stage = requeue_stage({"limits": ["a"]}, NOW + timedelta(hours=1))
    assert updated({"status": int(Status.FAILED)}, [{"$set": stage}]) == {"status": int(Status.POSTPONED)}


@pytest.mark.parametrize("later", [None, NOW + timedelta(hours=1)])
def test_one_that_is_requeued_comes_last_in_its_sequence_unless_it_blocks_that(later: datetime | None) -> None:
    job = {"sequence": "s", "status": int(Status.FAILED)}
    turn = round(NOW.timestamp() * 1_000_000)
    assert updated(job, [{"$set": requeue_stage(job, later)}])["turn"] == turn
    assert updated({**job, "turn": 7}, [{"$set": requeue_stage(job, later)}])["turn"] == 7


@table(
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
def test_the_end_of_an_attempt_frees_its_places_unless_the_job_waits_for_a_worker_again(
    transition: Transition, keeps: bool
) -> None:
    assert ("gate" in removed_by(transition, ("limit:a",))) != keeps
    assert "gate" not in removed_by(transition, ()), "the update of a job without controls is as it was"


def removed_by(transition: Transition, keys: tuple[str, ...], keeps_turn: bool = False) -> Collection[str]:
    """The fields that the end of an attempt removes."""
    fence, verdict = Fence(ObjectId(), "c", 1), Verdict(transition)
    completion = Completion(fence, verdict, error={"type": "x"}, keys=keys, keeps_turn=keeps_turn)
    update: Any = completion_update(completion)._doc
    removed: Collection[str] = update["$unset"] if isinstance(update, dict) else update[-1]["$unset"]
    return removed


@table(
    ("transition", "keeps_turn", "kept"),
    [
        (Transition.SUCCEED, False, False),
        (Transition.SUCCEED, True, False),
        (Transition.FAIL, False, False),
        (Transition.FAIL, True, True),
        (Transition.EXPIRE, True, True),
        (Transition.RETRY, False, True),  # the others wait for its retries
        (Transition.RETRY_NOW, False, True),
        (Transition.RELEASE, False, True),
    ],
)
def test_others_of_its_sequence_pass_a_job_that_has_ended_unless_its_failure_blocks_them(
    transition: Transition, keeps_turn: bool, kept: bool
) -> None:
    assert ("turn" not in removed_by(transition, ("sequence:s",), keeps_turn)) == kept
