"""Limits and sequences: a process ends at one of its writes, or a write fails: no place is kept, nobody waits for ever.

See `test_crash_steps.py` and `test_ambiguous.py`.
"""

from __future__ import annotations

import pytest

from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.control_scenarios import CHANGES, CONTROLLED
from tests.faults.steps.playing import (
    breaks,
    crash_of_a_change,
    crash_of_a_node,
    every_crash_of_a_change,
    every_crash_of_a_node,
    every_failing_change,
    every_failing_write_of_a_node,
)
from tests.faults.steps.stage import Stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", CONTROLLED)
def test_a_node_may_crash_after_every_call(stages: list[Stage], name: str) -> None:
    every_crash_of_a_node(stages, CONTROLLED[name])


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", CONTROLLED)
def test_every_write_of_a_node_may_fail(stages: list[Stage], name: str, when: str) -> None:
    every_failing_write_of_a_node(stages, CONTROLLED[name], when)


@pytest.mark.parametrize("name", CHANGES)
def test_an_application_may_crash_after_every_call_of_a_change(stages: list[Stage], name: str) -> None:
    every_crash_of_a_change(stages, CHANGES[name])


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", CHANGES)
def test_who_gets_an_error_from_a_change_may_look_whether_it_is_done(stages: list[Stage], name: str, when: str) -> None:
    every_failing_change(stages, CHANGES[name], when)


# -- these tests can fail ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["limit", "cancel what holds a place", "sequence"])
def test_without_sweeps_a_dead_node_leaves_jobs_parked(stages: list[Stage], name: str) -> None:
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, CONTROLLED[name], n), ["sweeps of parked jobs"])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["add under a free limit", "raise a limit", "delete a limit", "release a sequence"])
def test_without_sweeps_a_dead_application_leaves_jobs_parked(stages: list[Stage], name: str) -> None:
    assert breaks(stages, lambda stage, n: crash_of_a_change(stage, CHANGES[name], n), ["sweeps of parked jobs"])
