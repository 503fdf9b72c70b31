"""How soon the jobs of a lost node are taken back, in time that passes only while the caretaker waits."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any
from unittest.mock import MagicMock

import pytest
from bson import ObjectId
from pymongo.errors import OperationFailure

from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.maintenance.maintainer import Caretaker


class Time(threading.Event):
    """A clock, and the event that a caretaker waits on: each wait takes as long as it may."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        raise NotImplementedError

    def pause(self, seconds: float) -> None:
        self.seconds += seconds

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0.0
        return False


class Story:
    """A caretaker with this lease, and a node with another one that beats for the last time right after a look."""

    def __init__(self, own: float, victims: float) -> None:
        self.time, self.looks, self.silence = Time(), list[float](), 0.0
        self._victim = {"_id": ObjectId(), "name": "victim", "lease": victims}
        self.store = store = MagicMock()
        store.due_jobs.seconds_until_next.return_value = None
        store.nodes.all.side_effect = self._read
        store.nodes.declare_lost.side_effect = self._declared
        ledger, idle, other = MagicMock(), threading.Event(), MagicMock()
        ledger.all.return_value = []
        idle.set()
        self.caretaker = Caretaker(
            store,
            ledger,
            FailureDetector(own),
            ObjectId(),
            other,
            idle,
            other,
            other,
            other,
            other,
            other,
            3,
            own,
            other,
            self.time,
        )
        self.caretaker._look_due = self.time

    def told(self) -> None:
        self.caretaker._loop()

    def _read(self) -> list[dict[str, Any]]:
        self.looks.append(self.time.monotonic())
        return [{**self._victim, "beat": min(len(self.looks), 4)}]

    def _declared(self, _: ObjectId, beat: int) -> bool:
        assert beat == 4
        self.silence = self.time.monotonic() - self.looks[2]
        self.caretaker._stopped.set()
        return True


@pytest.fixture(autouse=True)
def ensured(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """What sees to it that collections and indexes are there."""
    ensure = MagicMock()
    monkeypatch.setattr("taskscheduler_daemon.node.maintenance.maintainer.ensure", ensure)
    return ensure


@pytest.mark.parametrize("own", [2.0, 30.0, 300.0])
@pytest.mark.parametrize("victims", [0.5, 4.0, 30.0])
def test_a_dead_node_is_found_within_its_lease_and_5_seconds_whatever_the_lease_of_others(
    victims: float, own: float
) -> None:
    for _ in range(5):
        story = Story(own, victims)
        story.told()
        assert victims <= story.silence < victims + 5
        assert len(story.looks) <= 6 + story.silence / min(3.5, own / 4), "and nobody looks all the time"


def test_an_index_that_cannot_be_made_is_tried_for_at_each_sweep_and_not_all_the_time(ensured: MagicMock) -> None:
    story = Story(30, 30)
    refusal = OperationFailure("not authorized")
    story.store.solo_locks.sweep.side_effect = refusal
    ensured.side_effect = [refusal] * 100
    story.told()
    assert 1 < ensured.call_count <= story.time.monotonic() / 1.5
