"""Jobs of flows that have just succeeded end as quickly as others, and what comes after them begins all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.claiming import Bench
from tests.support.jobs import Noop

from taskscheduler import Flow, RunningFlow, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.jobs.commits import CommitState
from taskscheduler.jobs.flow import JobFlow
from taskscheduler.model.lifecycle import Ending
from taskscheduler.operations.flows.extend import Running
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Kind, Report
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from taskscheduler_daemon.node.completion.completer import Completer, Logs
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.meter import Meter
from taskscheduler_daemon.system.threads import SessionThreads

WIDE = 12  #: jobs, enough to be decoded as one


class Node:
    """A claimer and a completer on a real database; the jobs run nowhere."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.bench, store = Bench(scheduler, slots=64), scheduler.store
        hooks, in_flight = HookCalls(store, cast(ManagerProxy, None), ObjectId()), self.bench.in_flight
        self.meter = Meter(store.clock)
        self.completer = Completer(
            store=store,
            options=NodeOptions(name="node"),
            aftermath=Aftermath(store, "node", hooks, self.bench.successors, in_flight, self.meter),
            locks=ExclusiveLocks(store, Lease(30.0, SYSTEM_CLOCK)),
            logs=Logs(JobLog(SYSTEM_CLOCK), LogBook(store, in_flight, SYSTEM_CLOCK, SessionThreads(lambda: None))),
            clock=SYSTEM_CLOCK,
            threads=SessionThreads(lambda: None),
        )
        self.completer.start()

    def begin(self, flow: Flow, scheduler: Scheduler) -> RunningFlow:
        """Adds a flow and claims its first jobs."""
        running = scheduler.flows.add(flow)
        self.bench.look()
        assert self.bench.dispatched
        return running

    def end(self, attempts: Sequence[Attempt]) -> list[ObjectId]:
        """Ends these attempts; returns the jobs that the node claims then."""
        ended = []
        for attempt in attempts:
            assert attempt.is_plain
            self.bench.in_flight.pop(attempt.key, 1)
            began, worker = SYSTEM_CLOCK.monotonic() - 0.01, ObjectId().binary
            report = Report(Kind.REPORT, Ending.SUCCEEDED, attempt.key, 1, worker, 0.001, b"", began, 0.001, 2**25)
            ended.append((attempt, report))
        self.completer.end_quickly(ended)
        assert self.completer.barrier().wait(20)
        return self.bench.take_what_is_offered()

    def close(self) -> None:
        """Stops both."""
        assert self.completer.stop()
        self.bench.claimer.stop()


@pytest.fixture
def node(scheduler: Scheduler) -> Iterator[Node]:
    node = Node(scheduler)
    yield node
    node.close()


def layers(count: int, joined: bool) -> Flow:
    """Layers of jobs; each comes after all of the layer before, or after one of them."""
    flow = Flow("layers")
    before = [flow.add(Noop) for _ in range(WIDE)]
    for _ in range(count - 1):
        before = [flow.add(Noop, after=before if joined else [one]) for one in before]
    return flow


@pytest.mark.parametrize("joined", [True, False])
def test_each_layer_begins_as_the_one_before_has_ended(scheduler: Scheduler, node: Node, joined: bool) -> None:
    flow, taken = node.begin(layers(3, joined), scheduler), list[ObjectId]()
    for layer in range(3):
        attempts = node.bench.dispatched[layer * WIDE :]
        assert len(attempts) == WIDE
        taken += node.end(attempts[:5])
        assert len(taken) % WIDE == (0 if joined else 5) or layer == 2, "those behind the others wait"
        taken += node.end(attempts[5:])
    assert sorted(taken) == sorted(process.id for process in flow.processes[WIDE:])
    assert flow.refresh().status == "done"
    assert {process.refresh().status for process in flow.processes} == {Status.DONE}
    assert all("open" not in process.to_dict() for process in flow.processes)
    portion = node.meter.take()
    assert portion is not None


def one_and_then_another() -> Flow:
    """Jobs side by side, and one that comes after the first of them."""
    flow = Flow("fork")
    first = [flow.add(Noop, label=f"first-{number}") for number in range(WIDE)]
    flow.add(Noop, label="next", after=[first[0]])
    return flow


def grows(scheduler: Scheduler, attempt: Attempt) -> ObjectId:
    """Adds a job that comes after this one in another way, through a join that the node has not read."""
    running = Running(attempt.fence.job_id, 1, attempt.job["flow"])
    flow = JobFlow(running, attempt.job["label"], scheduler, CommitState(is_async=False))
    return flow.add(Noop, after=[attempt.job["label"]], on_failure="run", label="added").id


def test_a_join_that_is_added_while_its_job_runs_is_seen_by_the_quick_end(scheduler: Scheduler, node: Node) -> None:
    flow = node.begin(one_and_then_another(), scheduler)
    attempts = list(node.bench.dispatched)
    assert attempts[0].fence.job_id == flow.processes[0].id
    added = grows(scheduler, attempts[0])
    assert set(node.end(attempts)) == {added, flow.processes[WIDE].id}
    assert {attempt.fence.job_id for attempt in attempts} == {
        process.id for process in flow.refresh().processes if process.status is Status.DONE
    }


def test_one_that_was_cancelled_meanwhile_stays_so(scheduler: Scheduler, node: Node) -> None:
    flow = node.begin(one_and_then_another(), scheduler)
    attempts = list(node.bench.dispatched)
    flow.processes[0].cancel()
    assert node.end(attempts) == []
    statuses = [process.refresh().status.label for process in flow.processes]
    assert statuses == ["canceled", *["done"] * (WIDE - 1), "canceled"]
    assert node.completer.fenced == 1


def written_but_unanswered(write: Callable[..., Any]) -> Callable[..., Any]:
    """The same write, whose first answer is lost."""
    answers = iter([True])

    def writes(*args: Any, **options: Any) -> Any:
        found = write(*args, **options)
        if next(answers, False):
            raise AutoReconnect("the answer is lost")
        return found

    return writes


def test_ends_whose_answer_is_lost_let_the_next_jobs_begin(
    scheduler: Scheduler, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    completions = scheduler.store.completions
    monkeypatch.setattr(completions, "_write", written_but_unanswered(completions._write))
    flow = node.begin(layers(2, joined=True), scheduler)
    taken = node.end(list(node.bench.dispatched))
    assert sorted(taken) == sorted(process.id for process in flow.processes[WIDE:])


def test_one_whose_result_others_take_gives_none(scheduler: Scheduler, node: Node) -> None:
    flow = Flow("feeds")
    before = [flow.add(Noop, label=f"first-{number}") for number in range(WIDE)]
    flow.add("takes", {"all": [one.result for one in before]}, label="last")
    running = node.begin(flow, scheduler)
    assert node.end(list(node.bench.dispatched)) == []
    last = running.processes[-1].refresh()
    assert (last.status, last.data) == (Status.WAITING, {"all": [None] * WIDE})
