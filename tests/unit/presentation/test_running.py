"""What runs on a node now, whatever it ran at its last heartbeat."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from taskscheduler_daemon.presentation.running import as_of_now, boots_of

BOOT = ObjectId()
FIRST, SECOND, THIRD = (str(ObjectId()) for _ in range(3))


def node(*jobs: ObjectId | None, **facts: Any) -> dict[str, Any]:
    """A node with three workers that ran these jobs at its last heartbeat."""
    ran = [*jobs, None, None, None]
    workers = [
        {
            "id": worker,
            "pid": pid,
            "job": ran[pid],
            "seconds": 5.0 if ran[pid] else 0.0,
            "jobs": int(ran[pid] is not None),
        }
        for pid, worker in enumerate((FIRST, SECOND, THIRD))
    ]
    return {"_id": BOOT, "slots": 3, "busy": 1, "running": 1, "silent": 2.0, "lease": 30, "workers": workers, **facts}


def job(worker: str | None = None, seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "boot": BOOT, "worker": worker, "seconds": seconds, **more}


def now(found: dict[str, Any], *running: dict[str, Any]) -> tuple[list[tuple[Any, Any, Any]], int, int]:
    """Process, job and seconds of each worker; how many jobs run, and how many slots are taken."""
    (updated,) = as_of_now([found], running)
    lines = [(worker["pid"], worker["job"], worker["seconds"]) for worker in updated["workers"]]
    return lines, updated["running"], updated["busy"]


def test_what_has_ended_since_the_heartbeat_runs_no_more() -> None:
    assert now(node(ObjectId())) == ([(0, None, 0.0), (1, None, 0.0), (2, None, 0.0)], 0, 0)


def test_what_has_begun_since_then_runs_where_its_sign_of_life_says_or_on_a_worker_that_is_not_known() -> None:
    seen, new = job(SECOND, 3.0), job(None, 0.1)
    lines, running, busy = now(node(), seen, new)
    assert lines == [(0, None, 0.0), (1, seen["_id"], 3.0), (2, None, 0.0), (None, new["_id"], 0.1)]
    assert (running, busy) == (2, 2)


def test_what_ran_at_the_heartbeat_and_has_given_no_sign_runs_where_that_said() -> None:
    quiet = job(None, 7.0)
    assert now(node(None, quiet["_id"]), quiet)[0][1] == (1, quiet["_id"], 7.0)


def test_jobs_that_were_claimed_ahead_are_counted_and_have_no_line() -> None:
    jobs = [job(FIRST), job(SECOND), *(job() for _ in range(5))]
    lines, running, busy = now(node(), *jobs)
    assert [line[0] for line in lines] == [0, 1, 2, None]
    assert (running, busy) == (7, 3)


def test_async_jobs_share_a_slot_and_jobs_with_a_worker_of_their_own_take_none() -> None:
    shared = [job(FIRST) for _ in range(3)] + [job(FIRST, **{"async": True})]
    forced = job(THIRD, forced=True)
    (updated,) = as_of_now([node()], [*shared, forced])
    assert (updated["running"], updated["busy"], updated["workers"][0]["jobs"]) == (5, 1, 4)
    assert now(node(), *(job(None, 1.0, **{"async": True}) for _ in range(4)))[1:] == (4, 1), (
        "their worker is not known yet"
    )


@pytest.mark.parametrize("facts", [{}, {"silent": 99.0}])
def test_a_node_of_which_nothing_is_known_runs_what_the_database_says(facts: dict[str, Any]) -> None:
    bare = {"_id": BOOT, "silent": 1.0, "lease": 30, **facts}
    assert now(bare, job()) == ([], 1, 0)


def test_a_lost_node_is_left_as_it_was() -> None:
    lost, other = node(ObjectId(), lost=True), {**node(), "_id": ObjectId()}
    assert boots_of([lost, other]) == [other["_id"]]
    assert as_of_now([lost, other], [job()])[0] is lost
