"""What is looked at again and again because a message or a process may be lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.node.fakes import SERVER_NOW, FakeClock, FakeStore, job_document, lease
from tests.unit.node.maintenance.test_rescuer import Searches

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Status, Transition
from taskscheduler_daemon.node.maintenance.late_sweeper import LateSweeper
from taskscheduler_daemon.node.maintenance.place_check import PlaceCheck
from taskscheduler_daemon.node.maintenance.program_sweeper import ProgramSweeper
from taskscheduler_daemon.node.maintenance.rescan import Rescan
from taskscheduler_daemon.node.maintenance.unknown_sweeper import UnknownSweeper


def test_a_rescan_searches_all_queues() -> None:
    claimer = Searches()
    Rescan(cast(Any, claimer), lease()).run()
    assert claimer.count == 1


def test_silent_programs_are_ended_and_named(caplog: pytest.LogCaptureFixture) -> None:
    store, job_id = FakeStore(), ObjectId()
    error = {"type": "SilenceError", "message": "no sign of life for 300 s"}
    store.programs.ended = [{"_id": job_id, "class": "vacuum", "error": error}]
    ProgramSweeper(store.store, lease()).run()
    assert store.faults.calls == ["programs.end_silent"]
    (record,) = caplog.records
    assert record.getMessage() == "program given up: no sign of life for 300 s"
    assert (record.levelname, vars(record)["job"], vars(record)["job_name"]) == ("WARNING", str(job_id), "vacuum")


def late_sweeper(left: float | None, late: list[dict[str, Any]]) -> tuple[LateSweeper, FakeStore]:
    store = FakeStore()
    store.late_jobs.left, store.late_jobs.late = left, late
    return LateSweeper(store.store, FakeClock(), lease()), store


def test_late_jobs_are_ended_and_looked_for_again_at_once() -> None:
    first, second = job_document(expires=SERVER_NOW, attempt=0), job_document(attempt=0)
    second |= {"expires": SERVER_NOW, "first_started": SERVER_NOW, "gate": "key", "rearmed": "0:timeout"}
    sweeper, store = late_sweeper(-1.0, [first, second])
    sweeper.run()
    moves = [(first["_id"], Transition.CANCEL_LATE), (second["_id"], Transition.EXPIRE_LATE)]
    assert (store.late_jobs.ended, store.admission.left) == (moves, [first["_id"], second["_id"]])
    assert store.outbox.delivered == [first["_id"], second["_id"]]
    assert [entry["status"] for entry in store.events.entries] == [Status.CANCELED, Status.TIMEOUT]
    assert sweeper.next_at == FakeClock().monotonic()


def test_the_next_job_that_will_be_late_is_looked_for_then() -> None:
    sweeper, store = late_sweeper(5.0, [])
    sweeper.run()
    assert store.faults.calls == ["late_jobs.seconds_until_next"]
    assert sweeper.next_at == pytest.approx(FakeClock().monotonic() + 5, abs=0.01)


@pytest.mark.parametrize("left", [None, 0.0])
def test_as_long_as_no_job_has_to_hurry_there_is_one_look_now_and_then(left: float | None) -> None:
    sweeper, _ = late_sweeper(left, [])
    sweeper.run()
    assert sweeper.next_at == NEVER


@pytest.mark.parametrize("odd", [{"expires": "soon"}, {"expires": SERVER_NOW, "attempt": "1"}, {}])
def test_an_odd_late_job_is_set_aside_and_costs_no_other(odd: dict[str, Any]) -> None:
    bad, good = {**job_document(), **odd}, job_document(expires=SERVER_NOW, attempt=0)
    sweeper, store = late_sweeper(0.0, [bad, good])
    sweeper.run()
    assert list(store.invalid_jobs.failed) == [bad["_id"]]
    assert store.late_jobs.ended == [(good["_id"], Transition.CANCEL_LATE)]


@pytest.mark.parametrize(("duration", "poll"), [(30.0, 2.0), (1.5, 0.25)])
def test_a_short_lease_is_looked_after_more_often(duration: float, poll: float) -> None:
    sweep = Rescan(cast(Any, Searches()), lease(duration=duration))
    assert sweep.poll == poll
    assert 0.75 * poll <= sweep.interval <= 1.25 * poll


def test_queued_jobs_that_no_search_finds_fail_by_their_field() -> None:
    store, ids = FakeStore(), [ObjectId() for _ in range(4)]
    store.postponed_jobs.odd = [{"_id": ids[0], "queue": "default", "priority": 0, "at": "soon"}]
    store.claims.odd = [{"_id": ids[1], "queue": 5, "priority": 0, "at": datetime.now(UTC)}]
    store.admission.odd = [{"_id": ids[2], "solo": 5}, {"_id": ids[3], "solo": "key"}]
    PlaceCheck(store.store, lease()).run()
    failed = {job_id: (error["message"], held["status"]) for job_id, (error, held) in store.invalid_jobs.failed.items()}
    assert list(failed) == ids[:3]
    for job_id, field, status in zip(ids, ("at", "queue", "solo"), (1, 0, 1), strict=False):
        assert f"its field {field} " in failed[job_id][0]
        assert failed[job_id][1] == status


@pytest.mark.parametrize(("timeout", "polls"), [(0.0, 1.0), (60.0, 1.0), (1000.0, 5.0), (3600.0, 15.0), (NEVER, 15.0)])
def test_jobs_that_may_wait_long_for_a_node_are_looked_for_seldom(timeout: float, polls: float) -> None:
    sweeper = UnknownSweeper(FakeStore().store, timeout, lease())
    assert 0.75 * polls * sweeper.poll <= sweeper.interval <= 1.25 * polls * sweeper.poll
