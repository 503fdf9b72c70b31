"""Only attempts that nobody will ever run or finish are released."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.node.fakes import FakeStore, lease

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.maintenance.leaked_claims import LeakedClaims
from taskscheduler_daemon.node.state.identity import NodeIdentity

MINE, LEAKED = Fence(ObjectId(), "a", 1), Fence(ObjectId(), "b", 1)


class Node:
    """What a node knows, and what the database says of it."""

    def __init__(self) -> None:
        self.known: list[Fence] = []
        self.claiming: list[str] = []
        self.barriers: list[threading.Event] = []
        self.read: list[str] = []
        self.store = FakeStore()
        identity = NodeIdentity(ObjectId(), "node")
        self.database = self.store.leases.held[identity.boot]
        self.cancelled = self.store.services.cancelled[identity.boot]
        self.exiting: list[Fence] = []
        self.leaked_claims = LeakedClaims(
            store=self.store.store,
            node=identity,
            in_flight=cast(Any, SimpleNamespace(fences=lambda: self._reading("in flight", self.known))),
            locks=cast(Any, SimpleNamespace(exiting=lambda: self._reading("exiting", self.exiting))),
            pipeline=cast(Any, SimpleNamespace(unconfirmed=lambda: self._reading("claims", self.claiming))),
            completer=cast(Any, SimpleNamespace(barrier=self._barrier)),
            lease=lease(),
        )

    def _reading(self, what: str, found: list[Any]) -> list[Any]:
        self.read += [what, *self.store.faults.calls]
        return found

    def _barrier(self) -> threading.Event:
        self.barriers.append(threading.Event())
        return self.barriers[-1]

    def write(self) -> None:
        for barrier in self.barriers:
            barrier.set()

    def run(self, written: bool = True) -> set[Fence]:
        """What one run releases."""
        if written:
            self.write()
        self.leaked_claims.run()
        released = set(self.store.claims.released_fences)
        self.store.claims.released_fences.clear()
        return released

    def said_to_be_gone(self) -> list[Fence]:
        """The cancelled services that one run says are gone."""
        self.store.services.released.clear()
        assert self.run() == set()
        return self.store.services.released


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_leaked_attempt_is_released_at_the_second_look(node: Node) -> None:
    node.known = [MINE]
    node.database += [MINE, LEAKED]
    assert node.run() == set()
    assert node.run() == {LEAKED}


def test_what_is_known_at_one_of_two_looks_is_not_leaked(node: Node) -> None:
    node.database.append(LEAKED)
    assert node.run() == set()
    node.known = [LEAKED]
    assert node.run() == set()
    node.known = []
    assert node.run() == set()


def test_an_attempt_whose_end_waits_to_be_written_is_not_leaked(node: Node) -> None:
    node.database.append(MINE)
    assert node.run() == set()
    for _ in range(3):
        assert node.run(written=False) == set()
    node.write()
    node.database.clear()
    assert node.run() == set()


def test_an_attempt_of_a_claim_that_is_not_answered_yet_is_not_leaked(node: Node) -> None:
    node.database.append(LEAKED)
    node.claiming = [LEAKED.claim]
    for _ in range(3):
        assert node.run() == set()
    node.claiming = []  # it was answered, without this job
    assert node.run() == set()
    assert node.run() == {LEAKED}


def test_an_attempt_whose_process_is_still_there_is_not_leaked(node: Node) -> None:
    node.database.append(MINE)
    node.exiting = [MINE]
    for _ in range(3):
        assert node.run() == set()


def test_a_leaked_attempt_at_a_service_that_was_cancelled_is_gone(node: Node) -> None:
    """Otherwise nobody could start the service again as long as this node lives."""
    node.cancelled.append(LEAKED)
    assert node.said_to_be_gone() == []
    assert node.said_to_be_gone() == [LEAKED]


def test_also_if_it_is_cancelled_between_two_looks(node: Node) -> None:
    node.database.append(LEAKED)
    assert node.run() == set()
    node.cancelled.append(node.database.pop())
    assert node.said_to_be_gone() == [LEAKED]


def test_a_cancelled_service_whose_process_may_still_be_there_is_not_gone(node: Node) -> None:
    node.cancelled.append(MINE)
    for known in (node.known, node.exiting):
        known.append(MINE)
        for _ in range(3):
            assert node.said_to_be_gone() == []
        known.clear()


def test_an_attempt_that_was_just_answered_is_not_leaked(node: Node) -> None:
    """Claims are read before attempts in flight, and those before exiting ones: none can slip through in between."""
    node.run()
    assert node.read == ["claims", "in flight", "exiting"]
    assert node.store.faults.calls == ["leases.held_by", "locks.not_gone"]
