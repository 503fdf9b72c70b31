"""Plays a scenario with one fault in it: the end of a process at its n-th moment, or a write that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.steps import stage as stage_module
from tests.faults.steps.acting import CRASHED, FAILED
from tests.faults.steps.scenarios import Change, Scenario
from tests.faults.steps.stage import LEASE, NODES, PAUSE, Stage, every_step, healed
from tests.support.eventually import eventually

# -- a node -----------------------------------------------------------------------------------------------------------


def _is_over(stage: Stage, scenario: Scenario) -> bool:
    return scenario.reached(stage) and stage.settled()


def _finish(stage: Stage, scenario: Scenario, node_was_well: bool) -> None:
    """A node that went on to the end has left nothing to another one."""
    if not node_was_well or not _is_over(stage, scenario):
        healed(stage, scenario.reached, scenario.facts)
    stage.verify()
    scenario.check(stage)


def crash_of_a_node(stage: Stage, scenario: Scenario, n: int, since: str = NODES) -> bool:
    """Whether the node has done all of it without reaching the switch."""
    stage.clear()
    scenario.prepare(stage)
    facts = {"orphaned_timeout": LEASE, "max_lost": 10, **scenario.facts}
    with stage.acting("node", facts, crash_at=n, crash_since=since) as node:
        scenario.during(stage, node)
        eventually(lambda: node.ended or scenario.reached(stage), 30, "done or crashed", PAUSE)
        code = node.stop()
    assert code in (0, CRASHED), stage.said("node")[-2000:]
    scenario.heal(stage)
    _finish(stage, scenario, node_was_well=code == 0)
    return code == 0


def failing_write_of_a_node(stage: Stage, scenario: Scenario, n: int, when: str, only: str = "") -> bool:
    """Whether the node has done all of it before its n-th write, or its n-th one of this name."""
    stage.clear()
    scenario.prepare(stage)
    facts = {"orphaned_timeout": LEASE, "max_lost": 10, **scenario.facts}
    with stage.acting("node", facts, fail_at=n, fail_when=when, fail_only=only) as node:
        scenario.during(stage, node)
        scenario.heal(stage)
        eventually(lambda: node.ended or _is_over(stage, scenario), 30, "done", PAUSE)
        code = node.stop()
    said = stage.said("node")
    if code == FAILED:  # it said that it cannot register, and did nothing
        assert "node ready" not in said
        assert "DatabaseUnavailableError" in said
    else:
        assert code == 0, said[-2000:]
    _finish(stage, scenario, node_was_well=code == 0)
    assert scenario.loses or not stage.jobs.find_one({"lost": {"$gt": 0}}), "no process has died"
    return not stage.came_to_fault("node")


def every_crash_of_a_node(stages: list[Stage], scenario: Scenario) -> None:
    """Ends the node before and after each of its writes."""
    assert every_step(stages, lambda stage, n: crash_of_a_node(stage, scenario, n)) > 5


def every_failing_write_of_a_node(stages: list[Stage], scenario: Scenario, when: str) -> None:
    """Lets each write of the node fail."""
    assert every_step(stages, lambda stage, n: failing_write_of_a_node(stage, scenario, n, when)) > 3


# -- the worker of a job --------------------------------------------------------------------------------------------

#: each attempt has a worker of its own, which dies with its fault
NODE_OF_WORKERS = {"orphaned_timeout": LEASE, "max_lost": 10, "worker_max_jobs": 1}


def attempted(stage: Stage, scenario: Scenario, faults: dict[str, Any]) -> dict[str, Any]:
    """The job, which a node that is there has run to its end. The worker of the first attempt has the fault."""
    stage.clear(but_nodes=True)
    stage.memory["faults"] = faults
    scenario.prepare(stage)
    scenario.during(stage, stage.node)
    scenario.heal(stage)
    eventually(lambda: scenario.reached(stage) and stage.settled(), stage_module.HEALS_WITHIN, "done", PAUSE)
    stage.verify()
    scenario.check(stage)
    job: dict[str, Any] = stage.jobs.find_one({"class": {"$regex": "^faulty"}})
    return job


def crash_of_a_worker(stage: Stage, scenario: Scenario, n: int) -> bool:
    """Whether its first attempt has come to its end without reaching the switch."""
    return not attempted(stage, scenario, {"crash_at": n})["lost"]


def failing_write_of_a_worker(stage: Stage, scenario: Scenario, n: int, when: str) -> bool:
    """Whether its first attempt has come to its end before its n-th write. No attempt more is needed for it."""
    job = attempted(stage, scenario, {"fail_at": n, "fail_when": when})
    assert not job["lost"]
    assert job["attempt"] == 1 + job.get("sleeps", 0)
    return not stage.came_to_fault(Path(stage.log).name)


# -- an application ---------------------------------------------------------------------------------------------------


def crash_of_an_operation(
    stage: Stage, what: str, facts: dict[str, Any], n: int, after: Callable[[Stage], None]
) -> bool:
    """Whether it came to its end. `after` says what must be true, and what the caller does who got no answer."""
    with stage.acting(what, facts, crash_at=n) as operation:
        code = operation.wait()
    assert code in (0, CRASHED), stage.said(what)[-2000:]
    assert bool(stage.acknowledged) or code != 0
    after(stage)
    return code == 0


def failing_write(stage: Stage, what: str, facts: dict[str, Any], n: int, when: str) -> tuple[int, bool]:
    """The exit code of the operation, and whether it came to its n-th write."""
    with stage.acting(what, facts, fail_at=n, fail_when=when) as operation:
        code = operation.wait(60)
    said = stage.said(what)
    assert code == 0 or "DatabaseUnavailableError" in said, said[-2000:]
    assert bool(stage.acknowledged) == (code == 0) or what == "flush"
    return code, stage.came_to_fault(what)


def prepared(stage: Stage, change: Change) -> dict[str, Any]:
    """What the process is told that makes the change."""
    stage.clear()
    change.prepare(stage)
    return {"data": stage.log, "id": str(stage.memory.get("job")), **change.facts}


def crash_of_a_change(stage: Stage, change: Change, n: int) -> bool:
    """Whether it came to its end."""
    return crash_of_an_operation(stage, change.what, prepared(stage, change), n, change.verify)


def failing_change(stage: Stage, change: Change, n: int, when: str) -> bool:
    """Whether it came to its end before its n-th write."""
    code, struck = failing_write(stage, change.what, prepared(stage, change), n, when)
    change.check_answer(stage, code)
    change.verify(stage)
    return not struck


def every_crash_of_a_change(stages: list[Stage], change: Change) -> None:
    """Ends the process before and after each of its writes."""
    assert every_step(stages, lambda stage, n: crash_of_a_change(stage, change, n)) > 2


def every_failing_change(stages: list[Stage], change: Change, when: str) -> None:
    """Lets each of its writes fail."""
    assert every_step(stages, lambda stage, n: failing_change(stage, change, n, when)) > 1


# -- these tests can fail ---------------------------------------------------------------------------------------------


def breaks(
    stages: list[Stage], play: Callable[[Stage, int], bool], without: list[str] | None = None
) -> list[AssertionError]:
    """How the test fails once this is taken out of the product."""
    for stage in stages:
        stage.without = tuple(without or ())
    failures: list[AssertionError] = []
    every_step(stages, play, failures)
    return failures
