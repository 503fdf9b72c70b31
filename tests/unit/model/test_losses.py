"""Who is charged when a process has died, and what is written about suspects."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.lifecycle import Ending, Transition
from taskscheduler.model.losses import (
    MOST_SIGNALS,
    NODE,
    WORKER,
    ending_of_lost,
    mark_after,
    suspect_of,
)
from taskscheduler.operations.finish import AttemptEnd, completion_of, completions_of_lost
from taskscheduler.store.attempts.ending import completion_update
from taskscheduler.store.fence import Fence

OPTIONS = {"retry": 0, "retry_interval": 0, "interval": 0, "interval_reference": "end"}
ERROR = {"type": "WorkerLostError", "message": "it died"}


def a_job(**facts: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "claim": "c", "attempt": 2, "options": OPTIONS, "worker": None, **facts}


def mark(of: str = NODE, times: int = 1, **more: Any) -> dict[str, Any]:
    return {"of": of, "times": times, **more}


@table(
    ("begun", "together", "requested", "ending"),
    [
        (False, 0, False, Ending.RETURNED),
        (False, 5, False, Ending.RETURNED),
        (True, 1, False, Ending.LOST),
        (True, 2, False, Ending.SUSPECTED),
        (True, 100, False, Ending.SUSPECTED),
        (False, 1, True, Ending.RETURNED),
        (True, 1, True, Ending.RETURNED),
        (True, 7, True, Ending.RETURNED),
    ],
)
def test_only_one_that_ran_alone_is_charged(begun: bool, together: int, requested: bool, ending: Ending) -> None:
    assert ending_of_lost(begun, together, requested) is ending


@table(
    ("ending", "before", "died", "after"),
    [
        (Ending.SUSPECTED, None, WORKER, mark(WORKER)),
        (Ending.SUSPECTED, None, NODE, mark(NODE)),
        (Ending.SUSPECTED, mark(WORKER, 2), NODE, mark(NODE, 3)),
        (Ending.SUSPECTED, mark(NODE, 2), WORKER, mark(NODE, 3)),
        (Ending.LOST, None, WORKER, None),
        (Ending.LOST, mark(), NODE, mark()),
        (Ending.RETURNED, mark(), NODE, mark()),
        (Ending.UNSTARTED, mark(), NODE, mark()),
        (Ending.SUCCEEDED, mark(), NODE, None),
        (Ending.FAILED, mark(), NODE, None),
        (Ending.TIMED_OUT, mark(), NODE, None),
    ],
)
def test_a_suspect_stays_one_until_it_has_ended_by_itself(ending: Ending, before: Any, died: str, after: Any) -> None:
    assert mark_after(ending, {} if before is None else {"suspect": before}, died) == after


@pytest.mark.parametrize("before", [{}, {"suspect": mark()}])
def test_a_service_is_no_suspect(before: dict[str, Any]) -> None:
    assert suspect_of({"service": {}, "suspect": mark()}) is None
    assert mark_after(Ending.SUSPECTED, {"service": {}, **before}, NODE) is None


def written(job: dict[str, Any], ending: Ending, **content: Any) -> Any:
    """What the end of an attempt writes."""
    return completion_of(Fence(job["_id"], "c", 2), job, AttemptEnd(ending, content, died=WORKER), 3)


def update_of(completion: Any) -> Any:
    return completion_update(completion)._doc


def removed(completion: Any) -> set[str]:
    update = update_of(completion)
    stages = update if isinstance(update, list) else [update]
    return {name for stage in stages for name in stage.get("$unset", [])}


@table("ending", [Ending.SUCCEEDED, Ending.FAILED, Ending.TIMED_OUT])
@table("options", [{}, {"interval": 5}, {"retry": 1}])
def test_an_end_of_its_own_takes_the_marks_away(ending: Ending, options: dict[str, Any]) -> None:
    job = a_job(suspect=mark(), signalled=2, options={**OPTIONS, **options}, series=ObjectId(), seq=0)
    assert removed(written(job, ending, error=ERROR)) >= {"suspect", "signalled"}
    assert not {"suspect", "signalled"} & removed(written(a_job(), ending, error=ERROR)), "others pay nothing for it"


def test_a_loss_beside_others_is_not_charged_and_marks_the_job() -> None:
    completion = written(a_job(lost=2), Ending.SUSPECTED, error=ERROR)
    assert (completion.verdict.move, completion.lost, completion.suspect) == (Transition.RELEASE, False, mark(WORKER))
    stage = update_of(completion)[0]["$set"]
    assert stage["suspect"] == {"$literal": mark(WORKER)}
    assert "lost" not in stage


def test_a_charge_keeps_the_mark_and_a_hand_back_too() -> None:
    for ending in (Ending.LOST, Ending.RETURNED):
        assert "suspect" not in removed(written(a_job(suspect=mark()), ending, error=ERROR))
    assert "suspect" not in removed(written(a_job(suspect=mark()), Ending.UNSTARTED))


def test_one_that_was_cleared_loses_its_mark_without_having_run() -> None:
    job = a_job(suspect=mark())
    end = AttemptEnd(Ending.UNSTARTED, {}, cleared=True)
    completion = completion_of(Fence(job["_id"], "c", 2), job, end, 3)
    assert "suspect" in removed(completion)
    assert update_of(completion)["$inc"] == {"attempt": -1}


def test_why_it_was_handed_back_stands_in_the_attempt_and_is_no_error_of_the_job() -> None:
    completion = written(a_job(), Ending.RETURNED, reason="its node stopped while it ran")
    stage = update_of(completion)[0]["$set"]
    assert "error" not in stage
    entry = stage["attempts"]["$slice"][0]["$concatArrays"][1][0]
    assert (entry["error"], entry["reason"]) == ({"$literal": None}, {"$literal": "its node stopped while it ran"})


def test_so_many_signals_in_a_row_are_the_fault_of_the_job() -> None:
    """It sends them to its own worker; else it would go round for ever."""
    content = {"reason": "its worker was asked to end by a signal", "signalled": True}
    patient = written(a_job(signalled=MOST_SIGNALS - 1), Ending.RETURNED, **content)
    assert (patient.lost, patient.signalled) == (False, True)
    charged = written(a_job(signalled=MOST_SIGNALS), Ending.RETURNED, **content)
    assert (charged.lost, charged.verdict.move) == (True, Transition.RELEASE)
    assert (charged.error or {})["type"] == "WorkerLostError"
    last = written(a_job(signalled=MOST_SIGNALS, lost=2), Ending.RETURNED, **content)
    assert (last.error or {})["type"] == "PoisonedJobError"


# -- a lost node ------------------------------------------------------------------------------------------------------


def verdicts(*jobs: dict[str, Any]) -> list[str]:
    """What becomes of the jobs that a lost node held."""
    found = completions_of_lost(jobs, "n1", 3)
    return ["charged" if one.lost else "suspect" if one.suspect else "handed back" for one in found]


def test_a_node_that_held_several_jobs_makes_all_of_them_suspects() -> None:
    assert verdicts(a_job(worker="w"), a_job(), a_job()) == ["suspect"] * 3


def test_the_only_job_of_a_node_is_charged_if_it_is_known_to_have_begun() -> None:
    assert verdicts(a_job(worker="w")) == ["charged"]
    assert verdicts(a_job()) == ["suspect"]


def test_a_suspect_that_ran_alone_is_charged_and_those_that_waited_for_it_are_not() -> None:
    jobs = [a_job(suspect=mark()), a_job(suspect=mark(alone="c")), a_job()]
    found = completions_of_lost(jobs, "n1", 3)
    assert [one.lost for one in found] == [False, True, False]
    assert [one.suspect for one in found] == [mark(), mark(alone="c"), None]
    assert [(one.error or {}).get("type") for one in found] == [None, "NodeLostError", None]
    assert [one.reason is None for one in found] == [False, True, False]


def test_a_part_of_a_crowd_is_suspected_again_and_those_that_waited_are_not() -> None:
    """Nobody knows whether the others of that part had ended."""
    part, waits = mark(alone="c", part=True), a_job(suspect=mark())
    assert verdicts(a_job(suspect=part), a_job(suspect=part), waits) == ["suspect", "suspect", "suspect"]
    [again, _, handed_back] = completions_of_lost([a_job(suspect=part), a_job(suspect=part), waits], "n1", 3)
    assert (again.suspect, handed_back.suspect) == ({"of": "node", "times": 2}, mark())
    assert verdicts(a_job(suspect=part), waits)[0] == "suspect", "the last one of its part"
    assert verdicts(a_job(suspect=mark(alone="c", part=False)), waits)[0] == "charged"


def test_a_note_of_an_earlier_claim_means_nothing() -> None:
    assert verdicts(a_job(suspect=mark(alone="an earlier claim")), a_job()) == ["suspect", "suspect"]
    assert verdicts(a_job(suspect=mark(alone="an earlier claim"))) == ["suspect"]


@table("others", [0, 1, 5])
@table("worker", [None, "w"])
def test_a_service_pauses_longer_and_is_charged_only_if_it_had_begun_alone(others: int, worker: str | None) -> None:
    service = {"restart": "always", "restart_interval": 1, "restart_interval_max": 60, "failures": 1}
    service_job = a_job(service=service, worker=worker)
    [lost, *_] = completions_of_lost([service_job, *(a_job() for _ in range(others))], "n1", 3)
    assert (lost.lost, lost.suspect) == (worker is not None and not others, None)
    assert (lost.verdict.move, lost.retry_interval, lost.verdict.failures) == (Transition.RETRY, 2, 2)
    assert "alone" not in (lost.error or {})["message"]


def test_a_service_that_dies_beside_others_with_its_worker_or_manager_is_not_charged() -> None:
    service = {"restart": "always", "restart_interval": 1, "restart_interval_max": 60, "failures": 0}
    completion = written(a_job(service=service), Ending.SUSPECTED, error=ERROR)
    assert (completion.lost, completion.suspect, completion.verdict.failures) == (False, None, 1)
