"""Which nodes are lost: two looks at a heartbeat that stands still, and no wall clock."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector

A, B = ObjectId(), ObjectId()


def node(boot: ObjectId, beat: int, **more: Any) -> dict[str, Any]:
    return {"_id": boot, "beat": beat, **more}


def test_a_node_is_not_lost_at_the_first_look() -> None:
    assert FailureDetector(30).lost([node(A, 5)], {A}, now=10_000.0) == []


def test_a_heartbeat_that_moves_is_never_lost() -> None:
    detector = FailureDetector(30)
    for beat in range(100):
        assert detector.lost([node(A, beat)], {A}, now=beat * 29.9) == []


def test_a_heartbeat_that_moves_at_every_look_is_not_lost_however_rare_the_looks() -> None:
    detector = FailureDetector(30)
    for beat in range(10):
        assert detector.lost([node(A, beat)], {A}, now=beat * 1000.0) == []


def test_a_heartbeat_that_stands_still_for_a_lease_is_lost() -> None:
    detector = FailureDetector(30)
    detector.lost([node(A, 5)], {A}, now=100)
    assert detector.lost([node(A, 5)], {A}, now=129.9) == []
    assert detector.lost([node(A, 5)], {A}, now=130) == [A]
    assert detector.lost([node(A, 5)], {A}, now=131) == [A]


def test_a_node_that_beats_again_is_not_lost_any_more() -> None:
    detector = FailureDetector(30)
    detector.lost([node(A, 5)], {A}, now=0)
    assert detector.lost([node(A, 5)], {A}, now=40) == [A]
    assert detector.lost([node(A, 6)], {A}, now=41) == []
    assert detector.lost([node(A, 6)], {A}, now=70) == []
    assert detector.lost([node(A, 6)], {A}, now=71) == [A]


def test_the_lease_of_a_node_goes_before_our_own() -> None:
    detector = FailureDetector(30)
    nodes = [node(A, 1, lease=5), node(B, 1, lease=300)]
    detector.lost(nodes, {A, B}, now=0)
    assert detector.lost(nodes, {A, B}, now=5) == [A]
    assert detector.lost(nodes, {A, B}, now=299) == [A]
    assert set(detector.lost(nodes, {A, B}, now=300)) == {A, B}


def test_it_is_known_when_the_next_node_may_be_lost() -> None:
    detector = FailureDetector(30)
    nodes = [node(A, 1, lease=5), node(B, 1, lease=300)]
    assert detector.next_at == float("inf")
    detector.lost(nodes, {A, B}, now=10)
    assert detector.next_at == 15
    detector.lost([node(A, 2, lease=5), nodes[1]], {A, B}, now=13)
    assert detector.next_at == 18
    detector.lost([node(A, 2, lease=5), nodes[1]], {A, B}, now=18)
    assert detector.next_at == 310, "the lost one is no reason to look"
    detector.lost([], set(), now=20)
    assert detector.next_at == float("inf")


@pytest.mark.parametrize("seen", ["1970-01-01", "9999-12-31", None])
def test_wrong_clocks_do_not_matter(seen: Any) -> None:
    detector = FailureDetector(30)
    dates = {"alive": seen, "started": seen}
    assert detector.lost([node(A, 1, **dates)], {A}, now=0) == []
    assert detector.lost([node(A, 2, **dates)], {A}, now=1e9) == []
    assert detector.lost([node(A, 2, **dates)], {A}, now=1e9 + 30) == [A]


def test_a_heartbeat_that_goes_back_moves_all_the_same() -> None:
    detector = FailureDetector(30)
    detector.lost([node(A, 9)], set(), now=0)
    assert detector.lost([node(A, 1)], set(), now=30) == []


def test_an_owner_without_a_document_is_lost_a_lease_after_it_was_first_seen() -> None:
    detector = FailureDetector(30)
    assert detector.lost([], {A}, now=100) == []
    assert detector.lost([], {A}, now=129) == []
    assert detector.lost([], {A}, now=130) == [A]


def test_a_node_whose_document_vanishes_is_given_a_lease_from_then_on() -> None:
    detector = FailureDetector(30)
    detector.lost([node(A, 5)], {A}, now=0)
    assert detector.lost([], {A}, now=29) == []
    assert detector.lost([], {A}, now=58) == []
    assert detector.lost([], {A}, now=59) == [A]


def test_a_node_that_was_declared_lost_is_lost_at_once() -> None:
    assert FailureDetector(30).lost([node(A, 1, lost=True)], set(), now=0) == [A]


def test_nodes_do_not_disturb_each_other() -> None:
    detector = FailureDetector(30)
    for beat in range(4):
        found = detector.lost([node(A, beat), node(B, 7)], {A, B}, now=beat * 10.0)
        assert found == ([B] if beat == 3 else [])


def test_a_node_that_is_gone_is_forgotten() -> None:
    detector = FailureDetector(30)
    detector.lost([node(A, 5)], {A}, now=0)
    assert detector.lost([], set(), now=10) == []
    assert detector.lost([node(A, 5)], {A}, now=50) == []
