"""Plays a scenario with one fault in it: the end of a process after its n-th call, or a write that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.steps.acting import CRASHED, FAILED
from tests.faults.steps.scenarios import Scenario
from tests.faults.steps.stage import LEASE, NODES, Stage, every_step, healed
from tests.support.eventually import eventually


def crash_of_a_node(stage: Stage, scenario: Scenario, n: int, since: str = NODES) -> bool:
    """Whether the node has done all of it without reaching the switch."""
    stage.clear()
    scenario.prepare(stage)
    facts = {"orphaned_timeout": LEASE, "max_lost": 10, **scenario.facts}
    with stage.acting("node", facts, crash_at=n, crash_since=since) as node:
        scenario.during(stage, node)
        eventually(lambda: node.ended or scenario.reached(stage), 30, "done or crashed")
        code = node.stop()
    assert code in (0, CRASHED), stage.said("node")[-2000:]
    scenario.heal(stage)
    healed(stage, scenario.reached, scenario.facts)
    stage.verify()
    return code == 0


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


def failing_write_of_a_node(stage: Stage, scenario: Scenario, n: int, when: str) -> bool:
    """Whether the node has done all of it before its n-th write."""
    stage.clear()
    scenario.prepare(stage)
    facts = {"orphaned_timeout": LEASE, "max_lost": 10, **scenario.facts}
    with stage.acting("node", facts, fail_at=n, fail_when=when) as node:
        scenario.during(stage, node)
        scenario.heal(stage)
        eventually(lambda: node.ended or (scenario.reached(stage) and stage.settled()), 30, "done")
        code = node.stop()
    said = stage.said("node")
    if code == FAILED:  # it said that it cannot register, and did nothing
        assert "node ready" not in said
        assert "DatabaseUnavailableError" in said
    else:
        assert code == 0, said[-2000:]
    healed(stage, scenario.reached, scenario.facts)
    stage.verify()
    assert scenario.loses or not stage.jobs.find_one({"lost": {"$gt": 0}}), "no process has died"
    return "fault " not in said


def failing_write(stage: Stage, what: str, facts: dict[str, Any], n: int, when: str) -> tuple[int, bool]:
    """The exit code of the operation, and whether it came to its n-th write."""
    with stage.acting(what, facts, fail_at=n, fail_when=when) as operation:
        code = operation.wait(60)
    said = stage.said(what)
    assert code == 0 or "DatabaseUnavailableError" in said, said[-2000:]
    assert bool(stage.acknowledged) == (code == 0) or what == "flush"
    return code, "fault " in said


def breaks(stages: list[Stage], play: Callable[[Stage, int], bool], without: list[str]) -> list[int]:
    """The steps at which the test fails once this is taken out of the product."""
    for stage in stages:
        stage.without = tuple(without)
    failures: list[int] = []

    def tried(stage: Stage, n: int) -> bool:
        try:
            return play(stage, n)
        except AssertionError:
            failures.append(n)
            return True  # one is enough

    every_step(stages, tried)
    return failures
