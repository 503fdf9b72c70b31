"""The manager's questions about children of silent jobs, and what the node answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeClock, Threads

from taskscheduler_daemon.node.dispatch.family_signs import FamilySigns
from taskscheduler_daemon.node.state.in_flight import InFlight

JOB = ObjectId()


class Families:
    """Gives one answer after the other; an exception is raised."""

    def __init__(self, *answers: float | Exception | None) -> None:
        self._answers = iter(answers)

    def since_sign_of_child(self, job_id: ObjectId) -> float | None:
        assert job_id == JOB
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answers(*known: float | Exception | None) -> list[tuple[Any, ...]]:
    """What the manager is told when it has asked so many times."""
    told: list[tuple[Any, ...]] = []
    store, manager = SimpleNamespace(families=Families(*known)), SimpleNamespace(alive=lambda *said: told.append(said))
    signs = FamilySigns(cast(Any, store), InFlight(), cast(Any, manager), FakeClock(1000.0), Threads())
    for attempt in range(1, len(known) + 1):
        signs.ask(JOB.binary, attempt)
    signs.stop()
    return told


def test_the_answer_is_when_a_child_gave_its_last_sign_of_life() -> None:
    assert answers(2.5, None) == [(JOB.binary, 1, 997.5), (JOB.binary, 2, 0.0)]


def test_a_database_that_does_not_answer_ends_no_job() -> None:
    assert answers(AutoReconnect("cut"), 1.0) == [(JOB.binary, 2, 999.0)]


def test_a_node_that_was_never_asked_has_no_thread_to_wait_for() -> None:
    assert answers() == []
