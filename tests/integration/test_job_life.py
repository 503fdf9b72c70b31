"""The life of a job on a real node: times, retries, intervals, outcomes, progress, families, hooks, queues, flush."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import ROOT, TOLD, NodeProcess
from tests.support.tables import rarely

from taskscheduler import InvalidArgumentsError, Job, JobFailedError, Process, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.model.metrics.counts import Series
from taskscheduler.model.schedules import successor_id
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.completions import Sign
from taskscheduler.store.fence import Fence

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]
HERE = {"jobs": ["tests.support.jobs", "tests.integration.test_job_life"]}


class Deep(Job):
    """Returns more levels than MongoDB takes."""

    name = "life.deep"

    def start(self) -> Any:
        value: dict[str, Any] = {}
        for _ in range(300):
            value = {"deeper": value}
        return value


class Returns(Job):
    """Returns its data."""

    name = "life.returns"

    def start(self) -> Any:
        return self.data


class Raises(Job):
    """Raises what its data names."""

    name = "life.raises"

    def start(self) -> Any:
        raise {
            "keyboard": KeyboardInterrupt("stop"),
            "generator": GeneratorExit("gone"),
            "long": ValueError("x" * 100_000),
            "surrogate": ValueError("\ud800 broken"),
            "textless": Textless(),
            "deep": RuntimeError("deep"),
        }[self.data]


class Textless(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Steps(Job):
    """Reports 1, 2, 3, ... with pauses, then waits for the file `until`."""

    name = "life.steps"

    def start(self) -> None:
        pause = threading.Event()
        for value in range(1, self.data["times"] + 1):
            self.update_progress(value, message=f"step {value}")
            pause.wait(self.data["pause"])
        while not os.path.exists(self.data["until"]):
            pause.wait(0.01)


class Speaks(Job):
    """Reports its data as the message, many times in one moment, then waits for the file `until`; how long it took."""

    name = "life.speaks"

    def start(self) -> Any:
        began = SYSTEM_CLOCK.monotonic()
        for number in range(int(self.data["times"])):
            self.update_progress(number / self.data["times"] * 50, message=self.data["message"])
        self.update_progress(50.004)
        took = SYSTEM_CLOCK.monotonic() - began
        while not Path(self.data["until"]).exists():
            if self.data.get("pings"):
                self.update_progress()
        return took


TENANT: ContextVar[str] = ContextVar("tenant")


class Contextual(Job):
    """Sets a context variable in one hook, and tells what it was before and is in another."""

    name = "life.context"

    def set_up(self) -> None:
        self.before = TENANT.get("unset")
        TENANT.set(self.data)

    def start(self) -> dict[str, Any]:
        return {"before": self.before, "within": TENANT.get(), "pid": os.getpid()}


class BadProgress(Job):
    name = "life.bad_progress"

    def start(self) -> Any:
        said = []
        for value in (-0.1, 100.1, float("nan"), "50", True):
            try:
                self.update_progress(value)  # type: ignore[arg-type]
            except ValueError as error:
                said.append(str(error))
        return said


class Family(Job):
    """Adds a child of itself and waits for ever."""

    name = "life.family"

    def start(self) -> Any:
        self.scheduler.add_job(self.data["child"], self.data.get("data"), self.data.get("options"), parent=self.id)
        while True:
            self.update_progress()


def jobs(scheduler: Scheduler, query: dict[str, Any]) -> list[Process]:
    return list(scheduler.get_jobs(query))


def series(scheduler: Scheduler, first: Process) -> list[Process]:
    """All runs of a series in order."""
    return sorted(jobs(scheduler, {"series": first.id}), key=lambda process: int(process.to_dict()["seq"]))


def at_least(scheduler: Scheduler, first: Process, count: int) -> list[Process]:
    runs = series(scheduler, first)
    return runs if len(runs) >= count else []


def done_runs(scheduler: Scheduler, first: Process, count: int) -> list[Process]:
    """The runs of a series once `count` of them are done."""

    def enough() -> list[Process]:
        runs = series(scheduler, first)
        return runs if sum(run.status is Status.DONE for run in runs) >= count else []

    return eventually(enough, 20)


def running(process: Process) -> bool:
    return process.refresh().status is Status.PROCESSING


def logged(database: Documents, process: Process) -> list[int]:
    """The statuses of a job in the capped log of events."""
    events = [event for entry in database["taskscheduler.events"].find() for event in entry["events"]]
    return [event["status"] for event in events if event["job"] == process.id]


def settled(process: Process) -> bool:
    """Whether an ended job owes nothing any more."""
    return "pending" not in process.refresh().to_dict()


def claimed(scheduler: Scheduler, process: Process) -> Fence:
    """Claim a job as a node would."""
    scheduler.store.claims.claim([process.id], claim := str(ObjectId()), ObjectId(), "a-node")
    return Fence(process.id, claim, process.refresh().attempt)


# -- times ------------------------------------------------------------------------------------------------------------


def test_a_job_never_starts_before_its_time_by_the_servers_clock(
    scheduler: Scheduler, database: Documents, start_node: StartNode
) -> None:
    """And its node knows when that is: it never looks by itself."""
    start_node(**TOLD)
    server_now: datetime = database.command("hello")["localTime"].replace(tzinfo=UTC)
    times: list[Any] = [
        server_now + timedelta(seconds=1),
        (server_now + timedelta(seconds=0.6)).timestamp(),
        timedelta(seconds=0.3),
        timedelta(0),
        server_now - timedelta(days=1),
        1_000_000_000,
        0,
    ]
    times += [timedelta(milliseconds=10 * number) for number in range(1, 60)]
    processes = [scheduler.add_job("noop", at=at) for at in times]
    scheduler.wait_for(processes, timeout=20)
    for process in processes:
        assert process.started is not None
        assert process.at is not None
        assert process.status is Status.DONE
        assert process.started >= process.at


def test_a_postponed_job_is_found_by_a_node_that_starts_later(scheduler: Scheduler, start_node: StartNode) -> None:
    due, later = scheduler.add_job("echo", at=timedelta(seconds=0.2)), scheduler.add_job("echo", at=timedelta(hours=1))
    start_node()
    assert due.wait(30).status is Status.DONE
    assert later.refresh().status is Status.POSTPONED


# -- retries ----------------------------------------------------------------------------------------------------------


def test_a_failing_job_is_tried_again_as_often_as_told(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("fail", "again", retry=3, retry_interval=0)
    assert process.wait(30).status is Status.FAILED
    assert process.attempt == 4
    assert [entry["attempt"] for entry in process.attempts] == [1, 2, 3, 4]
    for entry in process.attempts:
        assert entry["status"] == Status.FAILED
        assert entry["error"]["message"] == "again"
        assert (entry["node"], bool(entry["worker"])) == ("node-0", True)
        assert entry["started"] <= entry["ended"]
    assert [len(jobs(scheduler, {"class": "fail"}))] == [1]


def test_a_job_that_succeeds_at_last_keeps_its_earlier_attempts(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("flaky", 3, retry=5, retry_interval=0.2)
    assert process.result(30) == 3
    assert process.error is None
    assert [(entry["attempt"], entry["status"]) for entry in process.attempts] == [(1, 4), (2, 4), (3, 3)]
    for before, after in pairwise(process.attempts):
        assert after["started"] - before["ended"] >= timedelta(seconds=0.2)


def errors_of(process: Process) -> list[tuple[Status, str | None]]:
    return [(entry["status"], (entry["error"] or {}).get("message")) for entry in process.attempts]


@pytest.mark.parametrize("ending", [None, Status.CANCELED, Status.DONE, Status.FAILED])
def test_an_attempt_has_no_error_of_an_earlier_one(scheduler: Scheduler, ending: Status | None) -> None:
    """Also if it runs, is cancelled, or moves to the list of attempts because the job is tried again."""
    process = scheduler.add_job("noop", retry=5)
    claims, completions = scheduler.store.claims, scheduler.store.completions
    claims.claim([process.id], "first", ObjectId(), "a-node")
    retry = Completion(Fence(process.id, "first", 1), Verdict(Transition.RETRY_NOW), error={"message": "first"})
    assert completions.write([retry]) == 1
    claims.claim([process.id], "second", ObjectId(), "a-node")
    expected: list[tuple[Status, str | None]] = [(Status.FAILED, "first"), (Status.PROCESSING, None)]
    assert errors_of(process.refresh()) == expected
    assert process.error == {"message": "first"}  # the error of the last attempt that failed
    if ending is None:
        return
    if ending is Status.CANCELED:
        process.cancel()
    else:
        move = Transition.SUCCEED if ending is Status.DONE else Transition.FAIL
        error = None if ending is Status.DONE else {"message": "second"}
        assert completions.write([Completion(Fence(process.id, "second", 2), Verdict(move), error=error)]) == 1
    expected = [expected[0], (ending, "second" if ending is Status.FAILED else None)]
    assert errors_of(process.refresh()) == expected
    assert errors_of(scheduler.retry_job(process.id)) == expected
    claims.claim([process.id], "third", ObjectId(), "a-node")
    assert errors_of(process.refresh()) == [*expected, (Status.PROCESSING, None)]


def test_between_two_tries_a_job_is_postponed(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("fail", retry=1)
    eventually(lambda: process.refresh().status is Status.POSTPONED)
    assert process.at is not None
    ended = process.attempts[0]["ended"]
    assert process.at - ended == timedelta(seconds=300)
    assert (process.attempt, process.started, process.ended, process.worker) == (1, None, None, None)
    assert process.error is not None
    assert len(process.attempts) == 1


def test_endless_retries_end_with_a_cancel_and_20_attempts_are_kept(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("fail", retry=-1, retry_interval=0)
    eventually(lambda: process.refresh().attempt > 30, 20)
    process.cancel()
    assert process.wait(30).status is Status.CANCELED
    last = process.attempt
    numbers = [entry["attempt"] for entry in process.attempts]
    assert len(numbers) in (19, 20)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[-1] in (last - 1, last)
    assert scheduler.add_job("echo").wait(30).status is Status.DONE
    assert process.refresh().attempt == last
    assert process.status is Status.CANCELED


def test_20_attempts_are_kept_of_a_job_that_ends(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("flaky", 25, retry=-1, retry_interval=0)
    process.wait(30)
    assert [entry["attempt"] for entry in process.attempts] == list(range(6, 26))


def test_a_timed_out_job_is_tried_again(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("wait", {}, timeout=0.2, retry=1, retry_interval=0)
    assert process.wait(30).status is Status.TIMEOUT
    assert [entry["status"] for entry in process.attempts] == [Status.TIMEOUT, Status.TIMEOUT]
    assert (process.attempt, process.progress) == (2, 0.0)


# -- intervals --------------------------------------------------------------------------------------------------------


def test_an_interval_counts_from_the_end_of_the_run(scheduler: Scheduler, node: NodeProcess) -> None:
    first = scheduler.add_job("wait", {"seconds": 0.3}, interval=0.4, retry=1, queue="default", priority=3)
    runs = done_runs(scheduler, first, 3)
    first.cancel()
    for before, after in pairwise(runs[:3]):
        assert after.at is not None
        assert before.ended is not None
        assert after.at - before.ended == timedelta(seconds=0.4)
        assert after.started is not None
        assert after.started >= after.at
    for number, run in enumerate(runs):
        assert (run.series, run.data) == (first.id, {"seconds": 0.3})
        assert {**run.options, "at": 0} == {**first.options, "at": 0}
        assert run.id == (first.id if number == 0 else successor_id(first.id, number, run.id))


def test_an_interval_can_count_from_the_start(scheduler: Scheduler, node: NodeProcess) -> None:
    first = scheduler.add_job("wait", {"seconds": 0.3}, interval=0.6, interval_reference="start")
    runs = done_runs(scheduler, first, 3)
    first.cancel()
    for before, after in pairwise(runs[:3]):
        assert after.at is not None
        assert before.started is not None
        assert after.at - before.started == timedelta(seconds=0.6)


def test_a_run_longer_than_its_interval_is_followed_at_once(scheduler: Scheduler, start_node: StartNode) -> None:
    """It is due when it is planned, and its node need not look for it."""
    start_node(**TOLD)
    first = scheduler.add_job("wait", {"seconds": 0.4}, interval=0.1, interval_reference="start")
    runs = done_runs(scheduler, first, 3)
    first.cancel()
    assert runs[1].started is not None
    assert runs[0].ended is not None
    assert runs[1].at is not None
    assert runs[1].at < runs[0].ended <= runs[1].started


def test_an_endless_series_runs_again_at_once_until_it_is_cancelled(scheduler: Scheduler, node: NodeProcess) -> None:
    first = scheduler.add_job("noop", interval=-1)
    done_runs(scheduler, first, 10)
    first.cancel()
    eventually(lambda: not jobs(scheduler, {"series": first.id, "status": {"$lte": 2}}))
    count = len(series(scheduler, first))
    scheduler.add_job("wait", {"seconds": 0.5}).wait(30)
    assert len(series(scheduler, first)) == count
    numbers = [run.to_dict()["seq"] for run in series(scheduler, first)]
    assert numbers == list(range(count))


def test_a_series_goes_on_after_failures_and_timeouts(scheduler: Scheduler, node: NodeProcess) -> None:
    failing = scheduler.add_job("fail", interval=0.1, retry=1, retry_interval=0)
    expiring = scheduler.add_job("wait", {}, interval=0.1, timeout=0.1)
    for first, status in ((failing, Status.FAILED), (expiring, Status.TIMEOUT)):
        runs = eventually(partial(at_least, scheduler, first, 3), 20)
        assert [run.status for run in runs[:2]] == [status, status]
        first.cancel()
    assert [run.attempt for run in series(scheduler, failing)[:2]] == [2, 2]


@pytest.mark.parametrize("which", ["first", "waiting", "running"])
def test_cancelling_any_job_of_a_series_ends_it(scheduler: Scheduler, node: NodeProcess, which: str) -> None:
    first = scheduler.add_job("wait", {"seconds": 0.2 if which != "running" else 0.5}, interval=0.3)
    runs = done_runs(scheduler, first, 2)
    if which == "first":
        first.cancel()
    else:
        status = Status.PROCESSING if which == "running" else Status.POSTPONED
        live = eventually(lambda: jobs(scheduler, {"series": first.id, "status": status}), 30)
        live[0].cancel()
    eventually(lambda: not jobs(scheduler, {"series": first.id, "status": {"$lte": 2}}))
    count = len(series(scheduler, first))
    scheduler.add_job("wait", {"seconds": 1}).wait(30)
    assert len(series(scheduler, first)) == count >= len(runs)
    assert first.refresh().status is Status.DONE


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_ends_while_its_series_is_cancelled_has_no_successor(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Cancel by the id of an earlier run; the running one ends right before or after its plan would be cancelled."""
    first = scheduler.add_job("noop", interval=3600)
    end_run(scheduler, first.id, settle=True)
    second = series(scheduler, first)[1].id
    scheduler.store.postponed_jobs.promote([second])
    scheduler.store.jobs.collection.update_one({"_id": second}, {"$set": {"status": int(Status.WAITING)}})
    end_series = scheduler.store.families.end_series

    series_of = scheduler.store.families.series

    def ending_first(series_id: ObjectId) -> list[ObjectId]:
        live = series_of(series_id)
        if when == "before" and scheduler.get_job(second).status is Status.WAITING:
            end_run(scheduler, second, settle=False)
        return live

    def racing(series_id: ObjectId) -> list[ObjectId]:
        ended = end_series(series_id)
        if when == "after" and scheduler.get_job(second).status is Status.WAITING:
            end_run(scheduler, second, settle=False)
        return ended

    monkeypatch.setattr(scheduler.store.families, "series", ending_first)
    monkeypatch.setattr(scheduler.store.families, "end_series", racing)
    scheduler.cancel_job(first.id)
    monkeypatch.undo()
    scheduler.store.outbox.deliver(second)
    assert jobs(scheduler, {"series": first.id, "status": {"$lte": 2}}) == []


def end_run(scheduler: Scheduler, job_id: ObjectId, settle: bool) -> None:
    """End a run of a series as a node does; without `settle` it dies before it has added the next one."""
    process = scheduler.get_job(job_id)
    fence = claimed(scheduler, process)
    place = (process.to_dict()["series"], process.to_dict()["seq"])
    verdict = Verdict(Transition.SUCCEED, plans_next=True)
    assert (
        scheduler.store.completions.write([Completion(fence, verdict, interval=3600, series=place, effects=("next",))])
        == 1
    )
    if settle:
        scheduler.store.outbox.deliver(job_id)


def test_the_next_run_is_added_once_whoever_settles_it(scheduler: Scheduler, database: Documents) -> None:
    first = scheduler.add_job("noop", {"a": 1}, interval=3600)
    end_run(scheduler, first.id, settle=False)
    document = database["taskscheduler.jobs"].find_one({"_id": first.id})
    scheduler.store.outbox.deliver(first.id)
    database["taskscheduler.jobs"].replace_one({"_id": first.id}, document or {})  # another node saw it before
    scheduler.store.outbox.deliver(first.id)
    runs = series(scheduler, first)
    assert [run.status for run in runs] == [Status.DONE, Status.POSTPONED]
    assert runs[1].id == (document or {})["next"]["_id"] == successor_id(first.id, 1, runs[1].id)
    assert "next" not in runs[0].to_dict()
    assert "pending" not in runs[0].to_dict()


def test_a_node_adds_the_next_run_that_another_one_still_owed(scheduler: Scheduler, start_node: StartNode) -> None:
    first = scheduler.add_job("noop", interval=3600)
    end_run(scheduler, first.id, settle=False)
    start_node()
    following = eventually(lambda: jobs(scheduler, {"series": first.id, "status": Status.POSTPONED}), 30)
    assert [run.id for run in following] == [successor_id(first.id, 1, following[0].id)]


# -- fence ------------------------------------------------------------------------------------------------------------


def test_a_late_worker_cannot_overwrite_a_newer_attempt(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop", retry=5)
    old = claimed(scheduler, process)
    completions = scheduler.store.completions
    assert completions.write([Completion(old, Verdict(Transition.RELEASE), error={"type": "x"})]) == 1
    new = claimed(scheduler, process)
    assert new.attempt == 2
    late: list[Completion] = [
        Completion(old, Verdict(Transition.SUCCEED)),  # plain: written together with others of its claim
        Completion(old, Verdict(Transition.SUCCEED), result="late"),
        Completion(old, Verdict(Transition.FAIL), error={"type": "late"}, effects=("family",)),
        Completion(old, Verdict(Transition.RETRY)),
        Completion(old, Verdict(Transition.RELEASE), unstarted=True),
        Completion(Fence(old.job_id, new.claim, 1), Verdict(Transition.SUCCEED), result="wrong attempt"),
        Completion(Fence(old.job_id, old.claim, 2), Verdict(Transition.SUCCEED), result="wrong claim"),
    ]
    assert late[0].is_simple
    assert [completions.write([one]) for one in late] == [0] * 7
    completions.progress([Sign(old, {"progress": 99.0})])
    assert (process.refresh().status, process.attempt, process.progress) == (Status.PROCESSING, 2, 0.0)
    assert completions.write([Completion(new, Verdict(Transition.SUCCEED), result="right")]) == 1
    assert completions.write([Completion(new, Verdict(Transition.SUCCEED), result="twice")]) == 0
    assert process.refresh().result_value == "right"


def test_quick_ends_are_written_together_behind_their_fences(scheduler: Scheduler) -> None:
    done, cancelled, again = (scheduler.add_job("noop", retry=5) for _ in range(3))
    fences = [claimed(scheduler, process) for process in (done, cancelled, again)]
    cancelled.cancel()
    completions = scheduler.store.completions
    assert completions.write([Completion(fences[2], Verdict(Transition.RELEASE), error={"type": "x"})]) == 1
    assert claimed(scheduler, again).attempt == 2
    began = scheduler.store.clock.at(scheduler.store.clock.monotonic()) - 0.5
    ends = [QuickEnd(fence, "w", began, 0.25, 0.1, 2**20, Series("noop", "default"), 0.0) for fence in fences]
    assert completions.write([], ends) == 1
    assert completions.confirmed([one.completion() for one in ends]) == {done.id}
    assert [process.refresh().status for process in (done, cancelled, again)] == [3, 5, 2]
    stored = scheduler.store.jobs.get(done.id)
    assert stored is not None
    assert (stored["worker"], stored["cpu"], stored["peak_memory"], stored["progress"]) == ("w", 0.1, 2**20, 100.0)
    times = [stored[name].timestamp() for name in ("started", "ended")]
    assert times == [pytest.approx(began, abs=0.001), pytest.approx(began + 0.25, abs=0.001)]
    assert completions.write([], ends) == 0


def test_a_quick_end_that_is_written_late_has_the_time_of_the_write(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    fence = claimed(scheduler, process)
    began = scheduler.store.clock.at(scheduler.store.clock.monotonic()) - 60
    end = QuickEnd(fence, "w", began, 0.25, -1.0, 0, Series("noop", "default"), 0.0)
    assert scheduler.store.completions.write([], [end]) == 1
    stored = scheduler.store.jobs.get(process.id)
    assert stored is not None
    assert stored["ended"].timestamp() > began + 50
    assert not {"cpu", "peak_memory"} & set(stored)


def test_a_cancelled_job_cannot_be_finished_any_more(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop", retry=5, interval=5)
    fence = claimed(scheduler, process)
    process.cancel()
    for verdict in (
        Verdict(Transition.SUCCEED),
        Verdict(Transition.RETRY),
        Verdict(Transition.RELEASE),
        Verdict(Transition.FAIL),
    ):
        assert scheduler.store.completions.write([Completion(fence, verdict)]) == 0
    assert process.refresh().status is Status.CANCELED


# -- outcomes ---------------------------------------------------------------------------------------------------------


def test_an_exception_is_stored_with_type_message_and_traceback(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("fail", "i am an exception").wait(30)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert (process.error["type"], process.error["message"]) == ("ValueError", "i am an exception")
    assert "in start" in process.error["traceback"]
    assert process.result_value is None
    with pytest.raises(JobFailedError, match="ValueError: i am an exception"):
        process.result()
    assert "WARNING job failed: ValueError: i am an exception" in node.log.read_text()  # before it is written


def test_context_variables_that_a_job_sets_are_gone_after_it(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**HERE, pm="static", min_children=1)
    seen = [scheduler.add_job("life.context", name).result(20) for name in ("one", "two")]
    assert seen[0]["pid"] == seen[1]["pid"]
    assert [(one["before"], one["within"]) for one in seen] == [("unset", "one"), ("unset", "two")]


def test_every_kind_of_exception_fails_the_job_and_not_the_worker(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**HERE, pm="static", min_children=1)
    before = scheduler.add_job("echo").result(30)["pid"]
    kinds = ("keyboard", "generator", "long", "surrogate", "textless")
    raised = [scheduler.add_job("life.raises", kind) for kind in kinds]
    exits = scheduler.add_job("system_exit")
    scheduler.wait_for([*raised, exits], timeout=20)
    assert {process.status for process in (*raised, exits)} == {Status.FAILED}
    errors = [process.error or {} for process in (*raised, exits)]
    types = [error["type"].rpartition(".")[2] for error in errors]
    assert types == ["KeyboardInterrupt", "GeneratorExit", "ValueError", "ValueError", "Textless", "SystemExit"]
    assert len(errors[2]["message"]) <= 2048
    assert all(len(error["traceback"].encode()) <= 8192 for error in errors)
    assert errors[5]["message"] == "4"
    assert scheduler.add_job("echo").result(30)["pid"] == before


def test_an_unknown_class_fails_the_job_for_later(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(unknown_timeout=0)
    process = scheduler.add_job("os.system", "true", retry=1, retry_interval=0).wait(30)
    assert process.status is Status.FAILED
    assert process.attempt == 2
    assert process.error is not None
    assert process.error["type"] == "InvalidJobError"
    assert "os.system" in process.error["message"]


def test_a_result_that_cannot_be_stored_fails_the_job(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**HERE)
    unstorable, large = scheduler.add_job("unstorable"), scheduler.add_job("large", 2 * 1024 * 1024)
    fits, deep = scheduler.add_job("large", 1024 * 1024 - 100), scheduler.add_job("life.deep")
    scheduler.wait_for([unstorable, large, fits, deep], timeout=20)
    statuses = [process.status.label for process in (unstorable, large, fits, deep)]
    assert statuses == ["failed", "failed", "done", "failed"]
    types = [(process.error or {}).get("type") for process in (unstorable, large, deep)]
    assert types == ["InvalidDataError", "PayloadTooLargeError", "InvalidDataError"]
    assert "2097" in (large.error or {})["message"]
    assert len(fits.result_value) == 1024 * 1024 - 100


def test_every_value_that_bson_holds_can_be_a_result(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**HERE)
    values: list[Any] = [None, True, 0, 1.5, "", "text", b"\0", [], {}, [None], {"$where": "1"}, {"": 1}, "$$NOW"]
    values += [ObjectId(), datetime(2024, 1, 2, tzinfo=UTC), {"a.b": [{"$set": 1}]}]
    processes = scheduler.add_jobs([("life.returns", value) for value in values])
    scheduler.wait_for(processes, timeout=20)
    assert [process.result_value for process in processes] == values


def test_a_function_job_gets_its_arguments(scheduler: Scheduler, node: NodeProcess) -> None:
    sums = [scheduler.add_job("sum", data) for data in ({"a": 1, "b": 2}, [3, 4], 5)]
    assert [process.result(30)["sum"] for process in sums] == [3, 7, 5]
    with pytest.raises(InvalidArgumentsError, match="job sum: argument c is not known; it takes a, b"):
        scheduler.add_job("sum", {"a": 1, "c": 2})


def test_a_job_can_use_the_scheduler(scheduler: Scheduler, node: NodeProcess) -> None:
    added = scheduler.add_job("uses_scheduler").result(30)
    assert scheduler.get_job(added).wait(30).status is Status.DONE


# -- progress ---------------------------------------------------------------------------------------------------------


def test_progress_starts_at_0_and_is_100_at_success_only(scheduler: Scheduler, node: NodeProcess) -> None:
    done = scheduler.add_job("progress", {"values": [10, 20.126]})
    failed = scheduler.add_job("fail")
    scheduler.wait_for([done, failed], timeout=10)
    assert (done.progress, done.message) == (100.0, "at 20.126")
    assert (failed.progress, failed.message) == (0.0, None)


def test_the_last_progress_always_arrives_and_writes_are_limited(
    scheduler: Scheduler, database: Documents, start_node: StartNode, tmp_path: Path
) -> None:
    start_node(**HERE, scheduler_options={"progress_rate_limit": 200})
    message = "$$NOW ü \u0000 {$where: 1}"
    data = {"times": 5000, "message": message, "until": str(tmp_path / "end")}
    process = scheduler.add_job("life.speaks", data)
    with database["taskscheduler.jobs"].watch(
        [{"$match": {"updateDescription.updatedFields.progress": {"$exists": True}}}], max_await_time_ms=100
    ) as stream:
        eventually(lambda: process.refresh().progress == 50.0)
        assert process.message == message
        assert running(process)
        (tmp_path / "end").touch()
        took = process.result(20)
        seen = eventually(lambda: written(stream, 100.0))
    assert process.progress == 100.0
    assert len(seen) <= 4 + took / 0.2, seen  # claim, the first, those while it spoke, the last, the end


def has_progress(process: Process, value: float) -> bool:
    return process.refresh().progress == value


def test_progress_never_goes_back_and_the_last_value_is_stored(
    scheduler: Scheduler, database: Documents, start_node: StartNode, tmp_path: Path
) -> None:
    """Values of many jobs that pause just about when the limit is over, so that messages and the page meet."""
    limit = 0.05
    start_node(**HERE, scheduler_options={"progress_rate_limit": 50}, min_children=4, pm="static")
    match = [{"$match": {"updateDescription.updatedFields.progress": {"$exists": True}}}]
    with database["taskscheduler.jobs"].watch(match, max_await_time_ms=100) as stream:
        data = {"times": 60, "pause": limit / 3, "until": str(tmp_path / "end")}
        processes = [scheduler.add_job("life.steps", {**data, "times": 50 + number}) for number in range(4)]
        for number, process in enumerate(processes):
            eventually(partial(has_progress, process, 50 + number), 30)
            assert process.message == f"step {50 + number}"
        (tmp_path / "end").touch()
        scheduler.wait_for(processes, timeout=20)
        seen: dict[ObjectId, list[float]] = {process.id: [] for process in processes}
        while any(values[-1:] != [100.0] for values in seen.values()):
            change = stream.try_next()
            if change is not None:
                updated = change["updateDescription"]["updatedFields"]
                seen[change["documentKey"]["_id"]].append(updated["progress"])
    for values in seen.values():
        assert values == sorted(set(values)), "each value once, and none after a greater one"


def written(stream: Any, last: float, seen: list[float] | None = None) -> list[float]:
    """All progress values that a stream has shown, once the last one is there."""
    found: list[float] = [] if seen is None else seen
    while (change := stream.try_next()) is not None:
        found.append(change["updateDescription"]["updatedFields"]["progress"])
    return found if found and found[-1] == last else []


def test_a_sign_of_life_touches_alive(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    start_node(**HERE, scheduler_options={"progress_rate_limit": 100})
    data = {"times": 0, "message": "", "until": str(tmp_path / "end"), "pings": True}
    process = scheduler.add_job("life.speaks", data)
    eventually(lambda: running(process))
    begun = process.started
    eventually(lambda: process.refresh().alive > begun + timedelta(seconds=0.5), 20)  # type: ignore[operator]
    (tmp_path / "end").touch()
    process.wait(30)


def test_a_progress_outside_0_to_100_is_refused(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**HERE)
    said = scheduler.add_job("life.bad_progress").result(30)
    assert len(said) == 5
    assert all(text.startswith("progress may only be between 0 to 100") for text in said)


def test_a_retry_starts_at_0_again(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    start_node(**HERE)
    process = scheduler.add_job("progress", {"values": [40], "until": str(tmp_path / "no")}, timeout=0.3, retry=1)
    eventually(lambda: process.refresh().status is Status.POSTPONED)
    again = {"status": 0, "options.timeout": 0, "data.values": []}
    scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": again})
    eventually(lambda: running(process), 30)
    assert (process.progress, process.message) == (0.0, None)
    process.cancel()


# -- parents and children ---------------------------------------------------------------------------------------------


def test_children_of_a_parent_that_ends_badly_are_cancelled(scheduler: Scheduler, node: NodeProcess) -> None:
    failing = scheduler.add_job("fail", at=timedelta(seconds=0.4))
    expiring = scheduler.add_job("wait", {}, timeout=0.8)
    canceled = scheduler.add_job("noop", at=timedelta(hours=1))
    stays = scheduler.add_job("noop", at=timedelta(seconds=0.4))
    parents = (failing, expiring, canceled)
    children = [scheduler.add_job("noop", parent=parent.id, at=timedelta(hours=1)) for parent in parents]
    grandchildren = [scheduler.add_job("noop", parent=child.id, at=timedelta(hours=1)) for child in children]
    kept = scheduler.add_job("noop", parent=stays.id, at=timedelta(hours=1))
    canceled.cancel()
    scheduler.wait_for([*parents, *children, *grandchildren, stays], timeout=15)
    assert {process.status for process in (*children, *grandchildren)} == {Status.CANCELED}
    assert kept.refresh().status is Status.POSTPONED


def test_a_running_child_of_a_cancelled_parent_is_killed(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    parent = scheduler.add_job("noop", at=timedelta(hours=1))
    child = scheduler.add_job("wait", {"trace": str(tmp_path / "pid")}, parent=parent.id)
    eventually(lambda: running(child) and traces(tmp_path / "pid"))
    pid = traces(tmp_path / "pid")[0][2]
    parent.cancel()
    assert child.wait(20).status is Status.CANCELED
    eventually(lambda: not Path(f"/proc/{pid}").exists(), 20)


@pytest.mark.parametrize("ending", ["failed", "canceled", "timeout"])
def test_a_child_added_to_a_parent_that_has_ended_badly_is_cancelled(
    scheduler: Scheduler, database: Documents, ending: str
) -> None:
    parent = scheduler.add_job("noop")
    status = {"failed": Status.FAILED, "canceled": Status.CANCELED, "timeout": Status.TIMEOUT}[ending]
    database["taskscheduler.jobs"].update_one({"_id": parent.id}, {"$set": {"status": int(status)}})
    child = scheduler.add_job("noop", parent=parent.id)
    assert child.status is Status.CANCELED
    assert scheduler.get_job(child.id).status is Status.CANCELED
    [batched] = scheduler.add_jobs([("noop", None, {"parent": parent.id})])
    assert batched.refresh().status is Status.CANCELED


def test_a_child_of_a_parent_that_is_done_runs(scheduler: Scheduler, node: NodeProcess) -> None:
    parent = scheduler.add_job("noop")
    parent.wait(30)
    child = scheduler.add_job("fail", parent=parent.id)
    assert child.wait(30).status is Status.FAILED
    assert parent.refresh().status is Status.DONE


@pytest.mark.parametrize(
    ("child", "options", "text"),
    [("fail", {}, "child job failed"), ("wait", {"timeout": 0.2}, "child job timed out")],
)
def test_a_failed_child_fails_its_running_parent_once(
    scheduler: Scheduler, database: Documents, start_node: StartNode, child: str, options: Any, text: str
) -> None:
    start_node(**HERE)
    root = scheduler.add_job("noop", at=timedelta(hours=1))
    data = {"child": child, "data": {} if child == "wait" else None, "options": options}
    parent = scheduler.add_job("life.family", data, parent=root.id)
    sibling = scheduler.add_job("noop", parent=parent.id, at=timedelta(hours=1))
    scheduler.wait_for([parent, root, sibling], timeout=15)
    assert [process.status.label for process in (parent, root, sibling)] == ["failed", "failed", "canceled"]
    assert parent.error is not None
    assert parent.error["type"] == "ChildJobError"
    assert text in parent.error["message"]
    assert (root.error or {})["type"] == "ChildJobError"
    eventually(lambda: logged(database, parent) == [2, 4] and logged(database, sibling) == [5])
    # the worker is free again
    assert scheduler.add_job("echo").wait(30).status is Status.DONE


def test_only_the_final_failure_of_a_child_counts_and_a_cancelled_one_does_not(
    scheduler: Scheduler, node: NodeProcess
) -> None:
    parent = scheduler.add_job("noop", at=timedelta(hours=1))
    child = scheduler.add_job("flaky", 2, retry=1, retry_interval=0, parent=parent.id)
    assert child.wait(30).status is Status.DONE
    scheduler.add_job("noop", parent=parent.id, at=timedelta(hours=1)).cancel()
    assert parent.refresh().status is Status.POSTPONED
    assert scheduler.add_job("fail", parent=parent.id).wait(30).status is Status.FAILED
    assert parent.wait(30).status is Status.FAILED


def test_a_childs_sign_of_life_touches_its_parent(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, database: Documents
) -> None:
    start_node(**HERE, scheduler_options={"progress_rate_limit": 100})
    parent = scheduler.add_job("wait", {"until": str(tmp_path / "end")})
    eventually(lambda: running(parent))
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    data = {"times": 1, "message": "", "until": str(tmp_path / "end"), "pings": True}
    scheduler.add_job("life.speaks", data, parent=parent.id)
    database["taskscheduler.jobs"].update_one({"_id": parent.id}, {"$set": {"alive": long_ago}})
    eventually(lambda: parent.refresh().alive != long_ago, 20)
    (tmp_path / "end").touch()
    parent.wait(30)


# -- notification -----------------------------------------------------------------------------------------------------


def test_the_notification_is_called_once_for_every_final_status(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    told = {"trace": str(log)}
    done, retried = (
        scheduler.add_job("hooked", told),
        scheduler.add_job("hooked", {**told, "fail": True}, retry=2, retry_interval=0),
    )
    later, child = scheduler.add_job("hooked", told, at=timedelta(hours=1)), scheduler.add_job("noop")
    failing = scheduler.add_job("hooked", told, at=timedelta(hours=1))
    child = scheduler.add_job("fail", parent=failing.id)
    later.cancel()
    scheduler.wait_for([done, retried, later, child, failing], timeout=15)
    expected = {str(done.id): "done", str(retried.id): "failed", str(later.id): "canceled", str(failing.id): "failed"}
    eventually(lambda: len(traces(log)) >= 4, 30)
    scheduler.add_job("wait", {"seconds": 0.5}).wait(30)
    assert sorted(traces(log)) == sorted([job, status] for job, status in expected.items())


def test_a_notification_is_called_although_it_has_to_wait_for_a_worker(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """The manager tells once a second what it holds; the node knows nothing of the attempt any more."""
    log = tmp_path / "log"
    scheduler.add_jobs([("hooked", {"trace": str(log)}), ("wait", {"seconds": 2.5})])
    start_node(pm="static", min_children=1, max_children=1)
    eventually(lambda: len(traces(log)) == 1, 30, "the notification")


def test_the_notification_is_called_for_jobs_added_by_name_only(
    scheduler: Scheduler, uri: str, node: NodeProcess, tmp_path: Path
) -> None:
    """The application that adds a job need not be able to import its class."""
    log = tmp_path / "log"
    script = "import sys\nfrom taskscheduler import Scheduler\n"
    script += "with Scheduler(sys.argv[1]) as s: sys.stdout.write(str(s.add_job('hooked', {'trace': sys.argv[2]}).id))"
    added = subprocess.run([sys.executable, "-c", script, uri, str(log)], capture_output=True, text=True, check=True)
    assert scheduler.get_job(ObjectId(added.stdout)).wait(30).status is Status.DONE
    eventually(lambda: traces(log) == [[added.stdout, "done"]], 20)


def test_a_notification_is_called_by_a_node_that_knows_the_class(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """Also of jobs that no node has run, in whatever order the nodes find them, and of queues that nobody serves."""
    log = tmp_path / "log"
    stranger = start_node(jobs=["tests.support.streams"], queues=["strange"], name="stranger")
    for number in range(6):
        queue = ("default", "strange", "unserved")[number % 3]
        scheduler.add_job("hooked", {"trace": str(log)}, queue=queue, at=timedelta(hours=1)).cancel()
    eventually(lambda: "not registered here are left to others: hooked" in stranger.log.read_text(), 30)
    start_node(queues=["other"], name="knowing")
    eventually(lambda: len(traces(log)) >= 6, 20, "all notifications")
    ids = {job for job, _ in traces(log)}
    assert (len(traces(log)), len(ids)) == (6, 6)
    assert "notification failed" not in stranger.log.read_text()


@pytest.mark.parametrize("killed", ["node", *rarely("manager")])
def test_a_notification_that_a_dead_process_was_to_call_is_called(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, killed: str
) -> None:
    log = tmp_path / "log"
    node = start_node(pm="static", min_children=1, scheduler_options={"orphaned_timeout": 6})
    busy = scheduler.add_job("wait", {"seconds": 60, "until": str(tmp_path / "go")})
    eventually(lambda: busy.refresh().status is Status.PROCESSING, 30)
    process = scheduler.add_job("hooked", {"trace": str(log)}, at=timedelta(hours=1))
    process.cancel()
    eventually(lambda: process.refresh().to_dict().get("pending", ["hook"]) != ["hook"], 20, "taken")
    assert traces(log) == []
    (tmp_path / "go").touch()
    os.kill(node.process.pid if killed == "node" else node.manager, signal.SIGKILL)
    if killed == "node":
        start_node(scheduler_options={"orphaned_timeout": 6})
    eventually(lambda: traces(log) == [[str(process.id), "canceled"]], 40)
    eventually(lambda: "pending" not in process.refresh().to_dict(), 20)


# -- container, queues, force_spawn, flush ----------------------------------------------------------------------------

_WITH_CONTAINER = """
import json, logging, sys
logging.basicConfig(level=logging.INFO)
from taskscheduler import Job, Scheduler
from taskscheduler_daemon import QueueNode

class Mail(Job):
    name = "mail"
    def __init__(self, server):
        self.server = server
    def start(self):
        return [self.server, self.data, self.attempt]

class Container:
    def get(self, cls):
        if cls.name == "echo":
            raise LookupError("no echo here")
        return cls("smtp.example") if cls.name == "mail" else object()

sys.exit(QueueNode(Scheduler(sys.argv[1]), container=Container(), jobs=["tests.support.jobs"], name="c").process())
"""


def test_a_container_makes_the_jobs_and_its_failure_fails_only_the_job(
    scheduler: Scheduler, start_node: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.nodes._MAIN", _WITH_CONTAINER)
    start_node(unknown_timeout=0)
    assert scheduler.add_job("mail", "hello").result(30) == ["smtp.example", "hello", 1]
    refused, stranger = scheduler.add_job("echo").wait(30), scheduler.add_job("noop").wait(30)
    assert (refused.status, stranger.status) == (Status.FAILED, Status.FAILED)
    assert (refused.error or {})["message"] == "no echo here"
    assert (stranger.error or {})["type"] == "InvalidJobError"
    assert scheduler.add_job("mail", 2).result(30)[1] == 2


def test_a_node_serves_only_the_queues_it_is_told(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(queues=["mail", "print"])
    served = [scheduler.add_job("echo", queue=name) for name in ("mail", "print")]
    forced = scheduler.add_job("echo", queue="other", force_spawn=True)
    others = [scheduler.add_job("echo"), scheduler.add_job("echo", queue="other"), forced]
    postponed = scheduler.add_job("echo", queue="other", at=timedelta(seconds=0.2))
    scheduler.wait_for(served, timeout=10)
    eventually(lambda: postponed.refresh().status is Status.WAITING)
    scheduler.add_job("wait", {"seconds": 0.5}, queue="mail").wait(30)
    assert {process.refresh().status for process in (*others, postponed)} == {Status.WAITING}
    start_node()
    scheduler.wait_for([*others, postponed], timeout=10)
    assert {process.node for process in served} == {"node-0"}
    assert {process.node for process in (*others, postponed)} == {"node-1"}


def test_jobs_run_by_priority_then_in_the_order_in_which_they_were_due(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log = str(tmp_path / "log")
    added = {
        (priority, number): scheduler.add_job("trace", log, priority=priority)
        for number in range(5)
        for priority in (0, 10, -5)
    }
    start_node(pm="static", min_children=1)
    scheduler.wait_for(added.values(), timeout=15)
    expected = [str(added[priority, number].id) for priority in (10, 0, -5) for number in range(5)]
    assert [words[0] for words in traces(log)] == expected


def test_a_forced_job_runs_although_all_workers_are_busy(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    start_node(pm="static", min_children=1)
    data = {"until": str(tmp_path / "end")}
    busy = scheduler.add_job("wait", data)
    eventually(lambda: running(busy))
    waiting = scheduler.add_job("echo")
    forced = [scheduler.add_job("echo", number, force_spawn=True) for number in range(3)]
    later = scheduler.add_job("echo", force_spawn=True, at=timedelta(seconds=0.3))
    scheduler.wait_for([*forced, later], timeout=10)
    assert running(busy)
    assert waiting.refresh().status in (Status.WAITING, Status.PROCESSING)
    assert waiting.result_value is None
    (tmp_path / "end").touch()
    assert scheduler.wait_for([busy, waiting], timeout=10)[1].status is Status.DONE


@pytest.mark.parametrize("what", ["all", "class"])
def test_after_a_flush_the_node_stops_what_ran_and_goes_on(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path, what: str
) -> None:
    log = tmp_path / "log"
    ran = [scheduler.add_job("wait", {"trace": str(log)}) for _ in range(2)]
    eventually(lambda: len(traces(log)) == 2)
    queued = scheduler.add_jobs([("wait", {"trace": str(log)})] * 20)
    other = scheduler.add_job("echo", at=timedelta(hours=1))
    deleted = scheduler.flush() if what == "all" else scheduler.flush(job="wait")
    assert deleted == 22 + (what == "all")
    pids = [words[2] for words in traces(log)]
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20)
    assert scheduler.add_job("echo", 1).result(30)["data"] == 1
    left = jobs(scheduler, {})
    assert {process.job for process in left} == {"echo"}
    assert (other.id in {process.id for process in left}) == (what == "class")
    assert not {process.id for process in left} & {process.id for process in (*ran, *queued)}
    assert len(traces(log)) == 2


def test_a_cancelled_job_never_starts_and_a_running_one_is_killed(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    ran = scheduler.add_job("wait", {"trace": str(log)}, retry=3, retry_interval=0)
    eventually(lambda: traces(log))
    later = scheduler.add_job("trace", str(log), at=timedelta(hours=1))
    later.cancel()
    scheduler.store.jobs.collection.update_one({"_id": later.id}, [{"$set": {"at": "$$NOW"}}])  # its time has come
    began = SYSTEM_CLOCK.monotonic()
    ran.cancel()
    pid = traces(log)[0][2]
    eventually(lambda: not Path(f"/proc/{pid}").exists(), 30)
    assert SYSTEM_CLOCK.monotonic() - began < 1.5
    scheduler.add_job("wait", {"seconds": 0.8}).wait(30)
    assert len(traces(log)) == 1
    assert (ran.refresh().status, later.refresh().status) == (Status.CANCELED, Status.CANCELED)
    assert scheduler.cancel_job(ran.id) is True
    assert ran.refresh().attempt == 1


def test_cancelling_an_ended_job_changes_nothing(scheduler: Scheduler, node: NodeProcess) -> None:
    for name in ("echo", "fail"):
        process = scheduler.add_job(name, 1).wait(30)
        eventually(partial(settled, process))
        before = process.refresh().to_dict()
        assert scheduler.cancel_job(process.id) is True
        assert process.refresh().to_dict() == before


def test_job_modules_of_this_file_can_be_imported_by_a_node() -> None:
    """Guards the tests above: otherwise all their jobs would fail alike."""
    command = [sys.executable, "-c", "import tests.integration.test_job_life"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_a_parent_in_a_series_that_its_child_failed_still_has_a_next_run(
    scheduler: Scheduler, node: NodeProcess
) -> None:
    parent = scheduler.add_job("wait", {"seconds": 30}, interval=3600)
    eventually(lambda: parent.refresh().status is Status.PROCESSING)
    scheduler.add_job("fail", parent=parent.id).wait(30)
    assert parent.wait(30).status is Status.FAILED
    runs = eventually(lambda: len(series(scheduler, parent)) == 2 and series(scheduler, parent))
    assert [run.status for run in runs] == [Status.FAILED, Status.POSTPONED]
