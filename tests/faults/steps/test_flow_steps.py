"""Flows: a process ends after its n-th call, or a write fails: nothing begins too early, and no flow stalls.

See `test_crash_steps.py` and `test_ambiguous.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.flow_scenarios import CHANGES, FLOWING, Change, too_early
from tests.faults.steps.playing import (
    breaks,
    crash_of_a_node,
    crash_of_an_operation,
    failing_write,
    failing_write_of_a_node,
)
from tests.faults.steps.stage import FLOWS, Stage, every_step, healed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def crashed(stage: Stage, name: str, n: int) -> bool:
    ended = crash_of_a_node(stage, FLOWING[name], n)
    assert not too_early(stage)
    return ended


@pytest.mark.parametrize("name", FLOWING)
def test_a_node_may_crash_after_every_call(stages: list[Stage], name: str) -> None:
    assert every_step(stages, lambda stage, n: crashed(stage, name, n)) > 10


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", FLOWING)
def test_every_write_of_a_node_may_fail(stages: list[Stage], name: str, when: str) -> None:
    def play(stage: Stage, n: int) -> bool:
        ended = failing_write_of_a_node(stage, FLOWING[name], n, when)
        assert not too_early(stage)
        return ended

    assert every_step(stages, play) > 3


def prepared(stage: Stage, change: Change) -> dict[str, Any]:
    """What the process is told that makes the change."""
    stage.clear()
    change.prepare(stage)
    return {"id": str(stage.memory["flow"]), **change.facts}


def verify(stage: Stage, change: Change) -> None:
    """Who got no answer repeats it; for the rest nobody but a node cares."""
    known = bool(stage.acknowledged)
    flow = stage.database[FLOWS].find_one({})
    if change.what == "add_flow":
        assert stage.statuses().total() in (0, 4), "all of it or nothing"
        assert (flow is None) == (stage.statuses().total() == 0)
        assert flow is not None or not known
        if flow is None:
            return
    elif not known:
        flows = stage.scheduler.flows
        if change.what == "cancel_flow":
            flows.cancel(stage.memory["flow"])
        else:
            flows.retry(stage.memory["flow"])
    healed(stage, change.ends)
    stage.verify()
    if change.what != "retry_flow":  # what has failed ends twice
        assert not too_early(stage)


def crash_of_a_change(stage: Stage, change: Change, n: int) -> bool:
    """Whether it came to its end."""
    facts = prepared(stage, change)
    return crash_of_an_operation(stage, change.what, facts, n, lambda stage: verify(stage, change))


@pytest.mark.parametrize("name", CHANGES)
def test_an_application_may_crash_after_every_call_of_a_change(stages: list[Stage], name: str) -> None:
    assert every_step(stages, lambda stage, n: crash_of_a_change(stage, CHANGES[name], n)) > 8


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", CHANGES)
def test_who_gets_an_error_from_a_change_may_repeat_it(stages: list[Stage], name: str, when: str) -> None:
    def play(stage: Stage, n: int) -> bool:
        change = CHANGES[name]
        _, struck = failing_write(stage, change.what, prepared(stage, change), n, when)
        verify(stage, change)
        return not struck

    assert every_step(stages, play) > 2


# -- these tests can fail ---------------------------------------------------------------------------------------------


def test_without_sweeps_a_dead_node_leaves_a_flow_that_stalls(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.steps.stage.HEALS_WITHIN", 6.0)
    assert breaks(stages, lambda stage, n: crashed(stage, "diamond", n), ["sweeps of flows"])


def test_without_what_follows_from_an_end_nobody_lets_the_others_out(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.steps.stage.HEALS_WITHIN", 6.0)
    without = ["sweeps of flows", "letting out what comes after"]
    assert breaks(stages, lambda stage, n: crashed(stage, "diamond", n), without)


def test_without_a_look_whether_others_are_left_a_job_begins_too_early(stages: list[Stage]) -> None:
    assert breaks(stages, lambda stage, n: crashed(stage, "diamond", n), ["looking whether a join is complete"])


def test_without_the_outbox_a_failure_leaves_others_waiting(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.steps.stage.HEALS_WITHIN", 6.0)
    without = ["sweeps of flows", "debts paid by others"]
    assert breaks(stages, lambda stage, n: crashed(stage, "failure", n), without)
