"""Only attempts that nobody will ever run or finish are given back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.maintenance.leaked_claims import LeakedClaims

MINE, STRAY = Fence(ObjectId(), "a", 1), Fence(ObjectId(), "b", 1)


class Node:
    """What a node knows, and what the database says of it."""

    def __init__(self) -> None:
        self.ledger: list[Fence] = []
        self.database: list[Fence] = []
        self.claiming: list[str] = []
        self.marks: list[threading.Event] = []
        self.strays = LeakedClaims(lambda: self.claiming, self.mark)

    def mark(self) -> threading.Event:
        self.marks.append(threading.Event())
        return self.marks[-1]

    def write(self) -> None:
        for mark in self.marks:
            mark.set()

    def look(self, written: bool = True) -> set[Fence]:
        if written:
            self.write()
        return self.strays.look(lambda: self.ledger, lambda: self.database)


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_stray_is_given_back_at_the_second_look(node: Node) -> None:
    node.ledger, node.database = [MINE], [MINE, STRAY]
    assert node.look() == set()
    assert node.look() == {STRAY}


def test_what_is_known_at_one_of_two_looks_is_none(node: Node) -> None:
    node.database = [STRAY]
    assert node.look() == set()
    node.ledger = [STRAY]
    assert node.look() == set()
    node.ledger = []
    assert node.look() == set()


def test_an_attempt_whose_end_waits_to_be_written_is_none(node: Node) -> None:
    node.database = [MINE]
    assert node.look() == set()
    for _ in range(3):
        assert node.look(written=False) == set()
    node.write()
    node.database = []
    assert node.look() == set()


def test_an_attempt_of_a_claim_that_is_not_answered_yet_is_none(node: Node) -> None:
    node.database, node.claiming = [STRAY], [STRAY.claim]
    for _ in range(3):
        assert node.look() == set()
    node.claiming = []  # it was answered, without this job
    assert node.look() == set()
    assert node.look() == {STRAY}


def test_an_attempt_that_was_just_answered_is_none(node: Node) -> None:
    """The claims under way are read before the ledger: in this order none can slip through in between."""
    seen: list[str] = []

    def said(name: str) -> list[Any]:
        seen.append(name)
        return []

    strays = LeakedClaims(lambda: said("claims"), node.mark)
    strays.look(lambda: said("ledger"), lambda: said("database"))
    assert seen == ["claims", "ledger", "database"]
