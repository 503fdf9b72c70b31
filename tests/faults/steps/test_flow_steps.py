"""Flows: a process ends at one of its writes, or a write fails: nothing begins too early, and no flow stalls.

See `test_crash_steps.py` and `test_ambiguous.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.steps.ambiguous import AFTER, BEFORE
from tests.faults.steps.flow_scenarios import ADDING, CHANGES, FLOWING, TOGETHER, WIDE
from tests.faults.steps.playing import (
    NODE_OF_WORKERS,
    breaks,
    crash_of_a_change,
    crash_of_a_node,
    crash_of_a_worker,
    every_crash_of_a_change,
    every_crash_of_a_node,
    every_failing_change,
    every_failing_write_of_a_node,
    failing_change,
    failing_write_of_a_node,
)
from tests.faults.steps.stage import Stage, every_step, standing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


def test_a_node_may_crash_after_every_call(stages: list[Stage]) -> None:
    every_crash_of_a_node(stages, TOGETHER)


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_every_write_of_a_node_may_fail(stages: list[Stage], when: str) -> None:
    every_failing_write_of_a_node(stages, TOGETHER, when)


#: so that a layer of six is treated as a larger one is
IN_SMALL_PARTS = ("claiming few jobs at once", "writing few ends at once")


@pytest.fixture
def in_parts(stages: list[Stage]) -> Iterator[list[Stage]]:
    for stage in stages:
        stage.without = IN_SMALL_PARTS
    yield stages
    for stage in stages:
        stage.without = ()


def test_a_node_may_crash_between_the_parts_of_a_layer(in_parts: list[Stage]) -> None:
    every_crash_of_a_node(in_parts, WIDE)


@pytest.mark.parametrize("when", [AFTER, BEFORE])
def test_the_write_of_each_part_of_a_layer_may_fail(in_parts: list[Stage], when: str) -> None:
    every_failing_write_of_a_node(in_parts, WIDE, when)


def test_a_worker_that_adds_jobs_may_crash_after_every_call(stages: list[Stage]) -> None:
    with standing(stages, NODE_OF_WORKERS):
        assert every_step(stages, lambda stage, n: crash_of_a_worker(stage, ADDING, n)) > 10


@pytest.mark.parametrize("name", CHANGES)
def test_an_application_may_crash_after_every_call_of_a_change(stages: list[Stage], name: str) -> None:
    every_crash_of_a_change(stages, CHANGES[name])


@pytest.mark.parametrize("when", [AFTER, BEFORE])
@pytest.mark.parametrize("name", CHANGES)
def test_who_gets_an_error_from_a_change_may_repeat_it(stages: list[Stage], name: str, when: str) -> None:
    every_failing_change(stages, CHANGES[name], when)


# -- these tests can fail ---------------------------------------------------------------------------------------------

#: what is taken out of the product, and the flow in which it is missed when its node dies
MISSED = {
    "sweeps, a dead node leaves a flow that stalls": ("diamond", ["sweeps of flows"]),
    "what follows from an end, nobody lets the others out": (
        "diamond",
        ["sweeps of flows", "letting out what comes after"],
    ),
    "a look whether others are left, a job begins too early": ("diamond", ["looking whether a join is complete"]),
    "the outbox, a failure leaves others waiting": ("failure", ["sweeps of flows", "debts paid by others"]),
    "the results of those before, a job takes none": ("results", ["the results of jobs before"]),
    "knowing what it has added, a repeated attempt fails": ("additions", ["knowing what an attempt has added"]),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("without", MISSED)
def test_when_a_node_crashes_without(stages: list[Stage], without: str) -> None:
    name, removed = MISSED[without]
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, FLOWING[name], n), removed)


@pytest.mark.usefixtures("impatient")
def test_without_writing_an_end_until_it_is_known_a_flow_stalls(stages: list[Stage]) -> None:
    without = ["writing until it is known"]
    assert breaks(stages, lambda stage, n: failing_write_of_a_node(stage, FLOWING["diamond"], n, BEFORE), without)


@pytest.mark.parametrize(
    ("without", "claim"),
    [("giving back what comes next", "find_one_and_update"), ("releasing what comes next", "update_many")],
    ids=["giving back what comes next", "releasing what comes next"],
)
def test_without_its_care_a_node_whose_claim_fails_leaves_a_flow_that_stalls(
    stages: list[Stage], without: str, claim: str
) -> None:
    """It claims what comes next where that is parked: a single job and several ones in different ways.

    Only these writes are tried: others are at another place in each round.
    """
    removed = ["sweeps of flows", without]

    def play(stage: Stage, n: int) -> bool:
        return failing_write_of_a_node(stage, FLOWING["diamond"], n, BEFORE, only=claim)

    assert breaks(stages, play, removed)


@pytest.mark.usefixtures("impatient")
def test_without_noting_its_session_a_dead_worker_leaves_its_flow_locked(stages: list[Stage]) -> None:
    without = ["noting the session that adds to a flow"]
    with standing(stages, NODE_OF_WORKERS, without):
        assert breaks(stages, lambda stage, n: crash_of_a_worker(stage, ADDING, n), without)


IN_PARTS = ["adding a flow in one transaction"]


def test_without_a_transaction_a_dead_application_leaves_a_part_of_a_flow(stages: list[Stage]) -> None:
    assert breaks(stages, lambda stage, n: crash_of_a_change(stage, CHANGES["add"], n), IN_PARTS)


def test_without_a_transaction_who_repeats_the_call_gets_a_part_of_a_flow(stages: list[Stage]) -> None:
    assert breaks(stages, lambda stage, n: failing_change(stage, CHANGES["add"], n, BEFORE), IN_PARTS)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["cancel", "retry that nobody repeats"])  # who repeats a retry ends the flow himself
def test_without_sweeps_a_dead_application_leaves_a_flow_that_stalls(stages: list[Stage], name: str) -> None:
    without = ["sweeps of flows", "debts paid by others"]
    assert breaks(stages, lambda stage, n: crash_of_a_change(stage, CHANGES[name], n), without)
