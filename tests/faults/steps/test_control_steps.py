"""Limits and sequences: a process ends after its n-th call, or a write fails: no place is kept, nobody waits for ever.

See `test_crash_steps.py` and `test_ambiguous.py`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from taskscheduler import Status
from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.control_scenarios import CHANGES, CONTROLLED, Change
from tests.faults.steps.playing import (
    breaks,
    crash_of_a_node,
    crash_of_an_operation,
    failing_write,
    failing_write_of_a_node,
)
from tests.faults.steps.stage import Stage, every_step, healed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@pytest.mark.parametrize("name", CONTROLLED)
def test_a_node_may_crash_after_every_call(stages: list[Stage], name: str) -> None:
    assert every_step(stages, lambda stage, n: crash_of_a_node(stage, CONTROLLED[name], n)) > 10


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", CONTROLLED)
def test_every_write_of_a_node_may_fail(stages: list[Stage], name: str, when: str) -> None:
    assert every_step(stages, lambda stage, n: failing_write_of_a_node(stage, CONTROLLED[name], n, when)) > 3


def prepared(stage: Stage, change: Change) -> dict[str, Any]:
    """What the process is told that makes the change."""
    stage.clear()
    change.prepare(stage)
    return {"data": stage.log, "id": str(stage.memory.get("job")), **change.facts}


def verify(stage: Stage, change: Change) -> None:
    """Who got no answer looks whether it is done; for the rest nobody but a node cares."""
    known = bool(stage.acknowledged)
    if change.what == "cancel" and not stage.statuses()[Status.CANCELED]:
        assert not known
        stage.scheduler.cancel_job(stage.memory["job"])
    if change.what == "release" and stage.scheduler.sequences.blocked():
        assert not known
        stage.scheduler.sequences.release("s")
    wanted = Counter(change.ends)
    if change.what == "add_span" and stage.statuses().total() < wanted.total():
        assert not known
        wanted[Status.DONE] -= 1
    if change.most is not None:
        stage.memory["most"] = change.most if known else max(stage.memory["most"], change.most)
    healed(stage, lambda stage: stage.statuses() == wanted, {"min_children": 3})
    stage.verify()


def crash_of_a_change(stage: Stage, change: Change, n: int) -> bool:
    """Whether it came to its end."""
    facts = prepared(stage, change)
    return crash_of_an_operation(stage, change.what, facts, n, lambda stage: verify(stage, change))


@pytest.mark.parametrize("name", CHANGES)
def test_an_application_may_crash_after_every_call_of_a_change(stages: list[Stage], name: str) -> None:
    assert every_step(stages, lambda stage, n: crash_of_a_change(stage, CHANGES[name], n)) > 8


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", CHANGES)
def test_who_gets_an_error_from_a_change_may_look_whether_it_is_done(stages: list[Stage], name: str, when: str) -> None:
    def play(stage: Stage, n: int) -> bool:
        change = CHANGES[name]
        _, struck = failing_write(stage, change.what, prepared(stage, change), n, when)
        verify(stage, change)
        return not struck

    assert every_step(stages, play) > 2


# -- these tests can fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["limit", "cancel what holds a place", "sequence"])
def test_without_sweeps_a_dead_node_leaves_jobs_parked(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("tests.faults.steps.stage.HEALS_WITHIN", 6.0)
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, CONTROLLED[name], n), ["sweeps of parked jobs"])


@pytest.mark.parametrize("name", ["add under a free limit", "raise a limit", "delete a limit", "release a sequence"])
def test_without_sweeps_a_dead_application_leaves_jobs_parked(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("tests.faults.steps.stage.HEALS_WITHIN", 6.0)
    assert breaks(stages, lambda stage, n: crash_of_a_change(stage, CHANGES[name], n), ["sweeps of parked jobs"])
