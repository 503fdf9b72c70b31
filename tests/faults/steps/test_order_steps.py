"""Steps, sleeps and signals: a process ends at one of its writes, or a write fails: what was known is not done again.

The process is the node, the worker that runs the job, or the program that gives the signal. See `test_crash_steps.py`
and `test_ambiguous.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskscheduler import Job, Scheduler, Status
from taskscheduler.model.lifecycle import Ending
from taskscheduler.operations.finish import AttemptEnd, completion_of
from taskscheduler.store.fence import Fence
from taskscheduler.testing import InlineNode
from tests.faults.steps import stage as stage_module
from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.order_scenarios import ORDERS, SIGNAL, done_as_told, tell
from tests.faults.steps.playing import (
    NODE_OF_WORKERS,
    breaks,
    crash_of_a_change,
    crash_of_a_node,
    crash_of_a_worker,
    crash_of_an_operation,
    every_crash_of_a_change,
    every_crash_of_a_node,
    every_failing_change,
    every_failing_write_of_a_node,
    failing_change,
    failing_write_of_a_node,
    failing_write_of_a_worker,
    prepared,
)
from tests.faults.steps.removals import only_note
from tests.faults.steps.stage import LEASE, Stage, every_step, standing
from tests.support.eventually import eventually
from tests.support.jobs import trace, traces

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


#: what a node has to do with it; the others are for it like any job
OF_THE_NODE = ["sleep", "signal while it waits", "signal while it ends", "timeout and signal at once"]


@pytest.mark.parametrize("name", OF_THE_NODE)
def test_a_node_may_crash_after_every_call(stages: list[Stage], name: str) -> None:
    every_crash_of_a_node(stages, ORDERS[name])


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", OF_THE_NODE)
def test_every_write_of_a_node_may_fail(stages: list[Stage], name: str, when: str) -> None:
    every_failing_write_of_a_node(stages, ORDERS[name], when)


# -- the worker -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORDERS)
def test_a_worker_may_crash_after_every_call(stages: list[Stage], name: str) -> None:
    with standing(stages, NODE_OF_WORKERS):
        assert every_step(stages, lambda stage, n: crash_of_a_worker(stage, ORDERS[name], n)) > 2


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", ORDERS)
def test_every_write_of_a_worker_may_fail(stages: list[Stage], name: str, when: str) -> None:
    with standing(stages, NODE_OF_WORKERS):
        assert every_step(stages, lambda stage, n: failing_write_of_a_worker(stage, ORDERS[name], n, when)) > 1


# -- the program that gives the signal --------------------------------------------------------------------------------


def test_the_program_that_gives_a_signal_may_crash_after_every_call(stages: list[Stage]) -> None:
    every_crash_of_a_change(stages, SIGNAL)


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_a_signal_is_given_until_it_is_known(stages: list[Stage], when: str) -> None:
    every_failing_change(stages, SIGNAL, when)


def crash_beside_a_node(stage: Stage, n: int) -> bool:
    """Whether the program has come to its end. A node runs all the while."""
    facts = prepared(stage, SIGNAL)
    with stage.acting("node", {"orphaned_timeout": LEASE}) as node:
        eventually(lambda: "node ready" in stage.said("node"), 30, "node ready")
        over = crash_of_an_operation(stage, "signal", facts, n, lambda _: None)
        if stage.jobs.find_one({"signals": {"$exists": True}}) is None:
            tell(stage)
        stage.memory["told"] = stage.memory.get("told", "5")
        eventually(lambda: done_as_told(stage) and stage.settled(), stage_module.HEALS_WITHIN, "heard")
        assert node.stop() == 0
    stage.verify()
    return over


def test_a_node_that_runs_hears_of_a_signal_although_its_sender_has_died(stages: list[Stage]) -> None:
    assert every_step(stages, crash_beside_a_node) > 2


# -- somebody else has the job ----------------------------------------------------------------------------------------


class TakenOver(Job):
    """While its first step runs, its node is taken for lost, and another node begins the job and has to try again."""

    def start(self) -> None:
        self.step("one", self.work, "one")
        self.step("two", self.work, "two")

    def work(self, name: str) -> None:
        trace(self.data, name, self.attempt)
        if self.attempt == 2:
            raise OSError
        if name == "one" and self.attempt == 1:
            store = self.scheduler.store
            job = store.jobs.get(self.id)
            assert job is not None
            end = AttemptEnd(Ending.LOST, {"error": {"type": "NodeLostError", "message": "seemed lost"}})
            store.completions.write([completion_of(Fence(self.id, job["claim"], 1), job, end, 3)])
            with InlineNode(self.scheduler, name="other") as node:
                node.run_due()


def run_taken_over(scheduler: Scheduler, path: Path) -> list[list[str]]:
    """What ran, step by step with its attempt."""
    process = scheduler.add_job(TakenOver, str(path), retry=1, retry_interval=60)
    with InlineNode(scheduler) as node:
        node.run_due()
        assert process.refresh().status is Status.POSTPONED
        node.advance(60)
        node.run_until_idle()
    assert process.refresh().status is Status.DONE
    return traces(path)


def test_an_attempt_that_has_lost_its_job_stores_nothing_and_goes_no_further(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    assert run_taken_over(scheduler, tmp_path / "trace") == [["one", "1"], ["one", "2"], ["one", "3"], ["two", "3"]]


# -- these tests can fail ---------------------------------------------------------------------------------------------


class NoFence(Fence):
    """Matches the job whoever runs it."""

    def filter(self) -> dict[str, Any]:
        return {"_id": self.job_id}


def test_without_the_fence_a_lost_attempt_goes_on(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler.store.resumable.steps.Fence", NoFence)
    assert ["two", "1"] in run_taken_over(scheduler, tmp_path / "trace")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "without"),
    [("signal while it ends", "a look for the signal"), ("signal while it waits", "waking what waits")],
)
def test_without_the_mechanism_a_job_waits_for_a_signal_that_is_there(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch, name: str, without: str
) -> None:
    if without == "waking what waits":  # it is this process that gives the signal
        monkeypatch.setattr("taskscheduler.store.resumable.steps.signal_update", only_note)
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, ORDERS[name], n), [without])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("play", [crash_beside_a_node, lambda stage, n: crash_of_a_change(stage, SIGNAL, n)])
def test_without_waking_what_waits_the_signal_of_a_program_is_not_heard(
    stages: list[Stage], play: Callable[[Stage, int], bool]
) -> None:
    assert breaks(stages, play, ["waking what waits"])


def test_without_repeating_its_write_a_program_does_not_know(stages: list[Stage]) -> None:
    without = ["repeating until it is known"]
    assert breaks(stages, lambda stage, n: failing_change(stage, SIGNAL, n, AFTER), without)


def test_without_storing_a_step_first_it_runs_again(stages: list[Stage]) -> None:
    without = ["storing a step before the next"]
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, ORDERS["sleep"], n), without)


def test_without_storing_a_step_first_it_runs_again_when_its_worker_has_died(stages: list[Stage]) -> None:
    without = ["storing a step before its result is known"]
    with standing(stages, NODE_OF_WORKERS, without):
        assert breaks(stages, lambda stage, n: crash_of_a_worker(stage, ORDERS["steps"], n), without)


@pytest.mark.usefixtures("impatient")
def test_without_writing_its_end_until_it_is_known_a_job_that_sleeps_stays_behind(stages: list[Stage]) -> None:
    without = ["writing until it is known"]
    assert breaks(stages, lambda stage, n: failing_write_of_a_node(stage, ORDERS["sleep"], n, BEFORE), without)


def test_without_repeating_its_write_a_step_fails_its_job(stages: list[Stage]) -> None:
    without = ["repeating until it is known"]
    with standing(stages, NODE_OF_WORKERS, without):
        assert breaks(stages, lambda stage, n: failing_write_of_a_worker(stage, ORDERS["steps"], n, BEFORE), without)
