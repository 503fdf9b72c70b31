"""What the document of a node says: its lease, and whether it is up, silent or lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.model.nodes import NodeState, age_of, grace_of, lease_of, silence_of, state_of


def test_what_a_node_says_about_itself_counts() -> None:
    node = {"lease": 7, "grace": 0, "silent": 1.25}
    assert (lease_of(node), grace_of(node), silence_of(node)) == (7.0, 0.0, 1.25)


@pytest.mark.parametrize("node", [{}, {"lease": None}, {"lease": 0}])
def test_a_node_that_says_nothing_has_the_lease_of_old_ones(node: dict[str, Any]) -> None:
    assert (lease_of(node), grace_of(node), silence_of(node)) == (30.0, 0.5, 0.0)


def test_a_heartbeat_from_the_future_is_no_silence() -> None:
    assert silence_of({"silent": -3}) == 0.0


@table(
    ("node", "state"),
    [
        ({"lease": 5, "silent": 5}, NodeState.UP),
        ({"lease": 5, "silent": 5.1}, NodeState.SILENT),
        ({"silent": 29}, NodeState.UP),
        ({"silent": 31}, NodeState.SILENT),
        ({"lease": 5, "silent": 0, "lost": True}, NodeState.LOST),
        ({"drain": True}, NodeState.DRAINING),
        ({"drain": True, "silent": 31}, NodeState.SILENT),
        ({"drain": True, "lost": True}, NodeState.LOST),
        ({}, NodeState.UP),
    ],
)
def test_a_node_is_up_until_its_lease_ends_or_others_rescue_its_jobs(node: dict[str, Any], state: NodeState) -> None:
    assert state_of(node) is state


def test_a_state_is_shown_by_its_word() -> None:
    assert [str(state) for state in NodeState] == ["up", "draining", "silent", "lost"]


START = datetime(2026, 11, 29, tzinfo=UTC)


@table(
    ("node", "age"),
    [
        ({"started": START, "alive": START + timedelta(seconds=60), "silent": 4.0}, 64.0),
        ({"started": START, "alive": START - timedelta(seconds=60)}, 0.0),
        ({"alive": START}, None),
        ({"started": START}, None),
    ],
)
def test_a_node_is_as_old_as_the_server_says(node: dict[str, Any], age: float | None) -> None:
    assert age_of(node) == age
