"""Flows: what comes after what, results, failures, additions, retries and the end, run by a node in this thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.flowing import Grow, GrowAsync, Step, number, passes, total
from tests.support.jobs import Fail, Noop, traces

from taskscheduler import (
    AsyncScheduler,
    DatabaseUnavailableError,
    DuplicateJobError,
    Flow,
    FlowNotFoundError,
    InvalidFlowError,
    InvalidOptionError,
    InvalidStateError,
    Job,
    JobFailedError,
    Process,
    RunningFlow,
    Scheduler,
    Status,
    WaitTimeoutError,
    call,
    chain,
    group,
    previous,
)
from taskscheduler.model.control.reasons import Code
from taskscheduler.testing import InlineNode


@pytest.fixture
def node(scheduler: Scheduler) -> Iterator[InlineNode]:
    with InlineNode(scheduler) as node:
        yield node


def labelled(flow: RunningFlow) -> dict[str, Process]:
    return {process.to_dict()["label"]: process for process in flow.processes}


def statuses(flow: RunningFlow) -> dict[str, str]:
    return {label: process.status.label for label, process in labelled(flow).items()}


def diamond(path: Path) -> Flow:
    flow = Flow("diamond")
    top = flow.add(Step, str(path), label="top")
    sides = [flow.add(Step, str(path), label=label, after=[top]) for label in ("left", "right")]
    flow.add(Step, str(path), label="bottom", after=sides)
    return flow


def test_jobs_run_after_those_that_they_come_after(scheduler: Scheduler, node: InlineNode, tmp_path: Path) -> None:
    running = scheduler.flows.add(diamond(tmp_path / "trace"))
    assert (running.status, running.progress, running.total) == ("running", 0.0, 4)
    node.run_until_idle()
    running.wait(timeout=5)
    assert (running.status, running.progress, running.counts) == ("done", 100.0, {"done": 4})
    assert running.ended is not None
    begun = [label for label, what in traces(tmp_path / "trace") if what == "begin"]
    assert (begun[0], begun[-1], len(begun)) == ("top", "bottom", 4)


def test_nothing_runs_before_its_turn_however_often_a_node_looks(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("waits")
    first = flow.add(Noop, at=timedelta(hours=1))
    flow.add(Noop, after=[first])
    flow.add(Noop, after=[first], limits="x", priority=9)
    flow.add(Noop, after=[first], group="g")
    flow.add(Noop, after=[first], sequence="s")
    flow.add(Noop, after=[first], solo="k")
    running = scheduler.flows.add(flow)
    for _ in range(3):
        assert node.run_until_idle() == []
    scheduler.pause(job="noop")
    assert node.run_until_idle() == []
    scheduler.resume(job="noop")
    scheduler.limits.set("x", concurrency=1)
    scheduler.limits.delete("x")
    assert node.run_until_idle() == []
    assert set(statuses(running).values()) == {"postponed"}
    node.advance(3600)
    assert len(node.run_until_idle()) == 6
    assert running.wait(timeout=5).status == "done"


def test_a_due_time_of_its_own_holds_when_the_others_have_ended(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("later")
    flow.add(Noop, after=[flow.add(Noop)], at=timedelta(hours=1), label="late")
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    late = labelled(running)["late"]
    assert late.status is Status.POSTPONED
    assert late.why().code is Code.NOT_DUE
    node.advance(3600)
    node.run_until_idle()
    assert running.wait(timeout=5).status == "done"


def test_changes_of_a_job_do_not_let_it_out(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("changes")
    first = flow.add(Noop, at=timedelta(hours=1), label="first")
    flow.add(Noop, after=[first], tags=["a"], label="last")
    running = scheduler.flows.add(flow)
    last = labelled(running)["last"]
    scheduler.update_job(last.id, at=0, priority=7, tags=["b"])
    scheduler.update_job(last.id, at=timedelta(seconds=-5))
    assert last.refresh().why().code is Code.WAITING_FOR
    assert node.run_until_idle() == []
    node.advance(3600)
    assert [process.to_dict()["label"] for process in node.run_until_idle()] == ["first", "last"]


def test_results_flow_into_data(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("sum")
    parts = [flow.add(number, value) for value in (1, 2, 3)]
    flow.add(total, {"numbers": [part.result for part in parts]}, label="total")
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    assert labelled(running.wait(timeout=5))["total"].result_value == 6


def test_a_chain_and_a_group_pass_results_on(scheduler: Scheduler, node: InlineNode) -> None:
    flow = chain(call(number, 2), [call(number, previous), call(number, 3)], call(total, previous))
    running = scheduler.flows.add(flow)
    other = scheduler.flows.add(group([call(number, n) for n in range(4)], then=call(total, previous)))
    node.run_until_idle()
    assert running.wait(timeout=5).processes[-1].result_value == 5
    assert other.wait(timeout=5).processes[-1].result_value == 6


def test_results_outlive_their_jobs(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("sum")
    early = flow.add(number, 1)
    late = flow.add(number, 2, at=timedelta(hours=1))
    flow.add(total, [[early.result, late.result]], label="total")
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    scheduler.delete_job(early.id)
    node.advance(3600)
    node.run_until_idle()
    assert labelled(running.wait(timeout=5))["total"].result_value == 3
    assert scheduler.store.database["taskscheduler.flow_results"].count_documents({}) == 0


def test_results_that_are_too_large_fail_the_job_that_takes_them(uri: str) -> None:
    with Scheduler(uri, max_payload=2000) as scheduler, InlineNode(scheduler) as node:
        flow = Flow("large")
        parts = [flow.add("echo", "x" * 1000) for _ in range(3)]
        flow.add("echo", [part.result for part in parts], label="all")
        flow.add(Noop, after=["all"], label="behind")
        running = scheduler.flows.add(flow)
        node.run_until_idle()
        failed = labelled(running.wait(timeout=5))["all"]
        assert (failed.error or {})["type"] == "PayloadTooLargeError"
        assert statuses(running)["behind"] == "canceled"


def failing() -> Flow:
    flow = Flow("failing")
    good, bad = flow.add(number, 1, label="good"), flow.add(Fail, label="bad")
    parts = {"numbers": [good.result, bad.result]}
    flow.add(total, parts, label="cancel")
    flow.add("echo", parts, label="run", on_failure="run")
    flow.add(total, parts, label="skip", on_failure="skip")
    flow.add(Noop, after=["cancel"], label="behind")
    flow.add(Noop, after=["skip"], label="after-skip")
    return flow


def test_a_failure_means_what_each_that_comes_after_says(scheduler: Scheduler, node: InlineNode) -> None:
    running = scheduler.flows.add(failing())
    node.run_until_idle()
    found = labelled(running.wait(timeout=5))
    assert running.status == "failed"
    assert found["cancel"].status is found["behind"].status is Status.CANCELED
    assert found["cancel"].reason == f"it comes after bad ({found['bad'].id}), which has failed"
    assert found["behind"].reason == f"it comes after cancel ({found['cancel'].id}), which was cancelled"
    assert found["run"].result_value["data"] == {"numbers": [1, None]}
    assert found["skip"].result_value == 1
    assert found["after-skip"].status is Status.DONE


@pytest.mark.parametrize("width", [1, 5])
def test_a_failure_cancels_all_that_comes_after(scheduler: Scheduler, node: InlineNode, width: int) -> None:
    flow = Flow("deep")
    before = [flow.add(Fail)]
    for _ in range(20):
        before = [flow.add(Noop, after=before) for _ in range(width)]
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    assert running.wait(timeout=5).counts == {"failed": 1, "canceled": 20 * width}
    assert scheduler.store.jobs.collection.count_documents({"pending": {"$exists": True}}) == 0


def test_a_flow_that_is_stored_is_never_told_to_be_refused(scheduler: Scheduler) -> None:
    """Also if its index is missing, which an election may take away and a node makes again."""
    scheduler.flows.add(chain("noop"))
    for name in ("flow", "open"):
        scheduler.store.jobs.collection.drop_index(name)
    added = scheduler.flows.add(chain("noop", "noop"))
    assert (added.total, added.counts) == (2, {"waiting": 1, "postponed": 1})
    with pytest.raises(DatabaseUnavailableError, match="an index is missing in MongoDB; a node makes it again"):
        scheduler.flows.get(added.id)


def test_what_failed_can_be_tried_again(scheduler: Scheduler, node: InlineNode, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flow = Flow("again")
    first = flow.add(passes, str(flag), label="first")
    flow.add("echo", first.result, label="second")
    flow.add("echo", [first.result], label="third", on_failure="run")
    flow.add(Noop, after=["second"], label="last")
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    assert statuses(running.wait(timeout=5)) == {
        "first": "failed",
        "second": "canceled",
        "third": "done",
        "last": "canceled",
    }
    with pytest.raises(JobFailedError, match="not yet"):
        running.wait(throw=True)
    assert running.retry_failed() == 3
    assert running.status == "running"
    assert statuses(running) == {"first": "waiting", "second": "postponed", "third": "done", "last": "postponed"}
    node.run_until_idle()
    assert running.wait(timeout=5).status == "failed"
    flag.touch()
    assert running.retry_failed() == 3
    node.run_until_idle()
    assert running.wait(timeout=5, throw=True).status == "done"
    assert labelled(running)["second"].result_value["data"] == "passed"
    assert running.retry_failed() == 0


@pytest.mark.parametrize("has_run", [False, True])
def test_what_fell_behind_a_job_comes_back_after_that_was_put_back_alone(
    scheduler: Scheduler, node: InlineNode, tmp_path: Path, has_run: bool
) -> None:
    """As if who retries the flow had died between the two."""
    flag = tmp_path / "flag"
    running = scheduler.flows.add(chain(call(passes, str(flag)), Noop, Noop))
    node.run_until_idle()
    first = running.wait(timeout=5).processes[0]
    flag.touch()
    scheduler.retry_job(first.id)
    if has_run:
        node.run_until_idle()
        assert running.wait(timeout=5).counts == {"done": 1, "canceled": 2}
    assert running.retry_failed() == 2
    node.run_until_idle()
    assert running.wait(timeout=5).counts == {"done": 3}
    assert not scheduler.store.jobs.collection.count_documents({"fallen": {"$exists": True}})


def test_what_fell_behind_a_cancelled_job_stays_cancelled(scheduler: Scheduler, node: InlineNode) -> None:
    running = scheduler.flows.add(chain(Noop, Noop, Noop))
    scheduler.cancel_job(running.processes[1].id)
    node.run_until_idle()
    assert running.wait(timeout=5).counts == {"done": 1, "canceled": 2}
    assert running.retry_failed() == 0


def test_a_failed_job_behind_another_one_waits_for_it_again(
    scheduler: Scheduler, node: InlineNode, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    flow = Flow("again")
    first = flow.add(passes, str(flag), label="first")
    flow.add(total, [[first.result]], label="last", on_failure="run")
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    assert statuses(running.wait(timeout=5)) == {"first": "failed", "last": "failed"}
    assert running.retry_failed() == 2
    assert statuses(running) == {"first": "waiting", "last": "postponed"}


def test_one_job_may_be_tried_again_for_itself(scheduler: Scheduler, node: InlineNode, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    running = scheduler.flows.add(chain(call(passes, str(flag)), Noop))
    node.run_until_idle()
    first, last = running.wait(timeout=5).processes
    flag.touch()
    with pytest.raises(InvalidStateError, match=r"comes after passes \(.*\), which is failed; retry that first"):
        scheduler.retry_job(last.id)
    scheduler.retry_job(first.id)
    assert running.refresh().status == "running"
    assert scheduler.retry_job(last.id).status is Status.POSTPONED
    node.run_until_idle()
    assert running.wait(timeout=5).status == "done"


def test_a_cancelled_flow_never_goes_on(scheduler: Scheduler, node: InlineNode) -> None:
    running = scheduler.flows.add(failing())
    assert running.cancel("no longer wanted")
    assert (running.status, running.reason) == ("canceled", "no longer wanted")
    assert {process.reason for process in running.processes} == {"no longer wanted"}
    assert node.run_until_idle() == []
    assert not running.cancel()


def test_cancelling_one_job_counts_as_its_failure(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("cancel")
    first = flow.add(Noop, label="first")
    flow.add(Noop, after=[first], label="strict")
    flow.add(Noop, after=[first], label="soft", on_failure="run")
    running = scheduler.flows.add(flow)
    scheduler.cancel_job(first.id)
    node.run_until_idle()
    running.wait(timeout=5)
    assert (running.status, statuses(running)) == (
        "canceled",
        {"first": "canceled", "strict": "canceled", "soft": "done"},
    )


@pytest.mark.parametrize("way", ["delete", "select", "flush"])
def test_deleting_one_that_has_not_ended_counts_as_its_cancellation(
    scheduler: Scheduler, node: InlineNode, way: str
) -> None:
    flow = Flow("delete")
    first = flow.add("echo", label="first")
    flow.add(Noop, after=[first, flow.add(Noop)], label="strict")
    running = scheduler.flows.add(flow)
    if way == "delete":
        scheduler.delete_job(first.id)
    elif way == "select":
        scheduler.select({"_id": first.id}).delete()
    else:
        scheduler.flush(job="echo")
    node.run_until_idle()
    assert statuses(running.wait(timeout=5))["strict"] == "canceled"


def test_a_leaf_that_is_cancelled_first_does_not_end_the_flow(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("leaf")
    flow.add(Noop, after=[flow.add(Noop, at=timedelta(hours=1))], label="leaf")
    running = scheduler.flows.add(flow)
    scheduler.cancel_job(labelled(running)["leaf"].id)
    assert running.refresh().status == "running"
    node.advance(3600)
    node.run_until_idle()
    assert running.wait(timeout=5).status == "canceled"


# -- all or nothing ---------------------------------------------------------------------------------------------------


def nothing_is_stored(scheduler: Scheduler) -> bool:
    return not any(scheduler.store.jobs.find({})) and not scheduler.flows.list()


def test_a_flow_with_a_circle_is_refused(scheduler: Scheduler) -> None:
    flow = Flow("circle")
    one = flow.add(Noop, label="one")
    one.after(flow.add(Noop, label="two", after=[one]))
    with pytest.raises(InvalidFlowError, match="in a circle"):
        scheduler.flows.add(flow)
    assert nothing_is_stored(scheduler)


def test_an_id_that_is_taken_refuses_all(scheduler: Scheduler) -> None:
    known = scheduler.add_job(Noop)
    flow = Flow("taken")
    for _ in range(1500):
        flow.add(Noop)
    flow.add(Noop, id=known.id)
    with pytest.raises(DuplicateJobError, match=str(known.id)):
        scheduler.flows.add(flow)
    assert scheduler.store.jobs.collection.count_documents({}) == 1
    assert scheduler.flows.list() == []


def test_adding_a_flow_once_more_returns_what_is_stored(scheduler: Scheduler, node: InlineNode) -> None:
    flow = chain(Noop, Noop)
    running = scheduler.flows.add(flow)
    assert scheduler.flows.add(flow) == running
    assert len(node.run_until_idle()) == 2


@pytest.mark.parametrize("wrong", [3, None, "flow", Noop])
def test_only_a_flow_is_added(scheduler: Scheduler, wrong: Any) -> None:
    with pytest.raises(InvalidFlowError):
        scheduler.flows.add(wrong)


def test_one_who_uses_no_flow_has_no_index_of_it(scheduler: Scheduler) -> None:
    scheduler.add_job(Noop)
    assert not {"flow", "open"} & scheduler.store.jobs.collection.index_information().keys()
    scheduler.flows.add(chain(Noop))
    assert {"flow", "open"} <= scheduler.store.jobs.collection.index_information().keys()


# -- finding, waiting -------------------------------------------------------------------------------------------------


def test_flows_are_found(scheduler: Scheduler, node: InlineNode) -> None:
    one, two = scheduler.flows.add(chain(Noop, name="one")), scheduler.flows.add(chain(Fail, name="two"))
    assert scheduler.flows.get(str(one.id)) == one
    assert scheduler.flows.list() == [two, one]
    node.run_until_idle()
    assert scheduler.flows.list("failed") == [two]
    assert [flow.name for flow in scheduler.flows.list("done", limit=1)] == ["one"]
    with pytest.raises(FlowNotFoundError):
        scheduler.flows.get(ObjectId())
    with pytest.raises(InvalidOptionError, match=r"did you mean done\?"):
        scheduler.flows.list("don")


def test_waiting_ends_in_time(scheduler: Scheduler) -> None:
    running = scheduler.flows.add(chain(Noop, name="slow"))
    with pytest.raises(WaitTimeoutError, match="flow 'slow' has not ended within"):
        running.wait(timeout=0.2)


def test_why_names_what_comes_before(scheduler: Scheduler) -> None:
    flow = Flow("why")
    flow.add(Noop, after=[flow.add(Noop), flow.add(Noop)], label="last")
    last = labelled(scheduler.flows.add(flow))["last"]
    reason = last.why()
    assert (reason.code, reason.facts["left"]) == (Code.WAITING_FOR, 2)
    assert "and 1 other job of its flow" in reason.text
    assert scheduler.why()[Code.WAITING_FOR] == 1


def test_the_tree_has_layers(scheduler: Scheduler, tmp_path: Path) -> None:
    running = scheduler.flows.add(diamond(tmp_path / "trace"))
    nodes = {node.label: node for node in scheduler.flows.tree(running.id).nodes}
    assert {label: node.layer for label, node in nodes.items()} == {"top": 0, "left": 1, "right": 1, "bottom": 2}
    assert set(nodes["bottom"].before) == {nodes["left"], nodes["right"]}


def test_the_asyncio_twin_does_the_same(uri: str) -> None:
    async def main() -> None:
        async with AsyncScheduler(uri) as scheduler:
            running = await scheduler.flows.add(chain(Noop, Noop, name="twin"))
            waiting = asyncio.create_task(running.wait(timeout=20))
            with Scheduler(uri) as blocking, InlineNode(blocking) as node:
                await asyncio.to_thread(node.run_until_idle)
            assert (await waiting).status == "done"
            assert [process.status for process in await running.processes()] == [Status.DONE, Status.DONE]
            assert await scheduler.flows.list("done") == [running]
            assert not await running.cancel()
            assert await running.retry_failed() == 0
            with pytest.raises(WaitTimeoutError):
                await (await scheduler.flows.add(chain(Noop))).wait(timeout=0.1)

    asyncio.run(main())


# -- additions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Grow, GrowAsync])
def test_a_job_adds_others_to_its_flow(scheduler: Scheduler, node: InlineNode, kind: type[Job]) -> None:
    running = scheduler.flows.add(chain((kind, 3), name="grows"))
    node.run_until_idle()
    assert (running.wait(timeout=5).status, running.total) == ("done", 5)
    nodes = {one.label: one for one in scheduler.flows.tree(running.id).nodes}
    assert {label: one.layer for label, one in nodes.items()} == {
        kind.__name__: 0,
        "n0": 1,
        "n1": 1,
        "n2": 1,
        "last": 2,
    }


class GrowTwice(Job):
    """Adds a job, fails, and adds it once more."""

    name = "flow-grow-twice"

    def start(self) -> Any:
        added = self.flow.add(Noop, label="added")
        if self.attempt == 1:
            raise ValueError("half way")
        return str(added.id)


def test_an_attempt_that_is_repeated_adds_no_job_twice(scheduler: Scheduler, node: InlineNode) -> None:
    running = scheduler.flows.add(chain((GrowTwice, None, {"retry": 1, "retry_interval": 0}), name="grows"))
    node.run_until_idle()
    found = labelled(running.wait(timeout=5))
    assert (running.status, running.total, set(found)) == ("done", 2, {"GrowTwice", "added"})
    assert found["GrowTwice"].result_value == str(found["added"].id)


class GrowWrong(Job):
    name = "flow-grow-wrong"

    def start(self) -> Any:
        with pytest.raises(InvalidFlowError, match=r"which is no job of flow 'grows'; did you mean GrowWrong\?"):
            self.flow.add(Noop, after=["GrowWrng"])
        with pytest.raises(InvalidFlowError, match="a job with the label 'GrowWrong' already"):
            self.flow.add(Noop, label="GrowWrong")
        self.scheduler.flows.cancel(self.flow.id)
        with pytest.raises(InvalidStateError):
            self.flow.add(Noop)
        return None


def test_what_cannot_be_added_is_refused(scheduler: Scheduler, node: InlineNode) -> None:
    running = scheduler.flows.add(chain(GrowWrong, name="grows"))
    (ran,) = node.run_until_idle()
    assert ran.error is None
    assert (running.refresh().status, running.total) == ("canceled", 1)


class GrowBehind(Job):
    """Adds jobs behind one that is done, and one that has failed."""

    name = "flow-grow-behind"

    def start(self) -> Any:
        self.flow.add(Noop, after=["good"], label="after-good")
        self.flow.add(Noop, after=["bad"], label="after-bad")
        self.flow.add(Noop, after=["bad", "good"], label="after-both", on_failure="skip")


def test_jobs_may_come_after_such_that_have_ended(scheduler: Scheduler, node: InlineNode) -> None:
    flow = Flow("behind")
    before = [flow.add(Noop, label="good"), flow.add(Fail, label="bad")]
    flow.add(GrowBehind, after=before, on_failure="run", label="grow")
    running = scheduler.flows.add(flow)
    node.run_until_idle()
    assert statuses(running.wait(timeout=5)) == {
        "good": "done",
        "bad": "failed",
        "grow": "done",
        "after-good": "done",
        "after-bad": "canceled",
        "after-both": "done",
    }


def test_a_job_of_no_flow_has_none(scheduler: Scheduler, node: InlineNode) -> None:
    scheduler.add_job(Grow, 1)
    (ran,) = node.run_due()
    assert "belongs to no flow" in (ran.error or {})["message"]
