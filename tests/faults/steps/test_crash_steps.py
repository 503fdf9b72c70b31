"""A process ends before or after its n-th write, for every n: what it leaves behind heals, nothing is lost.

One test tries n = 1, 2, 3, ... until what the process does comes to its end before the switch.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskscheduler import Scheduler, Status
from taskscheduler.operations.schedule_runs import add_due_runs
from tests.faults.steps.acting import CRASHED
from tests.faults.steps.playing import breaks, crash_of_a_node, crash_of_an_operation, every_crash_of_a_node
from tests.faults.steps.scenarios import SCENARIOS, ready
from tests.faults.steps.stage import CONTROLS, LEASE, Stage, every_step, healed
from tests.support.eventually import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_node_may_crash_after_every_call(stages: list[Stage], name: str) -> None:
    """From its registration on; what comes before is the same for all."""
    every_crash_of_a_node(stages, SCENARIOS[name])


#: how a node makes an empty database ready, and begins to follow it
MAKING_READY = [
    "listCollections 1",
    "create taskscheduler.queue",
    "create taskscheduler.events",
    *[
        f"{call} taskscheduler.{name}"
        for name, between in {"jobs": "find", "nodes": "", "metrics": "listIndexes", "logs": "listIndexes"}.items()
        for call in ("listIndexes", "find", "listIndexes", *([between] if between else []), "createIndexes")
    ],
    "aggregate 1",
]
#: what its threads begin with, in any order: it registers, and looks for jobs, for debts and for lost nodes
BEGINNING = Counter(["update taskscheduler.nodes", *["find taskscheduler.jobs"] * 3, "aggregate taskscheduler.nodes"])

#: two collections, four sets of indexes, and its registration
WRITES_OF_ITS_START = 7


def test_a_node_may_crash_after_every_call_of_its_start(stages: list[Stage]) -> None:
    """On an empty database, which it makes ready first; the job is added by somebody who finds it half made."""

    def begun(stage: Stage) -> bool:
        return Counter(stage.calls("node")[len(MAKING_READY) :]) >= BEGINNING and "node ready" in stage.said("node")

    def play(stage: Stage, n: int) -> bool:
        stage.clear(schema=True)
        with stage.acting("node", {"orphaned_timeout": LEASE}, crash_at=n) as node:
            eventually(lambda: node.ended or begun(stage), 30, "begun or crashed")
            calls = stage.calls("node")
            assert calls[: len(MAKING_READY)] == MAKING_READY[: len(calls)]
        stage.scheduler.add_job("trace", stage.log)
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: 1})
        stage.verify()
        return Counter(calls[len(MAKING_READY) :]) >= BEGINNING

    assert every_step(stages, play) > 2 * WRITES_OF_ITS_START


# -- applications -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "count"), [("add", 1), ("add_many", 3)])
def test_an_application_may_crash_after_every_call_of_adding(stages: list[Stage], what: str, count: int) -> None:
    """The schema is made by the first to come: it may be half finished."""

    def after(stage: Stage) -> None:
        stored = sum(stage.statuses().values())
        assert stored in (0, count)
        assert stored == count or not stage.acknowledged
        healed(stage, lambda stage: stage.statuses() == ({Status.DONE: count} if stored else {}))
        stage.verify()

    def play(stage: Stage, n: int) -> bool:
        stage.clear(schema=True)
        return crash_of_an_operation(stage, what, {"data": stage.log}, n, after)

    assert every_step(stages, play) > 2


def test_an_application_may_crash_after_every_call_of_replacing_a_job_added_once(stages: list[Stage]) -> None:
    def after(stage: Stage) -> None:
        assert stage.statuses({"once": {"$exists": True}, "status": {"$lte": 2}}).total() <= 1
        again = stage.scheduler.add_job_once("trace", stage.log, retry=1)
        live = {status: count for status, count in stage.statuses().items() if not status.is_final}
        assert live == {Status.WAITING: 1}
        assert again.id == (stage.acknowledged or [again.id])[0]
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: 1, Status.CANCELED: 1})
        stage.verify()

    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        stage.scheduler.add_job_once("trace", stage.log, retry=0)
        return crash_of_an_operation(stage, "add_once", {"data": stage.log}, n, after)

    assert every_step(stages, play) > 2


UNIQUE: Mapping[str, Any] = {"unique_for": 600}
DEBOUNCED: Mapping[str, Any] = {"debounce": 0.2, "unique_key": "k"}


def crash_of_adding_in_a_window(stage: Stage, n: int, options: Mapping[str, Any], waits: bool = False) -> bool:
    """Who adds the same job next gets the one that was stored, or adds it."""

    def after(stage: Stage) -> None:
        stored = [job["_id"] for job in stage.jobs.find()]
        again = stage.scheduler.add_job("trace", stage.log, options)
        assert stored in ([], [again.id])
        assert (again.outcome == "created") == (not stored)
        assert again.id == (stage.acknowledged or [again.id])[0]
        assert stage.statuses().total() == 1
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: 1})
        stage.verify()

    stage.scheduler.add_job("noop", unique_for=1)  # all databases are alike then
    stage.clear()
    if waits:  # for a slot
        first = stage.scheduler.add_job("trace", "/dev/null", options)
        eventually(lambda: stage.scheduler.store.postponed_jobs.promote([first.id]), 5, "due")
    return crash_of_an_operation(stage, "add_windowed", {"data": stage.log, "options": options}, n, after)


@pytest.mark.parametrize(("options", "waits"), [(UNIQUE, False), (DEBOUNCED, False), (DEBOUNCED, True)])
def test_an_application_may_crash_after_every_call_of_adding_in_a_window(
    stages: list[Stage], options: Mapping[str, Any], waits: bool
) -> None:
    assert every_step(stages, lambda stage, n: crash_of_adding_in_a_window(stage, n, options, waits)) > 4


def series_with_a_child(stage: Stage) -> str:
    job = stage.scheduler.add_job("trace", stage.log, interval=60, at=timedelta(hours=1))
    stage.scheduler.add_job("noop", at=timedelta(hours=1), parent=job.id)
    return str(job.id)


def ended_run_with_a_plan(stage: Stage) -> str:
    """A run whose node died right after the write that ended it; the next one is planned and not stored."""
    job = stage.scheduler.add_job("trace", stage.log, interval=60)
    plan = {"_id": stage.database["x"].insert_one({}).inserted_id, "at": job.created, "created": job.created}
    stage.jobs.update_one({"_id": job.id}, {"$set": {"status": 2}})
    stage.jobs.update_one({"_id": job.id}, {"$set": {"status": 4, "next": plan, "pending": ["next"]}})
    return str(job.id)


@pytest.mark.parametrize("prepare", [series_with_a_child, ended_run_with_a_plan])
def test_an_application_may_crash_after_every_call_of_cancelling(
    stages: list[Stage], prepare: Callable[[Stage], str]
) -> None:
    def after(stage: Stage) -> None:
        """Who was not told that it is cancelled asks again; then nothing of the series is left."""
        if not stage.acknowledged:
            stage.scheduler.cancel_job(stage.memory["id"])
        healed(stage, lambda stage: not [status for status in stage.statuses() if not status.is_final])
        assert stage.statuses()[Status.CANCELED] >= (prepare is series_with_a_child)
        assert stage.statuses()[Status.DONE] == 0
        if prepare is series_with_a_child:
            stage.verify()

    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        job_id = prepare(stage)
        stage.memory["id"] = stage.jobs.find_one({"series": {"$exists": True}})["_id"]
        return crash_of_an_operation(stage, "cancel", {"id": job_id}, n, after)

    assert every_step(stages, play) > 2


def test_an_application_may_crash_after_every_call_of_cancelling_a_job_that_runs(stages: list[Stage]) -> None:
    """The node learns of it by itself: once the job is CANCELED its process is killed, whoever sends the message."""

    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        scenario = SCENARIOS["cancel what runs"]
        scenario.prepare(stage)
        with stage.acting("node", {"orphaned_timeout": LEASE}) as node:
            ready(stage, node)
            eventually(lambda: Path(stage.log).exists(), 20, "it runs")
            with stage.acting("cancel", {"id": str(stage.memory["job"])}, crash_at=n) as operation:
                code = operation.wait()
            if not stage.statuses()[Status.CANCELED]:
                assert not stage.acknowledged
                stage.scheduler.cancel_job(stage.memory["job"])
            eventually(lambda: scenario.reached(stage), 5, "killed")
            eventually(stage.settled, 10, "nothing is owed")
            assert node.stop() == 0
        stage.verify()
        return code == 0

    assert every_step(stages, play) > 2


def three_times(stage: Stage) -> None:
    stage.schedule(3, runs=3)


def one_more_time(stage: Stage) -> None:
    """The run before is live, and is cancelled for the next one."""
    stage.schedule(1, runs=2, overlap="cancel_other")
    stage.memory["skips"] = True  # if this takes more than a second
    add_due_runs(stage.scheduler.store)
    eventually(lambda: stage.scheduler.store.schedules.due(stage.scheduler.store.clock.now()), 5, "the next time")


@pytest.mark.parametrize(("prepare", "count"), [(three_times, 3), (one_more_time, 2)])
def test_any_process_may_crash_after_every_call_of_adding_the_runs_of_a_schedule(
    stages: list[Stage], prepare: Callable[[Stage], None], count: int
) -> None:
    def over(stage: Stage) -> bool:
        found = stage.statuses()
        return found.total() == count and all(status.is_final for status in found) and stage.is_settled_schedule()

    def after(stage: Stage) -> None:
        healed(stage, over)
        assert stage.statuses()[Status.DONE] >= count - (prepare is one_more_time)
        stage.verify()

    def play(stage: Stage, n: int) -> bool:
        stage.clear()
        prepare(stage)
        return crash_of_an_operation(stage, "add_runs", {}, n, after)

    assert every_step(stages, play) > 2


def three_are_paused(stage: Stage) -> None:
    stage.scheduler.add_jobs([("trace", stage.log)] * 3)
    stage.scheduler.pause(job="trace")


def three_wait(stage: Stage) -> None:
    stage.scheduler.add_jobs([("trace", stage.log)] * 3)


def crash_of_a_pause_or_its_end(stage: Stage, what: str, n: int) -> bool:
    """Who got no answer sees whether it is paused; from then on nobody but a node looks after the jobs."""

    def after(stage: Stage) -> None:
        stage.database[CONTROLS].delete_many({})
        healed(stage, lambda stage: stage.statuses() == {Status.DONE: 3})
        stage.verify()

    stage.clear()
    (three_wait if what == "pause" else three_are_paused)(stage)
    return crash_of_an_operation(stage, what, {}, n, after)


@pytest.mark.parametrize("what", ["pause", "resume"])
def test_an_application_may_crash_after_every_call_of_pausing_and_resuming(stages: list[Stage], what: str) -> None:
    assert every_step(stages, lambda stage, n: crash_of_a_pause_or_its_end(stage, what, n)) > 2


# -- these tests can fail ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("interval", "debts paid by others"),
        ("family", "debts paid by others"),
        ("reap", "taking back"),
        ("claim and finish", "taking back"),
        ("a batch", "taking back"),
        ("promote", "promotion"),
        ("pause", "unparking"),
    ],
)
def test_without_the_mechanism_something_is_stuck(stages: list[Stage], name: str, without: str) -> None:
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, SCENARIOS[name], n), [without])


@pytest.mark.usefixtures("impatient")
def test_without_its_mechanism_a_dead_resume_leaves_jobs_behind(stages: list[Stage]) -> None:
    assert breaks(stages, lambda stage, n: crash_of_a_pause_or_its_end(stage, "resume", n), ["unparking"])


def test_without_storing_under_the_id_of_the_window_the_next_adder_breaks_it(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler.operations.windows.under", lambda new, *_: new)

    def play(stage: Stage, n: int) -> bool:
        over = crash_of_adding_in_a_window(stage, n, UNIQUE)
        stage.scheduler.add_job("trace", stage.log, UNIQUE)
        assert stage.statuses().total() == 1
        return over

    assert breaks(stages, play)


def test_the_switch_ends_the_process_where_it_says(stages: list[Stage]) -> None:
    """At first nothing is stored, then something is that nobody was told of, and only at the end is it acknowledged."""
    stage = stages[0]
    Scheduler(stage.database).add_job("noop")
    codes = []
    for n in itertools.count(1):
        stage.clear()
        with stage.acting("add", {"data": stage.log}, crash_at=n) as operation:
            codes.append((operation.wait(), sum(stage.statuses().values()), len(stage.acknowledged)))
        if codes[-1][0] == 0:
            break
    assert codes[-1] == (0, 1, 1)
    assert (CRASHED, 0, 0) in codes
    assert (CRASHED, 1, 0) in codes or (CRASHED, 1, 1) in codes
