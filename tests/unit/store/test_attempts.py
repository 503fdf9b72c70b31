"""What the store asks of MongoDB allows exactly the moves of the table, and only to the holder of an attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import mongomock
import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.lifecycle import FINAL, TRANSITIONS, Status, Transition, Verdict, target
from taskscheduler.model.schedules import successor_id
from taskscheduler.store.attempts.bad_ends import cancel_update
from taskscheduler.store.attempts.claiming import release_update
from taskscheduler.store.attempts.completion import Again, Completion, as_date
from taskscheduler.store.attempts.ending import completion_update, done_update, final_update, rearm_update
from taskscheduler.store.attempts.of_flows import bad_effects, still_open
from taskscheduler.store.fence import Fence, from_statuses
from taskscheduler.store.lenient_reads import date_or

Document = dict[str, Any]

DONE = done_update(Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SUCCEED)))


@pytest.fixture
def jobs() -> Any:
    return mongomock.MongoClient()["app"]["jobs"]


@pytest.fixture
def fence() -> Fence:
    return Fence(ObjectId(), "claim-1", 3)


def running(fence: Fence, **other: Any) -> Document:
    return {
        "_id": fence.job_id,
        "status": int(Status.PROCESSING),
        "claim": fence.claim,
        "boot": ObjectId(),
        "attempt": fence.attempt,
        **other,
    }


@table("move", [move for move in Transition if target(move) in FINAL])
def test_only_a_dead_letter_gets_a_fingerprint(fence: Fence, move: Transition) -> None:
    error = {"type": "ValueError", "message": "no"}
    [stage] = [
        part for part in final_update(Completion(fence, Verdict(move), error=error, job="Mail")) if "$set" in part
    ]
    expected = fingerprint_of(error, "Mail") if target(move) in (Status.FAILED, Status.TIMEOUT) else None
    assert stage["$set"].get("fingerprint") == (expected and {"$literal": expected})


def test_the_fingerprint_of_the_worker_is_taken(fence: Fence) -> None:
    end = Completion(fence, Verdict(Transition.FAIL), error={"type": "E", "message": ""}, fingerprint="0123456789ab")
    assert final_update(end)[0]["$set"]["fingerprint"] == {"$literal": "0123456789ab"}


@table("move", Transition)
@table("status", Status)
def test_a_filtered_update_changes_a_job_exactly_if_the_table_allows_the_move(
    jobs: Any, status: Status, move: Transition
) -> None:
    jobs.replace_one({"_id": 1}, {"status": int(status)}, upsert=True)
    changed = jobs.update_one({"_id": 1, "status": from_statuses(move)}, {"$set": {"status": int(target(move))}})
    allowed = status in TRANSITIONS[move][0]
    assert changed.matched_count == int(allowed)
    assert jobs.find_one({"_id": 1})["status"] == int(target(move) if allowed else status)


@table("move", [move for move in Transition if not move.name.startswith("REQUEUE")])
@table("status", [status for status in Status if status.is_final])
def test_a_job_that_has_ended_matches_the_filter_of_no_other_move(jobs: Any, status: Status, move: Transition) -> None:
    jobs.replace_one({"_id": 1}, {"status": int(status)}, upsert=True)
    assert jobs.count_documents({"status": from_statuses(move)}) == 0


def test_the_filter_holds_plain_numbers_in_order() -> None:
    for move in Transition:
        numbers = from_statuses(move)["$in"]
        assert numbers == sorted(numbers)
        assert {type(number) for number in numbers} == {int}


# -- the fence --------------------------------------------------------------------------------------------------------


def test_the_holder_of_an_attempt_may_end_it(jobs: Any, fence: Fence) -> None:
    jobs.insert_one(running(fence, once="key", error={"type": "x"}))
    done = Completion(fence, Verdict(Transition.SUCCEED), "w", result={"$set": 1})
    assert jobs.update_one(fence.filter(), done_update(done)).matched_count == 1
    stored = jobs.find_one({"_id": fence.job_id})
    assert (stored["status"], stored["result"], stored["progress"]) == (int(Status.DONE), {"$set": 1}, 100.0)
    assert "once" not in stored
    assert "error" not in stored


@pytest.mark.parametrize(
    "change",
    [
        lambda fence: fence._replace(job_id=ObjectId()),
        lambda fence: fence._replace(claim="claim-2"),
        lambda fence: fence._replace(attempt=2),
        lambda fence: fence._replace(attempt=4),
    ],
    ids=["another job", "another claim", "an older attempt", "a later attempt"],
)
def test_nobody_else_can_end_an_attempt(jobs: Any, fence: Fence, change: Callable[[Fence], Fence]) -> None:
    before = running(fence)
    jobs.insert_one(before)
    other = change(fence)
    assert jobs.update_one(other.filter(), DONE).matched_count == 0
    assert jobs.find_one({"_id": fence.job_id}) == before


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PROCESSING])
def test_an_attempt_that_does_not_run_any_more_cannot_be_ended(jobs: Any, fence: Fence, status: Status) -> None:
    jobs.insert_one({**running(fence), "status": int(status)})
    assert jobs.update_one(fence.filter(), DONE).matched_count == 0


def test_an_attempt_that_has_not_begun_is_given_back_with_its_number(jobs: Any, fence: Fence) -> None:
    jobs.insert_one(running(fence, node="n", started=1))
    jobs.update_one(fence.filter(), release_update())
    assert jobs.find_one({"_id": fence.job_id}) == {
        "_id": fence.job_id,
        "status": int(Status.WAITING),
        "attempt": fence.attempt - 1,
        "node": None,
        "started": None,
    }


ENDS = [
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SUCCEED)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SUCCEED), effects=("hook",)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.FAIL), effects=("family",)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.EXPIRE), effects=("family",)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.POISON), lost=True, effects=("family",)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.RETRY)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.RETRY_NOW)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SNOOZE, pause=5)),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.RELEASE), lost=True),
    Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.RELEASE), unstarted=True),
]


@table("one", ENDS)
def test_every_end_of_an_attempt_is_written_behind_its_fence(one: Completion) -> None:
    write = completion_update(one)
    assert write._filter == {"_id": one.fence.job_id, "status": 2, "claim": "c", "attempt": 1}


# -- what is written --------------------------------------------------------------------------------------------------

TRICKY: Document = {"$where": "1", "x": "$status", "y": ["$$NOW", {"$add": [1, 2]}]}


def outside_literals(value: Any) -> Iterator[Any]:
    """Everything in a pipeline that the server evaluates."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "$literal":
                yield key
                yield from outside_literals(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from outside_literals(inner)
    else:
        yield value


def tricky(move: Transition, **more: Any) -> Completion:
    said = {"progress": 50.0, "message": "$$ROOT"}
    return Completion(
        Fence(ObjectId(), "c", 1), Verdict(move), "$worker", result=TRICKY, error=TRICKY, progress=said, **more
    )


@table(
    "pipeline",
    [
        final_update(tricky(Transition.SUCCEED, effects=("hook",))),
        final_update(tricky(Transition.FAIL, effects=("family",))),
        final_update(tricky(Transition.POISON, lost=True)),
        rearm_update(tricky(Transition.RETRY)),
        rearm_update(tricky(Transition.RELEASE, lost=True)),
        rearm_update(tricky(Transition.SNOOZE, reason="$$ROOT")),
    ],
)
def test_the_server_never_evaluates_what_a_user_wrote(pipeline: list[Document]) -> None:
    evaluated = list(outside_literals(pipeline))
    for poison in ("$where", "$status", "1", "y", "$$ROOT", "$worker", "x"):
        assert poison not in evaluated


def test_a_finished_run_of_a_series_plans_the_next_one_in_the_same_write() -> None:
    series = ObjectId()
    one = Completion(
        Fence(series, "c", 1),
        Verdict(Transition.SUCCEED, plans_next=True),
        interval=1.5,
        interval_reference="start",
        series=(series, 4),
        effects=("next",),
    )
    stages = final_update(one)
    plan = stages[0]["$set"]["next"]
    assert plan == {"_id": plan["_id"], "at": {"$add": [date_or("$started", "$$NOW"), 1500]}, "created": "$$NOW"}
    assert plan["_id"] == successor_id(series, 5, plan["_id"])
    assert all("once" not in stage.get("$unset", []) for stage in stages)  # the next run takes the key over


def test_an_interval_of_minus_one_plans_the_next_run_at_once() -> None:
    one = Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SUCCEED, True), interval=-1, series=(ObjectId(), 0))
    assert final_update(one)[0]["$set"]["next"]["at"] == "$$NOW"


@pytest.mark.parametrize(
    ("move", "ends_once"), [(Transition.SUCCEED, True), (Transition.FAIL, True), (Transition.EXPIRE, True)]
)
def test_an_ended_job_gives_up_the_key_of_add_job_once(move: Transition, ends_once: bool) -> None:
    stages = final_update(Completion(Fence(ObjectId(), "c", 1), Verdict(move), effects=("family",)))
    assert ("once" in stages[-1].get("$unset", [])) == ends_once


@table(
    ("move", "ended_as", "rearmed", "counts"),
    [
        (Transition.RETRY, Status.FAILED, ":failed", True),
        (Transition.RETRY, Status.TIMEOUT, ":timeout", True),
        (Transition.RETRY_NOW, Status.FAILED, ":failed", True),
        (Transition.SNOOZE, Status.FAILED, ":snoozed", False),
        (Transition.RELEASE, Status.FAILED, ":", False),
    ],
)
def test_a_re_armed_job_says_how_its_attempt_ended(
    move: Transition, ended_as: Status, rearmed: str, counts: bool
) -> None:
    completion = Completion(Fence(ObjectId(), "c", 1), Verdict(move), ended_as=ended_as, retry_interval=2.5)
    stage, gone = rearm_update(completion)
    values = stage["$set"]
    assert values["status"] == {"$literal": int(target(move))}
    assert values["rearmed"] == {"$concat": [{"$toString": "$attempt"}, rearmed]}
    assert ("retries" in values) == counts
    assert ("snoozes" in values) == (move is Transition.SNOOZE)
    assert values.get("at") == (None if move is Transition.RELEASE else {"$add": ["$$NOW", 2500]})
    claim = ["claim", "claimed", "boot", "dedupe", "child_alive", "committing"]
    assert gone == {"$unset": [*claim, "message", "awaits"]}


AT = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("awaits", "at", "due"),
    [
        ({"sleep": "sleep-1", "until": AT}, AT, {"$literal": AT}),
        ({"name": "$go", "until": AT}, AT, {"$literal": AT}),
        ({"name": "$go"}, None, {"$literal": FAR}),
    ],
)
def test_a_job_that_waits_is_due_at_its_time_or_when_its_signal_is_there(
    awaits: dict[str, Any], at: datetime | None, due: Any
) -> None:
    completion = Completion(
        Fence(ObjectId(), "c", 1), Verdict(Transition.SNOOZE), again=Again(at, awaits=awaits), retry_interval=300
    )
    stage, gone = rearm_update(completion)
    values = stage["$set"]
    assert values["awaits"] == {"$literal": awaits}
    assert "awaits" not in gone["$unset"]
    assert ("snoozes" in values, "sleeps" in values) == (False, True)
    if "name" in awaits:
        came, now, later = values["at"]["$cond"]
        assert (came["$in"][0], now, later) == ({"$literal": "$go"}, "$$NOW", due)
    else:
        assert values["at"] == due


def test_a_cancelled_job_gives_up_its_key_and_its_family_ends_with_it() -> None:
    turn, ended, gone = cancel_update(30)
    assert set(turn["$set"]) == {"gate", "gate_until", "at"}
    assert ended["$set"] == {
        "status": {"$literal": int(Status.CANCELED)},
        "pending": bad_effects("family", "hook"),
        "open": still_open(),
        "ended": "$$NOW",
    }
    assert gone == {"$unset": ["once", "turn", "awaits", "parked_at", "blocked"]}


def test_pauses_and_intervals_count_from_the_times_of_the_worker() -> None:
    fence, began, ended = Fence(ObjectId(), "c", 1), 1_800_000_000.25, 1_800_000_001.5
    retried = Completion(fence, Verdict(Transition.RETRY), retry_interval=2.5, began=began, ended=ended)
    stage = rearm_update(retried)[0]["$set"]
    assert stage["at"] == {"$add": [as_date(ended), 2500]}
    entry = stage["attempts"]["$slice"][0]["$concatArrays"][1][0]
    assert (entry["claimed"], entry["started"], entry["ended"]) == ("$claimed", as_date(began), as_date(ended))
    for reference, expected in (("start", as_date(began)), ("end", as_date(ended))):
        done = Completion(
            fence,
            Verdict(Transition.SUCCEED, plans_next=True),
            interval=60,
            interval_reference=reference,
            series=(ObjectId(), 0),
            began=began,
            ended=ended,
        )
        values = final_update(done)[0]["$set"]
        assert values["next"]["at"] == {"$add": [expected, 60_000]}
        assert (values["started"], values["ended"]) == (as_date(began), as_date(ended))


# -- when it begins again ---------------------------------------------------------------------------------------------

FIRST = {"$ifNull": ["$first_started", date_or("$started", "$$NOW")]}


@table(
    ("move", "again", "values", "gone"),
    [
        (Transition.RETRY, Again(), {}, {"expires", "first_started"}),
        (Transition.RETRY, Again(retry_for=60), {"first_started": FIRST, "expires": {"$add": [FIRST, 60_000]}}, set()),
        (
            Transition.RETRY_NOW,
            Again(retry_for=0.5),
            {"first_started": FIRST, "expires": {"$add": [FIRST, 500]}},
            set(),
        ),
        (Transition.RELEASE, Again(), {}, {"expires", "first_started"}),
        (Transition.RELEASE, Again(retry_for=60), {"first_started": FIRST}, {"expires"}),
        (Transition.RELEASE, Again(begun=False), {}, set()),
        (Transition.RELEASE, Again(begun=False, retry_for=60), {}, set()),
        (Transition.SNOOZE, Again(retry_for=60), {}, {"expires", "first_started"}),
    ],
)
def test_only_a_retry_has_to_hurry_and_what_has_not_begun(
    move: Transition, again: Again, values: Document, gone: set[str]
) -> None:
    stage, removed = rearm_update(Completion(Fence(ObjectId(), "c", 1), Verdict(move), again=again))
    found = {name: value for name, value in stage["$set"].items() if name in ("expires", "first_started")}
    assert found == values
    assert {"expires", "first_started"} & set(removed["$unset"]) == gone


def test_a_job_begins_again_at_the_date_that_it_has_asked_for() -> None:
    until = as_date(1_900_000_000)
    snoozed = Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SNOOZE), again=Again(until), reason="quota")
    stage = rearm_update(snoozed)[0]["$set"]
    assert (stage["at"], stage["status"]) == ({"$literal": until}, {"$literal": int(Status.POSTPONED)})
    entry = stage["attempts"]["$slice"][0]["$concatArrays"][1][0]
    assert (entry["status"], entry["reason"]) == ({"$literal": int(Status.POSTPONED)}, {"$literal": "quota"})
    assert "pause" not in entry


def test_a_pause_of_its_own_is_noted_for_each_attempt() -> None:
    retried = Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.RETRY, pause=40), retry_interval=40)
    entry = rearm_update(retried)[0]["$set"]["attempts"]["$slice"][0]["$concatArrays"][1][0]
    assert entry["pause"] == {"$literal": 40}
    service = Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.RETRY, pause=1, failures=2), retry_interval=1)
    assert "pause" not in rearm_update(service)[0]["$set"]["attempts"]["$slice"][0]["$concatArrays"][1][0]
